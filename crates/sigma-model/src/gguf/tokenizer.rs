//! tokenizer.json, tokenizer_config.json and generation_config.json from the keys of a GGUF file, for byte-level BPE.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::metadata::Metadata;
use super::pre_tokenizer::{self, PreTokenizer};
use super::{FETCH_AGAIN, TAKE_FOLDER};
use crate::ModelError;

/// What is read below; other keys of the tokenizer are refused, but for ids of further roles, which change no text.
const READ: [&str; 15] = [
    "tokenizer.chat_template",
    "tokenizer.ggml.add_bos_token",
    "tokenizer.ggml.add_eos_token",
    "tokenizer.ggml.add_space_prefix",
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.model",
    "tokenizer.ggml.padding_token_id",
    "tokenizer.ggml.pre",
    // of SentencePiece; BPE has ranks instead
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.unknown_token_id",
    // other templates than the one that is kept
    "tokenizer.chat_templates",
];

/// Further tokens that end a text: a turn, a message.
const OTHER_ENDS: [&str; 2] = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// Numbers of `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// Ids of special tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) pad: Option<u32>,
    unk: Option<u32>,
    /// All that end a text, eos first.
    ends: Vec<u32>,
}

pub(super) struct Tokenizer<'a> {
    pub(super) roles: Roles,
    tokens: Vec<&'a str>,
    types: Vec<i32>,
    merges: Vec<&'a str>,
    pre: PreTokenizer,
    add_bos: bool,
    chat_template: Option<&'a str>,
}

/// Reads and checks everything about texts; the embedding has `rows` rows.
pub(super) fn read(metadata: &Metadata, rows: u64) -> Result<Tokenizer<'_>, ModelError> {
    for key in metadata.keys().into_iter().filter(|key| key.starts_with("tokenizer.")) {
        let template = key.starts_with("tokenizer.chat_template.");
        if !READ.contains(&key) && !template && !key.ends_with("_token_id") {
            return Err(metadata.refuse(key, "is not known here and might change texts", TAKE_FOLDER));
        }
    }
    let model = metadata.needed_text("tokenizer.ggml.model")?;
    if model != "gpt2" {
        let problem = format!("is `{model}`; only byte-level BPE, `gpt2`, is read");
        return Err(metadata.refuse("tokenizer.ggml.model", problem, TAKE_FOLDER));
    }
    let name = metadata.needed_text("tokenizer.ggml.pre")?;
    let pre = pre_tokenizer::of(name).ok_or_else(|| {
        let problem = format!("is `{name}`, not one of {}", pre_tokenizer::KNOWN);
        metadata.refuse("tokenizer.ggml.pre", problem, TAKE_FOLDER)
    })?;
    for key in ["tokenizer.ggml.add_eos_token", "tokenizer.ggml.add_space_prefix"] {
        if metadata.flag(key)? == Some(true) {
            return Err(metadata.refuse(key, "is true, which no model with this tokenizer has", TAKE_FOLDER));
        }
    }
    let tokens = metadata.texts("tokenizer.ggml.tokens")?;
    if tokens.len() as u64 != rows {
        let problem = format!("has {} tokens, but the embedding has {rows} rows", tokens.len());
        return Err(metadata.refuse("tokenizer.ggml.tokens", problem, FETCH_AGAIN));
    }
    let types = metadata.whole_numbers("tokenizer.ggml.token_type")?;
    let merges = metadata.texts("tokenizer.ggml.merges")?;
    let used = check_tokens(metadata, &tokens, &types)?;
    check_merges(metadata, &merges, &used)?;
    let roles = read_roles(metadata, &tokens, &types)?;
    let add_bos = metadata.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(pre.add_bos);
    if add_bos && roles.bos.is_none() {
        let problem = "is missing, but texts are to begin with it (tokenizer.ggml.add_bos_token)";
        return Err(metadata.refuse("tokenizer.ggml.bos_token_id", problem, TAKE_FOLDER));
    }
    let chat_template = metadata.text("tokenizer.chat_template")?;
    Ok(Tokenizer { roles, tokens, types, merges, pre, add_bos, chat_template })
}

