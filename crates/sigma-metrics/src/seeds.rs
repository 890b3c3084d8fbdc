//! How sure a mean over a few seeds is. What the values are is not known here, nor whether they are alike enough to be
//! averaged.

use crate::quantiles::two_sided_t;
use crate::statistics::{mean, sample_std};

/// Fewest values that give an interval: with two, Student's t has one degree of freedom and says next to nothing.
pub const LEAST_SEEDS: usize = 3;

/// An interval, in the unit of the values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// The interval of probability `confidence` in (0, 1) for the expectation of which `values` are independent
/// measurements, one per seed: mean -+ t sd / sqrt(len), Student's t with len - 1 degrees of freedom. It covers as
/// often as it says for normal values. None for fewer than three values, a value that is not finite, or a confidence
/// out of range.
pub fn mean_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    if values.len() < LEAST_SEEDS {
        return None;
    }
    let (centre, std) = (mean(values)?, sample_std(values)?);
    let half = two_sided_t(confidence, values.len() - 1)? * std / (values.len() as f64).sqrt();
    Some(Interval { low: centre - half, high: centre + half })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::Normal;

    #[test]
    fn the_interval_is_that_of_the_textbook() {
        // Mean 2, sd 1, t_2 = 4.302653: 4.302653 / sqrt(3) = 2.484138.
        let interval = mean_interval(&[1.0, 3.0, 2.0], 0.95).unwrap();
        assert!((interval.low - (2.0 - 2.484_138)).abs() < 1e-6 && (interval.high - (2.0 + 2.484_138)).abs() < 1e-6);
        assert_eq!(mean_interval(&[0.25; 4], 0.95), Some(Interval { low: 0.25, high: 0.25 }));
    }

    #[test]
    fn undefined_intervals_are_none() {
        for values in [&[][..], &[1.0], &[1.0, 2.0], &[1.0, 2.0, f64::NAN]] {
            assert_eq!(mean_interval(values, 0.95), None, "{values:?}");
        }
        for confidence in [0.0, 1.0, -0.5, f64::NAN] {
            assert_eq!(mean_interval(&[1.0, 2.0, 3.0], confidence), None);
        }
    }

    /// 20,000 draws: standard error 0.15 %.
    #[test]
    fn three_five_and_eight_seeds_cover_as_often_as_stated() {
        for seeds in [3, 5, 8] {
            let mut normal = Normal::seeded(seeds as u64);
            let held = (0..20_000).filter(|_| {
                let values: Vec<f64> = (0..seeds).map(|_| 1.0 + normal.draw()).collect();
                let interval = mean_interval(&values, 0.95).unwrap();
                interval.low <= 1.0 && 1.0 <= interval.high
            });
            let rate = held.count() as f64 / 20_000.0;
            assert!((rate - 0.95).abs() < 0.006, "{seeds} seeds: {rate}");
        }
    }
}
