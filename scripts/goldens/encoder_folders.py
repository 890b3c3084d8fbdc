"""Folders of sentence encoders as users have them, with random weights and small vocabularies: what the goldens
(encoders.py) and the live comparison (scripts/live/encoders.py) are made of. The texts are ours.

A recipe is a function that fills a folder. They need sentence-transformers 5 or 6 and transformers 4.57 or 5.
"""

import json
import shutil
from pathlib import Path

import sentence_transformers
import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from safetensors.torch import load_file, save_file

TEXTS = [
    "The bank raised its rate again, and nobody was surprised.",
    "Shares FELL in London; oil rose to $81.20 a barrel.",
    "naïve café, Zürich: 12,5 % mehr als im Vorjahr",
    "a",
    "利率上升 and bond yields fell",
    "A long answer: " + "the yield of the ten year bond went up and then it went down " * 8,
]
SPECIAL = {
    "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "mpnet": ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"],
    "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    "gpt": ["<s>", "<pad>", "</s>", "<unk>"],
}
ROLES = {
    "bert": dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]"),
    "mpnet": dict(bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="[UNK]", cls_token="<s>",
                  sep_token="</s>", mask_token="<mask>"),
    "roberta": dict(bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>", cls_token="<s>",
                    sep_token="</s>", mask_token="<mask>"),
    "gpt": dict(bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"),
}


def template(first, last, ids):
    single = f"{first} $A {last}" if last else f"{first} $A"
    tokens = [(token, ids[token]) for token in dict.fromkeys([first, last]) if token]
    return processors.TemplateProcessing(single=single, special_tokens=tokens)


def word_pieces(kind="bert", lower=True):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = SPECIAL[kind]
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=140, special_tokens=special))
    first, last = ("[CLS]", "[SEP]") if kind == "bert" else ("<s>", "</s>")
    tokenizer.post_processor = template(first, last, tokenizer.get_vocab())
    return tokenizer


def byte_level(last="</s>"):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL["roberta"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = template("<s>", last, tokenizer.get_vocab())
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=140, special_tokens=SPECIAL["roberta"], unk_token="<unk>")
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = template("<s>", "</s>", tokenizer.get_vocab())
    return tokenizer


# width, layers, heads, inner width
SMALL = (24, 2, 3, 40)


def network(family, vocabulary, positions, shape):
    """A model of the family with weights that are large enough to tell tokens apart."""
    torch.manual_seed(7)
    width, layers, heads, inner = shape
    common = dict(hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner,
                  vocab_size=vocabulary, max_position_embeddings=positions)
    if family == "bert":
        config = hf.BertConfig(**common)
    elif family in ("roberta", "xlm-roberta", "camembert"):
        kinds = {"roberta": hf.RobertaConfig, "xlm-roberta": hf.XLMRobertaConfig, "camembert": hf.CamembertConfig}
        config = kinds[family](**common, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2)
    elif family == "mpnet":
        config = hf.MPNetConfig(**common)
    elif family == "distilbert":
        config = hf.DistilBertConfig(vocab_size=vocabulary, max_position_embeddings=positions, dim=24, n_layers=2,
                                     n_heads=3, hidden_dim=40, pad_token_id=0)
    elif family == "llama":
        config = hf.LlamaConfig(**dict(common, num_attention_heads=2), num_key_value_heads=1, rope_theta=10_000.0,
                                bos_token_id=0, eos_token_id=2, pad_token_id=1)
    elif family == "qwen3":
        config = hf.Qwen3Config(**dict(common, num_attention_heads=2), num_key_value_heads=1, head_dim=8,
                                rope_theta=1e6, bos_token_id=0, eos_token_id=2, pad_token_id=1)
    elif family == "opt":
        config = hf.OPTConfig(vocab_size=vocabulary, max_position_embeddings=positions, hidden_size=24, ffn_dim=40,
                              num_hidden_layers=2, num_attention_heads=3, word_embed_proj_dim=24, bos_token_id=0,
                              eos_token_id=2, pad_token_id=1)
    model = hf.AutoModel.from_config(config).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, 1.7 / width**0.5)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def change(path, **keys):
    value = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    value.update(keys)
    write(path, {key: entry for key, entry in value.items() if entry != "absent"})


# versions before 5.4 know the booleans alone
ONLY_OLD = tuple(int(part) for part in sentence_transformers.__version__.split(".")[:2]) < (5, 4)
LEGACY = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


