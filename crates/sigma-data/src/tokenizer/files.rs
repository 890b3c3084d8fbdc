//! Reading the vocabulary and the merges out of vocab.json with merges.txt, or out of tokenizer.json. Every defect is
//! found here, with its line, before the tokenizers library sees the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::vocabulary::{Spelling, Vocabulary};
use crate::error::DataError;
use crate::place::{At, Place};

pub(super) fn read_vocab_and_merges(vocab: &Path, merges: &Path) -> Result<Vocabulary, DataError> {
    let json = fs::read(vocab).map_err(DataError::read(vocab))?;
    let ids: BTreeMap<String, u32> = serde_json::from_slice(&json).map_err(not_json(vocab))?;

    let text = fs::read_to_string(merges).map_err(DataError::read(merges))?;
    let shared: Arc<Path> = merges.into();
    let mut lines = Vec::new();
    let mut pairs = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.is_empty() || (number == 1 && line.starts_with("#version")) {
            continue;
        }
        let place = Place::new(&shared, At::Line(number));
        pairs.push(split_merge(line, &place)?);
        lines.push(number);
    }
    Vocabulary::new(vocab, (&ids, Spelling::Bytes), pairs, |merge| Place::new(&shared, At::Line(lines[merge])))
}

/// Only what is checked of a tokenizer.json.
#[derive(Deserialize)]
struct TokenizerJson {
    model: Value,
    decoder: Option<Typed>,
    pre_tokenizer: Option<Value>,
}

#[derive(Deserialize)]
struct Typed {
    r#type: String,
}

#[derive(Deserialize)]
struct BpeJson {
    vocab: BTreeMap<String, u32>,
    merges: MergesJson,
}

/// Pairs since tokenizers 0.20, before that strings with a space between the two.
#[derive(Deserialize)]
#[serde(untagged)]
enum MergesJson {
    Pairs(Vec<(String, String)>),
    Joined(Vec<String>),
}

pub(super) fn read_tokenizer_json(path: &Path, json: &[u8]) -> Result<Vocabulary, DataError> {
    let tokenizer: TokenizerJson = serde_json::from_slice(json).map_err(not_json(path))?;
    let unsupported = |what, found: &str| {
        Err(DataError::UnsupportedTokenizer { path: path.to_path_buf(), what, found: found.to_string() })
    };
    // files older than the field are BPE if the rest of the model reads as one
    match tokenizer.model.get("type").map(Value::as_str) {
        None | Some(Some("BPE")) => {}
        Some(other) => return unsupported("model type", other.unwrap_or("no text")),
    }
    let byte_letters = tokenizer.pre_tokenizer.is_some_and(|cut| cut.to_string().contains("\"ByteLevel\""));
    let spelling = match tokenizer.decoder {
        Some(decoder) if decoder.r#type == "ByteLevel" => Spelling::Bytes,
        // SentencePiece's pieces, as the libraries convert them
        Some(decoder) if byte_letters => return unsupported("decoder", &decoder.r#type),
        Some(decoder) if ["Sequence", "Metaspace", "ByteFallback"].contains(&decoder.r#type.as_str()) => {
            Spelling::Pieces
        }
        Some(decoder) => return unsupported("decoder", &decoder.r#type),
        None => return unsupported("decoder", "missing"),
    };
    if tokenizer.model.get("dropout").and_then(Value::as_f64).is_some_and(|dropout| dropout != 0.0) {
        return unsupported("model", "BPE with dropout, which gives other ids every time");
    }
    read_model(path, tokenizer.model, spelling)
}

/// Reads what a tokenizer.json has under `model`, or what the library makes of a trained model.
pub(super) fn read_model(path: &Path, model: Value, spelling: Spelling) -> Result<Vocabulary, DataError> {
    let model: BpeJson = serde_json::from_value(model).map_err(not_json(path))?;
    let shared: Arc<Path> = path.into();
    let place_of = |merge: usize| Place::new(&shared, At::Merge(merge + 1));
    let merges = match model.merges {
        MergesJson::Pairs(pairs) => pairs,
        MergesJson::Joined(lines) => {
            let split = |(merge, line): (usize, &String)| split_merge(line, &place_of(merge));
            lines.iter().enumerate().map(split).collect::<Result<_, _>>()?
        }
    };
    Vocabulary::new(path, (&model.vocab, spelling), merges, place_of)
}

fn split_merge(line: &str, place: &Place) -> Result<(String, String), DataError> {
    match line.split(' ').collect::<Vec<_>>()[..] {
        [left, right] if !left.is_empty() && !right.is_empty() => Ok((left.to_string(), right.to_string())),
        _ => Err(DataError::MergeSyntax { place: place.clone(), found: line.to_string() }),
    }
}

pub(super) fn not_json(path: &Path) -> impl FnOnce(serde_json::Error) -> DataError + '_ {
    move |source| DataError::JsonFile { path: path.to_path_buf(), source }
}
