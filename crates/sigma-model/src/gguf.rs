//! A GGUF file becomes an ordinary Hugging Face folder: config.json, model.safetensors (f32), tokenizer.json,
//! tokenizer_config.json, generation_config.json. candle reads the values and undoes the quantization; before that the
//! file is checked, because candle trusts more of it than a stranger's file deserves. Nothing is computed with the
//! model here, and what the folder is good for is the business of its readers.

mod config;
mod header;
mod metadata;
mod pre_tokenizer;
mod rope_factors;
mod tensors;
mod tokenizer;
mod types;

use std::fs;
use std::io::{BufReader, Seek};
use std::path::Path;

use candle_core::quantized::gguf_file::Content;
use serde::Serialize;
use sigma_data::regular_file;

use crate::ModelError;
use config::ModelConfig;
use header::Header;
use metadata::Metadata;

/// What a problem with a GGUF file leaves to do.
const TAKE_FOLDER: &str = "take the model's Hugging Face folder instead";
const FETCH_AGAIN: &str = "the file is damaged or cut off, fetch it again";
const OTHER_TYPE: &str =
    "take a file of another type (F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K), or the model's folder";

/// What was converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// `general.architecture`.
    pub architecture: String,
    pub tensors: usize,
    pub parameters: u64,
    /// How many tensors had which type.
    pub types: Vec<(&'static str, usize)>,
}

/// Writes the model of `file` into an existing folder.
///
/// # Errors
/// Names the key or tensor of the file that is damaged, or that this reader does not know.
pub fn convert(file: &Path, folder: &Path) -> Result<Converted, ModelError> {
    let io = |source| ModelError::Io { path: file.to_path_buf(), source };
    let mut reader = regular_file::open(file).map_err(io)?;
    let header = Header::read(file, &reader)?;
    let mut content = read_content(file, &mut reader)?;
    let metadata = Metadata::new(file, std::mem::take(&mut content.metadata));
    let mut config = ModelConfig::read(&metadata, &header)?;
    let tokenizer = tokenizer::read(&metadata, config.vocab_size)?;
    let plan = tensors::plan(file, &config, &header)?;
    config.scaling = tensors::scaling(file, &config, &content, &mut reader)?;

    let json = [
        ("config.json", pretty(&config.json(&tokenizer.roles))),
        ("generation_config.json", pretty(&tokenizer.generation_config())),
        ("tokenizer_config.json", pretty(&tokenizer.tokenizer_config(config.max_position_embeddings))),
        ("tokenizer.json", pretty(&tokenizer.tokenizer_json())),
    ];
    for (name, text) in json {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|source| ModelError::Io { path, source })?;
    }
    tensors::write(&plan, file, &content, &mut reader, &folder.join("model.safetensors"))?;
    let parameters = plan.iter().map(tensors::Planned::elements).sum();
    Ok(Converted { architecture: config.architecture, tensors: plan.len(), parameters, types: header.types() })
}

fn read_content(file: &Path, reader: &mut fs::File) -> Result<Content, ModelError> {
    let mut buffered = BufReader::new(reader);
    buffered.rewind().map_err(|source| ModelError::Io { path: file.to_path_buf(), source })?;
    Content::read(&mut buffered).map_err(|error| damaged(file, &error))
}

/// candle's errors may carry a backtrace after the first line.
fn damaged(file: &Path, error: &candle_core::Error) -> ModelError {
    let reason = error.to_string().lines().next().unwrap_or_default().to_string();
    ModelError::Damaged { path: file.to_path_buf(), reason }
}

/// A problem with one key or tensor.
fn refuse(path: &Path, key: &str, problem: impl Into<String>, remedy: &'static str) -> ModelError {
    ModelError::Gguf { path: path.to_path_buf(), key: key.to_string(), problem: problem.into(), remedy }
}

fn pretty<T: Serialize>(value: &T) -> String {
    match serde_json::to_string_pretty(value) {
        Ok(json) => json + "\n",
        Err(e) => unreachable!("these values have only string keys, yet: {e}"),
    }
}
