//! A frozen OPT as sentence encoder: the mean of its last hidden states over BOS and the text's tokens. It is what the
//! demo embeds with, since a small OPT is bundled; it says less about meaning than a trained sentence encoder.

use std::path::Path;

use candle_core::DType;
use sigma_data::Tokenizer;

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
        let model = Opt::load(folder, device)?.for_inference(DType::F32)?;
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
        Ok(Self { tokenizer: Tokenizer::load(folder)?, model, max_tokens })
    }

    pub fn dim(&self) -> usize {
        self.model.config().embedding_width()
    }

    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    pub fn tokenize(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, ModelError> {
        let bos = self.model.config().bos_token_id;
        let mut all = Vec::with_capacity(texts.len());
        for text in texts {
            let mut ids = vec![bos];
            ids.extend(self.tokenizer.encode(text)?);
            ids.truncate(self.max_tokens);
            all.push(ids);
        }
        Ok(all)
    }

    /// Mean-pooled states `[B * dim]`, not yet normalised.
    pub fn forward(&self, batch: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        let dim = self.dim();
        let hidden = self.model.hidden_states(batch)?;
        let mut pooled = Vec::with_capacity(batch.len() * dim);
        let mut rest = hidden.as_slice();
        for row in batch {
            let (states, others) = rest.split_at(row.len() * dim);
            let mut sums = vec![0f64; dim];
            for state in states.chunks_exact(dim) {
                sums.iter_mut().zip(state).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            pooled.extend(sums.iter().map(|sum| (sum / row.len() as f64) as f32));
            rest = others;
        }
        Ok(pooled)
    }
}
