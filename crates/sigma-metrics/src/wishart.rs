//! The log-determinant of the Gram matrix of n independent Gaussian rows: its exact mean and variance, which depend on
//! n and d alone. It knows nothing of rows that are not Gaussian; what those add is in `leverage`.

use statrs::function::gamma::digamma;

/// E and Var of log det (sum_i v_i v_i^T) over n >= d standard normal rows of width d, by Bartlett's decomposition: the
/// determinant is a product of independent chi-squares. Mean d log 2 + sum_{j<d} psi((n - j) / 2), variance
/// sum_{j<d} psi'((n - j) / 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LogDetMoments {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

impl LogDetMoments {
    pub(crate) fn of(n: usize, d: usize) -> Self {
        let halves = || (0..d).map(|j| (n - j) as f64 / 2.0);
        Self {
            mean: d as f64 * std::f64::consts::LN_2 + halves().map(digamma).sum::<f64>(),
            variance: halves().map(trigamma).sum(),
        }
    }
}

/// psi'(x) for x > 0: the recurrence psi'(x) = psi'(x + 1) + 1 / x^2 up to 15, and the asymptotic series of Abramowitz
/// and Stegun, 6.4.12, from there on, whose first neglected term is below 1e-14.
pub(crate) fn trigamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 15.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = 1.0 / 6.0 - y * (1.0 / 30.0 - y * (1.0 / 42.0 - y * (1.0 / 30.0 - y * 5.0 / 66.0)));
    sum + 1.0 / x + 0.5 * y + y / x * series
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    #[test]
    fn trigamma_has_its_known_values_and_its_recurrence() {
        assert!((trigamma(1.0) - PI * PI / 6.0).abs() < 1e-13);
        assert!((trigamma(0.5) - PI * PI / 2.0).abs() < 1e-13);
        for x in [0.5, 3.0, 14.5, 15.0, 200.0] {
            let step = trigamma(x) - trigamma(x + 1.0) - 1.0 / (x * x);
            assert!(step.abs() < 1e-14 * trigamma(x).max(1.0), "{x}: {step}");
        }
    }

    /// One row in one dimension: log of a chi-square with one degree of freedom, mean -gamma - log 2, variance pi^2 /
    /// 2.
    #[test]
    fn one_row_is_the_log_of_a_chi_square() {
        let moments = LogDetMoments::of(1, 1);
        assert!((moments.mean + 0.577_215_664_901_532_9 + 2f64.ln()).abs() < 1e-12, "{moments:?}");
        assert!((moments.variance - PI * PI / 2.0).abs() < 1e-12);
    }

    /// Far from d the mean is d log n and the variance 2 d / n.
    #[test]
    fn many_rows_leave_the_law_of_large_numbers() {
        let (n, d) = (1_000_000, 8);
        let moments = LogDetMoments::of(n, d);
        assert!((moments.mean - d as f64 * (n as f64).ln()).abs() < 1e-4, "{moments:?}");
        assert!((moments.variance * n as f64 / (2.0 * d as f64) - 1.0).abs() < 1e-4);
    }
}
