"""Goldens of the tokenizer: what transformers makes of awkward texts with an OPT-like vocabulary.

    python3 -m venv /tmp/goldens && /tmp/goldens/bin/pip install transformers==5.23.0
    /tmp/goldens/bin/python scripts/goldens/tokenizer.py

Trains nothing: vocab.json and merges.txt are in the goldens folder already (made by
`cargo run --release -p sigma-data --example fin_bpe`). transformers 4.40.2 (with numpy<2) writes the same cases.json.
"""

import json
import random
import shutil
import tempfile
from pathlib import Path

from transformers import AutoTokenizer

FOLDER = Path(__file__).parents[2] / "crates/sigma-data/tests/goldens/tokenizer"


def special(content):
    return {"__type": "AddedToken", "content": content, "lstrip": False, "normalized": True, "rstrip": False,
            "single_word": False}


# the files that facebook/opt-125m has beside its vocabulary
TOKENIZER_CONFIG = {"errors": "replace", "unk_token": special("</s>"), "bos_token": special("</s>"),
                    "eos_token": special("</s>"), "pad_token": special("<pad>"), "add_prefix_space": False,
                    "add_bos_token": True, "tokenizer_class": "GPT2Tokenizer"}
SPECIAL_TOKENS_MAP = {"bos_token": special("</s>"), "eos_token": special("</s>"), "unk_token": special("</s>"),
                      "pad_token": special("<pad>")}
for token in SPECIAL_TOKENS_MAP.values():
    del token["__type"]


def texts():
    yield from [
        "", " ", "  ", "   ", "\n", "\n\n", "\n \n", "\t", "\r\n", "\r", " \t \n ", "\u00a0", "\u2003", "\u200b", "\u3000",
        "a", "A", " a", "  a", "a ", "a  ", "a\n", "\na", "a\n\nb", "a\r\nb", "a\tb", "a \n b",
        "The quick brown fox jumps over the lazy dog.", "the bank's deposits fell 17% on Thursday",
        "it's, they've; I'm; you'll; he'd; we're; can't!", "IT'S THEY'VE I'M", "it\u2019s they\u2019ve", "'s't're've'm'll'd",
        "Hello , world . It does n't matter !", "end of sentence .", "do not", " n't", "a . b , c ? d ! e",
        "$1.9 billion", "$1,234,567.89", "3.14159265358979", "1e-5", "2024-02-29T23:59:59Z", "\u00bd \u00b2 \u2163", "0x7f",
        "12345678901234567890", "\u0661\u0662\u0663", "\uff11\uff12", "50%", "#1", "@user", "a_b-c/d\\e", "C++", "a&b", "\"quoted\"",
        "\u201cquoted\u201d", "\u2014 dash \u2013", "...", "\u2026", "!!!???", "(((())))", "[x] {y} <z>", "-----", "=" * 40, "*" * 7,
        "http://example.com/a?b=c&d=e#f", "first.last@example.org", "<html><body>x</body></html>", "{\"k\": [1, 2]}",
        "\u00e9", "e\u0301", "caf\u00e9 cafe\u0301", "na\u00efve r\u00e9sum\u00e9", "\u00c5ngstr\u00f6m A\u030angstro\u0308m", "a\u0300\u0301\u0302\u0303",
        "\u0301", " \u0301", "Z\u0351\u036b\u0343a\u030al\u0334g\u0321o\u0323", "\u00df \u1e9e", "\u0130\u0131", "\ufb01nance", "\u212b", "\ud55c\uae00", "\u1112\u1161\u11ab",
        "\u4e2d\u6587\u5206\u8bcd", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3002", "\u4e2d a \u6587", "\u4f60\u597d\uff0c\u4e16\u754c\uff01", "\U00020000\U0002a6d6", "\uff26\uff55\uff4c\uff4c",
        "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5", "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
        "\u0ba8\u0bbf", "\u1019\u103c\u1014\u103a\u1019\u102c", "\u10d2\u10d0\u10db", "\u16a0\u16b1", "\U00010330", "\u202eright to left\u202c", "\ufeffBOM inside", "soft\u00adhyphen",
        "\U0001f600", "\U0001f600\U0001f601", "a\U0001f600b", " \U0001f600 ", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e007f",
        "\u00a9 \u00ae \u2122 \u20ac \u00a3 \u00a5", "\u2200x\u2208\u211d: x\u00b2 \u2265 0", "\u2192 \u21d2 \u2194", "\u25a0\u25a1", "\u2500\u2500\u2502", "\u0001\u0002", "\u007f\u0080\u0085", "\u2028\u2029", "\ue000", "\uffff", "\ufffd",
        "\U0010ffff", "\u0120the \u010a \u0100", "\u00c3\u00a9", "\u0120", "Ġ t",
        "</s>", "</s></s>", " </s>", "</s> ", "a</s>b", "a </s> b", "a\n</s>\nb", "</s>the", "the</s>", "</ s>", "<//s>", "</S>",
        "</s", "/s>", "&lt;/s&gt;", "</s >", "\uff1c/s\uff1e", "<</s>>", "<pad>", "<pad><pad>", "a<pad>b", " <pad> ", "<PAD>", "<pad></s>",
        "<s>", "<s>a</s>", "a<s>b", " <s>", "<unk>", "a<unk>b", "<unk></s><s><pad>", "<mask>", "<|endoftext|>", "[CLS] [SEP]",
        "word " * 60, "a" * 300, " " * 100, "\n" * 50, "ab" * 100, "\U0001f600" * 40, "\u4e2d" * 60, "the bank </s> " * 20, "x\n\n" * 30,
        "1" * 120, "\u0301" * 40, "-=" * 64, "Supercalifragilisticexpialidocious" * 5, "A" * 37 + "b" * 41, "\t" * 9 + "x",
        " leading and trailing ", "   three   spaces   between   ", "tabs\tand\nnewlines\r\nmixed  \n  end", "trailing newline\n",
        "def f(x):\n    return x ** 2\n", "a\u00a0b\u2003c\u3000d", "one\u200btwo\u200dthree", "x\u2028y", "\n\n  \n\t x",
    ]
    # any mixture of scripts, marks, spaces and specials; fixed by the seed
    draw = random.Random(20260830)
    pieces = ["the", " bank", "'s", " ", "  ", "\n", "\t", "</s>", "<s>", "<pad>", "\u00e9", "e\u0301", "\u4e2d", "\U0001f600", "\u200d", "7",
              " 42", ".", ",", "!", "\u201c", "\u0936", "\u0645", "Z", "\u00a0", "\ufe0f", "<", "/", ">", "s", "'ll", "\u2019t"]
    for _ in range(30):
        yield "".join(draw.choice(pieces) for _ in range(draw.randint(2, 25)))


