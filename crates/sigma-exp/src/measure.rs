//! What is measured on the answers of one checkpoint: from texts and embeddings to the numbers of its record.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sigma_data::answers::Answer;
use sigma_metrics::{
    Embeddings, MetricsError, SigmaConfig, SigmaUb, Surface, SurfaceConfig, diversity, envelope, sigma_ub, surface,
};
use sigma_report::record::{DiversityNumbers, DriftRecord, NoisePoint};
use sigma_report::{BucketNumbers, Record, SigmaNumbers, SurfaceNumbers};

use crate::drift_interval::drift_record;
use crate::stage::EmbeddedBlock;

/// Everything that is measured on one generation's answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub sigma: Option<SigmaNumbers>,
    pub drift: Option<DriftRecord>,
    pub buckets: Vec<BucketNumbers>,
    pub surface: SurfaceNumbers,
    pub diversity: Option<DiversityNumbers>,
    pub flags: Vec<String>,
    /// Eigenvalues of G_A, descending; empty without an embedded block. They go into a file of their own.
    #[serde(skip)]
    pub spectrum: Vec<f64>,
}

/// Answers with the blocks that are embedded of them and the blocks' rows (`blocks.len() * dim`).
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub answers: &'a [Answer],
    pub blocks: &'a [EmbeddedBlock],
    pub values: &'a [f32],
    pub dim: usize,
}

/// Generation 0, which drifts are against.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    pub record: &'a Record,
    /// Its folder.
    pub folder: &'a Path,
}

impl Base<'_> {
    fn beta(&self) -> Option<f64> {
        self.record.sigma.as_ref().map(|sigma| sigma.beta)
    }

    fn beta_of_bucket(&self, name: &str) -> Option<f64> {
        let bucket = self.record.buckets.iter().find(|bucket| bucket.bucket == name)?;
        bucket.sigma.as_ref().map(|sigma| sigma.beta)
    }
}

impl Rows<'_> {
    /// The rows of the answers that `chosen` names, and which of them are observed; none if no observed row is among
    /// them.
    fn of(self, chosen: impl Fn(usize) -> bool) -> Result<Option<(Embeddings, Vec<usize>)>, MetricsError> {
        let Self { blocks, values, dim, .. } = self;
        let members: Vec<usize> = (0..blocks.len()).filter(|i| chosen(blocks[*i].answer)).collect();
        let seen: Vec<usize> = (0..members.len()).filter(|i| blocks[members[*i]].observed).collect();
        if seen.is_empty() {
            return Ok(None);
        }
        let chosen = members.iter().flat_map(|i| values[i * dim..][..dim].iter().copied()).collect();
        Ok(Some((Embeddings::new(members.len(), dim, chosen)?, seen)))
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.answers.iter().map(|answer| answer.text.as_str())
    }
}

/// One more evaluation of the base checkpoint, as far as the noise floor needs it. `beta` is that of t = 0.
pub fn noise_point(
    replicate: u32,
    rows: Rows<'_>,
    beta: Option<f64>,
    sigma: &SigmaConfig,
    proxies: &SurfaceConfig,
) -> Result<NoisePoint> {
    let sigma_ub = |(rows, seen): (Embeddings, Vec<usize>)| {
        Ok::<_, MetricsError>(numbers(&sigma_ub(&rows, &seen, None, sigma)?, beta))
    };
    let whole = rows.of(|_| true)?.map(sigma_ub).transpose()?;
    let surface = surface_numbers(&surface(rows.texts(), proxies)?);
    Ok(NoisePoint { replicate, sigma: whole, surface })
}

