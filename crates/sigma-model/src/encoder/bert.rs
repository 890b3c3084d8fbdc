//! BERT sentence encoders in the layout of sentence-transformers (all-MiniLM-L6-v2): candle-transformers' BERT, mean
//! pooling over real tokens, and the tokenizer's settings overridden by what sentence-transformers uses.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tokenizers::{Tokenizer, TruncationParams};

use super::read_json;
use crate::ModelError;
use crate::padding::pad_right;
use crate::weights::Weights;

pub struct BertEncoder {
    model: BertModel,
    tokenizer: Tokenizer,
    tokenizer_path: PathBuf,
    dim: usize,
    max_tokens: usize,
    pad: u32,
    device: Device,
}

impl std::fmt::Debug for BertEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BertEncoder").field("dim", &self.dim).field("max_tokens", &self.max_tokens).finish()
    }
}

impl BertEncoder {
    pub fn load(folder: &Path, max_tokens: Option<usize>, device: &Device) -> Result<Self, ModelError> {
        let config_path = folder.join("config.json");
        let config: Config = read_json(&config_path)?;
        // candle-transformers divides without asking
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return Err(ModelError::Unsupported {
                path: config_path,
                field: "num_attention_heads",
                value: format!("{} with hidden_size {}", config.num_attention_heads, config.hidden_size),
                supported: "it must be at least 1 and divide hidden_size",
            });
        }
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
        let weights = Weights::load(folder)?;
        let origin = weights.origin().to_path_buf();
        let tensors = weights.into_tensors().into_iter().map(|(name, t)| {
            let name = name.strip_prefix("bert.").unwrap_or(&name).to_string();
            Ok((name, t.to_device(device)?))
        });
        let tensors = tensors.collect::<candle_core::Result<_>>()?;
        let model = BertModel::load(VarBuilder::from_tensors(tensors, DType::F32, device), &config)
            .map_err(|e| ModelError::Damaged { path: origin, reason: first_line(&e) })?;
        let tokenizer_path = folder.join("tokenizer.json");
        let failed =
            |e: tokenizers::Error| ModelError::EncoderTokenizer { path: tokenizer_path.clone(), reason: e.to_string() };
        let mut tokenizer = Tokenizer::from_file(&tokenizer_path).map_err(failed)?;
        // the file's own settings (128 tokens, padded to 128) are not what sentence-transformers uses
        let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(failed)?;
        tokenizer.with_padding(None);
        let pad = config.pad_token_id as u32;
        let (dim, device) = (config.hidden_size, device.clone());
        Ok(Self { model, tokenizer, tokenizer_path, dim, max_tokens, pad, device })
    }

    pub fn dim(&self) -> usize {
        self.dim
    }

    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    pub fn tokenize(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, ModelError> {
        let encodings = self
            .tokenizer
            .encode_batch(texts.to_vec(), true)
            .map_err(|e| ModelError::EncoderTokenizer { path: self.tokenizer_path.clone(), reason: e.to_string() })?;
        Ok(encodings.iter().map(|e| e.get_ids().to_vec()).collect())
    }

    /// Mean-pooled states `[B * dim]`, not yet normalised.
    pub fn forward(&self, batch: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        let (ids, lens) = pad_right(batch, self.pad);
        let time = ids.len() / batch.len().max(1);
        let mask: Vec<u32> = lens.iter().flat_map(|len| (0..time).map(move |t| u32::from(t < *len))).collect();
        let ids = Tensor::from_vec(ids, (batch.len(), time), &self.device)?;
        let mask = Tensor::from_vec(mask, (batch.len(), time), &self.device)?;
        let hidden = self.model.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        Ok(mean_pool(&hidden, &lens)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?)
    }
}

/// Mean over each row's first `lens[row]` time steps of `[B, T, D]`, on the device.
fn mean_pool(hidden: &Tensor, lens: &[usize]) -> candle_core::Result<Tensor> {
    let (batch, time, _) = hidden.dims3()?;
    let weights: Vec<f32> =
        lens.iter().flat_map(|len| (0..time).map(move |t| if t < *len { 1.0 / *len as f32 } else { 0.0 })).collect();
    let weights = Tensor::from_vec(weights, (batch, 1, time), hidden.device())?;
    weights.matmul(hidden)?.squeeze(1)
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

fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}
