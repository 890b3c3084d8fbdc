//! What tokenizer_config.json and special_tokens_map.json say of an encoder's tokenizer: special tokens, length, side,
//! and the settings by which transformers overrides tokenizer.json. A key that is not known is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokenizers::{AddedToken, TruncationDirection};

use super::tokens;
use crate::ModelError;
use crate::families::config_file::{ConfigFile, refuse};

/// Keys that change no id of a single text that is cut and not padded.
const HARMLESS: [&str; 49] = [
    "_commit_hash",
    "backend",
    "chat_template",
    "clean_up_tokenization_spaces",
    "errors",
    "cls_token_id",
    "eos_token_id",
    "from_slow",
    "full_tokenizer_file",
    "init_inputs",
    "is_local",
    "keep_accents",
    "legacy",
    "local_files_only",
    "max_length",
    "mask_token_id",
    "max_model_input_sizes",
    "max_seq_length",
    "model_input_names",
    "model_specific_special_tokens",
    "name_or_path",
    "pad_to_multiple_of",
    "pad_token_id",
    "pad_token_type_id",
    "padding_side",
    "processor_class",
    "return_offsets_mapping",
    "return_token_type_ids",
    "sep_token_id",
    "sp_model_kwargs",
    "spaces_between_special_tokens",
    "special_tokens_map_file",
    "stride",
    "tokenizer_file",
    "trim_offsets",
    "truncation",
    "truncation_strategy",
    "trust_remote_code",
    "unk_token_id",
    "use_auth_token",
    "use_default_system_prompt",
    "use_fast",
    "verbose",
    "vocab_file",
    "vocab_size",
    "added_tokens_decoder",
    "additional_special_tokens",
    "extra_special_tokens",
    "bos_token_id",
];

/// The roles of special tokens.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What a tokenizer's class in transformers reads besides tokenizer.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// BERT's, DistilBERT's and MPNet's: three settings stand above those of tokenizer.json.
    WordPiece,
    Roberta,
    Other,
}

#[derive(Debug)]
pub(super) struct Settings {
    path: PathBuf,
    pub(super) class: Class,
    /// Special tokens by their roles.
    pub(super) roles: BTreeMap<&'static str, AddedToken>,
    /// The roles that a file names; the others are those of the class.
    pub(super) named: BTreeSet<&'static str>,
    /// Tokens that have ids.
    pub(super) added: BTreeMap<u32, AddedToken>,
    /// Further special tokens.
    pub(super) extra: Vec<AddedToken>,
    pub(super) model_max_length: Option<usize>,
    /// `None` where nothing is said.
    pub(super) truncation_side: Option<TruncationDirection>,
    lower_case: bool,
    strip_accents: Option<bool>,
    chinese_chars: bool,
    add_prefix_space: Option<bool>,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
}

impl Settings {
    pub(super) fn read(folder: &Path, model_type: &str) -> Result<Self, ModelError> {
        let path = folder.join("tokenizer_config.json");
        let mut keys = ConfigFile::read_if_there(path.clone())?;
        let class = class(keys.some("tokenizer_class").as_ref().and_then(Value::as_str), model_type);
        let map = ConfigFile::read_if_there(folder.join("special_tokens_map.json"))?;
        let (mut roles, mut named) = (tokens::defaults(class, model_type), BTreeSet::new());
        for role in ROLES {
            let value = keys.some(role).or_else(|| map.keys().get(role).filter(|value| !value.is_null()).cloned());
            if let Some(value) = value {
                roles.insert(role, tokens::special(&path, role, &value)?);
                named.insert(role);
            }
        }
        let added = tokens::with_ids(folder, &keys)?;
        let mut extra = tokens::extra(&path, &keys)?;
        extra.extend(tokens::extra(&folder.join("special_tokens_map.json"), &map)?);
        let length = keys.some("model_max_length").or_else(|| keys.some("max_len"));
        keys.ignore(&["max_len", "do_basic_tokenize"]);
        keys.only("split_special_tokens", &[json!(false), Value::Null], "special tokens in a text are tokens")?;
        keys.only("never_split", &[json!([]), Value::Null], "words that are never split are not supported")?;
        keys.only(
            "do_basic_tokenize",
            &[json!(true), Value::Null],
            "texts that are cut at spaces alone are not supported",
        )?;
        let truncation_side = match keys.some("truncation_side") {
            None => None,
            Some(side) if side == "right" => Some(TruncationDirection::Right),
            Some(side) if side == "left" => Some(TruncationDirection::Left),
            Some(other) => return keys.refuse("truncation_side", &other, "it must be right or left"),
        };
        let settings = Self {
            class,
            roles,
            named,
            added,
            extra,
            model_max_length: length.and_then(|length| length_of(&length)),
            truncation_side,
            lower_case: keys.flag("do_lower_case", true)?,
            strip_accents: flag_or_null(&mut keys, "strip_accents")?,
            chinese_chars: keys.flag("tokenize_chinese_chars", true)?,
            add_prefix_space: flag_or_null(&mut keys, "add_prefix_space")?,
            add_bos_token: flag_or_null(&mut keys, "add_bos_token")?,
            add_eos_token: flag_or_null(&mut keys, "add_eos_token")?,
            path,
        };
        keys.finish_with(&HARMLESS)?;
        Ok(settings)
    }

