//! `manifest.json`: what a run is, once per run folder: the experiment, the program and machine that made it, and the sources it read.
//! It holds no numbers of the paper; those are in the records.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::json_file;
use crate::record::Setting;

/// Version of the fields below; raised with every change of them.
pub const SCHEMA: u32 = 1;

/// Name of the file in a run's folder.
pub const FILE_NAME: &str = "manifest.json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always [`SCHEMA`].
    pub schema: u32,
    pub name: String,
    pub domain: String,
    pub setting: Setting,
    /// T: the run has the checkpoints t = 0..=T.
    pub generations: u32,
    pub seed: u64,
    /// RFC 3339.
    pub created: String,
    pub program: ProgramEntry,
    pub machine: MachineEntry,
    pub sources: SourcesEntry,
    /// Hash of the resolved config: a run goes on only under the same one.
    pub config_hash: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramEntry {
    pub version: String,
    /// `None` if built outside a repository.
    pub commit: Option<String>,
    /// Whether the tree differed from `commit` when built.
    pub dirty: bool,
    /// `rustc 1.96.0 (...)`
    #[serde(default)]
    pub compiler: Option<String>,
    /// Versions of the libraries that compute, by name.
    #[serde(default)]
    pub libraries: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineEntry {
    pub os: String,
    pub arch: String,
    pub cpu: String,
    /// Which of the instruction sets that decide the arithmetic the CPU has.
    pub cpu_features: Vec<String>,
    pub threads: usize,
    /// `cpu`, `cuda:0`
    pub device: String,
    pub gpu: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourcesEntry {
    pub model: ModelSource,
    pub encoder: ModelSource,
    pub corpus: CorpusSource,
    pub prompts: PromptsSource,
}

/// A base model or an encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSource {
    /// A folder or a hub id.
    pub source: String,
    /// The commit that the hub id resolved to; `None` for a folder.
    pub revision: Option<String>,
    /// Over weights, config and tokenizer.
    pub hash: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusSource {
    /// A path, or `org/dataset[@revision]/file` on the hub.
    pub path: String,
    /// The commit that a hub id resolved to; `None` for a path.
    pub revision: Option<String>,
    pub hash: String,
    pub documents: usize,
    pub contexts: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptsSource {
    /// As for the corpus.
    pub path: String,
    pub revision: Option<String>,
    pub hash: String,
    pub count: usize,
}

impl Manifest {
    /// Reads a manifest; every error names `path`.
    pub fn read(path: &Path) -> Result<Manifest> {
        json_file::read(path, "manifest of a run", SCHEMA)
    }

    /// Replaces `path` by this manifest, atomically and durably.
    pub fn write(&self, path: &Path) -> Result<()> {
        json_file::write(path, "manifest of a run", self)
    }
}
