//! The frozen sentence encoder: texts to L2-normalised vectors. Which network it is, its folder's config.json says: a
//! BERT sentence encoder such as all-MiniLM-L6-v2, or a small OPT whose last hidden states are averaged.
//! On the CPU the same text gives the same bits whatever else is embedded with it.

pub mod bert;
mod groups;
mod mean_pooled;

use std::path::Path;

use sigma_data::regular_file;

use crate::{Device, ModelError};
pub use bert::BertEncoder;
pub use mean_pooled::OptEncoder;

#[derive(Debug)]
pub enum Encoder {
    Bert(Box<BertEncoder>),
    Opt(Box<OptEncoder>),
}

/// How much of a text an encoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextRead {
    /// Characters up to the end of the last token that is read.
    pub characters: usize,
    /// Whether tokens were cut off.
    pub truncated: bool,
}

impl Encoder {
    /// Loads the encoder of `folder`. Texts are cut at `max_tokens` (special tokens included), by default what the
    /// model's own files say. A BERT computes on the CPU, whatever the device.
    pub fn load(folder: &Path, max_tokens: Option<usize>, device: &Device) -> Result<Self, ModelError> {
        #[derive(serde::Deserialize)]
        struct Kind {
            model_type: String,
        }
        let kind: Kind = read_json(&folder.join("config.json"))?;
        match kind.model_type.as_str() {
            "bert" => Ok(Encoder::Bert(Box::new(BertEncoder::load(folder, max_tokens, device)?))),
            "opt" => Ok(Encoder::Opt(Box::new(OptEncoder::load(folder, max_tokens, device)?))),
            _ => Err(ModelError::Unsupported {
                path: folder.join("config.json"),
                field: "model_type",
                value: kind.model_type,
                supported: "an encoder is a BERT sentence encoder (bert) or a mean-pooled OPT (opt)",
            }),
        }
    }

    /// Width of an embedding.
    pub fn dim(&self) -> usize {
        match self {
            Encoder::Bert(encoder) => encoder.dim(),
            Encoder::Opt(encoder) => encoder.dim(),
        }
    }

    /// Texts are cut after this many tokens, special tokens included.
    pub fn max_tokens(&self) -> usize {
        match self {
            Encoder::Bert(encoder) => encoder.max_tokens(),
            Encoder::Opt(encoder) => encoder.max_tokens(),
        }
    }

    /// Token ids of each text, with special tokens, cut at [`Encoder::max_tokens`]; never empty.
    pub fn tokenize(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, ModelError> {
        match self {
            Encoder::Bert(encoder) => encoder.tokenize(texts),
            Encoder::Opt(encoder) => encoder.tokenize(texts),
        }
    }

    /// How much of each text the encoder reads before it cuts it at [`Encoder::max_tokens`].
    pub fn read(&self, texts: &[&str]) -> Result<Vec<TextRead>, ModelError> {
        match self {
            Encoder::Bert(encoder) => encoder.read(texts),
            Encoder::Opt(encoder) => encoder.read(texts),
        }
    }

    /// Embeds one batch of tokenized texts: `[batch.len() * dim]`, row by row, each row of length 1.
    pub fn forward(&self, batch: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        let mut rows = match self {
            Encoder::Bert(encoder) => encoder.forward(batch)?,
            Encoder::Opt(encoder) => encoder.forward(batch)?,
        };
        normalize(&mut rows, self.dim())?;
        Ok(rows)
    }
}

/// Divides each row by its L2 norm (at least 1e-12, as PyTorch's `normalize` does).
fn normalize(rows: &mut [f32], dim: usize) -> Result<(), ModelError> {
    for (index, row) in rows.chunks_exact_mut(dim).enumerate() {
        let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
        if !norm.is_finite() {
            return Err(ModelError::Embedding { index });
        }
        row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
    }
    Ok(())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ModelError> {
    let text =
        regular_file::read_to_string(path).map_err(|source| ModelError::Io { path: path.to_path_buf(), source })?;
    serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.to_path_buf(), source })
}
