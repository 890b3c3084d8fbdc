//! The frozen sentence encoder: texts to L2-normalised vectors, as the files of its folder say. A folder is one of
//! sentence-transformers, or a bare model, whose tokens are averaged.
//! On the CPU the same text gives the same bits whatever else is embedded with it.
//!
//! Reading order: `folder` (what the files say), `tokenizer`, `bert` and `decoder` (states of tokens), `pooling`,
//! `steps` (what follows it).

pub mod bert;
mod decoder;
mod files;
mod folder;
mod groups;
mod pooling;
mod steps;
mod tokenizer;

use std::path::Path;

use sigma_data::{python_json, regular_file};

use crate::families::{ConfigFile, FAMILIES};
use crate::{Device, ModelError};
use bert::Bert;
use decoder::DecoderStates;
use folder::Recipe;
use pooling::Pooling;
use steps::Step;
use tokenizer::EncoderTokenizer;

pub use files::{ModuleFiles, decisive_files, wanted_of_modules};
pub use folder::SETTINGS;

/// Default cut of a bare decoder: the 256 tokens of all-MiniLM-L6-v2.
const MAX_TOKENS: usize = 256;

pub struct Encoder {
    network: Network,
    tokenizer: EncoderTokenizer,
    pooling: Pooling,
    /// Tokens at the beginning of every text that do not count.
    skipped: usize,
    steps: Vec<Step>,
}

/// States of tokens.
#[derive(Debug)]
enum Network {
    Bert(Box<Bert>),
    Decoder(Box<DecoderStates>),
}

/// How much of a text an encoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextRead {
    /// Characters up to the end of the last token that is read, or from the beginning of the first one where texts
    /// lose their beginning.
    pub characters: usize,
    /// Whether tokens were cut off.
    pub truncated: bool,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Encoder");
        debug.field("pooling", &self.pooling).field("steps", &self.steps.len());
        debug.field("max_tokens", &self.max_tokens()).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Loads the encoder of `folder`. Texts are cut at `max_tokens` (special tokens included), by default what the
    /// model's own files say. What a GPU cannot compute is computed on the CPU.
    pub fn load(folder: &Path, max_tokens: Option<usize>, device: &Device) -> Result<Self, ModelError> {
        let Recipe { transformer, reading, pooling, steps } = Recipe::read(folder)?;
        let config = ConfigFile::load(&transformer)?;
        let model_type = config.model_type().unwrap_or_default();
        let network = Network::load(&transformer, &model_type, &config, device)?;
        let mut tokenizer = EncoderTokenizer::load(&transformer, &model_type, &reading)?;
        let is_bare_decoder = pooling.is_none() && matches!(network, Network::Decoder(_));
        if is_bare_decoder && model_type == "opt" && tokenizer.special_tokens() == 0 {
            return Err(ModelError::Unsupported {
                path: folder.join("tokenizer_config.json"),
                field: "add_bos_token",
                value: "not set, and tokenizer.json's post_processor adds no BOS".to_string(),
                supported: "the texts of an OPT encoder begin with BOS",
            });
        }
        let pooling = pooling.unwrap_or_else(|| Pooling::mean(network.width()));
        if pooling.width != network.width() {
            let (value, path) = (serde_json::json!(pooling.width), folder.join("modules.json"));
            let remedy = format!("the states of the model's tokens have {} columns", network.width());
            return crate::families::config_file::refuse(&path, "embedding_dimension of the Pooling", &value, &remedy);
        }
        let capacity = network.capacity();
        let most = tokenizer.model_max_length().unwrap_or(capacity).min(capacity);
        let by_files = match reading.max_tokens {
            Some(declared) if declared > capacity => {
                tracing::warn!(
                    file = %reading.file.display(), max_seq_length = declared, positions = capacity,
                    "the model has fewer positions; texts are cut there"
                );
                capacity
            }
            Some(declared) => declared,
            None if is_bare_decoder => MAX_TOKENS.min(most),
            None => most,
        };
        let max_tokens = max_tokens.unwrap_or(by_files);
        if max_tokens > capacity || max_tokens <= tokenizer.special_tokens() {
            return Err(ModelError::Unsupported {
                path: transformer.join("config.json"),
                field: "max_tokens",
                value: max_tokens.to_string(),
                supported: "it must leave room for one token beside the special ones, and be at most the encoder's \
                            positions (max_position_embeddings)",
            });
        }
        tokenizer.cut_at(max_tokens)?;
        let skipped = if pooling.include_prompt { 0 } else { tokenizer.prompt_tokens()? };
        Ok(Self { network, tokenizer, pooling, skipped, steps })
    }

    /// Width of an embedding.
    pub fn dim(&self) -> usize {
        self.steps.iter().fold(self.pooling.output_width(), |width, step| step.output_width(width))
    }

    /// Texts are cut after this many tokens, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.tokenizer.max_tokens()
    }

    /// Token ids of each text, with prompt and special tokens, cut at [`Encoder::max_tokens`].
    pub fn tokenize(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, ModelError> {
        self.tokenizer.tokenize(texts)
    }

    /// How much of each text the encoder reads before it cuts it at [`Encoder::max_tokens`].
    pub fn read(&self, texts: &[&str]) -> Result<Vec<TextRead>, ModelError> {
        self.tokenizer.read(texts)
    }

    /// Embeds one batch of tokenized texts: `[batch.len() * dim]`, row by row, each row of length 1.
    pub fn forward(&self, batch: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        let mut rows = self.rows(batch)?;
        normalize(&mut rows, self.dim())?;
        Ok(rows)
    }

    /// The same as the folder's own files end, which need not be of length 1.
    pub fn rows(&self, batch: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        let mut rows = match &self.network {
            Network::Bert(model) => model.pooled(batch, &self.pooling, self.skipped)?,
            Network::Decoder(model) => model.pooled(batch, &self.pooling, self.skipped)?,
        };
        let mut width = self.pooling.output_width();
        for step in &self.steps {
            rows = step.apply(rows, width)?;
            width = step.output_width(width);
        }
        Ok(rows)
    }
}

impl Network {
    fn load(folder: &Path, model_type: &str, config: &ConfigFile, device: &Device) -> Result<Self, ModelError> {
        if bert::config::FAMILIES.contains(&model_type) {
            return Ok(Self::Bert(Box::new(Bert::load(folder, device)?)));
        }
        if FAMILIES.iter().any(|family| family.model_type == model_type) {
            return Ok(Self::Decoder(Box::new(DecoderStates::load(folder, device)?)));
        }
        let decoders = FAMILIES.map(|family| family.model_type).join(", ");
        let known = format!("encoders are {}, and decoders as encoders {decoders}", bert::config::FAMILIES.join(", "));
        config.refuse("model_type", &serde_json::json!(model_type), &known)
    }

    /// Of a token's state.
    fn width(&self) -> usize {
        match self {
            Self::Bert(model) => model.config.hidden_size,
            Self::Decoder(model) => model.width(),
        }
    }

    /// Tokens that a text may have.
    fn capacity(&self) -> usize {
        match self {
            Self::Bert(model) => model.config.capacity(),
            Self::Decoder(model) => model.max_positions(),
        }
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
    python_json::from_str(&text).map_err(|source| ModelError::Json { path: path.to_path_buf(), source })
}
