"""Compares a folder that `sigma-exp convert` made of a GGUF file with what transformers and tokenizers make of it.

    cargo build --release --workspace --examples --bins
    scripts/fetch_smollm2.sh data/models/smollm2-135m
    python scripts/live/smollm2.py data/models/smollm2-135m [OTHER]     # in the virtual environment of scripts/goldens

1. The perplexity of a paragraph by transformers. Below 40 for SmolLM2-135M-Instruct from five bits a weight; with the rows
   of q and k left in GGUF's order it is above 150.
2. Token ids, ids with BOS and decoded texts of awkward and of random strings: our tokenizer against
   `tokenizers.Tokenizer.from_file` on the same folder. (Not AutoTokenizer, which may build another one.)
3. With OTHER, a folder that somebody else converted: every tensor to the last bit, the keys of config.json, the perplexity,
   and the ids.
"""

import json
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[2]
IDS = ROOT / "target/release/examples/ids"
failures = []

PARAGRAPH = """The central bank kept its main interest rate unchanged on Thursday and said that it would wait for more data before it \
decides on a cut. Prices rose by 2.3 percent in the year to June, less than economists had expected, while wages grew faster than at \
any time since 2008. "We are not there yet," the governor told reporters. Shares of the large lenders fell after the announcement, and \
the currency lost half a cent against the dollar."""

AWKWARD = ["", " ", "  ", "\n", "\n\n", "\t", "\r\n", " \t \n ", "\u00a0", "\u2003", "\u200b", "\u3000", "a", " a", "  a", "a ", "a\n\nb",
           "2024", " 2024", "1234567", "3.14159", "1e-5", "12 34", "a1b2c3", "\u00bd \u00b2 \u2163", "\u0661\u0662\u0663", "\uff11\uff12",
           "it's they've I'm we'll IT'S", "\u2019s", "don't!", "$1,234.50", "50%", "http://example.org/a_b?c=1#d", "<|im_start|>user\nhi<|im_end|>",
           "<|endoftext|>", "a<|im_end|>b", " <|im_end|> ", "<|IM_END|>", "<|im_end", "<repo_name>", "caf\u00e9 cafe\u0301", "\u1e9e\ufb01\u212b",
           "\u4e2d\u6587\u5206\u8bcd", "\u65e5\u672c\u8a9e\u306e", "\ud55c\uae00", "\u041f\u0440\u0438\u0432\u0435\u0442", "\u05e9\u05dc\u05d5\u05dd",
           "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "\U000e0067", "\U0010ffff",
           "\u0001\u0002", "\u0004", "x\u0006y", "\u0013\u0014\u0016\u001d", "\u007f\u0080", "\U00040000", "\U000bffff", "\ufffd", "\ufeffx",
           "a" * 300, " " * 100, "\n" * 50, "\u4e2d" * 60, "1" * 120, "ab" * 100, "word " * 60]


def check(name, right, shown=""):
    print(f"  {name:<60}{'yes' if right else 'NO'} {shown}")
    if not right:
        failures.append(name)


def texts():
    rng = random.Random(42)
    pools = ["abcdefghij ", "the and of to in a is ", "0123456789 .,", " \n\t\r", "\u00e9\u00fc\u00df\u0301 ", "\u4e2d\u6587\u3002", "\U0001f600\U0001f44d\u200d\ufe0f ", "'s'll$%&()[]{}<>|"]
    for _ in range(600):
        yield "".join(rng.choice(rng.choice(pools)) for _ in range(rng.randrange(1, 60)))
    for _ in range(200):
        yield "".join(chr(rng.choice([rng.randrange(0x20, 0x7f), rng.randrange(0xa0, 0x2000), rng.randrange(0x1f300, 0x1f700)])) for _ in range(20))
    yield from PARAGRAPH.split(". ")


def ids(folder, strings):
    """Ours."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "texts.json"
        path.write_text(json.dumps(strings))
        return json.loads(subprocess.run([IDS, folder, path], check=True, capture_output=True, text=True).stdout)


def perplexity(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = torch.tensor([Tokenizer.from_file(str(folder / "tokenizer.json")).encode(PARAGRAPH).ids])
    with torch.no_grad():
        return math.exp(model(tokens, labels=tokens).loss.item()), model


def compare(ours, other):
    largest = 0.0
    with safe_open(ours / "model.safetensors", "pt") as a, safe_open(other / "model.safetensors", "pt") as b:
        check("the same names of tensors", sorted(a.keys()) == sorted(b.keys()), len(list(a.keys())))
        equal = 0
        for name in a.keys():
            x, y = a.get_tensor(name).float(), b.get_tensor(name).float()
            equal += x.shape == y.shape and torch.equal(x.view(torch.int32), y.view(torch.int32))
            if x.shape == y.shape:
                largest = max(largest, (x - y).abs().max().item())
        check("every tensor to the last bit", equal == len(list(a.keys())), f"{equal} equal, largest difference {largest:.3e}")
    a, b = (json.loads((folder / "config.json").read_text()) for folder in (ours, other))
    differ = {key: (a[key], b[key]) for key in a.keys() & b.keys() if a[key] != b[key]}
    check("the keys of config.json that both have", not differ, differ)
    print(f"    only here: {sorted(a.keys() - b.keys())}; only there: {sorted(b.keys() - a.keys())}")
    for name in ["generation_config.json", "tokenizer_config.json"]:
        a, b = (json.loads((folder / name).read_text()) for folder in (ours, other))
        differ = {key: (a[key], b[key]) for key in a.keys() & b.keys() if a[key] != b[key]}
        check(f"the keys of {name} that both have", not differ, differ)
    a, b = (json.loads((folder / "tokenizer.json").read_text()) for folder in (ours, other))
    for tokenizer in (a, b):
        tokenizer["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    check("tokenizer.json", a == b, [key for key in a if a[key] != b.get(key)])


ours = Path(sys.argv[1])
strings = AWKWARD + list(texts())
reference = Tokenizer.from_file(str(ours / "tokenizer.json"))
wrong = []
for text, case in zip(strings, ids(ours, strings), strict=True):
    encoded = reference.encode(text, add_special_tokens=False).ids
    expected = {"ids": encoded, "with_bos": reference.encode(text).ids, "decoded": reference.decode(encoded, skip_special_tokens=True)}
    if case != expected:
        wrong.append((text, case, expected))
print(f"{ours}")
check(f"ids and decoded texts of {len(strings)} strings", not wrong, wrong[:3])
value, model = perplexity(ours)
check("perplexity below 40", value < 40, f"{value:.4f}; {model.num_parameters()} parameters, {type(model).__name__}")
if len(sys.argv) > 2:
    other = Path(sys.argv[2])
    print(f"{ours} against {other}")
    compare(ours, other)
    there = Tokenizer.from_file(str(other / "tokenizer.json"))
    differ = [text for text in strings if there.encode(text).ids != reference.encode(text).ids]
    check(f"ids of {len(strings)} strings there", not differ, differ[:3])
    theirs, _ = perplexity(other)
    check("the same perplexity", theirs == value, f"{value!r} {theirs!r}")
sys.exit(f"failed: {failures}" if failures else 0)
