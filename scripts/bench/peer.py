"""Times sigma-exp against transformers + PyTorch on the same work, in turns: on the CPU in f32 or bf16, or with CUDA in f16.

    cargo build --release
    python scripts/bench/peer.py [--size tiny|125m] [--device cpu|cuda] [--precision f32|bf16] [--jobs training,generation,encoder] [--rounds 5] [--program PATH] [--out docs/benchmarks/NAME.md]

in a virtual environment with torch and transformers (scripts/goldens/requirements.txt). Each round runs ours, then the
peer; the table shows medians, the ratio of the medians, and the peak memory of each process. The work:

  training     batches of 16 blocks of 64 tokens, AdamW, clipping, dropout 0.1
  generation   32 prompts (512 with CUDA) of 65 tokens (ours) or 64 (the peer) continued by 64, nucleus 0.95, eos suppressed
  encoder      512 texts of the corpus, 40 to 400 characters each, by data/models/all-MiniLM-L6-v2 where it is there
               (scripts/fetch_minilm.sh), and by random weights of its shape elsewhere; the peer is transformers' BertModel over texts
               sorted by length, mean-pooled

With CUDA the peer trains under autocast with a GradScaler and generates and encodes with f16 weights. On the CPU in bf16 (which the encoder
is not) it trains under autocast and generates with bf16 weights. The peer is timed after two warm-up calls. Ours is timed by the program's
own clock: on the CPU all of a short task, prefill and the first step included; with CUDA a task of ten times the size less one of the size itself,
so that what is made once (recorded graphs, the libraries' choices) counts as little as the peer's warm-up.
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
STEPS = {"tiny": 100, "125m": 12}
STEPS_ON_CUDA = 64
# texts that are written together
ROWS = {"cpu": 32, "cuda": 512}
TEXTS = 512
# how much larger than a task that task is which it is taken from
LARGE = 10
MINILM = ROOT / "data/models/all-MiniLM-L6-v2"


def steps(arguments):
    return STEPS_ON_CUDA if arguments.device == "cuda" else STEPS[arguments.size]


def peer(arguments, job):
    """One measurement of the peer: tokens (texts, for the encoder) per second on stdout."""
    import torch

    torch.manual_seed(0)
    device = torch.device(arguments.device)
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    work = {"training": peer_training, "generation": peer_generation, "encoder": peer_encoder}[job]
    warm_up, timed, amount = work(arguments, device)
    warm_up()
    synchronize()
    begin = time.perf_counter()
    timed()
    synchronize()
    print(amount / (time.perf_counter() - begin))


def half_dtype(arguments):
    """What the peer's products are rounded to, if not f32."""
    import torch

    return {"f16": torch.float16, "bf16": torch.bfloat16}.get(arguments.precision)


def peer_training(arguments, device):
    import torch
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(**SHAPES[arguments.size])
    model = OPTForCausalLM(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01)
    dtype = half_dtype(arguments)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)

    def step():
        ids = torch.randint(4, config.vocab_size, (16, 64), device=device)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            loss = model(input_ids=ids, labels=ids).loss
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    count = steps(arguments)
    return lambda: (step(), step()), lambda: [step() for _ in range(count)], count * 16 * 64


def peer_generation(arguments, device):
    import torch
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(**SHAPES[arguments.size])
    model = OPTForCausalLM(config).to(device, half_dtype(arguments)).eval()
    rows = ROWS[arguments.device]
    ids = torch.randint(4, config.vocab_size, (rows, 64), device=device)

    def generate(new):
        with torch.inference_mode():
            model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, top_p=0.95, top_k=0,
                           max_new_tokens=new, min_new_tokens=new, eos_token_id=None, pad_token_id=1)

    return lambda: (generate(2), generate(2)), lambda: generate(64), rows * 64


def peer_encoder(arguments, device):
    import torch
    from transformers import AutoTokenizer, BertModel

    folder = encoder(Path(arguments.texts).parent)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder).to(device).eval()
    model = model.half() if device.type == "cuda" else model
    texts = sorted((json.loads(line)["text"] for line in open(arguments.texts)), key=len)

    def encode():
        with torch.inference_mode():
            for start in range(0, len(texts), 32):
                batch = tokenizer(texts[start:start + 32], padding=True, truncation=True, max_length=256,
                                  return_tensors="pt").to(device)
                hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
                pooled = (hidden * mask).sum(1) / mask.sum(1)
                torch.nn.functional.normalize(pooled, dim=1).cpu()

    return encode, encode, len(texts)


