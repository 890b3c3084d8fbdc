//! config.json from the keys of a GGUF file. Each architecture that is known here was compared with transformers; keys
//! that could change what a model computes, and that are not known, are refused.

use serde_json::{Value, json};

use super::header::Header;
use super::metadata::Metadata;
use super::rope_factors::Llama3Scaling;
use super::tokenizer::Roles;
use super::{FETCH_AGAIN, TAKE_FOLDER};
use crate::ModelError;

/// What the architectures that can be read have of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Family {
    /// `general.architecture`, which is the `model_type` of config.json too.
    pub(super) name: &'static str,
    class: &'static str,
    /// Rows of q and k are stored in the order of pairs that lie side by side.
    pub(super) permuted: bool,
    /// q, k and v have biases.
    pub(super) biases: bool,
    /// q and k are normalised head by head.
    pub(super) head_norms: bool,
    /// A head may be wider or narrower than its share of the hidden size.
    own_head_dim: bool,
    /// The base of the rotation where the file has none, if models of the family were made with it.
    default_theta: Option<f32>,
}

const FAMILIES: [Family; 3] = [
    Family {
        name: "llama",
        class: "LlamaForCausalLM",
        permuted: true,
        biases: false,
        head_norms: false,
        own_head_dim: true,
        default_theta: Some(10_000.0),
    },
    Family {
        name: "qwen2",
        class: "Qwen2ForCausalLM",
        permuted: false,
        biases: true,
        head_norms: false,
        own_head_dim: false,
        default_theta: None,
    },
    Family {
        name: "qwen3",
        class: "Qwen3ForCausalLM",
        permuted: false,
        biases: false,
        head_norms: true,
        own_head_dim: true,
        default_theta: None,
    },
];

/// Keys of an architecture, without its name, that are read below.
const READ: [&str; 16] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "expert_count",
    "expert_used_count",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.finetuned",
    "rope.scaling.type",
    "vocab_size",
];

#[derive(Debug, Clone)]
pub(super) struct ModelConfig {
    pub(super) family: Family,
    pub(super) architecture: String,
    pub(super) hidden_size: u64,
    pub(super) intermediate_size: u64,
    pub(super) num_hidden_layers: u64,
    pub(super) num_attention_heads: u64,
    pub(super) num_key_value_heads: u64,
    pub(super) head_dim: u64,
    pub(super) vocab_size: u64,
    pub(super) max_position_embeddings: u64,
    pub(super) tied: bool,
    rms_norm_eps: f32,
    pub(super) rope_theta: f32,
    pub(super) scaling: Option<Llama3Scaling>,
}

impl ModelConfig {
    pub(super) fn read(metadata: &Metadata, header: &Header) -> Result<Self, ModelError> {
        let architecture = metadata.needed_text("general.architecture")?;
        let Some(family) = FAMILIES.into_iter().find(|family| family.name == architecture) else {
            let problem = format!("is `{architecture}`, not one of llama, qwen2, qwen3");
            return Err(metadata.refuse("general.architecture", problem, TAKE_FOLDER));
        };
        check_general(metadata)?;
        check_unread(metadata, architecture)?;
        let own = |key: &str| format!("{architecture}.{key}");
        let size = |key: &str| Ok::<u64, ModelError>(metadata.size(&own(key))?.into());
        for key in ["expert_count", "expert_used_count"] {
            if metadata.number(&own(key))?.is_some_and(|experts| experts > 0) {
                return Err(metadata.refuse(&own(key), "belongs to a mixture of experts", TAKE_FOLDER));
            }
        }
        if let Some(scaling) = metadata.text(&own("rope.scaling.type"))?.filter(|scaling| *scaling != "none") {
            let problem = format!("is `{scaling}`; only `none` and Llama 3's factors in `rope_freqs.weight` are read");
            return Err(metadata.refuse(&own("rope.scaling.type"), problem, TAKE_FOLDER));
        }
        let (hidden_size, num_attention_heads) = (size("embedding_length")?, size("attention.head_count")?);
        let num_key_value_heads = match metadata.number(&own("attention.head_count_kv"))? {
            None => num_attention_heads,
            Some(_) => size("attention.head_count_kv")?,
        };
        if !num_attention_heads.is_multiple_of(num_key_value_heads) {
            let problem = format!("is {num_key_value_heads}, which does not divide the {num_attention_heads} heads");
            return Err(metadata.refuse(&own("attention.head_count_kv"), problem, FETCH_AGAIN));
        }
        let config = Self {
            family,
            architecture: architecture.to_string(),
            hidden_size,
            intermediate_size: size("feed_forward_length")?,
            num_hidden_layers: size("block_count")?,
            num_attention_heads,
            num_key_value_heads,
            head_dim: head_dim(metadata, family, hidden_size, num_attention_heads)?,
            vocab_size: vocab_size(metadata, architecture, header)?,
            max_position_embeddings: size("context_length")?,
            tied: !header.tensors.contains_key("output.weight"),
            rms_norm_eps: needed(metadata, &own("attention.layer_norm_rms_epsilon"), None)?,
            rope_theta: needed(metadata, &own("rope.freq_base"), family.default_theta)?,
            scaling: None,
        };
        Ok(config)
    }

