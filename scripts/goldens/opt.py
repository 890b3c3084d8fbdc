"""Writes the PyTorch goldens that our OPT and its training step are tested against.

Nothing here is our own code's output: models, losses and gradients come from transformers and torch. The files are committed; run this only to change what they cover:

    python3 -m venv /tmp/goldens && /tmp/goldens/bin/pip install -r scripts/goldens/requirements.txt
    /tmp/goldens/bin/python scripts/goldens/opt.py

from the repository's root. Two runs on one machine write the same bytes; other machines differ by float rounding.

crates/sigma-model/tests/goldens/
  opt_tiny/            pre-norm, as saved by transformers (safetensors, `model.decoder.` names)
  opt_post_norm/       like opt-350m: norms after the residuals, narrow embeddings with project_in and project_out
  opt_bin/             as facebook/opt-125m is laid out: only pytorch_model.bin, float16, bare `decoder.` names
  opt_sharded/         opt_tiny again, in several shards with an index
  <model>.safetensors  what the model computes, for the first three (see `outputs`)
  train.json, train.safetensors   AdamW steps on opt_tiny (see `train`)
"""

import copy
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, OPTConfig, OPTForCausalLM

ROOT = Path(__file__).resolve().parents[2]
MODEL_GOLDENS = ROOT / "crates/sigma-model/tests/goldens"

TINY = dict(
    vocab_size=96,
    hidden_size=32,
    num_hidden_layers=2,
    ffn_dim=64,
    num_attention_heads=4,
    max_position_embeddings=64,
    word_embed_proj_dim=32,
    dropout=0.1,
    do_layer_norm_before=True,
)
# The config of facebook/opt-125m at the size of TINY: the keys an old transformers wrote, `torch_dtype` included.
BIN_CONFIG = dict(
    TINY,
    activation_dropout=0.0,
    activation_function="relu",
    architectures=["OPTForCausalLM"],
    attention_dropout=0.0,
    bos_token_id=2,
    eos_token_id=2,
    init_std=0.02,
    layerdrop=0.0,
    model_type="opt",
    pad_token_id=1,
    prefix="</s>",
    torch_dtype="float16",
    transformers_version="4.21.0.dev0",
    use_cache=True,
)
EOS = 2
# Ids 0..3 are special. Row 1 (pad) takes no gradient from a lookup in torch, so batches that train never hold it.
FIRST_PLAIN_ID = 4


def random_model(seed, **changes):
    """An OPT in which every parameter matters: transformers' own start has zero biases and unit norms."""
    torch.manual_seed(seed)
    model = OPTForCausalLM(OPTConfig(**dict(TINY, **changes)))
    model.set_attn_implementation("eager")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm.weight" in name:
                parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
            elif name.endswith("bias"):
                parameter.copy_(0.1 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.2 * torch.randn_like(parameter))
    return model.eval()


def random_ids(generator, *shape):
    ids = torch.randint(FIRST_PLAIN_ID, TINY["vocab_size"], shape, generator=generator)
    ids[..., 0] = EOS  # also OPT's bos
    return ids


def greedy(model, prompt, steps):
    """Argmax decoding that never stops, by a whole forward pass per token: the reference for a key-value cache."""
    ids, last_logits = prompt, []
    for _ in range(steps):
        logits = model(input_ids=ids).logits[0, -1]
        last_logits.append(logits)
        ids = torch.cat([ids, logits.argmax().view(1, 1)], dim=1)
    return ids[0, prompt.shape[1] :], torch.stack(last_logits)


def telling_greedy(model, generator, steps):
    """Greedy text of the first random prompt whose text shows something and depends on no convention or rounding."""
    while True:
        prompt = random_ids(generator, 1, 5)
        tokens, logits = greedy(model, prompt, steps)
        top = logits.topk(2).values
        clear = (top[:, 0] - top[:, 1]).min() > 1e-2
        varied = len(set(tokens.tolist())) >= 6
        # Without eos, suppressing it and not stopping at it are the same.
        if clear and varied and EOS not in tokens:
            return prompt[0], tokens, logits


