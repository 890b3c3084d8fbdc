"""Goldens for crates/sigma-metrics: every measured quantity from NumPy, by formulas the Rust code does not use where there is a choice.

    python3 -m venv /tmp/goldens && /tmp/goldens/bin/pip install numpy==2.4.6 scipy==1.17.1
    /tmp/goldens/bin/python scripts/goldens/sigma_ub.py        # writes crates/sigma-metrics/tests/goldens/sigma_ub.json

Python 3.11. S_k and the spectrum come from singular values of A (Rust: Cholesky and eigenvalues of A^T A), envelopes from slogdet
(Rust: eigenvalues), Mahalanobis forms from an explicit inverse (Rust: triangular solves). Embeddings are not stored: both languages
draw them from the same linear congruential generator, in numbers that float32 holds exactly (tests/it/synthetic.rs is the twin).
"""

import csv
import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "crates/sigma-metrics/tests/goldens/sigma_ub.json"
MASK = (1 << 64) - 1


class Lcg:
    """Knuth's MMIX generator; the top 24 bits are used."""

    def __init__(self, seed):
        self.state = seed

    def next_u64(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & MASK
        return self.state

    def next_unit(self):
        return (self.next_u64() >> 40) / 2**24


def embeddings(case):
    """Row i repeats row i % period; column j is halved once per `halving` columns (0: never); norms stay below 1."""
    lcg, d = Lcg(case["seed"]), case["d"]
    base = np.empty((min(case["period"], case["n"]), d))
    scale = 2.0 ** -math.ceil(math.log2(math.sqrt(d)))
    for row in base:
        for j in range(d):
            unit = lcg.next_unit()
            value = unit if case["positive"] else 2 * unit - 1
            row[j] = value * scale * 2.0 ** -(j // case["halving"] if case["halving"] else 0)
    assert (base == base.astype(np.float32)).all()
    return base[np.arange(case["n"]) % case["period"]]


def observed_rows(case):
    lcg, n = Lcg(case["seed"] + 1), case["n"]
    keys = [lcg.next_u64() for _ in range(n)]
    return list(range(n)) if case["observed"] == "all" else sorted(sorted(range(n), key=lambda i: (keys[i], i))[: case["observed"]])


def squared_singular_values(rows, d):
    values = np.zeros(d)
    found = np.linalg.svd(rows, compute_uv=False)
    values[: len(found)] = found**2
    return values


def slogdet(matrix):
    sign, log_det = np.linalg.slogdet(matrix)
    assert sign == 1
    return log_det


def measure(case):
    rows, observed = embeddings(case), observed_rows(case)
    delta, rho, d = case["delta"], case["rho"], case["d"]
    hidden = sorted(set(range(case["n"])) - set(observed))
    a, b = rows[observed], rows[hidden]
    n, n_a = case["total"] or case["n"], len(observed)
    beta, gram = (n - n_a) * rho, a.T @ a
    lam = squared_singular_values(a, d)
    eye = np.eye(d)

    s = np.log(lam + delta).sum()
    rank = int(np.linalg.matrix_rank(gram, tol=max(n_a, d) * np.finfo(float).eps * lam[0], hermitian=True))
    log_det_ga = np.log(lam).sum() if rank == d else None
    exact = n == case["n"]
    lambda_b = (squared_singular_values(b, d)[0] if hidden else 0.0) if exact else beta
    growth = d * math.log(n / n_a)

    theorem3, required = None, None
    if n_a > 1:
        forms = np.einsum("ij,jk,ik->i", a, np.linalg.inv((gram + delta * eye) / n_a), a)
        spread, z = np.std(forms, ddof=1), stats.norm.ppf(0.5 + case["confidence"] / 2)
        half = z * spread * math.sqrt(1 / n_a - 1 / n)
        theorem3 = {"s": spread, "center": s + growth, "half_width": half, "lower": s + growth - half, "upper": s + growth + half}
        required = [math.ceil((z * spread / precision) ** 2) for precision in (0.5, 0.03)]

    gamma, ridged = n_a / n, lam + delta
    return {
        "n": n,
        "n_a": n_a,
        "beta": beta,
        "s": s,
        "u_cov": s - d * math.log(n_a),
        "g_kf": slogdet(gram + (beta + delta) * eye) - d * math.log(beta + delta),
        "u_cov_full": slogdet(rows.T @ rows + delta * eye) - d * math.log(case["n"]),
        "rank": rank,
        "condition": np.linalg.cond(gram + delta * eye),
        "lambda_max": lam[0],
        "lambda_min": lam[-1],
        "log_det_ga": log_det_ga,
        "plugin": None if log_det_ga is None else log_det_ga + growth,
        # How much one rounding of G_A, relative to its largest eigenvalue, can move log det G_A.
        "sensitivity": None if log_det_ga is None else (lam[0] / lam).sum(),
        "theorem1": {"log_lower": s, "log_upper": np.log(lam + lambda_b + delta).sum(), "lambda_b": lambda_b, "lambda_b_exact": exact},
        "theorem3": theorem3,
        "required_n_a": required,
        "overestimation": np.log(gamma + (1 - gamma) * ridged[0] / ridged).sum(),
        "spectrum_power_sums": [(lam**power).sum() for power in (1, 2, 3)],
    }


def case(name, n, d, observed, **changes):
    defaults = {"seed": 42, "period": n, "halving": 0, "positive": False, "total": None, "delta": 1e-3, "rho": 1.0, "confidence": 0.95}
    return {"name": name, "n": n, "d": d, "observed": observed} | defaults | changes


CASES = [
    case("well conditioned", 60, 5, 25),
    case("fewer rows than dimensions", 30, 12, 7, seed=3),
    case("repeated rows", 40, 6, 25, period=4, seed=5),
    case("all observed", 50, 8, "all", seed=7),
    case("all rows alike", 10, 3, "all", period=1, seed=8),
    case("one dimension", 9, 1, 4, seed=9),
    case("one observed row", 6, 3, 1, seed=10),
    case("ill conditioned", 700, 128, 300, halving=10, positive=True, seed=11),
    case("wide and all observed", 977, 96, "all", positive=True, seed=12),
    case("total without the tail", 20, 4, "all", total=1000, seed=13),
    case("total beyond a known tail", 24, 4, 10, total=1000, rho=2.0, delta=0.01, confidence=0.8, seed=14),
]


# Surface proxies ------------------------------------------------------------------------------------------------------------------

TEXTS = [
    "The market's opening was strong; the market's close wasn't.",
    "the MARKET'S opening was strong, and 'quoted' words don\u2019t keep their quotes",
    "",
    "Q4 revenue rose 3.5% to $1,200 (state-of-the-art snake_case).",
    "\u00c9cole d'\u00e9t\u00e9 \u00e0 Z\u00fcrich; \u00e9cole d'\u00e9t\u00e9 \u00e0 Z\u00fcrich",
    "one",
    " ".join(["buy low sell high"] * 8),
]


def words(text):
    return [word.replace("\u2019", "'").lower() for word in re.findall(r"[^\W_]+(?:['\u2019][^\W_]+)*", text)]


def ngrams(texts, n):
    return [tuple(split[i : i + n]) for split in map(words, texts) for i in range(len(split) - n + 1)]


def hash_ngram(ngram):
    h = 0xCBF29CE484222325
    for byte in "\x1f".join(ngram).encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    h = ((h ^ (h >> 33)) * 0xFF51AFD7ED558CCD) & MASK
    h = ((h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53) & MASK
    return h ^ (h >> 33)


def surface():
    def distinct(n):
        found = ngrams(TEXTS, n)
        return len(set(found)) / len(found)

    def hhi(n, buckets):
        counts = np.array(list(Counter(hash_ngram(ngram) % buckets for ngram in ngrams(TEXTS, n)).values()))
        return ((counts / counts.sum()) ** 2).sum()

    counted = [len(words(text)) for text in TEXTS]
    return {
        "texts": TEXTS,
        "words": sum(counted),
        "empty": counted.count(0),
        "mean_words": float(np.mean(counted)),
        "bigrams": len(ngrams(TEXTS, 2)),
        "distinct_n": [{"n": n, "value": distinct(n)} for n in (1, 2, 3, 5)],
        "hhi": [{"ngram": n, "buckets": b, "value": hhi(n, b)} for n, b in ((3, 16384), (3, 7), (2, 32), (1, 1000), (4, 1))],
    }


# Statistics -----------------------------------------------------------------------------------------------------------------------


def statistics():
    lcg = Lcg(77)
    x = [round(8 * lcg.next_unit()) / 4 for _ in range(31)]  # with ties
    y = [round(value**2 + lcg.next_unit(), 3) for value in x]
    with open(ROOT / "data/paper/s1_points.csv", newline="") as file:
        points = [(float(row["delta_u_cov"]), float(row["delta_g_kf"])) for row in csv.DictReader(file)]
    du, dg = map(np.array, zip(*points))
    time = np.arange(len(du))
    return {
        "x": x,
        "y": y,
        "mean": np.mean(y),
        "sample_std": np.std(y, ddof=1),
        "ols_slope": stats.linregress(np.arange(len(y)), y).slope,
        "pearson": stats.pearsonr(x, y).statistic,
        "spearman": stats.spearmanr(x, y).statistic,
        "normal_quantile": [{"p": p, "x": stats.norm.ppf(p)} for p in (1e-300, 1e-15, 1e-9, 1e-4, 0.025, 0.2, 0.5, 0.6, 0.95, 0.975, 0.99999)],
        "published_s1": {
            "slope_u": np.polyfit(time, du, 1)[0],
            "slope_g": np.polyfit(time, dg, 1)[0],
            "pearson_du_dg": np.corrcoef(du, dg)[0, 1],
            "spearman_du_dg": stats.spearmanr(du, dg).statistic,
        },
    }


def plain(value):
    """NumPy scalars to Python's."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


if __name__ == "__main__":
    goldens = {
        "written_by": "scripts/goldens/sigma_ub.py",
        "cases": [{"input": case, "expected": measure(case)} for case in CASES],
        "surface": surface(),
        "statistics": statistics(),
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(plain(goldens), indent=1) + "\n")
