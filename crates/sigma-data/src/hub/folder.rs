//! A source that is a folder: its files are used where they are, and nothing is ever written there.

use std::path::Path;

use super::error::HubError;
use super::wanted::{self, Choice, Wanted};
use super::{Resolved, shards};

pub(super) fn resolve(folder: &Path, wanted: &[Wanted]) -> Result<Resolved, HubError> {
    if !folder.exists() {
        return Err(HubError::FolderMissing { path: folder.to_owned() });
    }
    if !folder.is_dir() {
        return Err(HubError::NotAFolder { path: folder.to_owned() });
    }
    let missing =
        |what: String, choices: String| HubError::MissingInFolder { folder: folder.to_owned(), what, choices };
    let present = wanted::candidates(wanted).into_iter().filter(|name| folder.join(name).is_file()).collect();
    let choices =
        wanted::choose(wanted, &present).map_err(|lacks| missing(lacks.what.clone(), lacks.choices_in_words()))?;
    let mut files = wanted::names_of(&choices);
    for choice in choices {
        if let Choice::Sharded { index } = choice {
            for shard in wanted::beside(index, shards::named_in(&folder.join(index))?) {
                if !folder.join(&shard).is_file() {
                    return Err(missing(format!("shard `{shard}`"), format!("every shard that `{index}` names")));
                }
                files.push(shard);
            }
        }
    }
    Ok(Resolved { folder: folder.to_owned(), revision: None, files })
}
