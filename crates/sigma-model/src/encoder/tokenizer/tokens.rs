//! The tokens that an encoder's folder names beside its vocabulary: in added_tokens_decoder, added_tokens.json, by
//! roles and in lists. The tokenizer knows the union of all.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sigma_data::DataError;
use tokenizers::AddedToken;

use super::settings::{Class, Settings};
use crate::ModelError;
use crate::families::config_file::{ConfigFile, refuse};

/// Roles that a class has without being told.
pub(super) fn defaults(class: Class, model_type: &str) -> BTreeMap<&'static str, AddedToken> {
    let roles: &[(&'static str, &str)] = match class {
        Class::WordPiece if model_type == "mpnet" => &[
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("sep_token", "</s>"),
            ("cls_token", "<s>"),
            ("unk_token", "[UNK]"),
            ("pad_token", "<pad>"),
            ("mask_token", "<mask>"),
        ],
        Class::WordPiece => &[
            ("unk_token", "[UNK]"),
            ("sep_token", "[SEP]"),
            ("pad_token", "[PAD]"),
            ("cls_token", "[CLS]"),
            ("mask_token", "[MASK]"),
        ],
        Class::Roberta => &[
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("sep_token", "</s>"),
            ("cls_token", "<s>"),
            ("unk_token", "<unk>"),
            ("pad_token", "<pad>"),
            ("mask_token", "<mask>"),
        ],
        Class::Other => &[],
    };
    // a mask takes the space before it along, where words have theirs
    let token = |role: &str, token: &str| {
        AddedToken::from(token.to_string(), true).lstrip(role == "mask_token" && token == "<mask>")
    };
    roles.iter().map(|(role, content)| (*role, token(role, content))).collect()
}

/// A special token: its text, or an object with the switches of its matching.
pub(super) fn special(path: &Path, role: &str, value: &Value) -> Result<AddedToken, ModelError> {
    if let Some(content) = value.as_str() {
        return Ok(AddedToken::from(content.to_string(), true));
    }
    object(value, true).map_or_else(|| refuse(path, role, value, "it must be a token"), Ok)
}

fn object(value: &Value, special: bool) -> Option<AddedToken> {
    let content = value.get("content")?.as_str()?.to_string();
    let flag = |key: &str, default: bool| value.get(key).and_then(Value::as_bool).unwrap_or(default);
    let special = flag("special", special);
    Some(AddedToken {
        content,
        single_word: flag("single_word", false),
        lstrip: flag("lstrip", false),
        rstrip: flag("rstrip", false),
        normalized: flag("normalized", !special),
        special,
    })
}

/// The tokens that have ids: those of tokenizer_config.json, and of added_tokens.json.
pub(super) fn with_ids(folder: &Path, keys: &ConfigFile) -> Result<BTreeMap<u32, AddedToken>, ModelError> {
    let mut added = BTreeMap::new();
    let file = ConfigFile::read_if_there(folder.join("added_tokens.json"))?;
    for (token, id) in file.keys() {
        let Some(number) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
            return file.refuse(token, id, "it must be the id of a token");
        };
        added.insert(number, AddedToken::from(token.clone(), false));
    }
    if let Some(decoder) = keys.keys().get("added_tokens_decoder") {
        let tokens = decoder.as_object().into_iter().flatten();
        let token = |(id, token): (&String, &Value)| Some((id.parse().ok()?, object(token, false)?));
        match tokens.map(token).collect::<Option<Vec<(u32, AddedToken)>>>() {
            Some(tokens) if decoder.is_object() => added.extend(tokens),
            _ => return keys.refuse("added_tokens_decoder", decoder, "it must have a token for each id"),
        }
    }
    Ok(added)
}

/// Special tokens beyond the roles: a list, or tokens by roles of their own.
pub(super) fn extra(path: &Path, keys: &ConfigFile) -> Result<Vec<AddedToken>, ModelError> {
    let mut extra = Vec::new();
    for key in ["additional_special_tokens", "extra_special_tokens"] {
        let tokens: Vec<&Value> = match keys.keys().get(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list.iter().collect(),
            Some(Value::Object(roles)) => roles.values().collect(),
            Some(other) => return refuse(path, key, other, "it must be a list of tokens"),
        };
        for token in tokens {
            extra.push(special(path, key, token)?);
        }
    }
    Ok(extra)
}

/// Makes all of them known to the library, and checks that each has the id that it should have.
pub(super) fn add(folder: &Path, settings: &Settings, library: &mut tokenizers::Tokenizer) -> Result<(), ModelError> {
    let path = folder.join("tokenizer_config.json");
    let failed = |e: tokenizers::Error| ModelError::EncoderTokenizer { path: path.clone(), reason: e.to_string() };
    library.add_tokens(settings.added.values().cloned()).map_err(failed)?;
    for (&declared, token) in &settings.added {
        let found = library.token_to_id(&token.content).unwrap_or(declared);
        if found != declared {
            let token = token.content.clone();
            return Err(DataError::AddedTokenId { folder: folder.to_path_buf(), token, declared, found }.into());
        }
    }
    // what a class has by default and the vocabulary lacks, no text is meant to hold
    let in_vocabulary = |token: &AddedToken| library.token_to_id(&token.content).is_some();
    let roles = settings.roles.iter().filter(|(role, token)| settings.named.contains(*role) || in_vocabulary(token));
    let tokens: Vec<&AddedToken> = roles.map(|(_, token)| token).chain(&settings.extra).collect();
    for token in tokens {
        if !library.get_added_vocabulary().is_special_token(&token.content) {
            library.add_special_tokens([token.clone()]).map_err(failed)?;
        }
    }
    Ok(())
}
