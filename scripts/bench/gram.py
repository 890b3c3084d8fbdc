"""Times `sigma-exp gram` against NumPy's X.T @ X in float32 on the same shards with the same threads, in turns.

    cargo build --release
    python scripts/bench/gram.py [--rounds 9] [--rows 10000000] [--folder /tmp/gram] [--out docs/benchmarks/NAME.md]

in a virtual environment with numpy and threadpoolctl. Each round runs ours, then NumPy, for every number of threads, each as a process of its own over
the same four shards (the same file four times, so that it is in the page cache); the tables show medians. Two clocks:

  products     ours: inside the accumulator, with finite checks, energies, the sum of unit rows and float64 sums; NumPy: X.T @ X alone,
               after a warm-up
  whole        from opening the first shard to the matrix; reading overlaps with products in ours. NumPy: np.load and X.T @ X in turn

Then one pass of ours over --rows rows in shards of their own on disk (written first and deleted afterwards) shows the peak memory.
Rates count the n d (d + 1) floating-point operations of one triangle for both: NumPy calls syrk, which computes no more either.
"""

import argparse
import datetime
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/release/sigma-exp"
REPEATS = 4


def peer(shard):
    """Seconds of the products and of everything, for REPEATS times the shard."""
    import numpy as np

    warm = np.load(shard)[:20_000]
    warm.T @ warm
    total, products = None, 0.0
    start = time.perf_counter()
    for _ in range(REPEATS):
        x = np.load(shard)
        begin = time.perf_counter()
        g = x.T @ x
        products += time.perf_counter() - begin
        total = g.astype(np.float64) if total is None else total + g
    print(products, time.perf_counter() - start)


def generate(folder, shards, rows, d):
    """Unit rows with a decaying spectrum; later shards are the first with its columns turned, which is all that a benchmark needs."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, d), dtype=np.float32) * np.linspace(1, 0.1, d, dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    for i in range(shards):
        np.save(folder / f"{i:03}.npy", x)
        x = np.roll(x, 1, axis=1)
    from threadpoolctl import threadpool_info

    blas = next(pool for pool in threadpool_info() if pool["user_api"] == "blas")
    print(f"NumPy {np.__version__} with {blas['internal_api']} {blas['version']}, its kernels for {blas.get('architecture', '?')}")


def run(command, threads=None):
    """Output of a command and its peak memory in MB."""
    # without what may have been set for another program: OpenBLAS picks the kernels for this CPU and sees its caches
    environment = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    if threads:
        environment |= {"RAYON_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command}\n{output}")
    return output, usage.ru_maxrss / 1024


def ours(shards, folder, threads):
    (folder / "out.gram").unlink(missing_ok=True)
    output, memory = run([PROGRAM, "gram", *shards, "--out", folder / "out.gram"], threads)
    whole, products = map(float, re.search(r"in ([\d.]+) s, of which ([\d.]+) s in products", output).groups())
    return products, whole, memory


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--shard-rows", type=int, default=250_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/gram-benchmark"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--generate", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder, rows, d = arguments.folder, arguments.shard_rows, arguments.width
    if arguments.peer:
        return peer(arguments.peer)
    if arguments.generate:
        return generate(folder, arguments.generate, rows, d)

    count = -(-arguments.rows // rows)
    if folder.exists():
        sys.exit(f"{folder} exists already; it would be deleted")
    folder.mkdir(parents=True)
    if shutil.disk_usage(folder).free < 1.2 * count * rows * d * 4:
        sys.exit(f"{folder}: no room for {count * rows * d * 4 / 1e9:.0f} GB of shards; lower --rows")
    try:
        # this process stays small: a child's peak memory begins at its parent's
        me = [sys.executable, __file__, "--folder", folder, "--shard-rows", rows, "--width", d]
        version, _ = run([*me, "--generate", count])
        shard = folder / "000.npy"
        work = REPEATS * rows * d * (d + 1) / 1e9
        lines = []
        loads = [os.getloadavg()[0]]
        cores = sorted({1, len(os.sched_getaffinity(0))})
        measured = {threads: {"ours": [], "peer": []} for threads in cores}
        for _ in range(arguments.rounds):
            for threads in cores:
                measured[threads]["ours"].append(ours([shard] * REPEATS, folder, threads))
                output, memory = run([*me, "--peer", shard], threads)
                products, whole = map(float, output.split())
                measured[threads]["peer"].append((products, whole, memory))
                loads.append(os.getloadavg()[0])
        for threads in cores:
            for clock, name in enumerate(["products", "whole"]):
                rates = {who: [work / entry[clock] for entry in entries] for who, entries in measured[threads].items()}
                a, b = statistics.median(rates["ours"]), statistics.median(rates["peer"])
                ratios = [x / y for x, y in zip(rates["ours"], rates["peer"])]
                lines.append(f"| {threads} | {name} | {a:.0f} | {b:.0f} | {a / b:.2f} | {min(ratios):.2f} to {max(ratios):.2f} | "
                             f"{min(rates['ours']):.0f} to {max(rates['ours']):.0f} | {min(rates['peer']):.0f} to {max(rates['peer']):.0f} |")
                print(lines[-1], flush=True)
        shards = sorted(folder.glob("*.npy"))
        products, whole, memory = ours(shards, folder, cores[-1])
    finally:
        shutil.rmtree(folder)
    n = len(shards) * rows
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    text = f"""# Gram matrices of streamed embeddings, {datetime.date.today()}

{os.cpu_count()} x {cpu.group(1) if cpu else "?"}; {version.strip()}; float32, rows of width {d}; medians of
{arguments.rounds} rounds in turns (`scripts/bench/gram.py`). The machine was shared with other work: the load average was {min(loads):.1f} to
{max(loads):.1f} in these minutes, which costs a library whose threads wait for each other more than one whose threads do not.

Rates in GFLOP/s of one triangle, n d (d + 1) operations, for both sides; {REPEATS} x {rows} rows.

| threads | clock | sigma-exp | NumPy | ratio of medians | ratio in a round | sigma-exp, spread | NumPy, spread |
|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}

`products`: ours with the checks and sums beside the product, NumPy's is X.T @ X alone. `whole`: with reading from the page cache.

One pass over {n} rows ({n * d * 4 / 1e9:.1f} GB in {len(shards)} shards on disk) with {cores[-1]} threads: {whole:.1f} s, of which {products:.1f} s in products
({n / whole / 1e6:.2f} million rows/s), peak memory {memory:.0f} MB.
"""
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


main()
