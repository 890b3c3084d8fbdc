//! Reads which shards an index file names. The index may come from anyone, so a name that could leave its folder is an
//! error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::error::HubError;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The shards that the index at `path` names, which stand beside it.
pub(super) fn named_in(path: &Path) -> Result<BTreeSet<String>, HubError> {
    let bytes = std::fs::read(path).map_err(|source| HubError::io(path, "the index", source))?;
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|source| HubError::Index { path: path.to_owned(), source })?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    match shards.iter().find(|shard| !is_plain(shard)) {
        Some(shard) => Err(HubError::ShardName { path: path.to_owned(), shard: shard.clone() }),
        None if shards.is_empty() => Err(HubError::EmptyIndex { path: path.to_owned() }),
        None => Ok(shards),
    }
}

fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':', '\0'])
}
