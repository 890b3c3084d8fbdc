//! Diversity of the observed embeddings beside the two tracks: how many directions they fill, by four published counts
//! of the spectrum of G_A, and how alike two of them are on average. Like the tracks it sees vectors only; the texts
//! behind them are not known here.
//!
//! Counts are effective numbers: k directions of equal weight count k, one direction counts 1. All fall when a model
//! collapses.

use serde::{Deserialize, Serialize};

use crate::sigma_ub::check_observed;
use crate::spectrum::rank_tolerance;
use crate::{Embeddings, MetricsError};

/// Added to every share in RankMe, as in its paper (equation 1 there).
const RANK_ME_EPSILON: f64 = 1e-7;

/// Diversity of one set of embeddings: A is its n_A x d matrix, lambda_i the eigenvalues of G_A = A^T A, sigma_i =
/// sqrt(lambda_i) the singular values of A. Logarithms are natural. Without energy (every row zero) the counts are 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diversity {
    /// Effective rank, exp(-sum p_i log p_i) with p_i = sigma_i / sum sigma, in \[1, rank\]: Roy and Vetterli, "The
    /// effective rank: a measure of effective dimensionality", EUSIPCO 2007.
    pub effective_rank: f64,
    /// RankMe, the same with p_i = sigma_i / sum sigma + 1e-7 over min(n_A, d) values, zeros included: Garrido et al.,
    /// ICML 2023.
    pub rank_me: f64,
    /// Vendi score of order 1, exp(-sum p_i log p_i) with p_i = lambda_i / sum lambda, in \[1, rank\]: Friedman and
    /// Dieng, TMLR 2023.
    pub vendi_1: f64,
    /// Order 2, 1 / sum p_i^2: Pasarkar and Dieng, "Cousins of the Vendi score", AISTATS 2024.
    pub vendi_2: f64,
    /// Order infinity, 1 / max p_i: the same.
    pub vendi_inf: f64,
    /// Mean cosine of two different rows, in [-1 / (m - 1), 1] over the m rows that are not zero. None for m < 2.
    pub mean_cosine: Option<f64>,
}

/// Measures the observed rows. `observed` ascends, as in [`crate::sigma_ub()`]; `spectrum` is [`crate::SigmaUb`]'s for
/// the same rows: the d eigenvalues of G_A.
///
/// The kernel of the Vendi scores is the cosine, K = A A^T for rows of unit norm. Its eigenvalues other than zero are
/// those of G_A, so no n_A x n_A matrix is made. K / n_A has trace 1 for such rows; rows that were rounded have not
/// quite, so shares are taken of the trace that is found. Eigenvalues within the rounding of the largest (the tolerance
/// of [`crate::SigmaUb::rank`]) count as zero.
///
/// # Errors
/// An observed set that is empty or malformed, a spectrum that is not d numbers ([`MetricsError::SpectrumLength`]), or
/// one that is no spectrum of a Gram matrix ([`MetricsError::Eigenvalue`]).
pub fn diversity(rows: &Embeddings, observed: &[usize], spectrum: &[f64]) -> Result<Diversity, MetricsError> {
    check_observed(rows, observed)?;
    let (n_a, d) = (observed.len(), rows.d());
    if spectrum.len() != d {
        return Err(MetricsError::SpectrumLength { values: spectrum.len(), d });
    }
    if let Some(index) = spectrum.iter().position(|value| !value.is_finite() || *value < 0.0) {
        return Err(MetricsError::Eigenvalue { index, value: spectrum[index] });
    }
    let largest = spectrum.iter().copied().fold(0.0, f64::max);
    Ok(of_spectrum(spectrum, rank_tolerance(n_a, d, largest), n_a, mean_cosine(rows, observed)))
}

/// The counts of the d eigenvalues of G_A, of which those up to `tolerance` are as good as zero.
pub(crate) fn of_spectrum(spectrum: &[f64], tolerance: f64, n_a: usize, mean_cosine: Option<f64>) -> Diversity {
    let lambda: Vec<f64> = spectrum.iter().copied().filter(|&value| value > tolerance).collect();
    let singular: Vec<f64> = lambda.iter().map(|value| value.sqrt()).collect();
    let (by_energy, by_singular) = (shares(&lambda), shares(&singular));
    Diversity {
        effective_rank: effective_number(&by_singular),
        rank_me: rank_me(&by_singular, n_a.min(spectrum.len())),
        vendi_1: effective_number(&by_energy),
        vendi_2: inverse(by_energy.iter().map(|p| p * p).sum()),
        vendi_inf: inverse(by_energy.iter().copied().fold(0.0, f64::max)),
        mean_cosine,
    }
}

/// Positive values over their sum.
fn shares(values: &[f64]) -> Vec<f64> {
    // Over the largest first, so that no sum overflows.
    let largest = values.iter().copied().fold(0.0, f64::max);
    let total: f64 = values.iter().map(|value| value / largest).sum();
    values.iter().map(|value| value / largest / total).collect()
}

/// exp of the Shannon entropy of positive shares; 0 for none.
fn effective_number(shares: &[f64]) -> f64 {
    if shares.is_empty() { 0.0 } else { (-shares.iter().map(|p| p * p.ln()).sum::<f64>()).exp() }
}

fn rank_me(shares: &[f64], values: usize) -> f64 {
    if shares.is_empty() {
        return 0.0;
    }
    let zeros = values.saturating_sub(shares.len()) as f64;
    let entropy = |p: f64| -p * p.ln();
    let positive: f64 = shares.iter().map(|p| entropy(p + RANK_ME_EPSILON)).sum();
    (positive + zeros * entropy(RANK_ME_EPSILON)).exp()
}

