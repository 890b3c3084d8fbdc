"""Compares the ids that 20 tokenizers of decoders give with those of tokenizers and transformers.

    cargo build --release --workspace
    python scripts/live/decoder_tokenizers.py [NAME...]     # transformers 4.57 or 5

The folders have small vocabularies that are trained here, on texts of ours. Where tokenizer.json says all there is, the
reference is `tokenizers.Tokenizer.from_file`, since transformers 5 builds some classes anew; where other files of the
folder add tokens, it is AutoTokenizer.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    "The bank raised its rate again, and nobody was surprised.",
    " Shares FELL in  London;\n\noil rose to $81.20 a barrel in 2024.",
    "naïve café, Zürich: 12,5 % mehr als im Vorjahr",
    "re\u0301sume\u0301 \u212b \ufb01 利率上升 📈🏽",
    "<sep>fell <sep> again</s> <|end|>\t  tab",
    "    indented   words   ",
]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
GPT4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+")
ROLES = dict(bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
             tokenizer_class="PreTrainedTokenizerFast")


def trained(tokenizer, size=420, alphabet=()):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=list(alphabet))
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


def byte_level(*before, normalizer=None, prefix=False, regex=True, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    cut = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before, cut]) if before else cut
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    return trained(tokenizer, alphabet=pre_tokenizers.ByteLevel.alphabet())


def pieces(normalizer=None, cut=None, strip=True, fallback=True):
    """As transformers converts the BPE of SentencePiece: Llama 2, Mistral, Gemma."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=fallback))
    if normalizer:
        tokenizer.normalizer = normalizer
    if cut:
        tokenizer.pre_tokenizer = cut
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))
    special = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=special)
    tokenizer.train_from_iterator([text.replace(" ", "▁") for text in TEXTS[:3]], trainer)
    value = json.loads(tokenizer.to_str())
    value["added_tokens"] = [token for token in value["added_tokens"] if not token["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(value))


SPLIT = pre_tokenizers.Split(Regex(GPT4), "isolated")
SPLIT_BEHIND = pre_tokenizers.Split(" ", "merged_with_previous")
SPACES = normalizers.Replace(" ", "▁")
PREPEND = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def metaspace(scheme):
    return pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)


def with_bos(tokenizer):
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer


def with_added(tokenizer):
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.add_tokens([AddedToken("<sep>", lstrip=True)])
    return tokenizer


def without_some_bytes(tokenizer):
    value = json.loads(tokenizer.to_str())
    letters = [chr(0x100 + byte) for byte in (0x04, 0x06, 0x13, 0x14)] + ["ñ", "ò"]
    value["model"]["vocab"] = {token: id for token, id in value["model"]["vocab"].items() if token not in letters}
    return Tokenizer.from_str(json.dumps(value))


# name: tokenizer, further keys of tokenizer_config.json, further files
FOLDERS = {
    "gpt2": (lambda: byte_level(), {}, {}),
    "gpt2_prefix": (lambda: byte_level(prefix=True), {"add_prefix_space": True}, {}),
    "ignore_merges": (lambda: byte_level(ignore_merges=True), {}, {}),
    "smollm_digits": (lambda: byte_level(pre_tokenizers.Digits(individual_digits=True)), {}, {}),
    "qwen_nfc_split": (lambda: byte_level(SPLIT, normalizer=normalizers.NFC(), regex=False),
                       {"add_bos_token": False}, {}),
    "llama3_split_bos": (lambda: with_bos(byte_level(SPLIT, regex=False)), {}, {}),
    "nfkc": (lambda: byte_level(normalizer=normalizers.NFKC()), {}, {}),
    "lower": (lambda: byte_level(normalizer=normalizers.Lowercase()), {}, {}),
    "added_in_file": (lambda: with_added(byte_level()), {}, {}),
    "missing_bytes": (lambda: without_some_bytes(byte_level()), {}, {}),
    "llama2_prepend": (lambda: with_bos(pieces(PREPEND)), {"add_prefix_space": None, "legacy": False}, {}),
    "llama2_no_bos": (lambda: pieces(PREPEND), {"add_prefix_space": True}, {}),
    "gemma_replace": (lambda: with_bos(pieces(SPACES, SPLIT_BEHIND, strip=False)), {}, {}),
    "metaspace_first": (lambda: pieces(cut=metaspace("first")), {"legacy": False}, {}),
    "metaspace_never": (lambda: pieces(cut=metaspace("never"), strip=False), {"add_prefix_space": False}, {}),
    "pieces_without_bytes": (lambda: pieces(PREPEND, fallback=False), {}, {}),
    # files that add tokens: compared with AutoTokenizer
    "extra_list": (lambda: byte_level(), {"extra_special_tokens": ["<sep>"]}, {}),
    "added_decoder": (lambda: byte_level(), {"added_tokens_decoder": "<sep>"}, {}),
    "added_file": (lambda: byte_level(), {}, {"added_tokens.json": "<sep>"}),
    "pieces_added_decoder": (lambda: pieces(PREPEND), {"added_tokens_decoder": "<sep>"}, {}),
}
BY_TRANSFORMERS = {"extra_list", "added_decoder", "added_file", "pieces_added_decoder"}


def make(name, folder):
    build, keys, files = FOLDERS[name]
    tokenizer = build()
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    following = tokenizer.get_vocab_size()
    if keys.get("added_tokens_decoder"):
        token = dict(content="<sep>", lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)
        keys = {"added_tokens_decoder": {str(following): token}}
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(ROLES, **keys)))
    for file, token in files.items():
        (folder / file).write_text(json.dumps({token: following}))


def ours(folder, scratch):
    texts, out = scratch / "texts.jsonl", scratch / "ids.jsonl"
    texts.write_text("".join(json.dumps({"id": f"t{i}", "text": t}) + "\n" for i, t in enumerate(TEXTS)))
    command = [ROOT / "target/release/sigma-exp", "data", "slice", "--tokenizer", folder, "--context-tokens", "1",
               "--out", out, "--force", texts]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return done.stderr.strip().replace("\n", " ")[:200]
    ids = {f"t{i}": [] for i in range(len(TEXTS))}
    for line in out.read_text().splitlines():
        block = json.loads(line)
        ids[block["id"].split("#")[0]].extend(block["tokens"])
    return list(ids.values())


def main():
    print("tokenizers", tokenizers.__version__, "transformers", transformers.__version__)
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for name in sys.argv[1:] or FOLDERS:
            make(name, scratch / name)
            if name in BY_TRANSFORMERS:
                reference = transformers.AutoTokenizer.from_pretrained(scratch / name)
                ids = [reference(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
            else:
                reference = Tokenizer.from_file(str(scratch / name / "tokenizer.json"))
                ids = [reference.encode(text, add_special_tokens=False).ids for text in TEXTS]
            found = ours(scratch / name, scratch)
            print(f"  {name:<24}{'equal' if found == ids else found if isinstance(found, str) else 'OTHER IDS'}")
            if found != ids:
                failures.append(name)
    if failures:
        sys.exit(f"other ids: {', '.join(failures)}")


if __name__ == "__main__":
    main()
