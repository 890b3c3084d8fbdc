"""Writes which tokens transformers' TopPLogitsWarper keeps, for thousands of rows of logits.

    /tmp/goldens/bin/python scripts/goldens/nucleus.py

from the repository's root (the virtual environment of opt.py). The rows themselves are not stored: `logits` makes them
from whole numbers that the test makes again, exactly representable in float32. The warper gets them in float64, so that
its cumulative sums are exact enough to leave no doubt about the boundary, except where the golden says so.

crates/sigma-generate/tests/goldens/nucleus.json: one row each
  [kind, vocabulary, top_p, temperature, kept tokens, FNV-1a of the ids that rank strictly above the boundary,
   1 if the boundary is closer than 1e-9 to p, or at p = 1 some probability is 0 in float64]
Which of several equal tokens at the boundary is kept is up to torch.sort; only their number is compared.
"""

import json
from pathlib import Path

import torch
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

OUT = Path(__file__).resolve().parents[2] / "crates/sigma-generate/tests/goldens/nucleus.json"
MASK = (1 << 64) - 1
VOCABULARIES = [1, 2, 3, 7, 50, 500, 2048]
TOP_P = [1e-6, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999999, 1.0]
TEMPERATURES = [0.5, 1.0, 2.0]
KINDS = ["broad", "peaked", "flat", "two_levels", "ties", "masked", "dominated", "steep"]


def mix(counter):
    """SplitMix64's output function."""
    z = (counter * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def logits(row, kind, vocabulary):
    draws = [mix((row << 32) + i + 1) >> 40 for i in range(vocabulary)]
    broad = [k / 2**21 - 4.0 for k in draws]
    if kind == "broad":
        return broad
    if kind == "peaked":
        return [8.0 * x for x in broad]
    if kind == "flat":
        return [0.0] * vocabulary
    if kind == "two_levels":
        return [0.0 if k % 2 else -2.0 for k in draws]
    if kind == "ties":
        return [(k >> 20) / 2 for k in draws]
    if kind == "masked":
        return [float("-inf") if i > 0 and k % 3 == 0 else x for i, (k, x) in enumerate(zip(draws, broad))]
    if kind == "dominated":
        return [x + (16.0 if i == draws[0] % vocabulary else 0.0) for i, x in enumerate(broad)]
    return [-i / 2 for i in range(vocabulary)]


def fnv(ids):
    digest = 0xCBF29CE484222325
    for i in ids:
        for byte in i.to_bytes(4, "little"):
            digest = ((digest ^ byte) * 0x100000001B3) & MASK
    return digest


def main():
    rows = []
    for number in range(3000):
        kind = KINDS[number % 8]
        vocabulary = 50272 if number % 500 == 499 else VOCABULARIES[mix(number * 3 + 1) % 7]
        p = TOP_P[mix(number * 3 + 2) % 8]
        temperature = TEMPERATURES[mix(number * 3 + 3) % 3]
        values = torch.tensor([logits(number, kind, vocabulary)], dtype=torch.float64)
        scaled = TemperatureLogitsWarper(temperature)(None, values)
        kept = torch.isfinite(TopPLogitsWarper(p)(None, scaled))[0]
        boundary = values[0][kept].min()
        above = torch.nonzero(values[0] > boundary).flatten().tolist()
        probabilities, _ = torch.softmax(scaled, -1)[0].sort(descending=True)
        sums = torch.cumsum(probabilities, 0)
        close = bool(p < 1 and ((sums - p).abs() < 1e-9).any())
        # at p = 1 we keep everything; the warper drops what underflows to a probability of 0
        close |= p == 1 and int(kept.sum()) != int(torch.isfinite(values).sum())
        rows.append([kind, vocabulary, p, temperature, int(kept.sum()), f"{fnv(above):016x}", int(close)])
    OUT.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print(len(rows), "rows,", sum(row[-1] for row in rows), "on the boundary")


main()
