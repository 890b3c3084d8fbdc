//! Whether a tokenizer puts a space before a text, and whether tokenizer_config.json says the same.

use std::path::Path;

use serde_json::Value;

use crate::error::DataError;

/// SentencePiece's letter for a space.
const SPACE: &str = "\u{2581}";

/// What the parts of a tokenizer.json do.
pub(super) fn of_tokenizer_json(json: &[u8]) -> bool {
    let Ok(tokenizer) = serde_json::from_slice::<Value>(json) else { return false };
    let parts = |key: &str, list: &str| match tokenizer.get(key) {
        Some(part) => part.get(list).and_then(Value::as_array).cloned().unwrap_or_else(|| vec![part.clone()]),
        None => Vec::new(),
    };
    let text = |part: &Value, key: &str| part.get(key).and_then(Value::as_str).map(str::to_string);
    let prepends = |part: &Value| text(part, "prepend").is_some_and(|prepend| prepend == SPACE || prepend == " ");
    let prefixes = |part: &Value| match text(part, "type").as_deref() {
        Some("ByteLevel") => part.get("add_prefix_space") == Some(&Value::Bool(true)),
        Some("Metaspace") => match text(part, "prepend_scheme") {
            Some(scheme) => scheme != "never",
            None => part.get("add_prefix_space") != Some(&Value::Bool(false)),
        },
        _ => false,
    };
    parts("normalizer", "normalizers").iter().any(prepends)
        || parts("pre_tokenizer", "pretokenizers").iter().any(prefixes)
}

/// Refuses an `add_prefix_space` that says something else than what is done.
pub(super) fn check(folder: &Path, asked: Option<bool>, done: bool) -> Result<(), DataError> {
    match asked {
        Some(asked) if asked != done => {
            let path = folder.join("tokenizer_config.json");
            let found = format!("add_prefix_space: {asked}, while the vocabulary's own file does otherwise");
            Err(DataError::UnsupportedTokenizer { path, what: "configuration", found })
        }
        _ => Ok(()),
    }
}
