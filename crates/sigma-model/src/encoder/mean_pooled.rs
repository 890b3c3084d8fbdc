//! A frozen OPT as sentence encoder: the mean of its last hidden states over BOS and the text's tokens. It is what the
//! demo embeds with, since a small OPT is bundled; it says less about meaning than a trained sentence encoder.

use std::path::Path;

use rayon::prelude::*;
use sigma_data::Tokenizer;
use sigma_kernels::linear::Threads;

use super::TextRead;
use super::groups::{mean_pooled, means};
use crate::{Device, ModelError, Opt};

/// Default cut: the 256 tokens of all-MiniLM-L6-v2.
const MAX_TOKENS: usize = 256;

#[derive(Debug)]
pub struct OptEncoder {
    model: Opt,
    tokenizer: Tokenizer,
    max_tokens: usize,
}

impl OptEncoder {
    pub fn load(folder: &Path, max_tokens: Option<usize>, device: &Device) -> Result<Self, ModelError> {
        let model = Opt::load(folder, device)?;
        let limit = model.config().max_position_embeddings;
        let max_tokens = max_tokens.unwrap_or(MAX_TOKENS.min(limit));
        if max_tokens > limit || max_tokens < 2 {
            return Err(ModelError::Unsupported {
                path: folder.join("config.json"),
                field: "max_tokens",
                value: max_tokens.to_string(),
                supported: "it must be at least 2 and at most the encoder's max_position_embeddings",
            });
        }
        let tokenizer = Tokenizer::load(folder)?;
        if tokenizer.begins().is_none() {
            return Err(ModelError::Unsupported {
                path: folder.join("tokenizer_config.json"),
                field: "add_bos_token",
                value: "not set, and tokenizer.json's post_processor adds no BOS".to_string(),
                supported: "the texts of an OPT encoder begin with BOS",
            });
        }
        Ok(Self { tokenizer, model, max_tokens })
    }

    pub fn dim(&self) -> usize {
        self.model.config().embedding_width()
    }

    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    pub fn tokenize(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, ModelError> {
        let tokens = |text: &&str| {
            let mut ids = self.tokenizer.encode_with_bos(text)?;
            ids.truncate(self.max_tokens);
            Ok(ids)
        };
        texts.par_iter().map(tokens).collect()
    }

    pub fn read(&self, texts: &[&str]) -> Result<Vec<TextRead>, ModelError> {
        let of = |text: &&str| {
            let ids = self.tokenizer.encode(text)?;
            // BOS takes a place
            let truncated = ids.len() >= self.max_tokens;
            let read = if truncated { self.tokenizer.decode(&ids[..self.max_tokens - 1]) } else { text.to_string() };
            Ok(TextRead { characters: read.chars().count(), truncated })
        };
        texts.par_iter().map(of).collect()
    }

    /// Mean-pooled states `[B * dim]`, not yet normalised.
    pub fn forward(&self, batch: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        if !self.model.device().is_cpu() {
            return Ok(means(batch, &self.model.hidden_states(batch)?, self.dim()));
        }
        mean_pooled(batch, self.dim(), |rows, states: &mut Vec<f32>| {
            *states = self.model.hidden_states_on(rows, Threads::One)?;
            Ok(states)
        })
    }
}