def outputs(model, seed):
    """
    input_ids [3, 12], logits [3, 12, V], loss [] (labels = input_ids), grad.<parameter> of that loss, grad_norm [],
    padded.input_ids [3, 12], padded.attention_mask [3, 12] (zeros on the left), padded.logits [3, 12, V] (zero where the
    mask is), greedy.prompt [5], greedy.tokens [32], greedy.logits [32, V] (those each token was picked from).
    """
    generator = torch.Generator().manual_seed(seed)
    ids = random_ids(generator, 3, 12)
    model.zero_grad()
    out = model(input_ids=ids, labels=ids)
    out.loss.backward()
    tensors = {"input_ids": ids, "logits": out.logits, "loss": out.loss}
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    tensors |= {f"grad.{name}": gradient for name, gradient in gradients.items()}
    tensors["grad_norm"] = torch.stack([g.double().square().sum() for g in gradients.values()]).sum().sqrt().float()

    lengths = [12, 9, 5]
    padded = torch.full((3, 12), model.config.pad_token_id)
    mask = torch.zeros(3, 12, dtype=torch.long)
    for row, length in enumerate(lengths):
        padded[row, 12 - length :] = ids[row, :length]
        mask[row, 12 - length :] = 1
    with torch.no_grad():
        logits = model(input_ids=padded, attention_mask=mask).logits * mask.unsqueeze(-1)
        # Padding must not show: each row gives what it gives alone.
        for row, length in enumerate(lengths):
            torch.testing.assert_close(logits[row, 12 - length :], out.logits[row, :length], rtol=1e-5, atol=1e-5)
        prompt, tokens, last_logits = telling_greedy(model, generator, 32)
    tensors |= {"padded.input_ids": padded, "padded.attention_mask": mask, "padded.logits": logits}
    tensors |= {"greedy.prompt": prompt, "greedy.tokens": tokens, "greedy.logits": last_logits}
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def train(start):
    """
    Twenty AdamW steps on opt_tiny, dropout off, under a constant and a linear learning rate (lr * (1 - t / 20)).

    train.json has the hyperparameters, and for each schedule the learning rate, the loss before the step and the
    gradient norm before clipping. train.safetensors has batches [20, 4, 16] (labels are the same ids) and
    <schedule>.<parameter> after the last step. Key biases are left out: their gradient is zero in exact arithmetic, so
    AdamW makes real steps of rounding noise (they cancel in the softmax and change nothing else).
    """
    steps, lr, clip = 20, 1e-3, 1.0
    adamw = dict(lr=lr, weight_decay=0.01, betas=(0.9, 0.999), eps=1e-8)
    batches = random_ids(torch.Generator().manual_seed(77), steps, 4, 16)
    record, tensors = dict(adamw, steps=steps, max_grad_norm=clip), {"batches": batches}
    for schedule in ["constant", "linear"]:
        model = copy.deepcopy(start).eval()
        optimizer = torch.optim.AdamW(model.parameters(), **adamw)
        curve = {"learning_rates": [], "losses": [], "grad_norms": []}
        for step in range(steps):
            rate = lr if schedule == "constant" else lr * (1 - step / steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            loss = model(input_ids=batches[step], labels=batches[step]).loss
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            curve["learning_rates"].append(rate)
            curve["losses"].append(loss.item())
            curve["grad_norms"].append(norm.item())
        assert max(curve["grad_norms"]) > clip, "clipping is never seen"
        record[schedule] = curve
        for name, parameter in model.named_parameters():
            if not name.endswith("k_proj.bias"):
                tensors[f"{schedule}.{name}"] = parameter.detach().clone()
    (MODEL_GOLDENS / "train.json").write_text(json.dumps(record, indent=1) + "\n")
    save_file(tensors, MODEL_GOLDENS / "train.safetensors")


def save_folder(model, name, **options):
    folder = MODEL_GOLDENS / name
    model.save_pretrained(folder, **options)
    (folder / "generation_config.json").unlink(missing_ok=True)


def save_bin(model, name):
    """`OPTModel(...).half()`'s own state dict, as transformers' converter wrote it for the hub."""
    folder = MODEL_GOLDENS / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(BIN_CONFIG, indent=2, sort_keys=True) + "\n")
    state = {key: tensor.clone() for key, tensor in model.model.half().state_dict().items()}
    assert all(key.startswith("decoder.") for key in state)
    torch.save(state, folder / "pytorch_model.bin")


def reload(name):
    model = AutoModelForCausalLM.from_pretrained(MODEL_GOLDENS / name, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def opt():
    MODEL_GOLDENS.mkdir(parents=True, exist_ok=True)
    for name in ["opt_tiny", "opt_sharded", "opt_post_norm", "opt_bin"]:
        shutil.rmtree(MODEL_GOLDENS / name, ignore_errors=True)
    tiny = random_model(1)
    save_folder(tiny, "opt_tiny")
    save_folder(tiny, "opt_sharded", max_shard_size="40KB")
    assert len(list((MODEL_GOLDENS / "opt_sharded").glob("*.safetensors"))) > 1
    save_folder(random_model(2, do_layer_norm_before=False, word_embed_proj_dim=16), "opt_post_norm")
    save_bin(random_model(3), "opt_bin")
    for seed, name in enumerate(["opt_tiny", "opt_post_norm", "opt_bin"], start=10):
        # From the files, so that the goldens are of what a reader of them sees.
        save_file(outputs(reload(name), seed), MODEL_GOLDENS / f"{name}.safetensors")
    train(tiny)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    opt()
