"""Loads what we save of every family into transformers: logits must be those of the goldens.

    cargo build --release --workspace --examples
    python scripts/live/families.py        # in the virtual environment of scripts/goldens, or with transformers 4.57

Prints the largest relative difference of each model, and fails where one is above 1e-5.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "crates/sigma-model/tests/goldens/families"


def difference(name, scratch):
    saved = scratch / name
    subprocess.run([ROOT / "target/release/examples/save_family", GOLDENS / name, saved], check=True)
    model, info = AutoModelForCausalLM.from_pretrained(
        saved, torch_dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not any(info[key] for key in ["missing_keys", "unexpected_keys", "mismatched_keys"]), info
    golden = load_file(GOLDENS / name / "golden.safetensors")
    with torch.no_grad():
        logits = model.eval()(input_ids=golden["input_ids"].long(), use_cache=False).logits
    return ((logits - golden["logits"]).abs().max() / golden["logits"].abs().max()).item()


def main():
    print("transformers", transformers.__version__)
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        for folder in sorted(GOLDENS.iterdir()):
            value = difference(folder.name, Path(scratch))
            print(f"  {folder.name:<16}{value:.1e}")
            if not value < 1e-5:
                failures.append(folder.name)
    if failures:
        sys.exit(f"other logits: {', '.join(failures)}")


if __name__ == "__main__":
    main()
