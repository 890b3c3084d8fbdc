//! OPT's config.json, with Hugging Face's field names and defaults.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Ends;
use crate::ModelError;
use crate::spec::{DecoderSpec, Slot};

/// The fields of config.json that change what the model computes; others are ignored on reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptConfig {
    #[serde(default = "opt")]
    pub model_type: String,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub ffn_dim: usize,
    pub num_attention_heads: usize,
    #[serde(default = "positions")]
    pub max_position_embeddings: usize,
    /// Width of the embeddings where it differs from `hidden_size` (opt-350m).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_embed_proj_dim: Option<usize>,
    /// Norms before attention and feed-forward (all sizes but 350m).
    #[serde(default = "yes")]
    pub do_layer_norm_before: bool,
    #[serde(default, rename = "_remove_final_layer_norm")]
    pub remove_final_layer_norm: bool,
    #[serde(default = "yes")]
    pub tie_word_embeddings: bool,
    #[serde(default = "yes")]
    pub enable_bias: bool,
    #[serde(default = "yes")]
    pub layer_norm_elementwise_affine: bool,
    #[serde(default = "relu")]
    pub activation_function: String,
    #[serde(default = "tenth")]
    pub dropout: f64,
    #[serde(default)]
    pub attention_dropout: f64,
    #[serde(default)]
    pub activation_dropout: f64,
    #[serde(default)]
    pub layerdrop: f64,
    #[serde(default = "init_std")]
    pub init_std: f64,
    #[serde(default = "end")]
    pub bos_token_id: Option<u32>,
    #[serde(default = "ends")]
    pub eos_token_id: Ends,
    /// Its row of the embeddings has no gradient.
    #[serde(default = "pad")]
    pub pad_token_id: Option<u32>,
}

fn check_kind(path: &Path, model_type: &str) -> Result<(), ModelError> {
    if model_type == "opt" {
        return Ok(());
    }
    let (path, value) = (path.to_path_buf(), model_type.to_string());
    let supported = "the language model must be of the OPT family";
    Err(ModelError::Unsupported { path, field: "model_type", value, supported })
}

fn opt() -> String {
    "opt".to_string()
}
fn positions() -> usize {
    2048
}
fn yes() -> bool {
    true
}
fn relu() -> String {
    "relu".to_string()
}
fn tenth() -> f64 {
    0.1
}
fn init_std() -> f64 {
    0.02
}
fn end() -> Option<u32> {
    Some(2)
}
fn ends() -> Ends {
    Ends::One(2)
}
fn pad() -> Option<u32> {
    Some(1)
}

/// Positions are looked up this many rows further down (a left-over of fairseq's padding index).
pub(crate) const POSITION_OFFSET: usize = 2;