/// The tokens that texts can have, by their text.
fn check_tokens<'a>(
    metadata: &Metadata,
    tokens: &[&'a str],
    types: &[i32],
) -> Result<BTreeMap<&'a str, u32>, ModelError> {
    if types.len() != tokens.len() {
        let problem = format!("has {} types, but there are {} tokens", types.len(), tokens.len());
        return Err(metadata.refuse("tokenizer.ggml.token_type", problem, FETCH_AGAIN));
    }
    let mut used = BTreeMap::new();
    for ((token, kind), id) in tokens.iter().zip(types).zip(0..) {
        let refuse = |problem: String| metadata.refuse("tokenizer.ggml.tokens", problem, TAKE_FOLDER);
        match *kind {
            UNUSED => continue,
            NORMAL | CONTROL | USER_DEFINED => {}
            other => {
                let problem = format!("has the type {other} for token {id}, which byte-level BPE does not have");
                return Err(metadata.refuse("tokenizer.ggml.token_type", problem, TAKE_FOLDER));
            }
        }
        if token.is_empty() {
            return Err(refuse(format!("has an empty token, {id}")));
        }
        match used.entry(*token) {
            Entry::Occupied(first) => return Err(refuse(format!("has {token:?} twice, as {} and {id}", first.get()))),
            Entry::Vacant(place) => _ = place.insert(id),
        }
    }
    Ok(used)
}

/// The library that reads the tokenizer panics on merges that do not fit its vocabulary.
fn check_merges(metadata: &Metadata, merges: &[&str], used: &BTreeMap<&str, u32>) -> Result<(), ModelError> {
    for (merge, number) in merges.iter().zip(1..) {
        let fits = match merge.split(' ').collect::<Vec<_>>()[..] {
            [left, right] => [left, right, &format!("{left}{right}")].iter().all(|token| used.contains_key(token)),
            _ => false,
        };
        if !fits {
            let problem = format!("has {merge:?} as number {number}, which does not join two tokens to a third");
            return Err(metadata.refuse("tokenizer.ggml.merges", problem, FETCH_AGAIN));
        }
    }
    Ok(())
}

fn read_roles(metadata: &Metadata, tokens: &[&str], types: &[i32]) -> Result<Roles, ModelError> {
    let id = |key: &str| match metadata.number(key)? {
        Some(id) if id as usize >= tokens.len() || types[id as usize] == UNUSED => {
            Err(metadata.refuse(key, format!("is {id}, which is no token"), FETCH_AGAIN))
        }
        id => Ok(id),
    };
    let eos = id("tokenizer.ggml.eos_token_id")?;
    let mut ends: Vec<u32> = eos.into_iter().collect();
    for key in OTHER_ENDS {
        ends.extend(id(key)?.filter(|end| !ends.contains(end)));
    }
    Ok(Roles {
        bos: id("tokenizer.ggml.bos_token_id")?,
        eos,
        pad: id("tokenizer.ggml.padding_token_id")?,
        unk: id("tokenizer.ggml.unknown_token_id")?,
        ends,
    })
}

