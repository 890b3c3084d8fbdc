"""Writes small tokenizers of the kinds that came from SentencePiece, with ids and texts of the tokenizers library.

    /tmp/goldens/bin/python scripts/goldens/pieces.py

from the repository's root (the virtual environment of opt.py). The tokenizers are those of
scripts/live/decoder_tokenizers.py.

crates/sigma-data/tests/goldens/pieces/NAME/     tokenizer.json, tokenizer_config.json; golden.json: texts, ids
"""

import importlib.util
import json
import shutil
from pathlib import Path

from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "crates/sigma-data/tests/goldens/pieces"
spec = importlib.util.spec_from_file_location("decoder_tokenizers", ROOT / "scripts/live/decoder_tokenizers.py")
live = importlib.util.module_from_spec(spec)
spec.loader.exec_module(live)

for name in ["llama2_prepend", "gemma_replace", "metaspace_first", "pieces_without_bytes"]:
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    live.make(name, folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in live.TEXTS]
    golden = [{"text": text, "ids": ids, "decoded": tokenizer.decode(ids)} for text, ids in zip(live.TEXTS, ids)]
    (folder / "golden.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
