"""Writes the goldens that every family of decoders is tested against: two tiny random models each, and what
transformers and torch make of them.

Nothing here is our own code's output. The files are committed; run this only to change what they cover:

    python3 -m venv /tmp/goldens && /tmp/goldens/bin/pip install -r scripts/goldens/requirements.txt
    /tmp/goldens/bin/python scripts/goldens/families.py [name ...]

from the repository's root. Two runs on one machine write the same bytes; other machines differ by float rounding.

crates/sigma-model/tests/goldens/families/<name>/
  config.json, model.safetensors   the model as save_pretrained writes it; where `old` says so, config.json is in the
                                   form before transformers 5
  golden.safetensors               what it computes (see `outputs` and `train`)

Heads have an odd number of pairs, most models have fewer heads of keys than of queries, and windows are shorter than
the texts.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "crates/sigma-model/tests/goldens/families"
VOCABULARY, TIME, EOS = 40, 12, 2

GATED = dict(
    vocab_size=VOCABULARY,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=EOS,
    eos_token_id=EOS,
    pad_token_id=None,
)
LLAMA3 = dict(rope_type="llama3", rope_theta=500.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0)
LLAMA3["original_max_position_embeddings"] = 16
YARN = dict(rope_type="yarn", rope_theta=1000.0, factor=4.0, original_max_position_embeddings=16)


def plain_rope(theta):
    return dict(rope_type="default", rope_theta=theta)


def before_5(config):
    """A config.json as transformers 4 wrote it: theta and scaling at the top level, `torch_dtype`; keys at their
    defaults are left out."""
    config["torch_dtype"] = config.pop("dtype")
    for key, value in AutoConfig.for_model(config["model_type"]).to_dict().items():
        if key not in ["model_type", "rope_parameters"] and key in config and config[key] == value:
            config.pop(key)
    for key in ["layer_types", "_sliding_window_pattern"]:
        config.pop(key, None)
    rope = config.pop("rope_parameters", None)
    if rope is None:
        return
    if "full_attention" in rope:
        config["rope_theta"] = rope["full_attention"]["rope_theta"]
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        config["rope_scaling"] = None
        return
    if config["model_type"] == "gpt_neox":
        config["rotary_emb_base"] = rope.pop("rope_theta")
        config["rotary_pct"] = rope.pop("partial_rotary_factor")
    else:
        config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else {"type": rope.pop("rope_type"), **rope}


# The smallest with an odd number of pairs of dimensions in a head, and fewer heads of keys than of queries.
NARROW = dict(GATED, hidden_size=12, num_attention_heads=2, num_key_value_heads=1)
WINDOW = dict(use_sliding_window=True, sliding_window=5, max_window_layers=1)
GEMMA = dict(GATED, num_hidden_layers=3, sliding_window=5, query_pre_attn_scalar=9, eos_token_id=1)
GPT2 = dict(
    vocab_size=VOCABULARY,
    n_positions=64,
    n_embd=24,
    n_layer=2,
    n_head=4,
    bos_token_id=EOS,
    eos_token_id=EOS,
    n_inner=20,
)
NEOX = dict(
    vocab_size=VOCABULARY,
    hidden_size=24,
    intermediate_size=20,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    bos_token_id=0,
    eos_token_id=0,
)
OPT = dict(
    vocab_size=VOCABULARY,
    hidden_size=24,
    ffn_dim=20,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    word_embed_proj_dim=24,
)

# name: (model_type, whether the config is in the old form, its keys). Names that end in `_old` are in the old form.
MODELS = {
    "gemma2": ("gemma2", False, dict(GEMMA, head_dim=6, rope_parameters=plain_rope(1e4), attn_logit_softcapping=2.0)),
    "gemma2_old": (
        "gemma2",
        True,
        dict(
            GEMMA,
            head_dim=10,
            rope_parameters=plain_rope(500.0),
            final_logit_softcapping=3.0,
            tie_word_embeddings=False,
        ),
    ),
    "gemma3": (
        "gemma3_text",
        False,
        dict(GEMMA, head_dim=6, layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
    ),
    "gemma3_old": ("gemma3_text", True, dict(GEMMA, head_dim=10, sliding_window_pattern=2, pad_token_id=5)),
    "gpt2": (
        "gpt2",
        False,
        dict(GPT2, n_embd=12, n_head=2, tie_word_embeddings=False, scale_attn_by_inverse_layer_idx=True),
    ),
    "gpt2_old": ("gpt2", True, dict(GPT2, n_head=2, scale_attn_weights=False, activation_function="gelu")),
    "gpt_neox": ("gpt_neox", False, dict(NEOX, rope_parameters=dict(plain_rope(1e3), partial_rotary_factor=0.4))),
    "gpt_neox_old": (
        "gpt_neox",
        True,
        dict(
            NEOX,
            rope_parameters=dict(plain_rope(1e4), partial_rotary_factor=1.0),
            use_parallel_residual=False,
            attention_bias=False,
            tie_word_embeddings=True,
        ),
    ),
    "llama": ("llama", False, dict(GATED, head_dim=6, rope_parameters=LLAMA3, tie_word_embeddings=False)),
    "llama_old": (
        "llama",
        True,
        dict(
            GATED,
            head_dim=10,
            rope_parameters=plain_rope(1e4),
            tie_word_embeddings=True,
            attention_bias=True,
            mlp_bias=True,
            rms_norm_eps=1e-5,
            pad_token_id=5,
        ),
    ),
    "mistral": (
        "mistral",
        False,
        dict(
            GATED, head_dim=6, sliding_window=5, rope_parameters=dict(plain_rope(500.0), rope_type="linear", factor=3.0)
        ),
    ),
    "mistral_old": (
        "mistral",
        True,
        dict(GATED, head_dim=10, sliding_window=None, rope_parameters=plain_rope(1e4), tie_word_embeddings=True),
    ),
    "olmo2": ("olmo2", False, dict(NARROW, rope_parameters=plain_rope(500.0), pad_token_id=1)),
    "olmo2_old": (
        "olmo2",
        True,
        dict(GATED, hidden_size=24, rope_parameters=plain_rope(1e4), attention_bias=True, tie_word_embeddings=True),
    ),
    "opt": (
        "opt",
        False,
        dict(
            OPT,
            hidden_size=12,
            word_embed_proj_dim=12,
            num_attention_heads=2,
            enable_bias=False,
            tie_word_embeddings=False,
        ),
    ),
    "opt_old": ("opt", True, dict(OPT, word_embed_proj_dim=16, do_layer_norm_before=False, activation_function="gelu")),
    "qwen2": ("qwen2", False, dict(NARROW, **WINDOW, rope_parameters=YARN)),
    "qwen2_old": (
        "qwen2",
        True,
        dict(
            GATED,
            hidden_size=40,
            num_key_value_heads=1,
            rope_parameters=dict(YARN, truncate=False),
            tie_word_embeddings=True,
        ),
    ),
    "qwen3": ("qwen3", False, dict(GATED, head_dim=6, rope_parameters=plain_rope(1e4), attention_bias=True)),
    "qwen3_old": (
        "qwen3",
        True,
        dict(GATED, **WINDOW, head_dim=10, rope_parameters=dict(YARN, attention_factor=1.3), tie_word_embeddings=True),
    ),
    "smollm3": (
        "smollm3",
        False,
        dict(NARROW, num_hidden_layers=3, no_rope_layer_interval=2, rope_parameters=plain_rope(500.0)),
    ),
    "smollm3_old": (
        "smollm3",
        True,
        dict(
            GATED,
            **WINDOW,
            hidden_size=24,
            num_hidden_layers=3,
            no_rope_layers=[0, 1, 0],
            layer_types=None,
            attention_bias=True,
            mlp_bias=True,
            tie_word_embeddings=False,
            rope_parameters=plain_rope(1e4),
        ),
    ),
}


def random_model(name):
    """A model in which every parameter matters: transformers' own start has zero biases and unit norms."""
    model_type, _, keys = MODELS[name]
    torch.manual_seed(sum(map(ord, name)))
    config = AutoConfig.for_model(model_type, **keys)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if parameter_name.endswith("bias"):
                parameter.copy_(0.1 * noise)
            elif parameter.dim() == 1:
                # about what it is: 1, or 0 where the gain is 1 + weight
                parameter.add_(0.2 * noise)
            else:
                parameter.copy_(0.25 * noise)
    return model.eval()


