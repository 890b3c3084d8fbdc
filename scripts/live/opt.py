"""Compares our OPT with transformers where the files are too large to commit, and checkpoints both ways.

    cargo build --release --workspace --examples --bins
    python scripts/live/opt.py            # in the virtual environment of scripts/goldens (any transformers 4 or 5)

1. A model of OPT-125M's full shape with random weights, saved by transformers: logits, loss, every gradient and 32
   greedy tokens of ours against PyTorch's.
2. A checkpoint that `sigma-exp finetune` has trained from the bundled model: `from_pretrained` loads it with its tokenizer,
   and gives our logits, loss, gradients and greedy tokens; the tokenizer gives our ids.
3. A checkpoint that transformers has saved again from that one gives the same numbers here.

Prints the largest differences, and fails where one is beyond its tolerance.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, OPTConfig, OPTForCausalLM

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "target/release"
failures = []


def check(name, value, limit):
    print(f"  {name:<34}{value:.2e}   (at most {limit:.0e})")
    if not value <= limit:
        failures.append(name)


def ours(folder, rows, greedy, scratch):
    (scratch / "ids.json").write_text(json.dumps({"rows": rows, "greedy": greedy}))
    out = scratch / "out.safetensors"
    subprocess.run([RELEASE / "examples/opt_forward", folder, scratch / "ids.json", out], check=True)
    return load_file(out)


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def compare(model, folder, rows, scratch, greedy=32):
    model.eval()
    ids = torch.tensor(rows)
    found = ours(folder, rows, greedy, scratch)
    output = model(input_ids=ids, labels=ids)
    logits = output.logits.detach().reshape(-1, output.logits.shape[-1])
    check("logits, relative to the largest", relative(found["logits"], logits), 1e-4)
    check("loss, relative", abs(found["loss"].item() / output.loss.item() - 1), 1e-5)
    with torch.inference_mode():
        written = ids[:1]
        for _ in range(greedy):
            best = model(input_ids=written).logits[0, -1].argmax()
            written = torch.cat([written, best.reshape(1, 1)], 1)
    differing = (written[0, ids.shape[1] :] != found["greedy"].long()).sum().item()
    check(f"of {greedy} greedy tokens differ", differing, 0)

    # Few tokens: among millions of ReLU inputs some lie so close to 0 that rounding decides whether they pass, and one
    # of them changes a gradient by far more than rounding does.
    few = [rows[0][:12]]
    found = ours(folder, few, 1, scratch)
    model.zero_grad()
    model(input_ids=torch.tensor(few), labels=torch.tensor(few)).loss.backward()
    worst, keys = 0.0, 0.0
    for name, parameter in model.named_parameters():
        gradient = found["grad." + name]
        if name.endswith("k_proj.bias"):  # zero in exact arithmetic
            keys = max(keys, gradient.abs().max().item(), parameter.grad.abs().max().item())
        else:
            worst = max(worst, relative(gradient, parameter.grad))
    check("every gradient, relative", worst, 1e-4)
    check("gradients of key biases, absolute", keys, 1e-5)


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(*arguments):
    subprocess.run([RELEASE / "sigma-exp", *arguments], check=True, cwd=ROOT, capture_output=True)


def main():
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        if "--checkpoints-only" not in sys.argv:
            print("OPT-125M's shape, random weights saved by transformers")
            model = OPTForCausalLM(OPTConfig())
            with torch.no_grad():  # biases start at zero: let them matter
                for parameter in model.parameters():
                    parameter.add_(0.02 * torch.randn_like(parameter))
            model.save_pretrained(scratch / "opt_125m")
            compare(model, scratch / "opt_125m", torch.randint(4, 50265, (2, 64)).tolist(), scratch)
            del model

        print("a checkpoint of `sigma-exp finetune`, loaded by transformers")
        base, blocks, trained = "data/models/opt-tiny", scratch / "blocks.jsonl", scratch / "trained"
        run("data", "slice", "data/fin/corpus.jsonl", "--tokenizer", base, "--out", blocks)
        run("finetune", "configs/demo_s2.yaml", "--model", base, "--blocks", blocks, "--out", trained)
        model = AutoModelForCausalLM.from_pretrained(trained)
        blocks = json_lines(blocks)
        rows = [[2] + block["tokens"] for block in blocks[:4]]
        compare(model, trained, rows, scratch)
        # the first context of every document, against transformers' tokenizer on the document
        tokenizer = AutoTokenizer.from_pretrained(trained)
        firsts = {block["id"]: [2] + block["tokens"] for block in blocks if block["id"].endswith("#0000")}
        documents = json_lines(ROOT / "data/fin/corpus.jsonl")
        theirs = {d["id"] + "#0000": tokenizer(d["text"])["input_ids"] for d in documents}
        differing = sum(theirs[name][: len(tokens)] != tokens for name, tokens in firsts.items())
        check(f"of {len(firsts)} tokenized documents differ", differing, 0)

        print("the same, saved again by transformers")
        model.save_pretrained(scratch / "again")
        compare(model, scratch / "again", rows, scratch)
    if failures:
        sys.exit(f"beyond their tolerance: {', '.join(failures)}")


main()
