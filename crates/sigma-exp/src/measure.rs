//! What is measured on the answers of one checkpoint: from texts and embeddings to the numbers of its record.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sigma_data::answers::Answer;
use sigma_metrics::{
    Embeddings, MetricsError, SigmaConfig, SigmaUb, Surface, SurfaceConfig, diversity, observed_rows, sigma_ub, surface,
};
use sigma_report::record::{DiversityNumbers, NoisePoint};
use sigma_report::{BucketNumbers, SigmaNumbers, SurfaceNumbers};

use crate::stage::EmbeddedBlock;

/// Everything that is measured on one generation's answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub sigma: Option<SigmaNumbers>,
    pub buckets: Vec<BucketNumbers>,
    pub surface: SurfaceNumbers,
    pub diversity: Option<DiversityNumbers>,
    pub flags: Vec<String>,
    /// Eigenvalues of G_A, descending; empty without an embedded block. They go into a file of their own.
    #[serde(skip)]
    pub spectrum: Vec<f64>,
}

/// Answers with the blocks cut from them and the blocks' rows (`blocks.len() * dim`).
#[derive(Clone, Copy)]
pub struct Embedded<'a> {
    pub answers: &'a [Answer],
    pub blocks: &'a [EmbeddedBlock],
    pub rows: &'a [f32],
    pub dim: usize,
}

impl Embedded<'_> {
    /// The rows of the answers that `chosen` names, and which of them are observed; none if no observed row is among them.
    fn of(
        self,
        observed: &[usize],
        chosen: impl Fn(usize) -> bool,
    ) -> Result<Option<(Embeddings, Vec<usize>)>, MetricsError> {
        let Self { blocks, rows, dim, .. } = self;
        let members: Vec<usize> = (0..blocks.len()).filter(|i| chosen(blocks[*i].answer)).collect();
        let seen: Vec<usize> = (0..members.len()).filter(|i| observed.binary_search(&members[*i]).is_ok()).collect();
        if seen.is_empty() {
            return Ok(None);
        }
        let values = members.iter().flat_map(|i| rows[i * dim..][..dim].iter().copied()).collect();
        Ok(Some((Embeddings::new(members.len(), dim, values)?, seen)))
    }

    fn observed(self, sigma: &SigmaConfig) -> Vec<usize> {
        let keys: Vec<u64> = self.blocks.iter().map(|block| block.key).collect();
        observed_rows(&keys, sigma.observed)
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.answers.iter().map(|answer| answer.text.as_str())
    }
}

/// One more evaluation of the base checkpoint, as far as the noise floor needs it.
pub fn noise_point(
    replicate: u32,
    embedded: Embedded<'_>,
    sigma: &SigmaConfig,
    proxies: &SurfaceConfig,
) -> Result<NoisePoint> {
    let sigma_ub =
        |(rows, seen): (Embeddings, Vec<usize>)| Ok::<_, MetricsError>(numbers(&sigma_ub(&rows, &seen, None, sigma)?));
    let whole = embedded.of(&embedded.observed(sigma), |_| true)?.map(sigma_ub).transpose()?;
    let surface = surface_numbers(&surface(embedded.texts(), proxies)?);
    Ok(NoisePoint { replicate, sigma: whole, surface })
}

/// Sigma-UB, diversity and the surface proxies, for the whole bank and (tracks and the paper's proxies) for each bucket.
pub fn measure(embedded: Embedded<'_>, sigma: &SigmaConfig, proxies: &SurfaceConfig) -> Result<Measurement> {
    let Embedded { answers, .. } = embedded;
    let observed = embedded.observed(sigma);
    let (mut whole, mut spread, mut spectrum) = (None, None, Vec::new());
    if let Some((rows, seen)) = embedded.of(&observed, |_| true)? {
        let measured = sigma_ub(&rows, &seen, None, sigma).context("Sigma-UB of the whole bank")?;
        spread = Some(diversity(&rows, &seen, &measured.spectrum)?.into());
        whole = Some(numbers(&measured));
        spectrum = measured.spectrum;
    }
    let all = surface(embedded.texts(), proxies)?;

    let mut by_bucket: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, answer) in answers.iter().enumerate() {
        by_bucket.entry(&answer.bucket).or_default().push(i);
    }
    let mut buckets = Vec::new();
    for (bucket, members) in by_bucket {
        let texts = members.iter().map(|i| answers[*i].text.as_str());
        // a record keeps two proxies of a bucket
        let proxy = surface(texts, &SurfaceConfig { self_bleu_texts: 0, ..proxies.clone() })?;
        let of_bucket = embedded.of(&observed, |answer| members.binary_search(&answer).is_ok())?;
        buckets.push(BucketNumbers {
            bucket: bucket.to_string(),
            answers: members.len(),
            distinct_2: proxy.distinct_2,
            hhi: proxy.hhi,
            sigma: of_bucket
                .map(|(rows, seen)| sigma_ub(&rows, &seen, None, sigma).map(|s| numbers(&s)))
                .transpose()
                .with_context(|| format!("Sigma-UB of bucket `{bucket}`"))?,
        });
    }
    let mut flags = Vec::new();
    let empty = answers.iter().filter(|a| a.tokens.is_empty()).count();
    if empty == answers.len() {
        flags.push("all_answers_empty".to_string());
    }
    if whole.as_ref().is_some_and(|s| s.rank < s.d) {
        flags.push("rank_deficient".to_string());
    }
    if let (Some(s), sigma_metrics::Observed::Count(asked)) = (&whole, sigma.observed)
        && s.n_a < asked
    {
        flags.push("fewer_blocks_than_observed".to_string());
    }
    let surface = surface_numbers(&all);
    Ok(Measurement { sigma: whole, buckets, surface, diversity: spread, flags, spectrum })
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

fn numbers(s: &SigmaUb) -> SigmaNumbers {
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
        u_cov_full: s.u_cov_full,
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
