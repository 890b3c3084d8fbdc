//! Which token stands before every text. tokenizer.json's post-processor decides; where it has none,
//! tokenizer_config.json does. A bos id in config.json decides nothing, and two files that disagree are refused.

use std::path::Path;

use super::{Tokenizer, failed};
use crate::error::DataError;

/// A text that has at least one token.
const PROBE: &str = "a";

/// The BOS of a tokenizer that was loaded from tokenizer.json.
pub(super) fn of_tokenizer_json(folder: &Path, tokenizer: &Tokenizer) -> Result<Option<u32>, DataError> {
    let path = folder.join("tokenizer.json");
    let asked = tokenizer.special_tokens.add_bos_token;
    if tokenizer.inner.get_post_processor().is_none() {
        return Ok(tokenizer.bos.filter(|_| asked == Some(true) && folder.join("tokenizer_config.json").is_file()));
    }
    let added = added(&path, tokenizer)?;
    let disagree = |problem: String| DataError::Beginning { folder: folder.to_path_buf(), problem };
    match (added, asked, tokenizer.bos) {
        (None, Some(true), _) => Err(disagree(
            "add_bos_token is true in tokenizer_config.json, but tokenizer.json's post_processor adds nothing"
                .to_string(),
        )),
        (Some(token), Some(false), _) => Err(disagree(format!(
            "add_bos_token is false in tokenizer_config.json, but tokenizer.json's post_processor adds token {token}"
        ))),
        (Some(token), _, Some(bos)) if token != bos => Err(disagree(format!(
            "bos_token is token {bos} for tokenizer_config.json or special_tokens_map.json, but tokenizer.json's \
             post_processor adds token {token}"
        ))),
        (added, ..) => Ok(added),
    }
}

/// What the post-processor puts before a text.
fn added(path: &Path, tokenizer: &Tokenizer) -> Result<Option<u32>, DataError> {
    let ids = |special| match tokenizer.inner.encode(PROBE, special) {
        Ok(encoding) => Ok(encoding.get_ids().to_vec()),
        Err(source) => Err(failed(path)(source)),
    };
    let (bare, whole) = (ids(false)?, ids(true)?);
    match whole.strip_suffix(&bare[..]) {
        Some([]) => Ok(None),
        Some(&[token]) => Ok(Some(token)),
        _ => Err(DataError::UnsupportedTokenizer {
            path: path.to_path_buf(),
            what: "post_processor",
            found: format!("one that makes {whole:?} of {bare:?}, where at most one token may come first"),
        }),
    }
}
