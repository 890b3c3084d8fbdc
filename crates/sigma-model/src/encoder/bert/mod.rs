//! BERT sentence encoders in the layout of sentence-transformers (all-MiniLM-L6-v2): mean pooling over a text's tokens,
//! and the tokenizer's settings overridden by what sentence-transformers uses.
//!
//! Reading order: [`config`], [`parameters`], `host` (the forward pass on the CPU), `gpu` (the same on a GPU).

pub mod config;
mod gpu;
mod host;
pub mod parameters;

use std::fs;
use std::path::{Path, PathBuf};

use sigma_data::tokenizer::{Growth, MOST_OF_ENCODER, guarded};
use tokenizers::{Tokenizer, TruncationParams};

use super::TextRead;
use super::groups::mean_pooled;
use super::read_json;
use crate::weights::Weights;
use crate::{Device, ModelError};
use config::BertConfig;
use gpu::GpuBert;
use parameters::BertParameters;

pub struct BertEncoder {
    config: BertConfig,
    engine: Engine,
    tokenizer: Tokenizer,
    tokenizer_path: PathBuf,
    growth: Growth,
    max_tokens: usize,
}

/// The model, on its device.
enum Engine {
    Host(BertParameters),
    Gpu(GpuBert),
}

impl std::fmt::Debug for BertEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BertEncoder").field("config", &self.config).field("max_tokens", &self.max_tokens).finish()
    }
}

impl BertEncoder {
    pub fn load(folder: &Path, max_tokens: Option<usize>, device: &Device) -> Result<Self, ModelError> {
        let config_path = folder.join("config.json");
        let config = BertConfig::load(&config_path)?;
        check_pooling(&folder.join("1_Pooling").join("config.json"))?;
        let max_tokens = max_tokens.or(declared_max_tokens(folder)?).unwrap_or(config.max_position_embeddings);
        if max_tokens > config.max_position_embeddings || max_tokens < 3 {
            return Err(ModelError::Unsupported {
                path: config_path,
                field: "max_tokens",
                value: max_tokens.to_string(),
                supported: "it must be at least 3 and at most the encoder's max_position_embeddings",
            });
        }
        let parameters = BertParameters::take(&config, Weights::load(folder)?)?;
        let engine = match device {
            Device::Cpu => Engine::Host(parameters),
            Device::Gpu(gpu) => Engine::Gpu(GpuBert::upload(gpu, &config, &parameters)?),
        };
        let tokenizer_path = folder.join("tokenizer.json");
        let failed =
            |e: tokenizers::Error| ModelError::EncoderTokenizer { path: tokenizer_path.clone(), reason: e.to_string() };
        let json = fs::read(&tokenizer_path).map_err(|e| failed(e.into()))?;
        // before anything is built of it
        let growth = Growth::of_file(&tokenizer_path, &json, MOST_OF_ENCODER)?;
        let mut tokenizer = Tokenizer::from_bytes(&json).map_err(failed)?;
        // the file's own settings (128 tokens, padded to 128) are not what sentence-transformers uses
        let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(failed)?;
        tokenizer.with_padding(None);
        Ok(Self { config, engine, tokenizer, tokenizer_path, growth, max_tokens })
    }

    pub fn dim(&self) -> usize {
        self.config.hidden_size
    }

    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    pub fn tokenize(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, ModelError> {
        self.check_growth(texts)?;
        // on all threads; places in the text, which the plain `encode_batch` also finds, are not needed
        let encodings = guarded(|| self.tokenizer.encode_batch_fast(texts.to_vec(), true))
            .map_err(|e| ModelError::EncoderTokenizer { path: self.tokenizer_path.clone(), reason: e.to_string() })?;
        Ok(encodings.iter().map(|e| e.get_ids().to_vec()).collect())
    }

    pub fn read(&self, texts: &[&str]) -> Result<Vec<TextRead>, ModelError> {
        self.check_growth(texts)?;
        let encodings = guarded(|| self.tokenizer.encode_batch_char_offsets(texts.to_vec(), true))
            .map_err(|e| ModelError::EncoderTokenizer { path: self.tokenizer_path.clone(), reason: e.to_string() })?;
        let of = |(text, encoding): (&&str, tokenizers::Encoding)| {
            let truncated = !encoding.get_overflowing().is_empty();
            let words = encoding.get_offsets().iter().zip(encoding.get_special_tokens_mask());
            let end = words.filter(|(_, special)| **special == 0).map(|((_, end), _)| *end).max().unwrap_or(0);
            TextRead { characters: if truncated { end } else { text.chars().count() }, truncated }
        };
        Ok(texts.iter().zip(encodings).map(of).collect())
    }

    fn check_growth(&self, texts: &[&str]) -> Result<(), ModelError> {
        Ok(texts.iter().try_for_each(|text| self.growth.check(text.len()))?)
    }

    /// Mean-pooled states `[B * dim]`, not yet normalised.
    pub fn forward(&self, batch: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        let Self { config, engine, .. } = self;
        for row in batch {
            if row.len() > config.max_position_embeddings {
                return Err(ModelError::TooLong { needed: row.len(), max: config.max_position_embeddings });
            }
            if let Some(id) = row.iter().find(|id| **id as usize >= config.vocab_size) {
                return Err(ModelError::TokenId { id: *id, vocabulary: config.vocab_size });
            }
        }
        match engine {
            Engine::Host(model) => {
                mean_pooled(batch, config.hidden_size, |rows, scratch| Ok(model.hidden_states(config, rows, scratch)))
            }
            Engine::Gpu(model) => Ok(model.mean_pooled(config, batch)?),
        }
    }
}

/// What sentence_bert_config.json says, if it is there.
fn declared_max_tokens(folder: &Path) -> Result<Option<usize>, ModelError> {
    #[derive(serde::Deserialize)]
    struct Declared {
        max_seq_length: Option<usize>,
    }
    let path = folder.join("sentence_bert_config.json");
    if !path.exists() {
        return Ok(None);
    }
    Ok(read_json::<Declared>(&path)?.max_seq_length)
}

/// Only mean pooling is implemented; a folder that declares another one would silently give other vectors.
fn check_pooling(path: &Path) -> Result<(), ModelError> {
    #[derive(serde::Deserialize)]
    struct Pooling {
        pooling_mode_mean_tokens: bool,
    }
    if path.exists() && !read_json::<Pooling>(path)?.pooling_mode_mean_tokens {
        return Err(ModelError::Unsupported {
            path: path.to_path_buf(),
            field: "pooling_mode_mean_tokens",
            value: "false".to_string(),
            supported: "only mean pooling is implemented",
        });
    }
    Ok(())
}
