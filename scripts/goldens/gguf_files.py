"""Goldens of the GGUF reader: four small files with random weights, and what a Hugging Face folder of each must hold.

    python3 -m venv /tmp/goldens
    /tmp/goldens/bin/pip install gguf==0.19.0 numpy==2.4.6 blake3==1.0.8 tokenizers==0.23.3 transformers==5.23.0
    /tmp/goldens/bin/python scripts/goldens/gguf_files.py

The files are written by ggml's own package, and the expected tensors are those that its `dequantize` gives, so candle
has no part in them. Blocks of the K types, which that package cannot make, are random bytes with small scales. The
expected ids come from tokenizers that are put together here the way transformers puts them together for the family.
"""

import json
import random
from pathlib import Path

import gguf
import numpy as np
from blake3 import blake3
from gguf import GGMLQuantizationType as Type
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers.convert_slow_tokenizer import TikTokenConverter
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX as QWEN_2

FOLDER = Path(__file__).parents[2] / "crates/sigma-model/tests/goldens/gguf"
LLAMA_3 = TikTokenConverter.__init__.__defaults__[1]
rng = np.random.default_rng(42)

# bytes that SmolLM2's vocabulary has no letter for
MISSING = [0x04, 0x06, 0x13, 0x14, 0x16, 0x1d, 0xc0, 0xc1, 0xf1, 0xf2, *range(0xf5, 0x100)]
# where the K types have their scales (f16)
SCALES = {Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}

TEXTS = ["", " ", "Hello world", "  two  spaces", "In 2024, 1234567 banks' deposits (and loans) rose 3.5%.", "don't we'll IT'S",
         "a\n\nb\r\n\tc", "caf\u00e9 cafe\u0301 na\u00efve", "\u4e2d\u6587\u5206\u8bcd \u65e5\u672c\u8a9e", "\U0001f600 \U0001f468\u200d\U0001f469",
         "x<|end|>y", "<|begin|><|end|> z", "<tool>7</tool>", "\u0661\u0662\u0663 \u00bd", "the the the the", "\u1e9e\ufb01\u212b \u2028\u3000",
         "control \u0001\u007f", "trailing   ", "http://example.org/a_b?c=1&d=22"]


def letters(missing=()):
    table = {}
    for byte in range(256):
        printable = 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte
        table[byte] = chr(byte) if printable else chr(256 + sum(1 for b in range(byte) if not (33 <= b <= 126 or 161 <= b <= 172 or 174 <= b)))
    return [table[b] for b in range(256) if b not in missing]


def words(kind):
    if kind == "smollm":
        cut = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    elif kind == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        regex = {"llama-bpe": LLAMA_3, "qwen2": QWEN_2}[kind]
        cut = [pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    return pre_tokenizers.Sequence(cut)


def tokenizer(kind, special, user_defined=(), bos=None):
    """A byte-level BPE of 40 merges, as the library trains it, behind the family's own pre-tokenizer."""
    alphabet = letters(MISSING if kind == "smollm" else ())
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = words(kind)
    trainer = trainers.BpeTrainer(vocab_size=len(alphabet) + 40, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(["the banks and the deposits", "there in the other hand", "2024 1234 in the end", "don't we'll"], trainer)
    model = json.loads(trained.to_str())["model"]
    # token 0 is special, as it is in SmolLM2, so that ids do not begin with the letters
    tokens = [special[0], *[t for t, _ in sorted(model["vocab"].items(), key=lambda x: x[1])], *special[1:], *user_defined]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    vocab = {token: i for i, token in enumerate(tokens)}
    built = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=kind == "llama-bpe"))
    if kind == "qwen2":
        built.normalizer = normalizers.NFC()
    built.pre_tokenizer = words(kind)
    built.decoder = decoders.ByteLevel()
    built.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    built.add_tokens([AddedToken(t, normalized=False) for t in user_defined])
    if bos:
        built.post_processor = processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, vocab[bos])])
    return built, tokens, merges


