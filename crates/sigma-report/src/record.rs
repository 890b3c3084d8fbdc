//! `gen-NNN/record.json`: what one checkpoint used, made and measured. It is written last, so a generation is complete if and only if
//! its record is there. This file holds the fields and their reading and writing; it computes nothing and hashes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{ReportError, Result};
use crate::manifest::{MachineEntry, ProgramEntry, Resolved};
use crate::{exact_float, json_file};

/// Version of the fields below; raised with every change of them.
pub const SCHEMA: u32 = 3;

/// Name of the file in a generation's folder.
pub const FILE_NAME: &str = "record.json";

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

/// Program, machine, devices and precisions that a generation was computed with. They may differ from generation to generation
/// (another commit, another CPU), and then tables and pages name the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArithmeticRecord {
    pub program: ProgramEntry,
    pub machine: MachineEntry,
    pub resolved: Resolved,
}

/// Delete-a-group jackknife intervals over prompts of both drifts, in nats, and Track I with the tail budget held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftRecord {
    #[serde(with = "exact_float::option")]
    pub du_lower: Option<f64>,
    #[serde(with = "exact_float::option")]
    pub du_upper: Option<f64>,
    #[serde(with = "exact_float::option")]
    pub dg_lower: Option<f64>,
    #[serde(with = "exact_float::option")]
    pub dg_upper: Option<f64>,
    /// Groups of prompts.
    pub groups: usize,
    /// Why dU has no interval.
    pub du_missing: Option<String>,
    /// Why dG has no interval.
    pub dg_missing: Option<String>,
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

/// The Sigma-UB numbers of one set of embeddings, in the symbols of the paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigmaNumbers {
    /// Embedded blocks.
    pub n: usize,
    /// Observed blocks: the rows of A.
    pub n_a: usize,
    /// Width of an embedding.
    pub d: usize,
    pub delta: f64,
    /// Energy cap of a row.
    pub rho: f64,
    /// Tail budget (n - n_A) rho (3.15).
    pub beta: f64,
    /// log det(G_A + delta I) (B.13).
    #[serde(with = "exact_float")]
    pub s: f64,
    /// Track II (3.17).
    #[serde(with = "exact_float")]
    pub u_cov: f64,
    /// Track I (3.16).
    #[serde(with = "exact_float")]
    pub g_kf: f64,
    /// Track I with the tail budget of t = 0 in place of `beta`, so that it does not follow n; `None` if t = 0 has no numbers.
    #[serde(with = "exact_float::option")]
    pub g_kf_fixed_beta: Option<f64>,
    /// Track II with every block observed.
    #[serde(with = "exact_float")]
    pub u_cov_full: f64,
    /// Corrected estimate of `u_cov_full` from the observed blocks, with an interval; `None` with the reason below.
    #[serde(with = "exact_float::option")]
    pub full_estimate: Option<f64>,
    #[serde(with = "exact_float::option")]
    pub full_lower: Option<f64>,
    #[serde(with = "exact_float::option")]
    pub full_upper: Option<f64>,
    pub full_missing: Option<String>,
    /// Numerical rank of G_A.
    pub rank: usize,
    #[serde(with = "exact_float")]
    pub condition: f64,
    #[serde(with = "exact_float")]
    pub lambda_max: f64,
    #[serde(with = "exact_float")]
    pub lambda_min: f64,
    /// log det G_A without regularisation; `None` if G_A is singular.
    #[serde(with = "exact_float::option")]
    pub log_det_ga: Option<f64>,
    /// Estimate of the full log-determinant (3.13).
    #[serde(with = "exact_float::option")]
    pub plugin: Option<f64>,
    #[serde(with = "exact_float")]
    pub theorem1_log_lower: f64,
    #[serde(with = "exact_float")]
    pub theorem1_log_upper: f64,
    /// Standard deviation s of (3.11).
    #[serde(with = "exact_float::option")]
    pub theorem3_s: Option<f64>,
    #[serde(with = "exact_float::option")]
    pub theorem3_half_width: Option<f64>,
    /// Asymptotic log ratio of Weyl's bound to the truth (3.8).
    #[serde(with = "exact_float")]
    pub overestimation: f64,
}