    /// Puts into a tokenizer.json what stands above it.
    pub(super) fn apply(&self, path: &Path, tokenizer: &mut Value) -> Result<(), ModelError> {
        let kind = |value: &Value| value.get("type").and_then(Value::as_str).unwrap_or_default().to_string();
        if let Some(normalizer) = tokenizer.get_mut("normalizer")
            && self.class == Class::WordPiece
            && kind(normalizer) == "BertNormalizer"
        {
            normalizer["lowercase"] = json!(self.lower_case);
            normalizer["strip_accents"] = json!(self.strip_accents);
            normalizer["handle_chinese_chars"] = json!(self.chinese_chars);
        }
        if let (Some(prefix), Some(cut)) = (self.add_prefix_space, tokenizer.get_mut("pre_tokenizer")) {
            match kind(cut).as_str() {
                "ByteLevel" => cut["add_prefix_space"] = json!(prefix),
                "Metaspace" => {
                    let never = cut.get("prepend_scheme").and_then(Value::as_str) == Some("never");
                    if never == prefix {
                        let remedy = "tokenizer.json's pre_tokenizer says otherwise";
                        return refuse(&self.path, "add_prefix_space", &json!(prefix), remedy);
                    }
                }
                _ => {}
            }
        }
        let no_processor = tokenizer.get("post_processor").is_none_or(Value::is_null);
        if let Some(bos) = self.roles.get("bos_token").filter(|_| no_processor && self.add_bos_token == Some(true)) {
            let bos = &bos.content;
            let Some(id) = id_in(tokenizer, bos) else {
                let reason = format!("it has no token `{bos}`, which tokenizer_config.json calls bos_token");
                return Err(ModelError::EncoderTokenizer { path: path.to_path_buf(), reason });
            };
            let first = json!({ "SpecialToken": { "id": bos, "type_id": 0 } });
            let text = |name: &str| json!({ "Sequence": { "id": name, "type_id": 0 } });
            tokenizer["post_processor"] = json!({
                "type": "TemplateProcessing", "single": [first, text("A")], "pair": [first, text("A"), text("B")],
                "special_tokens": { bos.clone(): { "id": bos, "ids": [id], "tokens": [bos] } },
            });
        }
        Ok(())
    }

    /// Refuses `add_bos_token` and `add_eos_token` that say something else than what the tokenizer does.
    pub(super) fn check_ends(&self, path: &Path, library: &tokenizers::Tokenizer) -> Result<(), ModelError> {
        let failed =
            |e: tokenizers::Error| ModelError::EncoderTokenizer { path: path.to_path_buf(), reason: e.to_string() };
        if self.add_bos_token.is_none() && self.add_eos_token.is_none() {
            return Ok(());
        }
        let encoding = library.encode("a", true).map_err(failed)?;
        let is = |role: &str, token: Option<&String>| {
            self.roles.get(role).is_some_and(|special| Some(&special.content) == token)
        };
        let ends = [
            ("add_bos_token", self.add_bos_token, is("bos_token", encoding.get_tokens().first())),
            ("add_eos_token", self.add_eos_token, is("eos_token", encoding.get_tokens().last())),
        ];
        match ends.iter().find(|(_, asked, done)| asked.is_some_and(|asked| asked != *done)) {
            Some((key, asked, _)) => {
                let remedy = format!("what {} does says otherwise", path.display());
                refuse(&self.path, key, &json!(asked), &remedy)
            }
            None => Ok(()),
        }
    }
}

fn class(name: Option<&str>, model_type: &str) -> Class {
    match name.map(|name| name.strip_suffix("Fast").unwrap_or(name)) {
        Some("BertTokenizer" | "DistilBertTokenizer" | "MPNetTokenizer") => Class::WordPiece,
        Some("RobertaTokenizer") => Class::Roberta,
        Some(_) => Class::Other,
        None => match model_type {
            "bert" | "distilbert" | "mpnet" => Class::WordPiece,
            "roberta" => Class::Roberta,
            _ => Class::Other,
        },
    }
}

fn flag_or_null(keys: &mut ConfigFile, key: &str) -> Result<Option<bool>, ModelError> {
    if keys.some(key).is_none() { Ok(None) } else { keys.flag(key, false).map(Some) }
}

/// A length that is none in earnest (transformers writes 1e30) is `None`.
fn length_of(value: &Value) -> Option<usize> {
    let length = value.as_f64().filter(|length| (1.0..1e9).contains(length))?;
    Some(length as usize)
}

/// The id of a token in a tokenizer.json.
fn id_in(tokenizer: &Value, token: &str) -> Option<u64> {
    let added = tokenizer.get("added_tokens").and_then(Value::as_array);
    let added = added.and_then(|all| all.iter().find(|added| added.get("content") == Some(&json!(token))));
    let in_vocabulary = || tokenizer.get("model")?.get("vocab")?.get(token)?.as_u64();
    added.and_then(|added| added.get("id")?.as_u64()).or_else(in_vocabulary)
}
