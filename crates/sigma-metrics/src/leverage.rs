//! What the leverages h_i = v_i^T G_A^-1 v_i of the observed rows say about rows that are not Gaussian: by how much
//! rows differ in weight. A row is taken to be sqrt(w) z with z Gaussian in some covariance and w its weight; w is
//! constant for Gaussian rows, and its variation is what Theorem 3 calls Var(v^T C^-1 v), freed from the part that
//! Gaussian rows have, too.
//!
//! Leverages near d are inflated: for Gaussian rows h / (1 - h) follows an F distribution with d and n_A - d degrees of
//! freedom. So nothing is taken from a leverage as it stands; what Gaussian rows of the same n_A and d would show is
//! subtracted first.

use crate::statistics::sample_std;

/// Bisections of the fixed point: each halves a range of 64 units of log tau.
const BISECTIONS: usize = 60;

/// The squared coefficient of variation of the weights w, estimated from the variance of the leverages, which sum up to
/// `effective` dimensions (d without a ridge): (Var h - 2 c (1 - c) / (n_A + 2)) / (c (1 - c))^2 with c = effective /
/// n_A. Between -2 / d, where v^T C^-1 v is constant, and what the rows show; 0 for Gaussian rows. `d v^T C^-1 v` then
/// has the variance 2 d + d^2 cv^2. Zero where there are not two rows or n_A <= effective.
pub(crate) fn squared_variation(leverages: &[f64], effective: f64) -> f64 {
    let n_a = leverages.len() as f64;
    let c = effective / n_a;
    match sample_std(leverages) {
        Some(std) if c > 0.0 && c < 1.0 => {
            let gaussian = 2.0 * c * (1.0 - c) / (n_a + 2.0);
            ((std * std - gaussian) / (c * (1.0 - c)).powi(2)).max(-2.0 / effective)
        }
        _ => 0.0,
    }
}

/// Standard error of [`squared_variation`] for Gaussian rows: that of a sample variance, sqrt(2 / n_A) times the
/// variance of a leverage.
pub(crate) fn variation_error(n_a: usize, d: usize) -> f64 {
    let (n_a, d) = (n_a as f64, d as f64);
    let c = d / n_a;
    (2.0 / n_a).sqrt() * 2.0 / ((n_a + 2.0) * c * (1.0 - c))
}

/// By how much E[log det G_n - log det G_A] exceeds that of Gaussian rows, in nats.
///
/// Weights that vary less than for Gaussian rows (`variation` < 0) give the second-order term, d^2 cv^2 (1/n_A - 1/n) / 2.
/// Weights that vary more are read from the leverages and put into the deterministic equivalent of log det over
/// m rows, m E log(1 + w tau) - d log tau with m E[w tau / (1 + w tau)] = d, once for n and once for n_A.
pub(crate) fn growth_beyond_gaussian(leverages: &[f64], d: usize, n: usize, variation: f64) -> f64 {
    let (d, n_a, n) = (d as f64, leverages.len() as f64, n as f64);
    if variation <= 0.0 {
        return 0.5 * d * d * variation * (1.0 / n_a - 1.0 / n);
    }
    let weights = weights(leverages, d);
    let growth = |weights: &[f64]| volume(weights, d, n) - volume(weights, d, n_a);
    growth(&weights) - growth(&[1.0])
}

/// Weights of the rows, up to a common factor. The logarithms of h / (1 - h) spread by the weights and, for any rows,
/// by the noise of an F distribution; they are drawn together until the spread of the weights alone is left.
fn weights(leverages: &[f64], d: f64) -> Vec<f64> {
    let n_a = leverages.len() as f64;
    let logs: Vec<f64> = leverages.iter().map(|h| h.clamp(1e-12, 1.0 - 1e-9)).map(|h| (h / (1.0 - h)).ln()).collect();
    let mean = logs.iter().sum::<f64>() / n_a;
    let variance = logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n_a - 1.0);
    let noise = crate::wishart::trigamma(0.5 * d) + crate::wishart::trigamma(0.5 * (n_a - d));
    let kept = if variance > noise { (1.0 - noise / variance).sqrt() } else { 0.0 };
    logs.iter().map(|x| (kept * (x - mean)).exp()).collect()
}

/// The deterministic equivalent of log det over m rows with these weights, up to what does not depend on m.
fn volume(weights: &[f64], d: f64, m: f64) -> f64 {
    let rows_per_weight = m / weights.len() as f64;
    let dimensions = |log_tau: f64| {
        let tau = log_tau.exp();
        rows_per_weight * weights.iter().map(|w| w * tau / (1.0 + w * tau)).sum::<f64>()
    };
    let (mut low, mut high) = (-32.0, 32.0);
    for _ in 0..BISECTIONS {
        let middle = 0.5 * (low + high);
        if dimensions(middle) < d { low = middle } else { high = middle }
    }
    let tau = f64::exp(low);
    rows_per_weight * weights.iter().map(|w| (w * tau).ln_1p()).sum::<f64>() - d * low
}
