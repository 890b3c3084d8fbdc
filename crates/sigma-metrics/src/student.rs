//! Quantiles of Student's t distribution with a whole number of degrees of freedom, for intervals from a handful of values. The
//! probability within an angle is the finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4; it is inverted by bisection.

use std::f64::consts::FRAC_PI_2;

/// Beyond this many degrees of freedom t is the normal quantile to more digits than any use here has (relative difference below 1e-6).
const NORMAL_FROM: usize = 1_000_000;

/// The t with P(|T| <= t) = confidence for `degrees` degrees of freedom. None unless 0 < confidence < 1 and degrees > 0.
pub(crate) fn two_sided_t(confidence: f64, degrees: usize) -> Option<f64> {
    if !(confidence > 0.0 && confidence < 1.0) || degrees == 0 {
        return None;
    }
    if degrees >= NORMAL_FROM {
        return crate::normal::two_sided_z(confidence);
    }
    // t = sqrt(degrees) tan(angle), and the probability grows with the angle from 0 to 1.
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return Some((degrees as f64).sqrt() * middle.tan());
        }
        if within(middle, degrees) < confidence { low = middle } else { high = middle }
    }
}

/// P(|T| <= sqrt(degrees) tan(angle)).
fn within(angle: f64, degrees: usize) -> f64 {
    let (sine, cosine) = angle.sin_cos();
    let odd = degrees % 2 == 1;
    // Terms: c (2/3) c^2 (4/5) c^2 ... for odd degrees, 1 (1/2) c^2 (3/4) c^2 ... for even ones.
    let (mut term, first) = if odd { (cosine, 3) } else { (1.0, 2) };
    let (mut sum, mut next) = (if degrees == 1 { 0.0 } else { term }, first);
    while next < degrees {
        term *= cosine * cosine * (next - 1) as f64 / next as f64;
        sum += term;
        // What follows no longer reaches the last digit of a sum that is at least its first term.
        if term < sum * 1e-18 {
            break;
        }
        next += 2;
    }
    if odd { (angle + sine * sum) / FRAC_PI_2 } else { sine * sum }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
}