impl Tokenizer<'_> {
    fn token(&self, id: Option<u32>) -> Option<&str> {
        id.map(|id| self.tokens[id as usize])
    }

    /// What tokenizer.json calls added: it is found in a text before the text is cut.
    fn added(&self) -> impl Iterator<Item = (usize, Map<String, Value>)> {
        let kinds = self.types.iter().enumerate();
        kinds.filter(|(_, kind)| [CONTROL, USER_DEFINED].contains(kind)).map(|(id, kind)| {
            let token = json!({
                "content": self.tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *kind == CONTROL,
            });
            let Value::Object(token) = token else { unreachable!("it is written as an object") };
            (id, token)
        })
    }

    pub(super) fn generation_config(&self) -> Value {
        let Roles { bos, eos, pad, ends, .. } = &self.roles;
        let eos = if ends.len() > 1 { json!(ends) } else { json!(eos) };
        let ids = [("bos_token_id", json!(bos)), ("eos_token_id", eos), ("pad_token_id", json!(pad))];
        ids.into_iter().filter(|(_, id)| !id.is_null()).map(|(key, id)| (key.to_string(), id)).collect()
    }

    pub(super) fn tokenizer_config(&self, max_positions: u64) -> Value {
        let added: Map<String, Value> =
            self.added().map(|(id, token)| (id.to_string(), Value::Object(token))).collect();
        let Roles { bos, eos, pad, unk, .. } = self.roles;
        json!({
            "add_bos_token": self.add_bos,
            "add_prefix_space": false,
            "added_tokens_decoder": added,
            "bos_token": self.token(bos),
            "chat_template": self.chat_template,
            "clean_up_tokenization_spaces": false,
            "eos_token": self.token(eos),
            "model_max_length": max_positions,
            "pad_token": self.token(pad),
            // the classes named after families build a tokenizer of their own and read only the vocabulary
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": self.token(unk),
        })
    }

    pub(super) fn tokenizer_json(&self) -> impl Serialize {
        let added = self.added().map(|(id, mut token)| {
            token.insert("id".to_string(), id.into());
            token
        });
        TokenizerJson {
            version: "1.0",
            truncation: None,
            padding: None,
            added_tokens: added.collect(),
            normalizer: self.pre.normalizer.clone(),
            pre_tokenizer: self.pre.pre_tokenizer.clone(),
            post_processor: self.post_processor(),
            decoder: pre_tokenizer::decoder(),
            model: BpeJson {
                r#type: "BPE",
                dropout: None,
                unk_token: None,
                continuing_subword_prefix: None,
                end_of_word_suffix: None,
                fuse_unk: false,
                byte_fallback: false,
                ignore_merges: self.pre.ignore_merges,
                vocab: Vocab { tokens: &self.tokens, types: &self.types },
                merges: &self.merges,
            },
        }
    }

    /// Puts BOS before a text.
    fn post_processor(&self) -> Value {
        let (true, Some(id), Some(bos)) = (self.add_bos, self.roles.bos, self.token(self.roles.bos)) else {
            return Value::Null;
        };
        let special = |type_id: u8| json!({"SpecialToken": {"id": bos, "type_id": type_id}});
        let text = |name: &str, type_id: u8| json!({"Sequence": {"id": name, "type_id": type_id}});
        json!({
            "type": "TemplateProcessing",
            "single": [special(0), text("A", 0)],
            "pair": [special(0), text("A", 0), special(1), text("B", 1)],
            "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
        })
    }
}

#[derive(Serialize)]
struct TokenizerJson<'a> {
    version: &'static str,
    truncation: Option<()>,
    padding: Option<()>,
    added_tokens: Vec<Map<String, Value>>,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: BpeJson<'a>,
}

#[derive(Serialize)]
struct BpeJson<'a> {
    r#type: &'static str,
    dropout: Option<f32>,
    unk_token: Option<&'a str>,
    continuing_subword_prefix: Option<&'a str>,
    end_of_word_suffix: Option<&'a str>,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: Vocab<'a>,
    merges: &'a [&'a str],
}

/// Tokens and their ids, in the order of ids, without those that no text has.
struct Vocab<'a> {
    tokens: &'a [&'a str],
    types: &'a [i32],
}

impl Serialize for Vocab<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = self.tokens.iter().zip(self.types).enumerate();
        serializer.collect_map(all.filter(|(_, (_, kind))| **kind != UNUSED).map(|(id, (token, _))| (token, id)))
    }
}
