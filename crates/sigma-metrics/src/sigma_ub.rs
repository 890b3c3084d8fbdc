//! The Sigma-UB measurement of one checkpoint (Algorithm 1): both tracks, (3.16) and (3.17), with every quantity they
//! rest on and the bounds of Theorems 1 and 3. Drifts against a baseline (3.18) need a second checkpoint and live in
//! [`crate::drift`].

use serde::{Deserialize, Serialize};

use crate::accumulator::check_width;
use crate::cholesky::Cholesky;
use crate::full::{FullVolume, LARGEST_RIDGE_SHIFT, ObservedVolume, full_volume};
use crate::gram::Gram;
use crate::spectrum::Spectrum;
use crate::statistics::sample_std;
use crate::theorem3::Sizes;
use crate::{Embeddings, MetricsError, NoInterval, SigmaConfig, Theorem1, Theorem3, overestimation};

/// How far ||v||^2 may exceed rho, as a fraction of rho, before a row is refused: float32 normalisation (or float16
/// storage) leaves norms that are not exactly 1.
pub const ENERGY_TOLERANCE: f64 = 1e-3;

/// Everything measured on one checkpoint. Log-volumes are in nats. G_A = A^T A is d x d, over the observed rows A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SigmaUb {
    /// Blocks in all: the rows given, or the stated total.
    pub n: usize,
    /// Observed blocks.
    pub n_a: usize,
    /// Width of the embeddings.
    pub d: usize,
    /// Ridge.
    pub delta: f64,
    /// Energy cap on ||v||^2.
    pub rho: f64,
    /// Tail budget (n - n_A) rho (3.15).
    pub beta: f64,
    /// S_k = log det(G_A + delta I), by Cholesky (B.13).
    pub s: f64,
    /// Track II: S_k - d log n_A (3.17).
    pub u_cov: f64,
    /// Track I, the Ky Fan envelope: sum_i log(1 + lambda_i / (beta + delta)) >= 0 (3.16).
    pub g_kf: f64,
    /// Track II over all rows given, observed or not; `u_cov` itself if all are observed.
    pub u_cov_full: f64,
    /// Eigenvalues of G_A above max(n_A, d) * eps * lambda_max.
    pub rank: usize,
    /// `rank < d`: G_A is singular, and quantities without ridge do not exist.
    pub rank_deficient: bool,
    /// (lambda_max + delta) / (lambda_min + delta).
    pub condition: f64,
    /// Largest eigenvalue of G_A.
    pub lambda_max: f64,
    /// Smallest eigenvalue of G_A; rounding below zero is cut off.
    pub lambda_min: f64,
    /// log det G_A without ridge. None if `rank_deficient`.
    pub log_det_ga: Option<f64>,
    /// Plug-in estimate of the full log-determinant, log det G_A + d log(n / n_A) (3.13). None if `rank_deficient`.
    pub plugin: Option<f64>,
    /// Deterministic bounds on log det(G + delta I).
    pub theorem1: Theorem1,
    /// The paper's asymptotic interval for the full log-determinant, which is about n_A >> d. None if n_A = 1.
    pub theorem3: Option<Theorem3>,
    /// U_n = log det G_n - d log n over all n rows, without ridge, with an interval that covers. None where
    /// `full_missing` says why.
    pub full: Option<FullVolume>,
    /// Why `full` is None.
    pub full_missing: Option<String>,
    /// Asymptotic log ratio of Weyl's bound to the stochastic value (3.8), over lambda_i + delta.
    pub overestimation: f64,
    /// Eigenvalues of G_A, descending, d of them. Not serialised: empty after a round trip.
    #[serde(skip)]
    pub spectrum: Vec<f64>,
}

