//! Which tokens begin, end and pad a text, as tokenizer_config.json and special_tokens_map.json say, by the rules of
//! `transformers`.

use std::collections::BTreeMap;

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::AddedToken;

use super::config_keys;
use super::files::not_json;
use crate::error::DataError;
use crate::regular_file;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpecialTokens {
    pub(super) bos: Option<AddedToken>,
    pub(super) eos: AddedToken,
    pub(super) unk: Option<AddedToken>,
    pub(super) pad: Option<AddedToken>,
    /// Whether tokenizer_config.json wants BOS before a text, if it says so.
    pub(super) add_bos_token: Option<bool>,
    /// Whether tokenizer_config.json wants a space before a text, if it says so.
    pub(super) add_prefix_space: Option<bool>,
    /// Kept for who chats with the model; no text of an experiment goes through it.
    pub(super) chat_template: Option<Value>,
    /// Tokens with ids, special or not, beyond those of the vocabulary files.
    added: BTreeMap<u32, AddedToken>,
    /// Further special tokens without ids of their own, which follow all others.
    extra: Vec<AddedToken>,
}

impl Default for SpecialTokens {
    /// OPT's.
    fn default() -> Self {
        let end = plain("</s>".to_string());
        Self {
            bos: Some(end.clone()),
            eos: end.clone(),
            unk: Some(end),
            pad: Some(plain("<pad>".to_string())),
            add_bos_token: Some(true),
            add_prefix_space: None,
            chat_template: None,
            added: BTreeMap::new(),
            extra: Vec::new(),
        }
    }
}

impl SpecialTokens {
    pub(super) fn load(folder: &Path) -> Result<Self, DataError> {
        let config_path = folder.join("tokenizer_config.json");
        if let Some(keys) = read_optional(&config_path)? {
            config_keys::warn_of_unknown(&config_path, &keys);
        }
        let config: Option<ConfigJson> = read_optional(&config_path)?;
        // newer configs list all tokens themselves, and then the map beside them is not read
        let self_contained = config.as_ref().is_some_and(|config| !config.added_tokens_decoder.is_empty());
        let map: Option<RolesJson> =
            if self_contained { None } else { read_optional(&folder.join("special_tokens_map.json"))? };
        if config.is_none() && map.is_none() {
            return Ok(Self::default());
        }
        let config = config.unwrap_or_default();
        for (key, value) in
            [("add_eos_token", config.add_eos_token), ("split_special_tokens", config.split_special_tokens)]
        {
            if value == Some(true) {
                let found = format!("{key}: true");
                return Err(DataError::UnsupportedTokenizer { path: config_path, what: "configuration", found });
            }
        }
        let mut map = map.unwrap_or_default();
        let unnamed = |role| DataError::UnnamedSpecialToken { folder: folder.to_path_buf(), role };
        let mut roles = config.roles;
        let lists = [
            config.extra_special_tokens,
            std::mem::take(&mut roles.additional_special_tokens),
            std::mem::take(&mut map.additional_special_tokens),
        ];
        let bos: Option<AddedToken> = map.bos_token.or(roles.bos_token).map(Into::into);
        if bos.is_none() && config.add_bos_token == Some(true) {
            return Err(unnamed("bos_token"));
        }
        let mut added = config.added_tokens_decoder;
        if added.is_empty() {
            added = added_in_file(&folder.join("added_tokens.json"))?;
        }
        Ok(Self {
            bos,
            eos: map.eos_token.or(roles.eos_token).ok_or_else(|| unnamed("eos_token"))?.into(),
            unk: map.unk_token.or(roles.unk_token).map(Into::into),
            pad: map.pad_token.or(roles.pad_token).map(Into::into),
            add_bos_token: config.add_bos_token,
            add_prefix_space: config.add_prefix_space,
            chat_template: config.chat_template,
            added,
            extra: lists.into_iter().flat_map(ExtraJson::into_tokens).map(special).collect(),
        })
    }