/// Sigma-UB, diversity and the surface proxies, for the whole bank and (tracks and the paper's proxies) for each
/// bucket. Drifts are against `base`; t = 0 has none.
pub fn measure(
    rows: Rows<'_>,
    base: Option<Base<'_>>,
    sigma: &SigmaConfig,
    proxies: &SurfaceConfig,
) -> Result<Measurement> {
    let Rows { answers, .. } = rows;
    let all_rows = rows;
    let (mut whole, mut spread, mut spectrum) = (None, None, Vec::new());
    if let Some((rows, seen)) = all_rows.of(|_| true)? {
        let measured = sigma_ub(&rows, &seen, None, sigma).context("Sigma-UB of the whole bank")?;
        spread = Some(diversity(&rows, &seen, &measured.spectrum)?.into());
        let beta = base.map_or(Some(measured.beta), |base| base.beta());
        whole = Some(numbers(&measured, beta));
        spectrum = measured.spectrum;
    }
    let all = surface(all_rows.texts(), proxies)?;

    let mut by_bucket: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, answer) in answers.iter().enumerate() {
        by_bucket.entry(&answer.bucket).or_default().push(i);
    }
    let mut buckets = Vec::new();
    for (bucket, members) in by_bucket {
        let texts = members.iter().map(|i| answers[*i].text.as_str());
        // a record keeps two proxies of a bucket
        let proxy = surface(texts, &SurfaceConfig { self_bleu_texts: 0, ..proxies.clone() })?;
        let of_bucket = all_rows.of(|answer| members.binary_search(&answer).is_ok())?;
        buckets.push(BucketNumbers {
            bucket: bucket.to_string(),
            answers: members.len(),
            distinct_2: proxy.distinct_2,
            hhi: proxy.hhi,
            sigma: of_bucket
                .map(|(rows, seen)| {
                    let measured = sigma_ub(&rows, &seen, None, sigma)?;
                    let beta = base.map_or(Some(measured.beta), |base| base.beta_of_bucket(bucket));
                    Ok::<_, MetricsError>(numbers(&measured, beta))
                })
                .transpose()
                .with_context(|| format!("Sigma-UB of bucket `{bucket}`"))?,
        });
    }
    let mut flags = Vec::new();
    if answers.iter().all(Answer::is_empty) {
        flags.push("all_answers_empty".to_string());
    }
    if let Some(whole) = &whole {
        flags.extend(flags_of(whole, base.and_then(|base| base.record.sigma.as_ref())));
    }
    // where nothing is observed at either checkpoint there is no drift
    let measured_before = base.filter(|base| whole.is_some() && base.record.sigma.is_some());
    let drift = measured_before.map(|base| drift_record(all_rows, base, sigma)).transpose()?;
    let surface = surface_numbers(&all);
    Ok(Measurement { sigma: whole, drift, buckets, surface, diversity: spread, flags, spectrum })
}

fn surface_numbers(s: &Surface) -> SurfaceNumbers {
    SurfaceNumbers {
        distinct_1: s.distinct_1,
        distinct_2: s.distinct_2,
        distinct_3: s.distinct_3,
        distinct_4: s.distinct_4,
        hhi: s.hhi,
        repeated_4grams: s.repeated_4grams,
        compression_ratio: s.compression_ratio,
        self_bleu: s.self_bleu,
        words: s.words,
        mean_words: s.mean_words.unwrap_or(0.0),
    }
}

/// What a reader must know before trusting the tracks of one checkpoint.
fn flags_of(now: &SigmaNumbers, base: Option<&SigmaNumbers>) -> Vec<String> {
    let found = [
        ("rank_deficient", now.rank < now.d),
        ("theorem3_below_10_d", now.n_a < 10 * now.d),
        ("n_differs", base.is_some_and(|base| base.n != now.n)),
        ("n_a_differs", base.is_some_and(|base| base.n_a != now.n_a)),
    ];
    found.into_iter().filter(|(_, holds)| *holds).map(|(flag, _)| flag.to_string()).collect()
}

/// The numbers for the record; `beta` is the tail budget of t = 0.
fn numbers(s: &SigmaUb, beta: Option<f64>) -> SigmaNumbers {
    SigmaNumbers {
        n: s.n,
        n_a: s.n_a,
        d: s.d,
        delta: s.delta,
        rho: s.rho,
        beta: s.beta,
        s: s.s,
        u_cov: s.u_cov,
        g_kf: s.g_kf,
        g_kf_fixed_beta: beta.map(|beta| envelope(&s.spectrum, beta, s.delta)),
        u_cov_full: s.u_cov_full,
        full_estimate: s.full.as_ref().map(|full| full.estimate),
        full_lower: s.full.as_ref().map(|full| full.lower),
        full_upper: s.full.as_ref().map(|full| full.upper),
        full_missing: s.full_missing.clone(),
        rank: s.rank,
        condition: s.condition,
        lambda_max: s.lambda_max,
        lambda_min: s.lambda_min,
        log_det_ga: s.log_det_ga,
        plugin: s.plugin,
        theorem1_log_lower: s.theorem1.log_lower,
        theorem1_log_upper: s.theorem1.log_upper,
        theorem3_s: s.theorem3.as_ref().map(|t| t.s),
        theorem3_half_width: s.theorem3.as_ref().map(|t| t.half_width),
        overestimation: s.overestimation,
    }
}