/// Measures one checkpoint.
///
/// `rows` are its embeddings. `observed` names the rows of A, ascending ([`crate::observed_rows`]); `config.observed`
/// is not read. `total` replaces the number of blocks n where more were written than are given here; then
/// lambda_max(G_B) of Theorem 1 is unknown and capped by beta, unless the total is just the number of rows.
///
/// # Errors
/// A setting out of range ([`MetricsError::Config`]), an observed set that is empty or malformed, a total below n_A, a
/// row above the energy cap, embeddings too wide for a d x d matrix, or a ridge so small that G_A + delta I is singular
/// in float64 ([`MetricsError::NotPositiveDefinite`]).
pub fn sigma_ub(
    rows: &Embeddings,
    observed: &[usize],
    total: Option<usize>,
    config: &SigmaConfig,
) -> Result<SigmaUb, MetricsError> {
    config.validate()?;
    let SigmaConfig { observed: _, delta, rho, confidence } = *config;
    check_width(rows.d())?;
    check_observed(rows, observed)?;
    check_energy(rows, rho)?;
    let (n, n_a, d) = (total.unwrap_or(rows.n()), observed.len(), rows.d());
    if n < n_a {
        return Err(MetricsError::Total { total: n, n_a });
    }
    let beta = (n - n_a) as f64 * rho;

    let g_a = Gram::of(rows, observed);
    let cholesky = Cholesky::of(&g_a, delta)?;
    let spectrum = Spectrum::of(&g_a)?;
    let s = cholesky.log_det();
    let u_cov = track_two(s, d, n_a);

    let unobserved = complement(rows.n(), observed);
    let (u_cov_full, lambda_b_known) = if unobserved.is_empty() {
        (u_cov, 0.0)
    } else {
        let g_b = Gram::of(rows, &unobserved);
        let s_full = Cholesky::of(&g_a.plus(&g_b), delta)?.log_det();
        (track_two(s_full, d, rows.n()), Spectrum::of(&g_b)?.largest())
    };
    let lambda_b_exact = n == rows.n();
    let lambda_b = if lambda_b_exact { lambda_b_known } else { beta };

    let rank = spectrum.rank(n_a);
    let log_det_ga = if rank == d { bare_log_det(&g_a)? } else { None };
    let log_growth = d as f64 * (n as f64 / n_a as f64).ln();
    let forms = cholesky.quadratic_forms(rows, observed);
    let gamma = n_a as f64 / n as f64;
    let full = match log_det_ga {
        None => Err(NoInterval::RankDeficient { rank, d }),
        Some(_) if n > n_a && spectrum.ridge_shift(delta) > LARGEST_RIDGE_SHIFT => {
            let (lambda_min, moved) = (spectrum.smallest(), spectrum.ridge_shift(delta));
            Err(NoInterval::Ridge { delta, lambda_min, moved })
        }
        // a ridge this small does not show in the leverages
        Some(log_det) => {
            let all: Vec<usize> = (0..rows.n()).collect();
            let copies = 1.0 - rows.distinct(&all) as f64 / rows.n() as f64;
            let distinct = rows.distinct(observed);
            full_volume(&ObservedVolume { log_det, leverages: &forms, d, distinct, copies }, n, confidence)
        }
    };

    Ok(SigmaUb {
        n,
        n_a,
        d,
        delta,
        rho,
        beta,
        s,
        u_cov,
        g_kf: spectrum.log_volume_over(beta + delta),
        u_cov_full,
        rank,
        rank_deficient: rank < d,
        condition: spectrum.condition(delta),
        lambda_max: spectrum.largest(),
        lambda_min: spectrum.smallest(),
        log_det_ga,
        plugin: log_det_ga.map(|log_det| log_det + log_growth),
        theorem1: Theorem1::of(&spectrum, delta, lambda_b, lambda_b_exact),
        theorem3: Theorem3::of(sample_std(&forms), Sizes { n, n_a, d }, s + log_growth, confidence),
        full_missing: full.as_ref().err().map(ToString::to_string),
        full: full.ok(),
        overestimation: overestimation(gamma, spectrum.descending().iter().map(|lambda| lambda + delta)),
        spectrum: spectrum.into_descending(),
    })
}

/// U_cov = S - d log n (3.17).
pub(crate) fn track_two(s: f64, d: usize, n: usize) -> f64 {
    s - d as f64 * (n as f64).ln()
}

/// log det G_A without ridge. A matrix that passes the rank test by a hair may still fail to factor: then it is as good
/// as singular.
pub(crate) fn bare_log_det(g_a: &Gram) -> Result<Option<f64>, MetricsError> {
    match Cholesky::of(g_a, 0.0) {
        Ok(cholesky) => Ok(Some(cholesky.log_det())),
        Err(MetricsError::NotPositiveDefinite { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

pub(crate) fn check_observed(rows: &Embeddings, observed: &[usize]) -> Result<(), MetricsError> {
    let n = rows.n();
    if observed.is_empty() {
        return Err(MetricsError::NothingObserved { n });
    }
    if let Some(pair) = observed.windows(2).find(|pair| pair[1] <= pair[0]) {
        return Err(MetricsError::ObservedOrder { previous: pair[0], row: pair[1] });
    }
    match observed.iter().find(|&&row| row >= n) {
        Some(&row) => Err(MetricsError::ObservedOutOfRange { row, n }),
        None => Ok(()),
    }
}

fn check_energy(rows: &Embeddings, rho: f64) -> Result<(), MetricsError> {
    for row in 0..rows.n() {
        let energy = rows.energy(row);
        if energy > rho * (1.0 + ENERGY_TOLERANCE) {
            return Err(MetricsError::Energy { row, norm: energy.sqrt(), cap: rho.sqrt() });
        }
    }
    Ok(())
}

/// The rows below n that are not observed, ascending.
fn complement(n: usize, observed: &[usize]) -> Vec<usize> {
    let mut rest = observed.iter().copied().peekable();
    (0..n).filter(|row| rest.next_if_eq(row).is_none()).collect()
}
