//! The `encoder` section of a config.

use serde::{Deserialize, Serialize};

use crate::EmbedError;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderConfig {
    /// A Hugging Face folder, or `org/name[@revision]` on the hub.
    pub source: String,
    /// Texts are cut after this many tokens, special tokens included; by default what the model's files say.
    pub max_tokens: Option<usize>,
    /// Texts that are given to the encoder at once; progress is counted in them. On the CPU it changes no embedding.
    pub batch_size: usize,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self { source: "sentence-transformers/all-MiniLM-L6-v2".to_string(), max_tokens: None, batch_size: 256 }
    }
}

impl EncoderConfig {
    pub fn validate(&self) -> Result<(), EmbedError> {
        if self.batch_size == 0 {
            return Err(EmbedError::BatchSize);
        }
        Ok(())
    }
}
