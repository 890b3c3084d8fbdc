//! Theorem 3: how far the plug-in estimate (3.13) is from the log-determinant of the full Gram matrix. Their difference
//! is asymptotically N(0, s^2 (1/n_A - 1/n)) with s^2 = Var(v^T C^-1 v), which gives an interval (3.11) and the sample
//! size for a wanted precision (3.14).

use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::config::{check_confidence, positive};
use crate::quantiles::two_sided_z;

/// From how many observed rows per dimension on the condition n_A >> d is taken to hold.
const LEAST_ROWS_PER_DIMENSION: usize = 10;

/// The interval for the full log-determinant around the ridge plug-in S_k + d log(n / n_A).
///
/// C is (G_A + delta I) / n_A, with the ridge, so that it can be inverted at any rank. The theorem is about n_A >> d:
/// for n_A near or below d the forms v^T C^-1 v all approach n_A, `s` approaches 0 and the interval is far too short,
/// and its centre lacks the bias of log det, about sum_i log(1 - i/n). Read it beside `n_a`, `d` and `asymptotic`;
/// [`crate::full`] has an interval that covers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Theorem3 {
    /// Sample standard deviation (denominator n_A - 1) of v^T C^-1 v over the observed rows.
    pub s: f64,
    /// Two-sided confidence of the interval.
    pub confidence: f64,
    /// The ridge plug-in estimate S_k + d log(n / n_A), the middle of the interval.
    pub center: f64,
    /// z s sqrt(1/n_A - 1/n); zero if all rows are observed.
    pub half_width: f64,
    /// `center - half_width`.
    pub lower: f64,
    /// `center + half_width`.
    pub upper: f64,
    /// Whether n_A >= 10 d. Where not, the theorem's condition n_A >> d does not hold and the interval says nothing.
    pub asymptotic: bool,
}

/// Rows n >= n_A of a checkpoint, and their width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) n: usize,
    pub(crate) n_a: usize,
    pub(crate) d: usize,
}

impl Theorem3 {
    /// `form_std` is the sample standard deviation of v^T (G_A + delta I)^-1 v over the n_A observed rows, and `center`
    /// the plug-in. None for a single row, which has no variance.
    pub(crate) fn of(form_std: Option<f64>, sizes: Sizes, center: f64, confidence: f64) -> Option<Self> {
        let Sizes { n, n_a, d } = sizes;
        let s = n_a as f64 * form_std?;
        let half_width = two_sided_z(confidence)? * s * (1.0 / n_a as f64 - 1.0 / n as f64).sqrt();
        let (lower, upper) = (center - half_width, center + half_width);
        let asymptotic = n_a >= d.saturating_mul(LEAST_ROWS_PER_DIMENSION);
        Some(Self { s, confidence, center, half_width, lower, upper, asymptotic })
    }

    /// How many rows to observe for a half width of at most `precision` (in nats) at the same confidence:
    /// [`required_n_a`].
    ///
    /// # Errors
    /// [`MetricsError::Config`] if `precision` is not positive and finite.
    pub fn required_n_a(&self, precision: f64) -> Result<u64, MetricsError> {
        required_n_a(self.s, self.confidence, precision)
    }
}

/// ceil((z s / precision)^2), the observed rows that reach a half width of `precision` (in nats) when n >> n_A (3.14).
/// For a finite n this is more than enough. Saturates at `u64::MAX`.
///
/// # Errors
/// [`MetricsError::Config`] if `precision` is not positive and finite, `s` negative or not finite, or `confidence`
/// outside (0, 1).
pub fn required_n_a(s: f64, confidence: f64, precision: f64) -> Result<u64, MetricsError> {
    positive("precision", precision)?;
    check_confidence(confidence)?;
    if !(s.is_finite() && s >= 0.0) {
        return Err(MetricsError::Config { field: "s", value: s, expected: "finite and not negative" });
    }
    // A confidence within (0, 1) always has a quantile.
    let z = two_sided_z(confidence).unwrap_or(f64::INFINITY);
    Ok((z * s / precision).powi(2).ceil() as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::statistics::sample_std;

    fn of(forms: &[f64], n: usize, center: f64) -> Option<Theorem3> {
        Theorem3::of(sample_std(forms), Sizes { n, n_a: forms.len(), d: 1 }, center, 0.95)
    }

    #[test]
    fn ten_rows_per_dimension_are_asymptotic_and_nine_are_not() {
        let flag = |n_a: usize| Theorem3::of(Some(0.1), Sizes { n: 99, n_a, d: 3 }, 0.0, 0.95).unwrap().asymptotic;
        assert_eq!((flag(29), flag(30)), (false, true));
    }

    #[test]
    fn interval_follows_the_formula() {
        // forms 1/4, 3/4 of n_A = 2 rows: v^T C^-1 v is 1/2, 3/2, whose sample variance is 1/2.
        let t = of(&[0.25, 0.75], 8, 10.0).unwrap();
        assert!((t.s - 0.5f64.sqrt()).abs() < 1e-15);
        assert!((t.half_width - 1.959_963_984_540_054 * (0.5f64 * (0.5 - 0.125)).sqrt()).abs() < 1e-14);
        assert_eq!((t.lower, t.upper), (10.0 - t.half_width, 10.0 + t.half_width));
    }

    #[test]
    fn everything_observed_leaves_no_doubt_and_one_row_gives_no_interval() {
        assert_eq!(of(&[0.25, 0.75], 2, 0.0).unwrap().half_width, 0.0);
        assert_eq!(of(&[0.25], 9, 0.0), None);
    }

    #[test]
    fn required_rows_reach_the_precision_and_one_fewer_does_not() {
        let (s, z) = (7.5, 1.959_963_984_540_054);
        for precision in [3.0, 0.5, 0.01] {
            let n_a = required_n_a(s, 0.95, precision).unwrap() as f64;
            assert!(z * s / n_a.sqrt() <= precision);
            assert!(z * s / (n_a - 1.0).sqrt() > precision);
        }
    }

    #[test]
    fn impossible_requests_are_errors_by_name() {
        for (s, confidence, precision, name) in [
            (1.0, 0.95, 0.0, "precision"),
            (1.0, 0.95, f64::NAN, "precision"),
            (1.0, 1.0, 0.1, "confidence"),
            (-1.0, 0.95, 0.1, "s"),
        ] {
            let error = required_n_a(s, confidence, precision).unwrap_err();
            assert!(matches!(error, MetricsError::Config { field, .. } if field == name), "{error}");
        }
        assert_eq!(required_n_a(1e300, 0.95, 1e-300), Ok(u64::MAX));
    }
}
