//! Quantiles of the distributions that intervals rest on, from statrs, and the exact binomial bound of a rate. Every
//! function is None where the question has no answer, so that no probability of a caller reaches an assertion of the
//! library.

use std::f64::consts::FRAC_PI_2;

use statrs::distribution::{Beta, ContinuousCDF, Normal};
use statrs::function::beta::beta_reg;

/// From this many degrees of freedom on t is the normal quantile to more digits than any use here has (relative
/// difference below 1e-6).
const NORMAL_FROM: usize = 1_000_000;

/// The x with Phi(x) = p. None unless 0 < p < 1.
pub fn normal_quantile(p: f64) -> Option<f64> {
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    Some(Normal::standard().inverse_cdf(p))
}

/// The z with P(|N(0, 1)| <= z) = confidence. None unless 0 < confidence < 1.
/// Taken from the lower tail, where confidences next to 1 keep their digits.
pub(crate) fn two_sided_z(confidence: f64) -> Option<f64> {
    normal_quantile(0.5 * (1.0 - confidence)).filter(|_| confidence > 0.0).map(|x| x.abs())
}

/// The t with P(|T| <= t) = confidence for `degrees` degrees of freedom. None unless 0 < confidence < 1 and degrees >
/// 0.
///
/// statrs inverts the beta function by Newton's method, which loses digits at small t and its way at many degrees; its
/// beta function itself is exact, so that is inverted by bisection over the angle of t = sqrt(degrees) tan(angle).
pub(crate) fn two_sided_t(confidence: f64, degrees: usize) -> Option<f64> {
    if !(confidence > 0.0 && confidence < 1.0) || degrees == 0 {
        return None;
    }
    if degrees >= NORMAL_FROM {
        return two_sided_z(confidence);
    }
    let half = 0.5 * degrees as f64;
    // P(|T| <= t), from the smaller of its argument and the complement's, which keeps the digits of both
    let within = |angle: f64| {
        let (sine, cosine) = angle.sin_cos();
        if sine < cosine { beta_reg(0.5, half, sine * sine) } else { 1.0 - beta_reg(half, 0.5, cosine * cosine) }
    };
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return Some((degrees as f64).sqrt() * middle.tan());
        }
        if within(middle) < confidence { low = middle } else { high = middle }
    }
}

/// The upper end of the one-sided Clopper-Pearson interval for a rate of which `hits` of `trials` were seen: a true
/// rate above it would show so few hits with probability at most 1 - confidence. None unless 0 < confidence < 1 and
/// hits <= trials > 0.
pub fn binomial_upper_bound(hits: usize, trials: usize, confidence: f64) -> Option<f64> {
    if !(confidence > 0.0 && confidence < 1.0) || trials == 0 || hits > trials {
        return None;
    }
    if hits == trials {
        return Some(1.0);
    }
    Some(Beta::new(hits as f64 + 1.0, (trials - hits) as f64).ok()?.inverse_cdf(confidence))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_odd_about_one_half_and_undefined_outside_the_unit_interval() {
        for p in [1e-12, 0.01, 0.07, 0.075, 0.3] {
            let (low, high) = (normal_quantile(p), normal_quantile(1.0 - p));
            assert!(matches!((low, high), (Some(low), Some(high)) if (low + high).abs() < 1e-4 * low.abs()), "{p}");
        }
        assert_eq!(normal_quantile(0.5), Some(0.0));
        for p in [0.0, 1.0, -0.1, f64::NAN] {
            assert_eq!(normal_quantile(p), None);
        }
    }

    #[test]
    fn confidences_next_to_the_ends_still_have_a_z() {
        assert!(two_sided_z(1.0 - f64::EPSILON / 2.0).is_some_and(|z| z.is_finite() && z > 8.0));
        assert_eq!(two_sided_z(f64::MIN_POSITIVE), Some(0.0));
        assert_eq!(two_sided_z(0.0), None);
        assert_eq!(two_sided_z(1.0), None);
    }

    /// NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2: upper critical values at 0.95, 0.975, 0.99, 0.995.
    #[test]
    fn agrees_with_the_published_table() {
        for (degrees, row) in [
            (1, [6.314, 12.706, 31.821, 63.657]),
            (2, [2.920, 4.303, 6.965, 9.925]),
            (3, [2.353, 3.182, 4.541, 5.841]),
            (4, [2.132, 2.776, 3.747, 4.604]),
            (7, [1.895, 2.365, 2.998, 3.499]),
            (10, [1.812, 2.228, 2.764, 3.169]),
            (15, [1.753, 2.131, 2.602, 2.947]),
            (30, [1.697, 2.042, 2.457, 2.750]),
            (100, [1.660, 1.984, 2.364, 2.626]),
        ] {
            for (confidence, expected) in [0.90, 0.95, 0.98, 0.99].into_iter().zip(row) {
                let found = two_sided_t(confidence, degrees).unwrap();
                assert!((found - expected).abs() <= 5.1e-4, "{degrees} degrees at {confidence}: {found}");
            }
        }
    }

    /// One and two degrees of freedom have quantiles in closed form, tan(pi p / 2) and p sqrt(2 / (1 - p^2)).
    #[test]
    fn agrees_with_closed_forms_to_many_digits() {
        for confidence in [1e-9, 0.1, 0.5, 0.95, 0.999, 0.999_999] {
            let (one, two) = (two_sided_t(confidence, 1).unwrap(), two_sided_t(confidence, 2).unwrap());
            let cauchy = (FRAC_PI_2 * confidence).tan();
            assert!((one / cauchy - 1.0).abs() < 1e-9, "{confidence}: {one} and {cauchy}");
            let closed = confidence * (2.0 / (1.0 - confidence * confidence)).sqrt();
            assert!((two / closed - 1.0).abs() < 1e-9, "{confidence}: {two} and {closed}");
        }
    }

    #[test]
    fn many_degrees_are_normal_and_nonsense_is_none() {
        for degrees in [999_999, 1_000_000, usize::MAX] {
            assert!((two_sided_t(0.95, degrees).unwrap() - 1.959_964).abs() < 1e-5, "{degrees}");
        }
        for (confidence, degrees) in [(0.0, 3), (1.0, 3), (f64::NAN, 3), (-0.5, 3), (0.95, 0)] {
            assert_eq!(two_sided_t(confidence, degrees), None);
        }
    }

    /// No hit in m trials: 1 - (1 - confidence)^(1 / m); all but one: the other end in closed form, confidence^(1 / m).
    #[test]
    fn binomial_bounds_have_their_closed_forms() {
        let near = |found: Option<f64>, expected: f64| assert!((found.unwrap() - expected).abs() < 1e-9, "{found:?}");
        near(binomial_upper_bound(0, 20, 0.95), 1.0 - 0.05f64.powf(1.0 / 20.0));
        near(binomial_upper_bound(19, 20, 0.95), 0.95f64.powf(1.0 / 20.0));
        near(binomial_upper_bound(20, 20, 0.95), 1.0);
        for (hits, trials, confidence) in [(1, 0, 0.95), (3, 2, 0.95), (1, 2, 0.0), (1, 2, f64::NAN)] {
            assert_eq!(binomial_upper_bound(hits, trials, confidence), None);
        }
    }
}
