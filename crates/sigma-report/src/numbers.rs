//! The numbers of a record: Sigma-UB, the interval of a drift, buckets, surface proxies, diversity, the noise floor,
//! perplexities. Their names are the columns of `metrics.csv`, or nearly so. This file computes nothing.

use serde::{Deserialize, Serialize};

use crate::exact_float;

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
    /// Track I with the tail budget of t = 0 in place of `beta`, so that it does not follow n; `None` if t = 0 has no
    /// numbers.
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

/// One more evaluation of the base checkpoint, under another evaluation seed: what a number does although nothing was
/// trained.
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
