//! Which tokens end a text: every one that generation_config.json, config.json or the tokenizer calls `eos`.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::Tokenizer;
use super::files::not_json;
use crate::error::DataError;
use crate::{python_json, regular_file};

/// The files of a model's folder that name ends by their ids.
const FILES: [&str; 2] = ["generation_config.json", "config.json"];

#[derive(Deserialize)]
struct IdsJson {
    eos_token_id: Option<OneOrMore>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(u32),
    More(Vec<u32>),
}

/// All ends of a model's texts.
pub fn ends_of_folder(folder: &Path, tokenizer: &Tokenizer) -> Result<BTreeSet<u32>, DataError> {
    let mut ends = BTreeSet::from([tokenizer.eos_id()]);
    for path in FILES.map(|name| folder.join(name)).into_iter().filter(|path| path.is_file()) {
        let json = regular_file::read_to_string(&path).map_err(DataError::read(&path))?;
        let ids: IdsJson = python_json::from_str(&json).map_err(not_json(&path))?;
        match ids.eos_token_id {
            None => {}
            Some(OneOrMore::One(id)) => _ = ends.insert(id),
            Some(OneOrMore::More(ids)) => ends.extend(ids),
        }
    }
    Ok(ends)
}
