//! Which files of a sentence encoder's folder decide what it computes: what its modules.json names is part of it. Their
//! contents are not looked at here.

use std::path::{Path, PathBuf};

use super::folder::{SETTINGS, modules};
use crate::ModelError;
use crate::weights::Weights;

/// Files of the folder itself.
const OF_FOLDER: [&str; 2] = ["modules.json", "config_sentence_transformers.json"];

/// Files beside a model's weights.
const OF_MODEL: [&str; 9] = [
    "config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "1_Pooling/config.json",
];

/// All files of `folder` that decide what its encoder computes, in a fixed order.
///
/// # Errors
/// A modules.json or an index of shards that cannot be read, or a folder without weights.
pub fn decisive_files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let mut files: Vec<PathBuf> = OF_FOLDER.map(|name| folder.join(name)).into();
    let modules = modules(folder)?.unwrap_or_default();
    let transformer = modules.iter().find(|module| module.kind == "Transformer");
    let model = transformer.map_or_else(|| folder.to_path_buf(), |module| folder.join(&module.path));
    files.extend(OF_MODEL.iter().chain(&SETTINGS).map(|name| model.join(name)));
    files.extend(modules.iter().map(|module| folder.join(&module.path).join("config.json")));
    files.retain(|path| path.exists());
    files.extend(Weights::files(&model)?);
    for module in modules.iter().filter(|module| has_weights(&module.kind)) {
        files.extend(Weights::files(&folder.join(&module.path))?);
    }
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|path| seen.insert(path.clone()));
    Ok(files)
}

/// What modules.json of `folder` names: the folder of each module, and what kind of files it needs.
///
/// # Errors
/// A modules.json that cannot be read.
pub fn wanted_of_modules(folder: &Path) -> Result<Vec<ModuleFiles>, ModelError> {
    let of = |module: super::folder::Module| ModuleFiles {
        is_transformer: module.kind == "Transformer",
        has_weights: has_weights(&module.kind),
        // the only one that may go without, because older versions wrote none
        may_lack_config: matches!(module.kind.as_str(), "Normalize" | "Dropout"),
        path: module.path,
    };
    Ok(modules(folder)?.unwrap_or_default().into_iter().map(of).collect())
}

/// The needs of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFiles {
    /// Inside the encoder's folder; empty for the folder itself.
    pub path: String,
    pub is_transformer: bool,
    pub has_weights: bool,
    pub may_lack_config: bool,
}

fn has_weights(kind: &str) -> bool {
    matches!(kind, "Dense" | "LayerNorm")
}
