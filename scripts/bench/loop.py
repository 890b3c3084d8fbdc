"""Times a generation of the demo's loop (configs/demo_s2.yaml) against the same loop in transformers + PyTorch on the CPU, in turns.

    cargo build --release
    python scripts/bench/loop.py [--rounds 3] [--program PATH] [--out docs/benchmarks/NAME.md]

in a virtual environment with torch and transformers (scripts/goldens/requirements.txt). A generation of both, with the bundled model in f32:

  pool         400 contexts of 64 tokens continued by 64, nucleus 0.95, eos suppressed
  training     25 batches of 16 blocks of 64 tokens, AdamW, clipping, dropout 0.1
  answers      five to each of the demo's 100 prompts, up to 52 tokens each, nucleus 0.95, until eos
  embeddings   the answers as a whole, mean of the last hidden states (ours also measures Sigma-UB, the diagnostics and the
               noise floor, and writes everything to disk; the peer does not)

The peer writes 100 rows at a time, answers and pool. Ours is timed by timings.csv, generations 1 to 3 of a run.
"""

import argparse
import csv
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "data/models/opt-tiny"
STAGES = ["pool", "training", "answers", "embeddings"]
ROWS = 100


def peer():
    """Seconds of each stage, for one generation after a short one that is not counted."""
    import torch
    from transformers import AutoTokenizer, OPTForCausalLM

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(MODEL, padding_side="left")
    model = OPTForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4, weight_decay=0.01)
    # the demo asks the first 20 prompts of each bucket
    asked, prompts = {}, []
    for line in open(ROOT / "data/fin/prompts.jsonl"):
        prompt = json.loads(line)
        asked[prompt["bucket"]] = asked.get(prompt["bucket"], 0) + 1
        if asked[prompt["bucket"]] <= 20:
            prompts += [prompt["text"]] * 5

    def generate(batch, new, **more):
        with torch.inference_mode():
            return model.generate(**batch, do_sample=True, top_p=0.95, top_k=0, max_new_tokens=new, pad_token_id=1, **more)

    def pool(contexts):
        model.eval()
        rows = []
        for start in range(0, contexts, ROWS):
            ids = torch.randint(4, 2048, (min(ROWS, contexts - start), 64))
            batch = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
            rows.append(generate(batch, 64, min_new_tokens=64, eos_token_id=None)[:, 64:])
        return torch.cat(rows)

    def training(blocks):
        model.train()
        for batch in blocks.clone().split(16):
            model(input_ids=batch, labels=batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def answers(prompts):
        model.eval()
        texts = []
        for start in range(0, len(prompts), ROWS):
            batch = tokenizer(prompts[start:start + ROWS], return_tensors="pt", padding=True)
            batch = {name: batch[name] for name in ["input_ids", "attention_mask"]}
            for row in generate(batch, 52)[:, batch["input_ids"].shape[1]:].tolist():
                end = next((i for i, token in enumerate(row) if token in (1, 2)), len(row))
                texts.append(row[:end])
        return texts

    def embeddings(texts):
        texts = sorted((text for text in texts if text), key=len)
        with torch.inference_mode():
            for start in range(0, len(texts), 32):
                batch = texts[start:start + 32]
                ids = torch.full((len(batch), len(batch[-1])), 1)
                for row, text in zip(ids, batch):
                    row[:len(text)] = torch.tensor(text)
                mask = (ids != 1).unsqueeze(-1)
                hidden = model.model(input_ids=ids, attention_mask=mask.squeeze(-1).long()).last_hidden_state
                torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)

    training(pool(16))
    embeddings(answers(prompts[:4]))
    seconds, made = [], None
    for stage, argument in [(pool, 400), (training, None), (answers, prompts), (embeddings, None)]:
        start = time.perf_counter()
        made = stage(made if argument is None else argument)
        seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds))


def ours(program, folder, number):
    out = folder / f"run{number}"
    command = [program.resolve(), "run", ROOT / "configs/demo_s2.yaml", "--set", "generations=3", "--out", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    # generation 0 asks the base alone, and has neither pool nor training
    return [row for row in csv.DictReader(open(next(out.rglob("timings.csv")))) if row["generation"] != "0"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/sigma-exp")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer()
    mine, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            mine += ours(arguments.program, Path(folder), number)
            output = subprocess.run([sys.executable, __file__, "--peer"], capture_output=True, text=True, check=True).stdout
            theirs.append(json.loads(output.splitlines()[-1]))
    columns = ["seconds_regeneration", "seconds_training", "seconds_evaluation", "seconds_embedding", "seconds"]
    ours_all = [[float(row[name]) for row in mine] for name in columns]
    peer_all = [list(column) for column in zip(*theirs)] + [[sum(row) for row in theirs]]
    lines = []
    for stage, ours_seconds, peer_seconds in zip([*STAGES, "the generation"], ours_all, peer_all):
        ours_median, peer_median = statistics.median(ours_seconds), statistics.median(peer_seconds)
        lines.append(f"| {stage} | {ours_median:.2f} | {peer_median:.2f} | {peer_median / ours_median:.1f} | "
                     f"{min(ours_seconds):.2f} to {max(ours_seconds):.2f}; {min(peer_seconds):.2f} to {max(peer_seconds):.2f} |")
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    text = f"""# A generation of the demo, {datetime.date.today()}

{os.cpu_count()} x {cpu.group(1) if cpu else "?"}; medians of {arguments.rounds} rounds in turns (`scripts/bench/loop.py`).

| stage | sigma-exp (s) | peer (s) | ratio | spread |
|---|---|---|---|---|
{chr(10).join(lines)}
"""
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


main()
