"""The loop in transformers, sentence-transformers and NumPy: an independent second opinion on `sigma-exp run`.

It shares no code with the program, and draws its own random numbers. It reads the contexts that the program cuts, so
that both train on the same text:

    sigma-exp data slice --tokenizer MODEL --max-contexts 100 --out contexts.jsonl data/tech/corpus.jsonl
    python scripts/live/loop.py run --model MODEL --encoder MINILM --contexts contexts.jsonl \
        --prompts data/tech/prompts.jsonl --seeds 1 2 3 4 5 --out theirs.csv
    python scripts/live/loop.py compare theirs.csv results/RUN...

`run` writes a line per seed and generation: the mean loss of the last epoch, U, distinct-2, tokens per answer. `compare`
reads the runs' metrics.csv beside it, and prints Welch's 95 % interval of the difference for each number and generation,
with what one generation changes. It fails where an interval lacks 0 or is too wide to tell.

Setting S2, alpha 0, no BOS (SmolLM2's tokenizer puts none), whole answers, every row observed.
"""

import argparse
import csv
import json
import math
import re
import sys
import time
from pathlib import Path

import numpy as np
from scipy import stats

COLUMNS = ["seed", "generation", "loss", "u_cov", "distinct_2", "answer_tokens", "rows", "seconds"]
# the program's names of the same numbers
NAMES = {
    "loss": "mean_loss_last_epoch",
    "u_cov": "u_cov",
    "distinct_2": "distinct_2",
    "answer_tokens": "mean_tokens",
}


def generate(model, tokenizer, rows, new_tokens, stop, batch=50):
    """Nucleus sampling (temperature 1, top-p 0.95) after `rows` of token ids; ids without the end of text."""
    import torch

    written = [None] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for at in range(0, len(order), batch):
        some = order[at : at + batch]
        width = max(len(rows[i]) for i in some)
        ids = torch.full((len(some), width), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for k, i in enumerate(some):
            ids[k, width - len(rows[i]) :] = torch.tensor(rows[i])
            mask[k, width - len(rows[i]) :] = 1
        ends = {} if stop else {"min_new_tokens": new_tokens}
        out = model.generate(
            ids, attention_mask=mask, do_sample=True, temperature=1.0, top_p=0.95, top_k=0,
            max_new_tokens=new_tokens, pad_token_id=tokenizer.pad_token_id, **ends,
        )
        for k, i in enumerate(some):
            new = out[k, width:].tolist()
            if stop and tokenizer.eos_token_id in new:
                new = new[: new.index(tokenizer.eos_token_id)]
            written[i] = new
    return written


def words(text):
    """Runs of letters and digits, lower-cased, with single apostrophes inside."""
    return [w.replace("\u2019", "'").lower() for w in re.findall(r"[^\W_]+(?:['\u2019][^\W_]+)*", text)]


def distinct_2(texts):
    pairs = [pair for text in texts for pair in zip(words(text), words(text)[1:])]
    return len(set(pairs)) / len(pairs)


def measure(model, tokenizer, encoder, prompts, args):
    asked = [tokenizer.encode(text, add_special_tokens=False) for text in prompts for _ in range(args.responses)]
    answers = generate(model, tokenizer, asked, args.new_tokens, stop=True)
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in answers]
    kept = [text for text in texts if any(c.isalnum() for c in text)]
    rows = encoder.encode(kept, normalize_embeddings=True, show_progress_bar=False).astype(np.float64)
    n, d = rows.shape
    u = np.linalg.slogdet(rows.T @ rows + 1e-3 * np.eye(d))[1] - d * math.log(n)
    return {
        "u_cov": u,
        "distinct_2": distinct_2(kept),
        "answer_tokens": float(np.mean([len(ids) for ids in answers])),
        "rows": n,
    }


def train(model, blocks, args):
    import torch

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=0.01)
    losses = []
    for _ in range(args.epochs):
        order, losses = torch.randperm(len(blocks)), []
        for at in range(0, len(blocks), 16):
            batch = torch.tensor([blocks[i] for i in order[at : at + 16]])
            loss = model(batch, labels=batch).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    model.eval()
    return float(np.mean(losses))


def run(args):
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    encoder = SentenceTransformer(args.encoder, device="cpu")
    contexts = [json.loads(line)["tokens"] for line in open(args.contexts)]
    buckets = {}
    for line in open(args.prompts):
        prompt = json.loads(line)
        buckets.setdefault(prompt["bucket"], []).append(prompt["text"])
    prompts = [text for bucket in buckets.values() for text in bucket[: args.max_per_bucket]]
    with open(args.out, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for seed in args.seeds:
            torch.manual_seed(seed)
            model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
            loss = math.nan
            for generation in range(args.generations + 1):
                begun = time.time()
                if generation > 0:
                    with torch.no_grad():
                        pool = generate(model, tokenizer, contexts, len(contexts[0]), stop=False)
                    loss = train(model, pool, args)
                with torch.no_grad():
                    numbers = measure(model, tokenizer, encoder, prompts, args)
                seconds = round(time.time() - begun, 1)
                writer.writerow({"seed": seed, "generation": generation, "loss": loss, "seconds": seconds, **numbers})
                file.flush()


def welch(a, b):
    """The difference of means a - b, and the half width of its 95 % interval."""
    va, vb = np.var(a, ddof=1) / len(a), np.var(b, ddof=1) / len(b)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return np.mean(a) - np.mean(b), stats.t.ppf(0.975, freedom) * math.sqrt(va + vb)


def compare(args):
    theirs = list(csv.DictReader(open(args.theirs)))
    ours = [row for folder in args.runs for row in csv.DictReader(open(Path(folder) / "metrics.csv"))]

    def values(rows, column, generation):
        found = [float(r[column]) for r in rows if int(r["generation"]) == generation and r[column] not in ("", "nan")]
        return np.array(found)

    last, failed = max(int(r["generation"]) for r in theirs), False
    print("number, generation: ours, theirs, difference (Welch's 95 % half width); what one generation changes")
    for name, column in NAMES.items():
        for generation in range(1, last + 1):
            a, b = values(ours, column, generation), values(theirs, name, generation)
            apart, half = welch(a, b)
            before = 1 if name == "loss" and generation == 1 else generation - 1
            change = abs(np.mean(values(theirs, name, generation)) - np.mean(values(theirs, name, before)))
            agree = abs(apart) <= half
            failed |= not agree
            note = "" if agree else "  DIFFERENT"
            if change and half > change / 3:
                note += "  (wider than a third of a generation)"
            print(f"{name} {generation}: {a.mean():.4f} {b.mean():.4f} {apart:+.4f} ({half:.4f}); {change:.4f}{note}")
    sys.exit(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    for name in ["model", "encoder", "contexts", "prompts", "out"]:
        one.add_argument(f"--{name}", required=True)
    one.add_argument("--seeds", type=int, nargs="+", required=True)
    one.add_argument("--max-per-bucket", type=int, default=10**9)
    one.add_argument("--responses", type=int, default=5)
    one.add_argument("--new-tokens", type=int, default=64)
    one.add_argument("--generations", type=int, default=2)
    one.add_argument("--epochs", type=int, default=1)
    one.add_argument("--learning-rate", type=float, default=1e-4)
    one.set_defaults(command=run)
    two = commands.add_parser("compare")
    two.add_argument("theirs")
    two.add_argument("runs", nargs="+")
    two.set_defaults(command=compare)
    args = parser.parse_args()
    args.command(args)


if __name__ == "__main__":
    main()