impl OptConfig {
    /// Reads and checks `folder/config.json`.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let (config, tokens) = crate::families::opt_config(folder)?;
        let path = config.path().to_path_buf();
        // of keys where null means something, the ids are taken from what was read of them
        let keys = config.keys().iter().filter(|(_, value)| !value.is_null());
        let keys: Map<String, Value> = keys.map(|(key, value)| (key.clone(), value.clone())).collect();
        let without_ids = |key: &str| !key.ends_with("_token_id");
        let keys = keys.into_iter().filter(|(key, _)| without_ids(key)).collect();
        let config: Self = serde_json::from_value(Value::Object(keys))
            .map_err(|source| ModelError::Json { path: path.clone(), source })?;
        let config = Self {
            bos_token_id: tokens.bos,
            eos_token_id: tokens.eos.into_iter().collect(),
            pad_token_id: tokens.pad,
            ..config
        };
        config.check(&path)?;
        Ok(config)
    }

    /// Refuses what this implementation would compute differently from transformers.
    pub fn check(&self, path: &Path) -> Result<(), ModelError> {
        let unsupported = |field, value: String, supported| {
            Err(ModelError::Unsupported { path: path.to_path_buf(), field, value, supported })
        };
        check_kind(path, &self.model_type)?;
        if self.activation_function != "relu" {
            return unsupported("activation_function", self.activation_function.clone(), "OPT uses relu");
        }
        for (field, value) in [
            ("tie_word_embeddings", self.tie_word_embeddings),
            ("enable_bias", self.enable_bias),
            ("layer_norm_elementwise_affine", self.layer_norm_elementwise_affine),
        ] {
            if !value {
                return unsupported(field, "false".to_string(), "every published OPT model has it true");
            }
        }
        for (field, value) in [
            ("attention_dropout", self.attention_dropout),
            ("activation_dropout", self.activation_dropout),
            ("layerdrop", self.layerdrop),
        ] {
            if value != 0.0 {
                return unsupported(field, value.to_string(), "only `dropout` may differ from 0");
            }
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return unsupported("dropout", self.dropout.to_string(), "it must lie in [0, 1)");
        }
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("ffn_dim", self.ffn_dim),
            ("num_attention_heads", self.num_attention_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("word_embed_proj_dim", self.embedding_width()),
        ];
        if let Some((field, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return unsupported(field, "0".to_string(), "it must be at least 1");
        }
        // positions are followed by two more rows
        if self.max_position_embeddings > usize::MAX - POSITION_OFFSET {
            let value = self.max_position_embeddings.to_string();
            return unsupported("max_position_embeddings", value, "no file holds as many");
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let value = format!("{} with hidden_size {}", self.num_attention_heads, self.hidden_size);
            return unsupported("num_attention_heads", value, "it must divide hidden_size");
        }
        Ok(())
    }

    /// Refuses ids outside the vocabulary.
    pub(crate) fn check_ids(&self, ids: &[u32]) -> Result<(), ModelError> {
        match ids.iter().find(|id| **id as usize >= self.vocab_size) {
            Some(id) => Err(ModelError::TokenId { id: *id, vocabulary: self.vocab_size }),
            None => Ok(()),
        }
    }

    /// Refuses rows with more tokens than there are positions.
    pub(crate) fn check_length(&self, needed: usize) -> Result<(), ModelError> {
        let max = self.max_position_embeddings;
        if needed > max { Err(ModelError::TooLong { needed, max }) } else { Ok(()) }
    }

    /// Refuses rows that the model cannot take.
    pub(crate) fn check_rows(&self, rows: &[&[u32]]) -> Result<(), ModelError> {
        for row in rows {
            self.check_ids(row)?;
            self.check_length(row.len())?;
        }
        Ok(())
    }

    /// Time steps of a batch of `rows` training sequences, whose inputs and labels are `[rows * time]`.
    pub(crate) fn check_batch(&self, inputs: &[u32], labels: &[u32], rows: usize) -> Result<usize, ModelError> {
        self.check_ids(inputs)?;
        self.check_ids(labels)?;
        let time = inputs.len() / rows.max(1);
        self.check_length(time)?;
        if labels.len() != inputs.len() || time * rows != inputs.len() || inputs.is_empty() {
            return Err(ModelError::Batch { inputs: inputs.len(), labels: labels.len(), rows });
        }
        Ok(time)
    }

    /// What fills places that nobody looks at.
    pub(crate) fn filler(&self) -> u32 {
        self.pad_token_id.unwrap_or(0)
    }

    /// Width of token embeddings and of the LM head.
    pub fn embedding_width(&self) -> usize {
        self.word_embed_proj_dim.unwrap_or(self.hidden_size)
    }

    /// Whether the stack ends with a layer norm.
    pub fn has_final_layer_norm(&self) -> bool {
        self.do_layer_norm_before && !self.remove_final_layer_norm
    }

    /// The same as a spec, and the name of the parameter in each of its slots.
    pub(super) fn slots(&self) -> Result<(DecoderSpec, Vec<(Slot, String)>), ModelError> {
        let path = Path::new("config.json");
        match serde_json::to_value(self) {
            Ok(Value::Object(keys)) => crate::families::opt(keys),
            Ok(_) => crate::families::opt(Map::new()),
            Err(source) => Err(ModelError::Json { path: path.to_path_buf(), source }),
        }
    }

    /// Name and shape of every parameter, in the layout that transformers saves, sorted by name.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let (d, ffn, width) = (self.hidden_size, self.ffn_dim, self.embedding_width());
        let mut all = vec![
            ("embed_tokens.weight".to_string(), vec![self.vocab_size, width]),
            ("embed_positions.weight".to_string(), vec![self.max_position_embeddings + POSITION_OFFSET, d]),
        ];
        let mut affine = |name: String, shape: Vec<usize>| {
            all.push((format!("{name}.bias"), vec![shape[0]]));
            all.push((format!("{name}.weight"), shape));
        };
        if self.has_final_layer_norm() {
            affine("final_layer_norm".to_string(), vec![d]);
        }
        for layer in 0..self.num_hidden_layers {
            let at = |name: &str| format!("layers.{layer}.{name}");
            for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                affine(at(&format!("self_attn.{projection}")), vec![d, d]);
            }
            affine(at("self_attn_layer_norm"), vec![d]);
            affine(at("final_layer_norm"), vec![d]);
            affine(at("fc1"), vec![ffn, d]);
            affine(at("fc2"), vec![d, ffn]);
        }
        if width != d {
            all.push(("project_in.weight".to_string(), vec![d, width]));
            all.push(("project_out.weight".to_string(), vec![width, d]));
        }
        for (name, _) in &mut all {
            name.insert_str(0, "model.decoder.");
        }
        all.sort();
        all
    }
}
