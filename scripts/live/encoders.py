"""Compares the rows of about 40 folders of sentence encoders with those of sentence-transformers.

    cargo build --release --workspace
    python scripts/live/encoders.py [NAME...]     # sentence-transformers 5 or 6, transformers 4.57 or 5

The folders are those of scripts/goldens/encoder_folders.py, and each once more as sentence-transformers itself saves
it. Prints the largest difference of a number of a row for both, and fails where one is above 1e-5.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import sentence_transformers
import transformers

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/goldens"))
from encoder_folders import RECIPES, TEXTS, embedded, make  # noqa: E402


def ours(folder, scratch):
    texts, out = scratch / "texts.jsonl", scratch / "rows.npy"
    lines = [json.dumps({"id": f"t{i}", "text": text}, ensure_ascii=False) for i, text in enumerate(TEXTS)]
    texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [ROOT / "target/release/sigma-exp", "embed", ROOT / "configs/demo_s2.yaml", "--set",
               f"encoder.source={folder}", "--texts", texts, "--out", out, "--force"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        return done.stderr.strip().replace("\n", " ")
    return np.load(out)


def compared(found, rows):
    """The largest difference, and how to say it."""
    if isinstance(found, str):
        return float("inf"), found[:200]
    if found.shape != rows.shape:
        return float("inf"), f"{found.shape} instead of {rows.shape}"
    difference = np.abs(found - rows).max()
    return difference, f"{difference:.1e}"


def main():
    print("sentence-transformers", sentence_transformers.__version__, "transformers", transformers.__version__)
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for name in sys.argv[1:] or RECIPES:
            make(name, scratch / name)
            again = scratch / f"{name}_again"
            try:
                _, rows = embedded(scratch / name, again)
            except Exception as error:  # a version that cannot read the folder has no rows to compare
                print(f"  {name:<28}not read by sentence-transformers: {type(error).__name__} {str(error)[:90]}")
                continue
            results = [compared(ours(folder, scratch), np.array(rows)) for folder in [scratch / name, again]]
            print(f"  {name:<28}{results[0][1]:<12}{results[1][1]}")
            if not all(difference < 1e-5 for difference, _ in results):
                failures.append(name)
    if failures:
        sys.exit(f"other rows: {', '.join(failures)}")


if __name__ == "__main__":
    main()