def run(command):
    """Output of a command, and its peak memory in MB."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command}\n{output}")
    return output, usage.ru_maxrss / 1024


def encoder(folder):
    return MINILM if MINILM.exists() else folder / "encoder"


def ours(arguments, job, folder):
    """Tokens (texts) per second, and the peak memory."""
    amount, seconds, memory = task(arguments, job, folder, "")
    if arguments.device == "cuda":
        larger, longer, memory = task(arguments, job, folder, "_large")
        amount, seconds = larger - amount, longer - seconds
    return amount / seconds, memory


def task(arguments, job, folder, size):
    """What a task consists of, the seconds that it took, and the peak memory."""
    common = ["configs/demo_s2.yaml", "--device", arguments.device]
    precision = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}[arguments.precision]
    model = ["--model", folder / "model", "--set", "training.epochs=1", "--set", f"training.precision={precision}"]
    if job == "training":
        out = folder / "trained"
        shutil.rmtree(out, ignore_errors=True)
        command = ["finetune", *common, *model, "--blocks", folder / f"blocks{size}.jsonl", "--out", out]
    elif job == "generation":
        command = ["generate", *common, *model, "--as", "regeneration", "--prompts", folder / f"contexts{size}.jsonl",
                   "--set", f"regeneration.batch_size={ROWS[arguments.device]}", "--out", folder / "pool.jsonl"]
    else:
        command = ["embed", *common, "--set", f"encoder.source={encoder(folder)}", "--texts", folder / f"texts{size}.jsonl",
                   "--out", folder / "rows.npy"]
    for written in ("pool.jsonl", "rows.npy"):
        (folder / written).unlink(missing_ok=True)
    output, memory = run([arguments.program.resolve(), *command])
    if job == "encoder":
        count, seconds = re.findall(r"embed: (\d+) texts in ([\d.]+) s", output)[-1]
        return int(count), float(seconds), memory
    tokens = 64 * sum(1 for _ in open(folder / f"{'blocks' if job == 'training' else 'contexts'}{size}.jsonl"))
    return tokens, tokens / float(re.findall(r"([\d.]+) tokens/s", output)[-1]), memory


def prepare_encoder(folder):
    """A model of MiniLM's shape with random weights, and a tokenizer of the corpus's words."""
    import collections

    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel

    folder.mkdir()
    BertModel(BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)).save_pretrained(folder)
    text = " ".join(json.loads(line)["text"].lower() for line in open(ROOT / "data/fin/corpus.jsonl"))
    letters = sorted(set(text) - set(" "))
    words = [word for word, _ in collections.Counter(text.split()).most_common(20_000) if word.isalpha() and len(word) > 1]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *[f"##{letter}" for letter in letters], *words]
    BertWordPieceTokenizer({word: i for i, word in enumerate(vocabulary)}, lowercase=True).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True}))
    (folder / "vocab.txt").write_text("".join(word + "\n" for word in vocabulary))


def prepare(arguments, folder):
    """A model of the shape with random weights, and blocks of random ids; prints what the peer is."""
    import random

    import torch
    import transformers
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    config = OPTConfig(**SHAPES[arguments.size])
    OPTForCausalLM(config).save_pretrained(folder / "model")
    # the bundled tokenizer, filled up to the model's vocabulary with words that no merge makes
    tokenizer = json.loads((ROOT / "data/models/opt-tiny/tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary.update({f"word{i}": i for i in range(len(vocabulary), config.vocab_size)})
    (folder / "model/tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "model/vocab.json").write_text(json.dumps(vocabulary))
    for name in ["merges.txt", "tokenizer_config.json"]:
        shutil.copy(ROOT / "data/models/opt-tiny" / name, folder / "model" / name)
    random.seed(0)
    corpus = [json.loads(line)["text"] for line in open(ROOT / "data/fin/corpus.jsonl")]
    for size, times in [("", 1), ("_large", LARGE)] if arguments.device == "cuda" else [("", 1)]:
        for name, count in [("blocks", 16 * steps(arguments)), ("contexts", ROWS[arguments.device])]:
            lines = [{"id": f"b{i}", "tokens": random.choices(range(4, 2048), k=64)} for i in range(times * count)]
            (folder / f"{name}{size}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        texts = [{"id": i, "text": random.choice(corpus)[: random.randint(40, 400)]} for i in range(times * TEXTS)]
        (folder / f"texts{size}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in texts))
    if not MINILM.exists():
        prepare_encoder(folder / "encoder")
    print(f"torch {torch.__version__} with {torch.get_num_threads()} threads, transformers {transformers.__version__}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SHAPES, default="tiny")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["f32", "bf16", "f16"], help="f32 on the CPU, f16 with CUDA")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=lambda text: text.split(","), default=["training", "generation", "encoder"])
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/sigma-exp")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--texts", help=argparse.SUPPRESS)
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.precision = arguments.precision or {"cpu": "f32", "cuda": "f16"}[arguments.device]
    if arguments.peer:
        return peer(arguments, arguments.peer)
    if arguments.prepare:
        return prepare(arguments, arguments.prepare)

    # this process stays small: a child's peak memory begins at its parent's
    again = [sys.executable, __file__, "--size", arguments.size, "--device", arguments.device,
             "--precision", arguments.precision]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        versions, _ = run([*again, "--prepare", folder])
        for job in arguments.jobs:
            if job == "encoder" and arguments.precision == "bf16":
                continue
            measured = {"sigma-exp": [], "peer": []}
            for _ in range(arguments.rounds):
                measured["sigma-exp"].append(ours(arguments, job, folder))
                output, memory = run([*again, "--peer", job, "--texts", folder / "texts.jsonl"])
                measured["peer"].append((float(output.split()[-1]), memory))
            speed = {name: statistics.median(value for value, _ in all) for name, all in measured.items()}
            memory = {name: max(value for _, value in all) for name, all in measured.items()}
            spread = "; ".join(f"{name} {min(v for v, _ in all):.0f} to {max(v for v, _ in all):.0f}" for name, all in measured.items())
            unit = "texts/s" if job == "encoder" else "tokens/s"
            lines.append(f"| {job} ({unit}) | {speed['sigma-exp']:.0f} | {speed['peer']:.0f} | {speed['sigma-exp'] / speed['peer']:.2f} | "
                         f"{memory['sigma-exp']:.0f} MB | {memory['peer']:.0f} MB | {spread} |")
            print(lines[-1], flush=True)
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    where = f"{os.cpu_count()} x {cpu.group(1) if cpu else '?'}"
    if arguments.device == "cuda":
        where, _ = run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
        where = where.strip()
    text = f"""# {arguments.size}, {datetime.date.today()}

{where}; {versions.strip().splitlines()[-1]};
{arguments.precision}; medians of {arguments.rounds} rounds in turns (`scripts/bench/peer.py`).

| work | sigma-exp | peer | ratio | peak memory | of the peer | spread |
|---|---|---|---|---|---|---|
{chr(10).join(lines)}
"""
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)
    print(text)


main()
