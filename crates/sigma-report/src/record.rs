//! `gen-NNN/record.json`: what one checkpoint used, made and measured. It is written last, so a generation is complete
//! if and only if its record is there. This file holds the fields and their reading and writing; it computes nothing
//! and hashes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::chain::hash_of;
use crate::error::{ReportError, Result};
use crate::manifest::{MachineEntry, ProgramEntry, Resolved};
use crate::shown::shown_in_line;
use crate::{exact_float, json_file, run_files};

pub use crate::numbers::{
    BucketNumbers, DiversityNumbers, DriftRecord, NoisePoint, PerplexityNumbers, SigmaNumbers, SurfaceNumbers,
};

/// Version of the fields below; raised with every change of them.
pub const SCHEMA: u32 = 3;

/// Name of the file in a generation's folder.
pub const FILE_NAME: &str = "record.json";

/// Name of the file of a generation's answers.
pub const RESPONSES_FILE_NAME: &str = "responses.jsonl";

const NOUN: &str = "record of a generation";

/// Among the inputs of a record: the config as a whole.
pub const CONFIG_INPUT: &str = "config";

/// Where the weights of a generation start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// Every generation restarts from the base checkpoint: only the data recurse.
    S1,
    /// Every generation continues from the one before: data and weights recurse.
    S2,
}

impl Setting {
    /// As in configs and file names: `s1`, `s2`.
    pub fn name(self) -> &'static str {
        match self {
            Setting::S1 => "s1",
            Setting::S2 => "s2",
        }
    }

    /// As in tables and figures: `S1`, `S2`.
    pub fn title(self) -> &'static str {
        match self {
            Setting::S1 => "S1",
            Setting::S2 => "S2",
        }
    }
}

/// One checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// t
    pub generation: u32,
    /// The experiment that it belongs to: `experiment_hash` of the start that made it.
    pub experiment: String,
    /// What it rests on: the hash of the record before ([`Record::read_hashed`]); at t = 1 [`Record::origin`] of t = 0,
    /// whose evaluation may be made again alone; `None` at t = 0.
    pub previous: Option<String>,
    pub setting: Setting,
    /// Hash of the weights that training started from; `None` at t = 0, where nothing is trained.
    pub starting_weights: Option<String>,
    /// The same in words: `base`, `gen-003`.
    pub starting_from: String,
    /// Hash of the weights this generation ended with.
    pub weights: String,
    /// What computed this generation.
    pub arithmetic: ArithmeticRecord,
    /// BLAKE3 of everything used, by name: config, contexts, prompts, tokenizer, encoder, ...
    pub inputs: BTreeMap<String, String>,
    /// What lies in the generation's folder, by file name; the record itself excepted.
    pub files: BTreeMap<String, FileEntry>,
    pub mixture: MixtureRecord,
    /// `None` at t = 0.
    pub training: Option<TrainingRecord>,
    /// `None` at t = 0, and where the mixture holds no synthetic block.
    pub regeneration: Option<RegenerationRecord>,
    pub evaluation: EvaluationRecord,
    pub embedding: EmbeddingRecord,
    /// Measured over the whole prompt bank; `None` if no block could be embedded (see `flags`).
    pub sigma: Option<SigmaNumbers>,
    /// Intervals of the drifts against t = 0; `None` at t = 0 itself, and where `sigma` of either is.
    pub drift: Option<DriftRecord>,
    pub buckets: Vec<BucketNumbers>,
    pub surface: SurfaceNumbers,
    /// Of the rows that `sigma` is measured over; `None` if that is.
    pub diversity: Option<DiversityNumbers>,
    /// Evaluations of the base checkpoint under other evaluation seeds; empty after t = 0.
    pub noise: Vec<NoisePoint>,
    pub perplexity: Option<PerplexityNumbers>,
    /// Things a reader must know before trusting the numbers: `rank_deficient`, `all_answers_empty`, ...
    pub flags: Vec<String>,
    /// RFC 3339.
    pub started: String,
    /// RFC 3339.
    pub finished: String,
    pub seconds: f64,
}

/// Program, machine, devices and precisions that a generation was computed with. They may differ from generation to
/// generation (another commit, another CPU), and then tables and pages name the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArithmeticRecord {
    pub program: ProgramEntry,
    pub machine: MachineEntry,
    pub resolved: Resolved,
}

/// A file in a generation's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    pub bytes: u64,
    pub blake3: String,
}