fn inverse(concentration: f64) -> f64 {
    if concentration > 0.0 { concentration.recip() } else { 0.0 }
}

/// (|sum u|^2 - sum |u|^2) / (m (m - 1)) over the m rows that are not zero, brought to unit norm: linear in m, where
/// the mean over all pairs is quadratic.
fn mean_cosine(rows: &Embeddings, observed: &[usize]) -> Option<f64> {
    let mut sum = vec![0.0; rows.d()];
    let (mut count, mut energy) = (0usize, 0.0);
    for &row in observed {
        let norm = rows.energy(row).sqrt();
        if norm == 0.0 {
            continue;
        }
        for (sum, &value) in sum.iter_mut().zip(rows.row(row)) {
            let value = f64::from(value) / norm;
            *sum += value;
            energy += value * value;
        }
        count += 1;
    }
    let total: f64 = sum.iter().map(|sum| sum * sum).sum();
    let pairs = count as f64 * (count as f64 - 1.0);
    (count > 1).then(|| ((total - energy) / pairs).clamp(-1.0, 1.0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::gram::Gram;
    use crate::spectrum::Spectrum;

    fn measured(d: usize, rows: &[&[f32]]) -> Diversity {
        let rows = Embeddings::new(rows.len(), d, rows.concat()).unwrap();
        let observed: Vec<usize> = (0..rows.n()).collect();
        let spectrum = Spectrum::of(&Gram::of(&rows, &observed)).unwrap();
        diversity(&rows, &observed, spectrum.descending()).unwrap()
    }

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-12 * expected.abs().max(1.0)
    }

    #[test]
    fn identical_rows_count_one() {
        let found = measured(3, &[&[0.0, 0.6, 0.8][..]; 5]);
        for count in [found.effective_rank, found.vendi_1, found.vendi_2, found.vendi_inf] {
            assert!(near(count, 1.0), "{found:?}");
        }
        // min(5, 3) = 3 values, two of them zero: (1 + e) log (1 + e) + 2 e log e for e = 1e-7.
        let e = 1e-7f64;
        assert!(near(found.rank_me, (-(1.0 + e) * (1.0 + e).ln() - 2.0 * e * e.ln()).exp()), "{found:?}");
        assert!(near(found.mean_cosine.unwrap(), 1.0));
    }

    #[test]
    fn k_orthonormal_rows_count_k_however_often_each_is_repeated() {
        let basis: [&[f32]; 4] =
            [&[1.0, 0.0, 0.0, 0.0], &[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 0.0], &[0.0, 0.0, 0.0, 1.0]];
        for (rows, k) in [(&basis[..2], 2.0), (&basis[..], 4.0), (&[basis, basis].concat()[..], 4.0)] {
            let found = measured(4, rows);
            for count in [found.effective_rank, found.vendi_1, found.vendi_2, found.vendi_inf] {
                assert!(near(count, k), "{found:?}");
            }
        }
        assert_eq!(measured(4, &basis).mean_cosine, Some(0.0));
    }

    /// Three rows along one axis and one along another: lambda = (3, 1), sigma = (sqrt 3, 1), and of 12 ordered pairs 6
    /// are alike.
    #[test]
    fn two_clusters_are_counted_by_hand() {
        let found = measured(2, &[&[1.0, 0.0], &[1.0, 0.0], &[1.0, 0.0], &[0.0, 1.0]]);
        assert!(near(found.vendi_1, 4.0 / 3f64.powf(0.75)), "{found:?}");
        assert!(near(found.vendi_2, 1.6) && near(found.vendi_inf, 4.0 / 3.0), "{found:?}");
        let (p, q) = (3f64.sqrt() / (3f64.sqrt() + 1.0), 1.0 / (3f64.sqrt() + 1.0));
        assert!(near(found.effective_rank, p.powf(-p) * q.powf(-q)), "{found:?}");
        assert_eq!(found.mean_cosine, Some(0.5));
        assert!(near(measured(2, &[&[1.0, 0.0], &[-1.0, 0.0]]).mean_cosine.unwrap(), -1.0));
    }

    #[test]
    fn rows_of_zeros_and_single_rows_are_defined() {
        let zero = measured(2, &[&[0.0, 0.0][..]; 3]);
        assert_eq!(
            (zero.effective_rank, zero.rank_me, zero.vendi_1, zero.vendi_2, zero.vendi_inf),
            (0.0, 0.0, 0.0, 0.0, 0.0)
        );
        assert_eq!(zero.mean_cosine, None);
        let one = measured(2, &[&[0.0, 1.0], &[0.0, 0.0]]);
        assert_eq!((one.vendi_1, one.mean_cosine), (1.0, None));
    }

    #[test]
    fn what_is_no_spectrum_of_these_rows_is_refused() {
        let rows = Embeddings::new(2, 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
        assert_eq!(diversity(&rows, &[], &[1.0, 1.0]), Err(MetricsError::NothingObserved { n: 2 }));
        assert_eq!(diversity(&rows, &[0, 2], &[1.0, 1.0]), Err(MetricsError::ObservedOutOfRange { row: 2, n: 2 }));
        // As after a round trip through JSON, which drops the spectrum.
        assert_eq!(diversity(&rows, &[0, 1], &[]), Err(MetricsError::SpectrumLength { values: 0, d: 2 }));
        let error = diversity(&rows, &[0, 1], &[1.0, -1e-3]);
        assert_eq!(error, Err(MetricsError::Eigenvalue { index: 1, value: -1e-3 }));
        assert!(diversity(&rows, &[0, 1], &[f64::NAN, 1.0]).is_err());
    }
}