    /// config.json, with the rotation as transformers 5 and as transformers 4 writes it.
    pub(super) fn json(&self, roles: &Roles) -> Value {
        let theta = decimal(self.rope_theta);
        let scaling = self.scaling.as_ref().map(Llama3Scaling::json);
        let mut rope = scaling.clone().unwrap_or_else(|| json!({"rope_type": "default"}));
        rope["rope_theta"] = json!(theta);
        let mut config = json!({
            "architectures": [self.family.class],
            "model_type": self.family.name,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": decimal(self.rms_norm_eps),
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "rope_theta": theta,
            "rope_scaling": scaling,
            "rope_parameters": rope,
            "attention_dropout": 0.0,
            "tie_word_embeddings": self.tied,
            "torch_dtype": "float32",
            "use_cache": true,
            "bos_token_id": roles.bos,
            "eos_token_id": roles.eos,
            "pad_token_id": roles.pad,
        });
        let own = match self.family.name {
            "llama" => json!({"attention_bias": false, "mlp_bias": false}),
            // q, k and v have biases, and no key says so
            "qwen2" => json!({"use_sliding_window": false, "sliding_window": null}),
            _ => json!({"attention_bias": false, "use_sliding_window": false, "sliding_window": null}),
        };
        if let (Some(config), Some(own)) = (config.as_object_mut(), own.as_object()) {
            config.extend(own.clone());
        }
        config
    }
}

/// What the file is, and that it is all of it.
fn check_general(metadata: &Metadata) -> Result<(), ModelError> {
    if let Some(kind) = metadata.text("general.type")?.filter(|kind| *kind != "model") {
        return Err(metadata.refuse("general.type", format!("is `{kind}`, not `model`"), TAKE_FOLDER));
    }
    if let Some(count) = metadata.number("split.count")?.filter(|count| *count > 1) {
        let problem = format!("is {count}: this file is one of several parts");
        return Err(metadata.refuse("split.count", problem, "merge them (llama-gguf-split --merge), or take one file"));
    }
    if let Some(version) = metadata.number("general.quantization_version")?.filter(|version| *version != 2) {
        let problem = format!("is {version}, whose blocks are laid out in another way than those of version 2");
        return Err(metadata.refuse("general.quantization_version", problem, TAKE_FOLDER));
    }
    Ok(())
}

/// Refuses keys of the architecture that are not known, and tells of those that nobody knows.
fn check_unread(metadata: &Metadata, architecture: &str) -> Result<(), ModelError> {
    let mut foreign = Vec::new();
    for key in metadata.keys() {
        let (space, name) = key.split_once('.').unwrap_or((key, ""));
        if space == architecture && !READ.contains(&name) {
            return Err(metadata.refuse(
                key,
                "is not known here and might change what the model computes",
                TAKE_FOLDER,
            ));
        }
        if ![architecture, "general", "tokenizer", "split", "quantize"].contains(&space) {
            foreign.push(key);
        }
    }
    if !foreign.is_empty() {
        tracing::info!("keys that are not GGUF's own and were not read: {}", foreign.join(", "));
    }
    Ok(())
}

fn head_dim(metadata: &Metadata, family: Family, hidden_size: u64, heads: u64) -> Result<u64, ModelError> {
    let own = |key: &str| format!("{}.{key}", family.name);
    let length = own("attention.key_length");
    let head_dim = match metadata.number(&length)? {
        Some(_) => metadata.size(&length)?.into(),
        None if hidden_size.is_multiple_of(heads) => hidden_size / heads,
        None => {
            let problem = format!("is {heads}, which does not divide the hidden size {hidden_size}");
            return Err(metadata.refuse(&own("attention.head_count"), problem, FETCH_AGAIN));
        }
    };
    for key in ["attention.value_length", "rope.dimension_count"].map(own) {
        if let Some(found) = metadata.number(&key)?.filter(|found| u64::from(*found) != head_dim) {
            let problem = format!("is {found}, but heads are {head_dim} wide");
            return Err(metadata.refuse(&key, problem, TAKE_FOLDER));
        }
    }
    if !family.own_head_dim && head_dim.checked_mul(heads) != Some(hidden_size) {
        let problem = format!("is {head_dim}; in this family {heads} heads share the hidden size {hidden_size}");
        return Err(metadata.refuse(&length, problem, TAKE_FOLDER));
    }
    if !head_dim.is_multiple_of(2) {
        let problem = format!("is {head_dim}, and a rotation turns pairs");
        return Err(metadata.refuse(&length, problem, FETCH_AGAIN));
    }
    Ok(head_dim)
}

/// Rows of the embedding.
fn vocab_size(metadata: &Metadata, architecture: &str, header: &Header) -> Result<u64, ModelError> {
    let Some(embedding) = header.tensors.get("token_embd.weight") else {
        return Err(metadata.refuse("token_embd.weight", "is missing", FETCH_AGAIN));
    };
    let (rows, key) = (embedding.shape[0], format!("{architecture}.vocab_size"));
    if let Some(size) = metadata.number(&key)?.filter(|size| u64::from(*size) != rows) {
        let problem = format!("is {size}, but the embedding has {rows} rows");
        return Err(metadata.refuse(&key, problem, FETCH_AGAIN));
    }
    Ok(rows)
}

fn needed(metadata: &Metadata, key: &str, default: Option<f32>) -> Result<f32, ModelError> {
    metadata.positive(key)?.or(default).ok_or_else(|| metadata.refuse(key, "is missing", TAKE_FOLDER))
}

/// The decimal number that was rounded to this one: 1e-5, not 9.999999747378752e-6.
pub(super) fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}