/// The blocks a generation was trained on; all zero at t = 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureRecord {
    /// `real` + `synthetic`
    pub blocks: usize,
    pub real: usize,
    pub synthetic: usize,
    /// `replace`, `accumulate`, `accumulate_subsample`
    pub mode: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    pub steps: usize,
    pub epochs: usize,
    #[serde(with = "exact_float")]
    pub first_loss: f64,
    #[serde(with = "exact_float")]
    pub last_loss: f64,
    #[serde(with = "exact_float")]
    pub mean_loss_last_epoch: f64,
    pub tokens: u64,
    pub seconds: f64,
    #[serde(with = "exact_float")]
    pub tokens_per_second: f64,
    #[serde(with = "exact_float")]
    pub grad_norm_max: f64,
    /// Steps that loss scaling threw away.
    pub skipped_steps: usize,
    /// How far training moved the weights: L2 norm of the change / L2 norm of the weights that it started from.
    #[serde(with = "exact_float")]
    pub weight_distance: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegenerationRecord {
    pub samples: usize,
    pub tokens: u64,
    pub seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationRecord {
    pub answers: usize,
    /// Answers without a word.
    pub empty: usize,
    /// Answers that the encoder did not read to their end, or whose windows leave a rest.
    pub truncated: usize,
    /// Share of the answers' characters that the encoder read; 1 where there are none.
    #[serde(with = "exact_float")]
    pub read_share: f64,
    pub stopped_at_eos: usize,
    #[serde(with = "exact_float")]
    pub mean_tokens: f64,
    /// Texts that were embedded, one row each.
    pub blocks: usize,
    pub seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingRecord {
    pub encoder: String,
    pub dim: usize,
    pub seconds: f64,
}

impl Record {
    /// Reads and checks a record; every error names `path`.
    pub fn read(path: &Path) -> Result<Record> {
        Ok(Record::read_hashed(path)?.record)
    }

    /// The same with the hash of the file, by which the record after it refers to it.
    pub fn read_hashed(path: &Path) -> Result<HashedRecord> {
        let text = json_file::text(path)?;
        let mut record: Record = json_file::parse(&text, path, NOUN, SCHEMA)?;
        record.check(path)?;
        for bucket in &mut record.buckets {
            bucket.bucket = shown_in_line(&bucket.bucket);
        }
        Ok(HashedRecord { hash: hash_of(text.as_bytes()), record })
    }

    /// Replaces `path` by this record, atomically and durably; the hash of the file.
    pub fn write(&self, path: &Path) -> Result<String> {
        let text = json_file::bytes(path, NOUN, self)?;
        run_files::replace(path, &text)?;
        Ok(hash_of(&text))
    }

    /// Whether both have answers, and the same ones.
    pub(crate) fn has_answers_of(&self, other: &Record) -> bool {
        match (self.files.get(RESPONSES_FILE_NAME), other.files.get(RESPONSES_FILE_NAME)) {
            (Some(ours), Some(theirs)) => ours.blake3 == theirs.blake3,
            _ => false,
        }
    }

    /// Stands for what later generations have of generation 0: the content of its inputs, and its weights. Not for its
    /// evaluation, nor for its config, of which some keys change no number.
    pub fn origin(&self) -> String {
        let inputs = self.inputs.iter().filter(|(name, _)| *name != CONFIG_INPUT);
        let lines: String = inputs.map(|(name, hash)| format!("{name}={hash}\n")).collect();
        hash_of(format!("{lines}weights={}\n", self.weights).as_bytes())
    }

    /// What holds for every record whatever the config, and what every later computation leans on.
    pub(crate) fn check(&self, path: &Path) -> Result<()> {
        let MixtureRecord { blocks, real, synthetic, .. } = self.mixture;
        if real.checked_add(synthetic) != Some(blocks) {
            return Err(inconsistent(
                path,
                "mixture.blocks",
                format!("real + synthetic = {real} + {synthetic}"),
                blocks,
            ));
        }
        if self.generation > 0 && !self.noise.is_empty() {
            return Err(inconsistent(path, "noise", "nothing after generation 0", self.noise.len()));
        }
        if let Some(name) = self.files.keys().find(|name| !run_files::stays_inside(name)) {
            return Err(inconsistent(path, "files", "names of files in the generation's folder", name));
        }
        let of_buckets = self.buckets.iter().filter_map(|bucket| bucket.sigma.as_ref());
        let of_noise = self.noise.iter().filter_map(|noise| noise.sigma.as_ref());
        for sigma in self.sigma.iter().chain(of_buckets).chain(of_noise) {
            if sigma.n_a > sigma.n {
                return Err(inconsistent(path, "n_a", format!("at most n = {}", sigma.n), sigma.n_a));
            }
        }
        Ok(())
    }
}

/// A record with the hash of its file.
#[derive(Clone, Debug, PartialEq)]
pub struct HashedRecord {
    pub hash: String,
    pub record: Record,
}

pub(crate) fn inconsistent(
    path: &Path,
    field: &'static str,
    expected: impl ToString,
    got: impl ToString,
) -> ReportError {
    ReportError::Inconsistent { path: path.to_path_buf(), field, expected: expected.to_string(), got: got.to_string() }
}
