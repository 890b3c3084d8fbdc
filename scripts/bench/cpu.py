"""Times sigma-exp against transformers + PyTorch on the same work, on the CPU in f32, in turns.

    cargo build --release
    python scripts/bench/cpu.py [--size tiny|125m] [--rounds 5] [--out docs/benchmarks/NAME.md]

in a virtual environment with torch and transformers (scripts/goldens/requirements.txt). Each round runs ours, then the
peer; the table shows medians, the ratio of the medians, and the peak memory of each process. The work:

  training     batches of 16 blocks of 64 tokens, AdamW, clipping, dropout 0.1
  generation   32 prompts of 65 tokens (ours) or 64 (the peer) continued by 64, nucleus 0.95, eos suppressed

Ours is timed by the program's own clock, prefill and the first step included; the peer after two warm-up calls.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHAPES = {
    "tiny": dict(vocab_size=2048, hidden_size=128, num_hidden_layers=4, ffn_dim=512, num_attention_heads=4,
                 max_position_embeddings=512, word_embed_proj_dim=128),
    "125m": {},
}
STEPS = {"tiny": 100, "125m": 4}


def peer(size, job):
    """One measurement of the peer: tokens per second on stdout."""
    import torch
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    config = OPTConfig(**SHAPES[size])
    model = OPTForCausalLM(config)
    if job == "training":
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01)
        model.train()

        def step():
            ids = torch.randint(4, config.vocab_size, (16, 64))
            model(input_ids=ids, labels=ids).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        step(), step()
        begin = time.perf_counter()
        for _ in range(STEPS[size]):
            step()
        tokens = STEPS[size] * 16 * 64
    else:
        model.eval()
        ids = torch.randint(4, config.vocab_size, (32, 64))

        def generate(new):
            with torch.inference_mode():
                model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, top_p=0.95, top_k=0,
                               max_new_tokens=new, min_new_tokens=new, eos_token_id=None, pad_token_id=1)

        generate(2), generate(2)
        begin = time.perf_counter()
        generate(64)
        tokens = 32 * 64
    print(tokens / (time.perf_counter() - begin))


def run(command):
    """Output of a command, and its peak memory in MB."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command}\n{output}")
    return output, usage.ru_maxrss / 1024


def ours(size, job, folder):
    program = [ROOT / "target/release/sigma-exp"]
    common = ["configs/demo_s2.yaml", "--model", folder / "model", "--set", "training.epochs=1"]
    if job == "training":
        out = folder / "trained"
        shutil.rmtree(out, ignore_errors=True)
        output, memory = run(program + ["finetune", *common, "--blocks", folder / "blocks.jsonl", "--out", out])
    else:
        command = ["generate", *common, "--as", "regeneration", "--prompts", folder / "contexts.jsonl"]
        output, memory = run(program + command + ["--out", folder / "pool.jsonl"])
    return float(re.findall(r"([\d.]+) tokens/s", output)[-1]), memory


def prepare(size, folder):
    """A model of the shape with random weights, and blocks of random ids; prints what the peer is."""
    import random

    import torch
    import transformers
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    config = OPTConfig(**SHAPES[size])
    OPTForCausalLM(config).save_pretrained(folder / "model")
    # any tokenizer will do whose ids the model has
    for name in ["vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(ROOT / "data/models/opt-tiny" / name, folder / "model" / name)
    random.seed(0)
    for name, count in [("blocks", 16 * STEPS[size]), ("contexts", 32)]:
        lines = [{"id": f"b{i}", "tokens": random.choices(range(4, 2048), k=64)} for i in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(f"torch {torch.__version__} with {torch.get_num_threads()} threads, transformers {transformers.__version__}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SHAPES, default="tiny")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peer", choices=["training", "generation"], help=argparse.SUPPRESS)
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer(arguments.size, arguments.peer)
    if arguments.prepare:
        return prepare(arguments.size, arguments.prepare)

    # this process stays small: a child's peak memory begins at its parent's
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        versions, _ = run([sys.executable, __file__, "--size", arguments.size, "--prepare", folder])
        for job in ["training", "generation"]:
            measured = {"sigma-exp": [], "peer": []}
            for _ in range(arguments.rounds):
                measured["sigma-exp"].append(ours(arguments.size, job, folder))
                output, memory = run([sys.executable, __file__, "--size", arguments.size, "--peer", job])
                measured["peer"].append((float(output.split()[-1]), memory))
            speed = {name: statistics.median(value for value, _ in all) for name, all in measured.items()}
            memory = {name: max(value for _, value in all) for name, all in measured.items()}
            spread = "; ".join(f"{name} {min(v for v, _ in all):.0f} to {max(v for v, _ in all):.0f}" for name, all in measured.items())
            lines.append(f"| {job} | {speed['sigma-exp']:.0f} | {speed['peer']:.0f} | {speed['sigma-exp'] / speed['peer']:.2f} | "
                         f"{memory['sigma-exp']:.0f} MB | {memory['peer']:.0f} MB | {spread} |")
            print(lines[-1], flush=True)
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    text = f"""# {arguments.size}, {datetime.date.today()}

{os.cpu_count()} x {cpu.group(1) if cpu else "?"}; {versions.strip().splitlines()[-1]};
f32; medians of {arguments.rounds} rounds in turns (`scripts/bench/cpu.py`).

| work | sigma-exp, tokens/s | peer, tokens/s | ratio | peak memory | of the peer | spread |
|---|---|---|---|---|---|---|
{chr(10).join(lines)}
"""
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)
    print(text)


main()
