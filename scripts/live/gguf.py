"""Compares folders that `sigma-exp convert` makes of small GGUF files with what transformers' own reader makes of the same files.

    cargo build --release --workspace --bins
    pip install gguf==0.19.0 accelerate==1.15.0     # into the virtual environment of scripts/goldens
    python scripts/live/gguf.py

Logits must be equal to the last bit for llama_k (blocks of every K type; q and k permuted) and qwen2 (biases). llama_3 and qwen3 are only
loaded, with no weight missing or left over: transformers 5.23 does not read the width of their heads from a GGUF file.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "crates/sigma-model/tests/goldens/gguf"
IDS = torch.tensor([[5, 9, 70, 33, 12, 200, 7]])
failed = False
with tempfile.TemporaryDirectory() as scratch:
    for name in ["llama_k", "llama_3", "qwen2", "qwen3"]:
        folder = Path(scratch) / name
        subprocess.run([ROOT / "target/release/sigma-exp", "convert", FILES / f"{name}.gguf", "--out", folder], check=True)
        ours, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        problems = {key: value for key, value in info.items() if value}
        line, failed = f"{name}: {type(ours).__name__}, {problems or 'every weight used'}", failed or bool(problems)
        if name in ("llama_k", "qwen2"):
            theirs = AutoModelForCausalLM.from_pretrained(FILES, gguf_file=f"{name}.gguf", dtype=torch.float32)
            with torch.no_grad():
                difference = (ours(IDS).logits - theirs(IDS).logits).abs().max().item()
            line, failed = f"{line}, logits differ by {difference}", failed or difference != 0.0
        print(line)
sys.exit(failed)