def blocks(kind, shape):
    """Random data of a type, and the f32 that it stands for."""
    values = rng.standard_normal(shape).astype(np.float32) * 0.1
    if kind in SCALES:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        data = rng.integers(0, 256, (values.size // block, size), dtype=np.uint8)
        for at in SCALES[kind]:
            data[:, at:at + 2] = (rng.random(len(data)) * 0.01).astype(np.float16).view(np.uint8).reshape(-1, 2)
        data = data.reshape(*shape[:-1], shape[-1] // block * size)
    else:
        data = gguf.quantize(values, kind)
    return data, gguf.dequantize(data, kind).reshape(shape).astype(np.float32)


def pairs(data, heads):
    """Rows as llama.cpp's converter stores those of q and k: halves become pairs, head by head."""
    return data.reshape(heads, 2, data.shape[0] // heads // 2, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)


def rope_divisors(head_dim, theta, factor, low=1.0, high=4.0, original=8192):
    out = []
    for j in range(head_dim // 2):
        wavelength = 2 * np.pi * theta ** (2 * j / head_dim)
        smooth = (original / wavelength - low) / (high - low)
        out.append(1.0 if wavelength < original / high else factor if wavelength > original / low else 1 / ((1 - smooth) / factor + smooth))
    return np.array(out, dtype=np.float32)


def make(name, arch, pre, types, sizes, special, roles, config, user_defined=(), unused=0, add_bos=None, keys=(), tied=True, divisors=None):
    d, f, layers, heads, kv, head_dim = sizes
    prepends = add_bos if add_bos is not None else pre == "llama-bpe"
    built, tokens, merges = tokenizer(pre, special, user_defined, bos=special[0] if prepends else None)
    kinds = [1] * len(tokens)
    for i, token in enumerate(tokens):
        kinds[i] = 3 if token in special else 4 if token in user_defined else 1
    tokens += [f"[PAD{len(tokens) + i}]" for i in range(unused)]
    kinds += [5] * unused
    rows = len(tokens)

    writer = gguf.GGUFWriter(FOLDER / f"{name}.gguf", arch)
    writer.add_type("model")
    writer.add_quantization_version(2)
    writer.add_block_count(layers)
    writer.add_context_length(512)
    writer.add_embedding_length(d)
    writer.add_feed_forward_length(f)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_layer_norm_rms_eps(1e-5)
    for key, value in keys:
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(f"{arch}.{key}", value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(m) for m in merges])
    for role, token in roles.items():
        writer.add_uint32(f"tokenizer.ggml.{role}_token_id", tokens.index(token))
    if add_bos is not None:
        writer.add_add_bos_token(add_bos)
    writer.add_chat_template("{{ messages[0]['content'] }}")

    expected = {}

    def tensor(source, target, shape, paired=None, kind=None):
        kind = kind or types.get(source.split(".")[-2], types["matrices"] if len(shape) > 1 else Type.F32)
        data, values = blocks(kind, shape)
        writer.add_tensor(source, pairs(data, paired) if paired and arch == "llama" else data, raw_dtype=kind)
        expected[target] = {"shape": list(shape), "blake3": blake3(np.ascontiguousarray(values).tobytes()).hexdigest()}

    tensor("token_embd.weight", "model.embed_tokens.weight", (rows, d))
    tensor("output_norm.weight", "model.norm.weight", (d,))
    if not tied:
        tensor("output.weight", "lm_head.weight", (rows, d))
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", divisors)
    for i in range(layers):
        b, l = f"blk.{i}.", f"model.layers.{i}."
        tensor(b + "attn_norm.weight", l + "input_layernorm.weight", (d,))
        tensor(b + "ffn_norm.weight", l + "post_attention_layernorm.weight", (d,))
        tensor(b + "attn_q.weight", l + "self_attn.q_proj.weight", (heads * head_dim, d), paired=heads)
        tensor(b + "attn_k.weight", l + "self_attn.k_proj.weight", (kv * head_dim, d), paired=kv)
        tensor(b + "attn_v.weight", l + "self_attn.v_proj.weight", (kv * head_dim, d))
        tensor(b + "attn_output.weight", l + "self_attn.o_proj.weight", (d, heads * head_dim))
        tensor(b + "ffn_gate.weight", l + "mlp.gate_proj.weight", (f, d))
        tensor(b + "ffn_up.weight", l + "mlp.up_proj.weight", (f, d))
        tensor(b + "ffn_down.weight", l + "mlp.down_proj.weight", (d, f))
        if arch == "qwen2":
            for part, size in [("q", heads), ("k", kv), ("v", kv)]:
                tensor(b + f"attn_{part}.bias", l + f"self_attn.{part}_proj.bias", (size * head_dim,), kind=Type.F32)
        if arch == "qwen3":
            for part in "qk":
                tensor(b + f"attn_{part}_norm.weight", l + f"self_attn.{part}_norm.weight", (head_dim,))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    cases = [{"text": text, "ids": built.encode(text, add_special_tokens=False).ids, "with_bos": built.encode(text).ids} for text in TEXTS]
    for case in cases:
        case["decoded"] = built.decode(case["ids"], skip_special_tokens=True)
    shared = {"hidden_size": d, "intermediate_size": f, "num_hidden_layers": layers, "num_attention_heads": heads, "head_dim": head_dim,
              "num_key_value_heads": kv, "vocab_size": rows, "model_type": arch, "tie_word_embeddings": tied, "rms_norm_eps": 1e-5,
              "max_position_embeddings": 512, "hidden_act": "silu"}
    ids = {role: tokens.index(token) for role, token in roles.items()}
    out = {"config": shared | config, "tensors": expected, "cases": cases, "ids": ids}
    (FOLDER / f"{name}.json").write_text(json.dumps(out, indent=0) + "\n")


FOLDER.mkdir(parents=True, exist_ok=True)
random.seed(0)
plain = {"rope_scaling": None}
make("llama_k", "llama", "smollm", {"matrices": Type.Q8_0, "attn_q": Type.Q4_K, "attn_k": Type.Q4_1, "attn_v": Type.Q6_K,
     "attn_output": Type.Q5_K, "ffn_gate": Type.Q2_K, "ffn_up": Type.Q3_K, "ffn_down": Type.Q5_0},
     (256, 256, 1, 4, 2, 64), ["<|end|>", "<|begin|>"], {"bos": "<|begin|>", "eos": "<|end|>", "unknown": "<|end|>", "padding": "<|end|>"},
     plain | {"rope_theta": 100000.0, "attention_bias": False, "mlp_bias": False}, add_bos=False,
     keys=[("rope.freq_base", 1e5), ("rope.dimension_count", 64)])
make("llama_3", "llama", "llama-bpe", {"matrices": Type.BF16, "attn_q": Type.Q4_0, "attn_k": Type.F16, "ffn_down": Type.Q5_1},
     (32, 64, 2, 4, 2, 16), ["<|begin|>", "<|end|>", "<|eot|>"], {"bos": "<|begin|>", "eos": "<|end|>", "eot": "<|eot|>"},
     {"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192}, "attention_bias": False},
     keys=[("rope.freq_base", 5e5), ("attention.key_length", 16), ("attention.value_length", 16)], tied=False,
     divisors=rope_divisors(16, 5e5, 32.0))
make("qwen2", "qwen2", "qwen2", {"matrices": Type.Q8_0}, (32, 64, 2, 4, 2, 8), ["<|end|>", "<|begin|>"], {"bos": "<|begin|>", "eos": "<|end|>"},
     plain | {"rope_theta": 1000000.0, "use_sliding_window": False}, user_defined=["<tool>", "</tool>"], unused=7, add_bos=False,
     keys=[("rope.freq_base", 1e6)])
make("qwen3", "qwen3", "gpt-2", {"matrices": Type.F16}, (32, 64, 1, 4, 2, 16), ["<|end|>"], {"eos": "<|end|>"},
     plain | {"rope_theta": 5000000.0, "attention_bias": False}, keys=[("rope.freq_base", 5e6), ("attention.key_length", 16)])
