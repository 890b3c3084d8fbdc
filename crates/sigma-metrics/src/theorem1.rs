//! Theorem 1: deterministic bounds det G_A <= det G <= prod_i (lambda_i(G_A) + lambda_max(G_B)) of the full Gram matrix
//! G = G_A + G_B (3.4), in logarithms and with the ridge; and how far Weyl's upper bound overshoots in the long run
//! (3.8).

use serde::{Deserialize, Serialize};

use crate::spectrum::Spectrum;

/// Bounds on log det(G + delta I). With the ridge they exist for every G_A; as delta goes to 0 they become those of
/// (3.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Theorem1 {
    /// log det(G_A + delta I). The same quantity as S_k, but summed over eigenvalues like the upper bound, so that
    /// `log_lower <= log_upper` holds in floating point too.
    pub log_lower: f64,
    /// sum_i log(lambda_i(G_A) + lambda_b + delta).
    pub log_upper: f64,
    /// lambda_max(G_B), or its cap beta.
    pub lambda_b: f64,
    /// Whether `lambda_b` was computed from the unobserved rows; if not, they are absent and it is the budget beta of
    /// (3.15).
    pub lambda_b_exact: bool,
}

impl Theorem1 {
    pub(crate) fn of(spectrum: &Spectrum, delta: f64, lambda_b: f64, lambda_b_exact: bool) -> Self {
        // Adding lambda_b before delta keeps every upper summand >= its lower one under rounding.
        let log_upper = spectrum.descending().iter().map(|lambda| (lambda + lambda_b + delta).ln()).sum();
        Self { log_lower: spectrum.log_det(delta), log_upper, lambda_b, lambda_b_exact }
    }
}

/// The asymptotic log ratio of Weyl's bound to the stochastic value (3.8): sum_i log(gamma + (1 - gamma) lambda_1 /
/// lambda_i) >= 0, for gamma = n_A / n in \[0, 1\] and positive eigenvalues in descending order. Zero if all are equal
/// or all rows are observed.
pub fn overestimation(gamma: f64, lambda: impl IntoIterator<Item = f64>) -> f64 {
    let mut lambda = lambda.into_iter().peekable();
    let largest = lambda.peek().copied().unwrap_or(1.0);
    lambda.map(|lambda| (gamma + (1.0 - gamma) * (largest / lambda)).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotropic_or_fully_observed_spectra_are_not_overestimated() {
        assert_eq!(overestimation(0.25, [3.0, 3.0, 3.0]), 0.0);
        assert_eq!(overestimation(1.0, [3.0, 2.0, 1e-3]), 0.0);
        assert_eq!(overestimation(0.5, []), 0.0);
    }

    #[test]
    fn nothing_observed_overestimates_by_the_whole_anisotropy() {
        assert!((overestimation(0.0, [8.0, 4.0, 1.0]) - 16f64.ln()).abs() < 1e-15);
        assert!((overestimation(0.5, [3.0, 1.0]) - 2f64.ln()).abs() < 1e-15);
    }
}
