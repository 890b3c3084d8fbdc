//! An encoder's tokenizer: tokenizer.json or what older folders have in its place, with the settings that other files
//! of the folder add, as transformers reads them. Everything becomes one tokenizer.json in memory, of which the library
//! builds the tokenizer.

mod files;
mod settings;
mod tokens;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sigma_data::tokenizer::{Growth, MOST_OF_ENCODER, guarded};
use tokenizers::{TruncationDirection, TruncationParams};

use super::TextRead;
use super::folder::Reading;
use crate::ModelError;
use settings::Settings;

pub(super) struct EncoderTokenizer {
    library: tokenizers::Tokenizer,
    /// For messages.
    path: PathBuf,
    growth: Growth,
    /// Before every text.
    prompt: String,
    max_tokens: usize,
    /// What tokenizer_config.json says of the length, if it does.
    model_max_length: Option<usize>,
    side: TruncationDirection,
}

impl EncoderTokenizer {
    /// Of the model of family `model_type` in `folder`. Nothing is cut before [`Self::cut_at`] says where.
    pub(super) fn load(folder: &Path, model_type: &str, reading: &Reading) -> Result<Self, ModelError> {
        let settings = Settings::read(folder, model_type)?;
        let (path, mut json) = files::read(folder, &settings)?;
        settings.apply(&path, &mut json)?;
        if reading.lower_case {
            lower_case(&mut json);
        }
        // of its own truncation only the side counts; lengths are what the folder's other files say
        let own = json.get("truncation").and_then(|own| own.get("direction")).and_then(Value::as_str);
        let own = if own == Some("Left") { TruncationDirection::Left } else { TruncationDirection::Right };
        for key in ["truncation", "padding"] {
            if let Some(value) = json.get_mut(key) {
                *value = Value::Null;
            }
        }
        let failed = |e: tokenizers::Error| ModelError::EncoderTokenizer { path: path.clone(), reason: e.to_string() };
        let bytes = serde_json::to_vec(&json).map_err(|e| failed(e.into()))?;
        // before anything is built of it
        let growth = Growth::of_file(&path, &bytes, MOST_OF_ENCODER)?;
        let mut library = guarded(|| tokenizers::Tokenizer::from_bytes(&bytes)).map_err(&failed)?;
        tokens::add(folder, &settings, &mut library)?;
        settings.check_ends(&path, &library)?;
        let (model_max_length, side) = (settings.model_max_length, settings.truncation_side.unwrap_or(own));
        let prompt = reading.prompt.clone();
        Ok(Self { library, path, growth, prompt, max_tokens: usize::MAX, model_max_length, side })
    }

    pub(super) fn model_max_length(&self) -> Option<usize> {
        self.model_max_length
    }

    /// Special tokens of every text.
    pub(super) fn special_tokens(&self) -> usize {
        self.library
            .get_post_processor()
            .map_or(0, |processor| tokenizers::PostProcessor::added_tokens(processor, false))
    }

    pub(super) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Cuts every text after `max_tokens`, special tokens included.
    pub(super) fn cut_at(&mut self, max_tokens: usize) -> Result<(), ModelError> {
        let truncation =
            TruncationParams { max_length: max_tokens, direction: self.side, ..TruncationParams::default() };
        if let Err(error) = self.library.with_truncation(Some(truncation)) {
            return Err(self.failed(&error));
        }
        self.max_tokens = max_tokens;
        Ok(())
    }

    /// Tokens of the prompt at the beginning of every text, as sentence-transformers counts them: a special token
    /// behind it is none of its own.
    pub(super) fn prompt_tokens(&self) -> Result<usize, ModelError> {
        if self.prompt.is_empty() {
            return Ok(0);
        }
        self.growth.check(self.prompt.len())?;
        let encoding = guarded(|| self.library.encode(self.prompt.as_str(), true)).map_err(|e| self.failed(&e))?;
        let special = |token: &String| self.library.get_added_vocabulary().is_special_token(token);
        Ok(encoding.len() - usize::from(encoding.get_tokens().last().is_some_and(special)))
    }

    pub(super) fn tokenize(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, ModelError> {
        self.check_growth(texts)?;
        // on all threads; places in the text, which the plain `encode_batch` also finds, are not needed
        let encodings = guarded(|| match self.prompt.as_str() {
            "" => self.library.encode_batch_fast(texts.to_vec(), true),
            _ => self.library.encode_batch_fast(self.with_prompt(texts), true),
        });
        let encodings = encodings.map_err(|e| self.failed(&e))?;
        Ok(encodings.iter().map(|e| e.get_ids().to_vec()).collect())
    }

    pub(super) fn read(&self, texts: &[&str]) -> Result<Vec<TextRead>, ModelError> {
        self.check_growth(texts)?;
        let encodings = guarded(|| self.library.encode_batch_char_offsets(self.with_prompt(texts), true));
        let encodings = encodings.map_err(|e| self.failed(&e))?;
        let before = self.prompt.chars().count();
        let of = |(text, encoding): (&&str, tokenizers::Encoding)| {
            let truncated = !encoding.get_overflowing().is_empty();
            let words = encoding.get_offsets().iter().zip(encoding.get_special_tokens_mask());
            let words = words.filter(|(_, special)| **special == 0).map(|(place, _)| place);
            let end = words.clone().map(|(_, end)| *end).max().unwrap_or(0);
            let start = words.map(|(start, _)| *start).min().unwrap_or(0);
            // of the text behind the prompt
            let behind = |place: usize| place.saturating_sub(before);
            let length = text.chars().count();
            let characters = match (truncated, self.side) {
                (false, _) => length,
                (true, TruncationDirection::Right) => behind(end),
                (true, TruncationDirection::Left) => length.saturating_sub(behind(start)),
            };
            TextRead { characters, truncated }
        };
        Ok(texts.iter().zip(encodings).map(of).collect())
    }

    fn with_prompt(&self, texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| format!("{}{text}", self.prompt)).collect()
    }

    fn check_growth(&self, texts: &[&str]) -> Result<(), ModelError> {
        Ok(texts.iter().try_for_each(|text| self.growth.check(self.prompt.len() + text.len()))?)
    }

    fn failed(&self, error: &tokenizers::Error) -> ModelError {
        ModelError::EncoderTokenizer { path: self.path.clone(), reason: error.to_string() }
    }
}

/// What sentence-transformers makes of `do_lower_case: true`: letters become small before all else.
fn lower_case(tokenizer: &mut Value) {
    let lower = json!({ "type": "Lowercase" });
    let kind = |value: &Value| value.get("type").and_then(Value::as_str).map(str::to_string);
    let normalizers = match tokenizer.get("normalizer") {
        None | Some(Value::Null) => Vec::new(),
        Some(sequence) if kind(sequence).as_deref() == Some("Sequence") => {
            sequence.get("normalizers").and_then(Value::as_array).cloned().unwrap_or_default()
        }
        Some(one) => vec![one.clone()],
    };
    if !normalizers.contains(&lower) {
        let all: Vec<Value> = std::iter::once(lower).chain(normalizers).collect();
        tokenizer["normalizer"] = json!({ "type": "Sequence", "normalizers": all });
    }
}
