"""Writes the sentence-transformers goldens that our encoder is tested against: 200 texts, their ids and embeddings.

    scripts/fetch_minilm.sh
    /tmp/goldens/bin/python scripts/goldens/minilm.py

from the repository's root (the virtual environment of opt.py). The texts are those of encoder_texts.json, written to be
awkward, and pieces of the bundled corpus of every length, some of them distorted.

crates/sigma-embed/tests/goldens/minilm.json   texts and token ids
crates/sigma-embed/tests/goldens/minilm.npy    one row of 384 float32 per text
"""

import json
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "crates/sigma-embed/tests/goldens"
DISTORTIONS = [
    lambda text: text,
    str.upper,
    lambda text: text.replace(" ", "  ").replace(".", " .\n"),
    lambda text: text.replace("e", "é").replace("o", "ö"),
    lambda text: text.replace(" the ", " 📈 ").replace(",", "，"),
    lambda text: text.replace(" ", ""),
]


def pieces(count):
    """Pieces of the corpus from one character to a few thousand."""
    documents = [json.loads(line)["text"] for line in (ROOT / "data/fin/corpus.jsonl").read_text().splitlines()]
    for number in range(count):
        text = documents[number * 37 % len(documents)]
        length = int(1.06 ** (number * 140 / count))
        start = number * 7919 % max(1, len(text) - length)
        yield DISTORTIONS[number % len(DISTORTIONS)](text[start : start + length])


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = SentenceTransformer(str(ROOT / "data/models/all-MiniLM-L6-v2"), device="cpu")
    texts = json.loads((Path(__file__).parent / "encoder_texts.json").read_text())
    texts += pieces(200 - len(texts))
    ids = [model.preprocess([text])["input_ids"][0].tolist() for text in texts]
    assert max(map(len, ids)) == model.max_seq_length == 256
    # each text alone, so without padding: mean pooling, then L2
    rows = np.stack([model.encode(text, show_progress_bar=False) for text in texts]).astype(np.float32)
    OUT.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps({"text": t, "ids": i}, ensure_ascii=False) for t, i in zip(texts, ids))
    (OUT / "minilm.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    np.save(OUT / "minilm.npy", rows)
    print(rows.shape, sum(len(i) == 256 for i in ids), "texts are cut")


main()
