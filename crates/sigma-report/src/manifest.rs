//! `manifest.json`: what a run is, once per run folder: the experiment, the program and machine that made it, and the
//! sources it read. It holds no numbers of the paper; those are in the records.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::json_file;
use crate::record::{Setting, inconsistent};
use crate::shown::shown_in_line;

/// Version of the fields below; raised with every change of them.
pub const SCHEMA: u32 = 2;

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
    pub sources: SourcesEntry,
    /// Hash of config.yaml as it was written last.
    pub config_hash: String,
    /// Stands for all that makes the numbers but the seed: runs with the same one are repetitions of one experiment.
    pub condition_hash: String,
    /// The same with the seed: a run resumes only under the same one.
    pub experiment_hash: String,
    /// The same without the setting and the real fraction: what curves over the real fraction have in common.
    pub family_hash: String,
    /// Every start of the run, the first one first.
    pub starts: Vec<StartEntry>,
    /// The hash of each complete generation's record. That of the newest may be missing after a kill; see
    /// [`crate::chain`].
    pub records: BTreeMap<u32, String>,
}

/// Devices and precisions of a run. They are part of what makes its numbers, so they are chosen once, at its first
/// start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// `cpu`, `cuda:0`
    pub device: String,
    pub evaluation_device: String,
    /// Of matrix products in training and in writing the pool: `f32`, `f16`, `bf16`.
    pub precision: String,
    /// The same of the evaluation.
    pub evaluation_precision: String,
    /// Rows that a GPU decodes together for the pool; `None` on the CPU.
    pub pool_rows: Option<usize>,
    /// Rows that a GPU decodes together for the answers; `None` on the CPU.
    pub answer_rows: Option<usize>,
}

/// One start of a run: when, by which program, on which machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartEntry {
    /// RFC 3339.
    pub at: String,
    /// The first generation that was not complete.
    pub generation: u32,
    pub program: ProgramEntry,
    pub machine: MachineEntry,
    /// The run's `experiment_hash` from here on: another one after an accepted change of device.
    pub experiment_hash: String,
    /// What `auto` stands for. It is what the start before had, unless the user allowed another device
    /// (`--accept-device-change`).
    pub resolved: Resolved,
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
    /// The maker's name of the GPU, with the versions of what computes there.
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
        let mut manifest: Manifest = json_file::read(path, "manifest of a run", SCHEMA)?;
        for name in [&mut manifest.name, &mut manifest.domain] {
            *name = shown_in_line(name);
        }
        if manifest.starts.is_empty() {
            return Err(inconsistent(path, "starts", "at least one start", 0));
        }
        Ok(manifest)
    }

    /// The newest start. [`Manifest::read`] refuses a manifest without one.
    pub fn latest(&self) -> Option<&StartEntry> {
        self.starts.last()
    }

    /// Replaces `path` by this manifest, atomically and durably.
    pub fn write(&self, path: &Path) -> Result<()> {
        json_file::write(path, "manifest of a run", self)
    }
}