# ids that no text gives: broken UTF-8, specials in the middle, ids the vocabulary does not have
def id_lists(size):
    draw = random.Random(20260831)
    yield from [[], [0], [1], [2], [3], [0, 1, 2, 3], [2, 2, 300, 2], [size], [size - 1, size, size + 6, 300], [50271, 260]]
    yield from ([byte] for byte in range(4, 260, 17))
    for _ in range(30):
        yield [draw.randrange(size + 7) for _ in range(draw.randint(1, 20))]


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ["vocab.json", "merges.txt"]:
            shutil.copy(FOLDER / file, folder / file)
        (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG))
        (folder / "special_tokens_map.json").write_text(json.dumps(SPECIAL_TOKENS_MAP))
        (folder / "config.json").write_text(json.dumps({"model_type": "opt"}))
        tokenizer = AutoTokenizer.from_pretrained(folder)

    def decode(ids):
        return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    encoded, seen = [], set()
    for text in texts():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer(text)["input_ids"] == [tokenizer.bos_token_id] + ids, text
        if text not in seen:
            encoded.append({"text": text, "ids": ids, "decoded": decode(ids)})
        seen.add(text)
    decoded = [{"ids": ids, "decoded": decode(ids)} for ids in id_lists(len(tokenizer))]
    with open(FOLDER / "cases.json", "w", encoding="utf-8", newline="\n") as out:
        out.write('{"encoded": [\n' + ",\n".join(json.dumps(case) for case in encoded) + '\n],\n"decoded": [\n')
        out.write(",\n".join(json.dumps(case) for case in decoded) + "\n]}\n")
    print(len(encoded), "texts,", len(decoded), "lists of ids")


if __name__ == "__main__":
    main()