    /// Makes the tokens known to the library, and checks that each has the id it should have.
    pub(super) fn add_to(&self, folder: &Path, inner: &mut tokenizers::Tokenizer) -> Result<(), DataError> {
        let failed = super::failed;
        inner.add_tokens(self.added.values().cloned()).map_err(failed(folder))?;
        for (&declared, token) in &self.added {
            let found = inner.token_to_id(&token.content).unwrap_or(declared);
            if found != declared {
                let (folder, token) = (folder.to_path_buf(), token.content.clone());
                return Err(DataError::AddedTokenId { folder, token, declared, found });
            }
        }
        let roles = [
            ("bos_token", self.bos.as_ref()),
            ("eos_token", Some(&self.eos)),
            ("unk_token", self.unk.as_ref()),
            ("pad_token", self.pad.as_ref()),
        ];
        for (role, token) in roles {
            let Some(token) = token else { continue };
            // the library would append it under a new id, of which the model knows nothing
            if inner.token_to_id(&token.content).is_none() {
                return Err(unknown(folder, role, &token.content));
            }
            if !inner.get_added_vocabulary().is_special_token(&token.content) {
                inner.add_special_tokens([token.clone()]).map_err(failed(folder))?;
            }
        }
        inner.add_special_tokens(self.extra.iter().cloned()).map_err(failed(folder))?;
        Ok(())
    }
}

pub(super) fn unknown(folder: &Path, role: &'static str, token: &str) -> DataError {
    DataError::UnknownSpecialToken { folder: folder.to_path_buf(), role, token: token.to_string() }
}

fn plain(content: String) -> AddedToken {
    AddedToken::from(content, true).normalized(true)
}

/// What matters of tokenizer_config.json.
#[derive(Default, Deserialize)]
struct ConfigJson {
    #[serde(flatten)]
    roles: RolesJson,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
    split_special_tokens: Option<bool>,
    add_prefix_space: Option<bool>,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<u32, AddedToken>,
    #[serde(default)]
    extra_special_tokens: ExtraJson,
    chat_template: Option<Value>,
}

/// A list of tokens since transformers 5; before that, tokens by the names of their roles.
#[derive(Deserialize)]
#[serde(untagged)]
enum ExtraJson {
    List(Vec<TokenJson>),
    Roles(BTreeMap<String, TokenJson>),
    Nothing(()),
}

impl Default for ExtraJson {
    fn default() -> Self {
        Self::Nothing(())
    }
}

impl ExtraJson {
    fn into_tokens(self) -> Vec<TokenJson> {
        match self {
            Self::List(tokens) => tokens,
            Self::Roles(tokens) => tokens.into_values().collect(),
            Self::Nothing(()) => Vec::new(),
        }
    }
}

#[derive(Default, Deserialize)]
struct RolesJson {
    bos_token: Option<TokenJson>,
    eos_token: Option<TokenJson>,
    unk_token: Option<TokenJson>,
    pad_token: Option<TokenJson>,
    #[serde(default)]
    additional_special_tokens: ExtraJson,
}

/// A token is written as its text, or as an object with the switches of its matching.
#[derive(Deserialize)]
#[serde(untagged)]
enum TokenJson {
    Text(String),
    Object {
        content: String,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        #[serde(default = "yes")]
        normalized: bool,
    },
}

/// added_tokens.json: the ids of tokens beyond the vocabulary, whose switches nothing says.
fn added_in_file(path: &Path) -> Result<BTreeMap<u32, AddedToken>, DataError> {
    let ids: BTreeMap<String, u32> = read_optional(path)?.unwrap_or_default();
    Ok(ids.into_iter().map(|(token, id)| (id, AddedToken::from(token, false))).collect())
}

/// One that has no role.
fn special(token: TokenJson) -> AddedToken {
    match token {
        TokenJson::Text(content) => AddedToken::from(content, true),
        object @ TokenJson::Object { .. } => object.into(),
    }
}

fn yes() -> bool {
    true
}

impl From<TokenJson> for AddedToken {
    fn from(token: TokenJson) -> Self {
        match token {
            TokenJson::Text(content) => plain(content),
            TokenJson::Object { content, single_word, lstrip, rstrip, normalized } => {
                AddedToken { content, single_word, lstrip, rstrip, normalized, special: true }
            }
        }
    }
}

fn read_optional<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, DataError> {
    if !path.is_file() {
        return Ok(None);
    }
    let json = regular_file::read(path).map_err(DataError::read(path))?;
    serde_json::from_slice(&json).map(Some).map_err(not_json(path))
}