def save(model, name):
    folder = GOLDENS / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if MODELS[name][1]:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        before_5(config)
        path.write_text(json.dumps(config, indent=2) + "\n")


def reload(name):
    """From the files, so that the goldens are of what a reader of them sees. Without dropout: eval."""
    model = AutoModelForCausalLM.from_pretrained(GOLDENS / name, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def parameters(model):
    """Parameters under the names of the weight file; transformers 5 calls one of them otherwise inside."""
    for name, parameter in model.named_parameters():
        yield (
            "embed_out.weight" if model.config.model_type == "gpt_neox" and name == "lm_head.weight" else name
        ), parameter


def random_ids(generator, *shape):
    return torch.randint(0, VOCABULARY, shape, generator=generator)


def greedy(model, prompt, steps):
    """Argmax decoding that never stops, by a whole forward pass per token: the reference for a key-value cache."""
    ids, margins = prompt, []
    for _ in range(steps):
        logits = model(input_ids=ids, use_cache=False).logits[0, -1]
        top = logits.topk(2).values
        margins.append((top[0] - top[1]).item())
        ids = torch.cat([ids, logits.argmax().view(1, 1)], dim=1)
    return ids[0, prompt.shape[1] :], min(margins)


def telling_greedy(model, generator, steps):
    """Greedy text of the first random prompt whose text shows something and does not hang on rounding."""
    for _ in range(400):
        prompt = random_ids(generator, 1, 5)
        tokens, margin = greedy(model, prompt, steps)
        if margin > 5e-3 and len(set(tokens.tolist())) >= 6:
            return prompt[0], tokens
    raise SystemExit("no prompt has a telling continuation; choose other weights")


def outputs(model, seed):
    """
    input_ids [3, 12], logits [3, 12, V], loss [] (labels = input_ids), grad.<parameter> of that loss, greedy.prompt
    [5],
    greedy.tokens [32].
    """
    generator = torch.Generator().manual_seed(seed)
    ids = random_ids(generator, 3, TIME)
    model.zero_grad()
    out = model(input_ids=ids, labels=ids, use_cache=False)
    out.loss.backward()
    tensors = {"input_ids": ids, "logits": out.logits, "loss": out.loss}
    tensors |= {f"grad.{name}": parameter.grad for name, parameter in parameters(model)}
    with torch.no_grad():
        prompt, tokens = telling_greedy(model, generator, 32)
    return tensors | {"greedy.prompt": prompt, "greedy.tokens": tokens}


def train(model, seed, keep):
    """
    Twenty AdamW steps without dropout: train.batches [20, 4, 12] (labels are the same ids), train.losses [20] before
    each step,
    train.distance [] between the parameters before and after (L2 over all), and where `keep` says so the parameters
    after them.

    eps is 1e-5 here, because gradients that are zero in exact arithmetic (key biases without rotation) would else
    make steps of
    rounding noise.
    """
    steps, clip = 20, 1.0
    batches = random_ids(torch.Generator().manual_seed(seed), steps, 4, TIME)
    start = {name: parameter.detach().clone() for name, parameter in parameters(model)}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, betas=(0.9, 0.999), eps=1e-5)
    losses = []
    for batch in batches:
        optimizer.zero_grad()
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    moved = [(parameter - start[name]).double().square().sum() for name, parameter in parameters(model)]
    tensors = {
        "train.batches": batches,
        "train.losses": torch.tensor(losses),
        "train.distance": sum(moved).sqrt().float(),
    }
    if keep:
        tensors |= {f"trained.{name}": parameter for name, parameter in parameters(model)}
    return tensors


def small(tensor):
    tensor = tensor.detach().clone().contiguous()
    return tensor.to(torch.uint8) if tensor.dtype == torch.int64 else tensor


def family(name):
    save(random_model(name), name)
    model = reload(name)
    seed = sum(map(ord, name)) + 1000
    tensors = outputs(model, seed)
    tensors |= train(model, seed + 1, keep=not MODELS[name][1])
    save_file({key: small(tensor) for key, tensor in tensors.items()}, GOLDENS / name / "golden.safetensors")
    print(name, "loss", round(tensors["loss"].item(), 4), "greedy", len(set(tensors["greedy.tokens"].tolist())))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    GOLDENS.mkdir(parents=True, exist_ok=True)
    for chosen in sys.argv[1:] or MODELS:
        family(chosen)
