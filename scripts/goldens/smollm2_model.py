"""Goldens of SmolLM2-135M-Instruct: what transformers and torch make of the folder of scripts/fetch_smollm2.sh.

    scripts/fetch_smollm2.sh FOLDER
    python scripts/goldens/smollm2_model.py FOLDER        # in the virtual environment of requirements.txt

Writes crates/sigma-train/tests/goldens/smollm2.safetensors:

  blocks [16, 64]             ids of the first documents of data/fin/corpus.jsonl, one after another, without BOS
  perplexity [1]              f64, of all blocks; the first token of a block is not predicted
  greedy.0 to greedy.2        24 tokens after the first 5, 17 and 40 tokens of the first three blocks
  losses [5], norms [5]       of AdamW steps on blocks 0 to 3, 4 to 7, ...; step 5 is on 0 to 3 again. Norms before clipping
  at.NAME, moved.NAME [~128]  places in a parameter, evenly spread, and how far the five steps moved it there
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "crates/sigma-train/tests/goldens/smollm2.safetensors"
PLACES = 128

folder = Path(sys.argv[1])
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
documents = [json.loads(line)["text"] for line in (ROOT / "data/fin/corpus.jsonl").open()]
ids = [token for text in documents[:8] for token in tokenizer.encode(text).ids]
blocks = torch.tensor(ids[: 16 * 64]).reshape(16, 64)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
golden = {"blocks": blocks}

with torch.no_grad():
    logits = model(blocks).logits[:, :-1].double()
    nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), blocks[:, 1:].flatten())
    golden["perplexity"] = nll.exp().reshape(1)
    for row, length in enumerate([5, 17, 40]):
        prompt = blocks[row : row + 1, :length]
        new = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=24, min_new_tokens=24, do_sample=False
        )
        golden[f"greedy.{row}"] = new[0, length:].clone()

start = {name: value.detach().clone() for name, value in model.named_parameters()}
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01, betas=(0.9, 0.999), eps=1e-8)
losses, norms = [], []
for step in range(5):
    batch = blocks[4 * (step % 4) : 4 * (step % 4) + 4]
    loss = model(batch, labels=batch).loss
    optimizer.zero_grad()
    loss.backward()
    norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
    optimizer.step()
    losses.append(loss.item())
golden["losses"], golden["norms"] = torch.tensor(losses), torch.tensor(norms)
for name, value in model.named_parameters():
    places = torch.arange(0, value.numel(), -(-value.numel() // PLACES))
    golden[f"at.{name}"] = places.int()
    golden[f"moved.{name}"] = (value.detach() - start[name]).flatten()[places]
OUT.parent.mkdir(exist_ok=True)
save_file(golden, OUT)
print(golden["perplexity"].item(), losses, norms, OUT.stat().st_size)
