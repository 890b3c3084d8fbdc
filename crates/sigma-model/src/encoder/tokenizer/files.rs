//! The files that a tokenizer is read from, as one tokenizer.json: itself, a BERT's vocab.txt, or vocab.json with
//! merges.txt.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sigma_data::regular_file;

use super::settings::{Class, Settings};
use crate::ModelError;

/// SentencePiece's own format, which only its library reads.
const SENTENCE_PIECE: [&str; 3] = ["sentencepiece.bpe.model", "tokenizer.model", "spiece.model"];

/// The file that decides, and what it says.
pub(super) fn read(folder: &Path, settings: &Settings) -> Result<(PathBuf, Value), ModelError> {
    let [json, word_pieces, vocab, merges] =
        ["tokenizer.json", "vocab.txt", "vocab.json", "merges.txt"].map(|name| folder.join(name));
    if json.exists() {
        let value: Value = super::super::read_json(&json)?;
        if value.is_object() {
            return Ok((json, value));
        }
        return Err(missing(json, "it is no JSON object".to_string()));
    }
    if word_pieces.exists() && settings.class == Class::WordPiece {
        let value = of_word_pieces(&word_pieces, settings)?;
        return Ok((word_pieces, value));
    }
    if vocab.exists() && merges.exists() {
        return Ok((vocab.clone(), of_vocab_and_merges(folder, (&vocab, &merges), settings)?));
    }
    if let Some(name) = SENTENCE_PIECE.into_iter().find(|name| folder.join(name).exists()) {
        let reason = format!(
            "the folder has {name} and no tokenizer.json; load it with AutoTokenizer of transformers and save it \
             again, which writes tokenizer.json"
        );
        return Err(missing(folder.join(name), reason));
    }
    let needed = match settings.class {
        Class::WordPiece => "vocab.txt",
        Class::Roberta => "vocab.json with merges.txt",
        Class::Other => "a vocabulary that its class reads",
    };
    Err(missing(json, format!("it is missing, and so is {needed}")))
}

fn missing(path: PathBuf, reason: String) -> ModelError {
    ModelError::EncoderTokenizer { path, reason }
}

/// One token a line; its id is the number of lines before it.
fn of_word_pieces(path: &Path, settings: &Settings) -> Result<Value, ModelError> {
    let io = |source| ModelError::Io { path: path.to_path_buf(), source };
    let text = String::from_utf8(regular_file::read(path).map_err(io)?)
        .map_err(|_| missing(path.to_path_buf(), "it is not UTF-8".to_string()))?;
    let mut vocab = Map::new();
    for (id, token) in text.strip_suffix('\n').unwrap_or(&text).split('\n').enumerate() {
        vocab.insert(token.strip_suffix('\r').unwrap_or(token).to_string(), json!(id));
    }
    let roles = &settings.roles;
    let unk = roles.get("unk_token").map_or("[UNK]", |token| token.content.as_str());
    if !vocab.contains_key(unk) {
        return Err(missing(path.to_path_buf(), format!("it lacks unk_token, which is `{unk}`")));
    }
    let id = |role: &str| {
        let token = roles.get(role).map(|token| token.content.clone()).unwrap_or_default();
        match vocab.get(&token) {
            Some(id) => Ok((token, id.clone())),
            None => Err(missing(path.to_path_buf(), format!("it lacks {role}, which is `{token}`"))),
        }
    };
    let ((cls, cls_id), (sep, sep_id)) = (id("cls_token")?, id("sep_token")?);
    let token = |token: &str, kind: u8| json!({ "SpecialToken": { "id": token, "type_id": kind } });
    let text = |name: &str, kind: u8| json!({ "Sequence": { "id": name, "type_id": kind } });
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [token(&cls, 0), text("A", 0), token(&sep, 0)],
            "pair": [token(&cls, 0), text("A", 0), token(&sep, 0), text("B", 1), token(&sep, 1)],
            "special_tokens": {
                cls.clone(): { "id": cls, "ids": [cls_id], "tokens": [cls] },
                sep.clone(): { "id": sep, "ids": [sep_id], "tokens": [sep] },
            },
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": unk, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    }))
}

fn of_vocab_and_merges(
    folder: &Path,
    (vocab, merges): (&Path, &Path),
    settings: &Settings,
) -> Result<Value, ModelError> {
    let failed = |reason: String| missing(vocab.to_path_buf(), reason);
    if settings.class != Class::Roberta {
        // a decoder's, with all that is checked of one
        let library = sigma_data::Tokenizer::load(folder)?.into_library();
        return serde_json::to_value(&library).map_err(|e| failed(e.to_string()));
    }
    let ids: BTreeMap<String, u32> = super::super::read_json(vocab)?;
    let text = fs::read_to_string(merges).map_err(|source| ModelError::Io { path: merges.to_path_buf(), source })?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let id = |role: &str| {
        let token = settings.roles.get(role).map(|token| token.content.clone()).unwrap_or_default();
        match ids.get(&token) {
            Some(id) => Ok(json!([token, id])),
            None => Err(failed(format!("it lacks {role}, which is `{token}`"))),
        }
    };
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": {
            "type": "RobertaProcessing", "sep": id("sep_token")?, "cls": id("cls_token")?, "trim_offsets": true,
            "add_prefix_space": false,
        },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": ids, "merges": lines.collect::<Vec<_>>(),
        },
    }))
}
