"""Writes a dozen small folders of sentence encoders, and what sentence-transformers makes of them.

    /tmp/goldens/bin/python scripts/goldens/encoders.py

from the repository's root (the virtual environment of opt.py). The trainers of vocabularies leave ties open,
so files that are made anew have other tokens.

crates/sigma-model/tests/goldens/encoders/NAME/               a folder of encoder_folders.py, random weights
crates/sigma-model/tests/goldens/encoders/NAME/golden.json    ids and rows of its texts
crates/sigma-model/tests/goldens/opt_legacy_bin/              opt_tiny's weights in the format of PyTorch before 1.6
crates/sigma-model/tests/goldens/opt_shared_bin/              the same, all tensors being views of one storage
crates/sigma-model/tests/goldens/opt_sharded_bin/             the same in two pickles behind an index
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from encoder_folders import GOLDENS, TEXTS, embedded, make

OUT = Path(__file__).resolve().parents[2] / "crates/sigma-model/tests/goldens"


def encoders():
    for name in GOLDENS:
        folder = OUT / "encoders" / name
        make(name, folder)
        ids, rows = embedded(folder)
        short = [[float(f"{value:.7g}") for value in row] for row in rows]
        golden = json.dumps({"texts": TEXTS, "ids": ids, "rows": short}, ensure_ascii=False)
        (folder / "golden.json").write_text(golden + "\n", encoding="utf-8")


def opt():
    tiny = OUT / "opt_tiny"
    tensors = load_file(tiny / "model.safetensors")
    for name in ["opt_legacy_bin", "opt_shared_bin", "opt_sharded_bin"]:
        (OUT / name).mkdir(exist_ok=True)
        shutil.copy(tiny / "config.json", OUT / name)
    torch.save(tensors, OUT / "opt_legacy_bin/pytorch_model.bin", _use_new_zipfile_serialization=False)
    flat = torch.cat([tensor.flatten() for tensor in tensors.values()])
    views, at = {}, 0
    for name, tensor in tensors.items():
        views[name] = flat[at : at + tensor.numel()].view(tensor.shape)
        at += tensor.numel()
    torch.save(views, OUT / "opt_shared_bin/pytorch_model.bin")
    names = sorted(tensors)
    shards = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for shard, held in shards.items():
        torch.save({name: tensors[name] for name in held}, OUT / "opt_sharded_bin" / shard)
    index = {"metadata": {}, "weight_map": {name: shard for shard, held in shards.items() for name in held}}
    (OUT / "opt_sharded_bin/pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")


encoders()
opt()