def folder(out, family="bert", tokenizer=None, pooling="mean", old=False, normalize=True, positions=64, length=48,
           prompt=None, include_prompt=True, where="1_Pooling", model_max_length=64, side=None, steps=(), lower=None,
           transformer="", tokenizer_class=None, shape=SMALL):
    """Writes one folder. `pooling` is a mode or a list of modes; `old` spells them as versions before 5.4 did."""
    tokenizer = tokenizer or (word_pieces("mpnet") if family == "mpnet" else word_pieces())
    kinds = {"roberta": "roberta", "xlm-roberta": "roberta", "camembert": "roberta", "mpnet": "mpnet"}
    kind = kinds.get(family, "bert")
    if family in ("llama", "qwen3", "opt"):
        kind = "gpt"
    root = out / transformer
    root.mkdir(parents=True, exist_ok=True)
    network(family, tokenizer.get_vocab_size(), positions, shape).save_pretrained(root)
    tokenizer.save(str(root / "tokenizer.json"))
    settings = dict(ROLES[kind], model_max_length=model_max_length,
                    tokenizer_class=tokenizer_class or "PreTrainedTokenizerFast")
    if side:
        settings["truncation_side"] = side
    write(root / "tokenizer_config.json", settings)
    write(root / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": bool(lower)})
    modes = [pooling] if isinstance(pooling, str) else list(pooling)
    if old or ONLY_OLD:
        keys = {f"pooling_mode_{key}": mode in modes for key, mode in zip(LEGACY, MODES)}
        config = {"word_embedding_dimension": shape[0], **keys}
    else:
        config = {"embedding_dimension": shape[0], "pooling_mode": modes[0] if len(modes) == 1 else modes}
    if not include_prompt:
        config["include_prompt"] = False
    write(out / where / "config.json", config)
    listed = [("Transformer", transformer), ("Pooling", where)]
    width = shape[0] * len(modes)
    for number, step in enumerate(steps, 2):
        path = f"{number}_{step[0]}"
        width = module(out / path, width, *step)
        listed.append((step[0], path))
    if normalize:
        listed.append(("Normalize", f"{len(listed)}_Normalize"))
        (out / listed[-1][1]).mkdir()
    types = "sentence_transformers.models."
    write(out / "modules.json", [{"idx": i, "name": str(i), "path": path, "type": types + kind}
                                 for i, (kind, path) in enumerate(listed)])
    prompts = {"query": prompt or "", "document": ""}
    write(out / "config_sentence_transformers.json",
          {"prompts": prompts, "default_prompt_name": "query" if prompt else None, "similarity_fn_name": "cosine"})
    return root


def module(path, width, kind, *settings):
    """A module behind the pooling; the width of what comes out."""
    torch.manual_seed(11)
    if kind == "Dense":
        outputs, activation, bias = settings
        write(path / "config.json", {"in_features": width, "out_features": outputs, "bias": bias,
                                     "activation_function": activation})
        tensors = {"linear.weight": torch.randn(outputs, width) * 0.4}
        if bias:
            tensors["linear.bias"] = torch.randn(outputs) * 0.3
        save_file(tensors, path / "model.safetensors")
        return outputs
    if kind == "LayerNorm":
        write(path / "config.json", {"dimension": width})
        save_file({"norm.weight": 1 + torch.randn(width) * 0.2, "norm.bias": torch.randn(width) * 0.2},
                  path / "model.safetensors")
    if kind == "Dropout":
        write(path / "config.json", {"dropout": 0.3})
    return width


ACTIVATION = "torch.nn.modules.activation."


def old_names(root):
    """Weights as the first BERT checkpoints have them."""
    old = {}
    for name, tensor in load_file(root / "model.safetensors").items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        old["bert." + name] = tensor.clone()
    save_file(old, root / "model.safetensors", metadata={"format": "pt"})


def vocab_txt(root):
    vocabulary = json.loads((root / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    lines = sorted(vocabulary, key=vocabulary.get)
    (root / "vocab.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    (root / "tokenizer.json").unlink()


def vocab_and_merges(root):
    tokenizer = Tokenizer.from_file(str(root / "tokenizer.json"))
    tokenizer.model.save(str(root))
    (root / "tokenizer.json").unlink()


def bin_file(root):
    torch.save(load_file(root / "model.safetensors"), root / "pytorch_model.bin")
    (root / "model.safetensors").unlink()


def then(fill, after):
    """A recipe, and what is done to the model's folder afterwards."""
    return lambda out: after(fill(out))


def of(**settings):
    return lambda out: folder(out, **settings)


RECIPES = {
    # what a golden is made of, in the repository
    "bert_cls": of(pooling="cls", where="pool", tokenizer_class="BertTokenizer"),
    "bert_lower_case": of(tokenizer=word_pieces(lower=False), lower=True),
    "bert_modes_old": of(pooling=MODES, old=True, normalize=False),
    "bert_dense": of(steps=[("Dense", 9, ACTIVATION + "Tanh", True)], pooling="cls", old=True),
    "bert_prompt": of(prompt="query: ", old=True),
    "bert_prompt_not_pooled": of(prompt="the query: ", include_prompt=False, pooling=["mean", "weightedmean"]),
    "bert_left_tokenizer_length": of(side="left", length=None, model_max_length=11),
    "bert_old_names": then(of(), old_names),
    "bert_vocab_txt": then(of(tokenizer_class="BertTokenizer", lower=True), vocab_txt),
    "roberta": then(of(family="roberta", tokenizer=byte_level(), length=None, model_max_length=60,
                       tokenizer_class="RobertaTokenizer"),
                    vocab_and_merges),
    "xlm_roberta": of(family="xlm-roberta", tokenizer=unigram(), pooling="max"),
    "mpnet": of(family="mpnet", positions=200, length=190, model_max_length=198),
    "distilbert": of(family="distilbert", pooling="mean_sqrt_len_tokens", transformer="0_Transformer",
                     tokenizer_class="DistilBertTokenizer"),
    "qwen3_lasttoken": of(family="qwen3", tokenizer=byte_level(), pooling="lasttoken"),
    # the rest, which scripts/live/encoders.py makes too
    "bert_max": of(pooling="max"),
    "bert_mean_sqrt": of(pooling="mean_sqrt_len_tokens", old=True, normalize=False),
    "bert_weighted": of(pooling="weightedmean"),
    "bert_lasttoken": of(pooling="lasttoken", old=True),
    "bert_cls_max_new": of(pooling=["max", "cls"], normalize=False),
    "bert_normalize_dense": of(steps=[("Normalize",), ("Dense", 30, ACTIVATION + "GELU", False)]),
    "bert_dense_twice": of(steps=[("Dense", 30, ACTIVATION + "ReLU", True),
                                  ("Dense", 7, "torch.nn.modules.linear.Identity", True)]),
    "bert_dense_sigmoid": of(steps=[("Dense", 12, ACTIVATION + "Sigmoid", True), ("Dropout",)]),
    "bert_layer_norm": of(steps=[("LayerNorm",)], normalize=False),
    "bert_cased": then(of(tokenizer=word_pieces(lower=False), tokenizer_class="BertTokenizer"),
                       lambda root: change(root / "tokenizer_config.json", do_lower_case=False)),
    "bert_cased_by_config": then(of(tokenizer_class="BertTokenizer"),
                                 lambda root: change(root / "tokenizer_config.json", do_lower_case=False)),
    "bert_accents": then(of(tokenizer_class="BertTokenizer"),
                         lambda root: change(root / "tokenizer_config.json", strip_accents=False)),
    "bert_relu": then(of(), lambda root: change(root / "config.json", hidden_act="relu")),
    "bert_gelu_new": then(of(), lambda root: change(root / "config.json", hidden_act="gelu_new")),
    "bert_bin": then(of(), bin_file),
    "bert_left": of(side="left", pooling="lasttoken", length=9),
    "bert_prompt_lower_left": of(side="left", prompt="The Query: ", lower=True, length=20),
    "bert_prompt_cls_left_out": of(prompt="query: ", include_prompt=False, pooling="mean_sqrt_len_tokens"),
    "roberta_fast": of(family="roberta", tokenizer=byte_level(), pooling="cls"),
    "camembert": of(family="camembert", tokenizer=unigram(), pooling="mean"),
    "distilbert_cls": of(family="distilbert", pooling="cls", tokenizer_class="DistilBertTokenizer"),
    "mpnet_vocab_txt": then(of(family="mpnet", tokenizer_class="MPNetTokenizer"), vocab_txt),
    "llama_mean": of(family="llama", tokenizer=byte_level(last=""), pooling="mean"),
    "llama_weighted": of(family="llama", tokenizer=byte_level(), pooling="weightedmean", prompt="q:",
                         include_prompt=False),
    "opt_lasttoken": of(family="opt", tokenizer=byte_level(last=""), pooling="lasttoken"),
    # the sizes of published encoders, with random weights and a small vocabulary
    "size_of_minilm_l6": of(shape=(384, 6, 12, 1536), positions=512, length=256, old=True),
    "size_of_mpnet_base": of(family="mpnet", shape=(768, 12, 12, 3072), positions=514, length=384,
                             model_max_length=512, tokenizer_class="MPNetTokenizer"),
    "size_of_bge_small": of(shape=(384, 12, 12, 1536), positions=512, length=512, pooling="cls", old=True),
    "size_of_e5_small": of(shape=(384, 12, 12, 1536), positions=512, length=512, prompt="query: ", old=True),
    "size_of_multilingual_e5_small": of(family="xlm-roberta", tokenizer=unigram(), shape=(384, 12, 12, 1536),
                                        positions=514, length=512, model_max_length=512),
    "size_of_labse": of(shape=(768, 12, 12, 3072), positions=512, length=256, pooling="cls", old=True,
                        tokenizer=word_pieces(lower=False), steps=[("Dense", 768, ACTIVATION + "Tanh", True)]),
}
GOLDENS = list(RECIPES)[:14]


def make(name, out):
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    RECIPES[name](out)


def embedded(path, again=None):
    """What sentence-transformers makes of a folder: each text alone, so without padding. It also saves it `again`."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(path), device="cpu")
    if again:
        model.save_pretrained(str(again), create_model_card=False)
    rows = [model.encode(text, normalize_embeddings=True, show_progress_bar=False) for text in TEXTS]
    prompt = model.prompts.get(model.default_prompt_name) or ""
    ids = [model.tokenize([prompt + text])["input_ids"][0].tolist() for text in TEXTS]
    return ids, [row.tolist() for row in rows]
