//! What a BERT's config.json says, in Hugging Face's names, and what of it is implemented.

use std::path::Path;

use crate::ModelError;
use crate::encoder::read_json;

#[derive(Debug, Clone, serde::Deserialize)]
pub struct BertConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub hidden_act: String,
    pub max_position_embeddings: usize,
    pub type_vocab_size: usize,
    pub layer_norm_eps: f64,
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_string()
}

/// The function between the two products of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Gelu,
    Relu,
}

impl BertConfig {
    /// Reads the file, and refuses what would be computed wrongly or not at all.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let config: Self = read_json(path)?;
        let refuse = |field, value: String, supported| {
            Err(ModelError::Unsupported { path: path.to_path_buf(), field, value, supported })
        };
        for (field, size) in [
            ("vocab_size", config.vocab_size),
            ("hidden_size", config.hidden_size),
            ("intermediate_size", config.intermediate_size),
            ("type_vocab_size", config.type_vocab_size),
        ] {
            if size == 0 {
                return refuse(field, size.to_string(), "it must be at least 1");
            }
        }
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let value = format!("{} with hidden_size {}", config.num_attention_heads, config.hidden_size);
            return refuse("num_attention_heads", value, "it must be at least 1 and divide hidden_size");
        }
        if !(config.layer_norm_eps > 0.0 && config.layer_norm_eps.is_finite()) {
            return refuse("layer_norm_eps", config.layer_norm_eps.to_string(), "it must be a positive number");
        }
        if config.position_embedding_type != absolute() {
            let supported = "only learned absolute positions (absolute) are implemented";
            return refuse("position_embedding_type", config.position_embedding_type, supported);
        }
        if config.activation().is_none() {
            return refuse("hidden_act", config.hidden_act, "gelu and relu are implemented");
        }
        Ok(config)
    }

    /// What `hidden_act` means, if it is known.
    pub fn activation(&self) -> Option<Activation> {
        match self.hidden_act.as_str() {
            "gelu" => Some(Activation::Gelu),
            "relu" => Some(Activation::Relu),
            _ => None,
        }
    }
}