/// The same numbers over the prompts of one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketNumbers {
    pub bucket: String,
    pub answers: usize,
    #[serde(with = "exact_float::option")]
    pub distinct_2: Option<f64>,
    #[serde(with = "exact_float::option")]
    pub hhi: Option<f64>,
    /// `None` if no block of the bucket could be embedded.
    pub sigma: Option<SigmaNumbers>,
}

/// Surface-form diversity of the same answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurfaceNumbers {
    /// Unique bigrams / bigrams; `None` without bigrams.
    #[serde(with = "exact_float::option")]
    pub distinct_2: Option<f64>,
    /// Concentration of hashed n-grams; `None` without n-grams.
    #[serde(with = "exact_float::option")]
    pub hhi: Option<f64>,
    /// Unique words / words.
    #[serde(with = "exact_float::option")]
    pub distinct_1: Option<f64>,
    #[serde(with = "exact_float::option")]
    pub distinct_3: Option<f64>,
    #[serde(with = "exact_float::option")]
    pub distinct_4: Option<f64>,
    /// Share of the four-grams of an answer that it has used before.
    #[serde(with = "exact_float::option")]
    pub repeated_4grams: Option<f64>,
    /// Bytes / bytes after DEFLATE.
    #[serde(with = "exact_float::option")]
    pub compression_ratio: Option<f64>,
    /// Mean BLEU-4 of answers against each other; `None` where it is turned off.
    #[serde(with = "exact_float::option")]
    pub self_bleu: Option<f64>,
    pub words: usize,
    #[serde(with = "exact_float")]
    pub mean_words: f64,
}

/// Diversity of the observed embeddings, as in [`sigma_metrics::Diversity`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiversityNumbers {
    #[serde(with = "exact_float")]
    pub effective_rank: f64,
    #[serde(with = "exact_float")]
    pub rank_me: f64,
    #[serde(with = "exact_float")]
    pub vendi_1: f64,
    #[serde(with = "exact_float")]
    pub vendi_2: f64,
    #[serde(with = "exact_float")]
    pub vendi_inf: f64,
    /// `None` for fewer than two rows.
    #[serde(with = "exact_float::option")]
    pub mean_cosine: Option<f64>,
}

impl From<sigma_metrics::Diversity> for DiversityNumbers {
    fn from(measured: sigma_metrics::Diversity) -> Self {
        let sigma_metrics::Diversity { effective_rank, rank_me, vendi_1, vendi_2, vendi_inf, mean_cosine } = measured;
        DiversityNumbers { effective_rank, rank_me, vendi_1, vendi_2, vendi_inf, mean_cosine }
    }
}

/// One more evaluation of the base checkpoint, under another evaluation seed: what a number does although nothing was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisePoint {
    /// Counted from 1.
    pub replicate: u32,
    /// `None` if no block could be embedded.
    pub sigma: Option<SigmaNumbers>,
    pub surface: SurfaceNumbers,
}

/// Perplexities per token, exp of the mean negative log-likelihood in nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerplexityNumbers {
    /// Of this generation's model on real text that it is not trained on.
    #[serde(with = "exact_float::option")]
    pub held_out: Option<f64>,
    /// Of the base model on this generation's answers.
    #[serde(with = "exact_float::option")]
    pub answers_under_base: Option<f64>,
}

impl Record {
    /// Reads and checks a record; every error names `path`.
    pub fn read(path: &Path) -> Result<Record> {
        let record: Record = json_file::read(path, "record of a generation", SCHEMA)?;
        record.check(path)?;
        Ok(record)
    }

    /// Replaces `path` by this record, atomically and durably.
    pub fn write(&self, path: &Path) -> Result<()> {
        json_file::write(path, "record of a generation", self)
    }

    /// What holds for every record whatever the config, and what every later computation leans on.
    fn check(&self, path: &Path) -> Result<()> {
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

pub(crate) fn inconsistent(
    path: &Path,
    field: &'static str,
    expected: impl ToString,
    got: impl ToString,
) -> ReportError {
    ReportError::Inconsistent { path: path.to_path_buf(), field, expected: expected.to_string(), got: got.to_string() }
}
