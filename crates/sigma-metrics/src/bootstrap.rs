//! How sure a mean over a few seeds is: the percentile bootstrap. Draws are a function of (seed, counter) alone, so the interval is
//! the same on every machine, and values are sorted first, so it does not depend on their order. What the values are is not known.

use crate::statistics::mean;

/// Resamples: enough that a percentile at 2.5 % moves by less than a tenth of the interval's width from one seed to another.
const RESAMPLES: u32 = 2000;

/// An interval for a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// The central interval of probability `confidence` in (0, 1) for the mean of `x`, in the unit of `x`: percentiles, interpolated
/// linearly, of the means of 2,000 resamples with replacement. None for fewer than 2 values, a value that is not finite, or a
/// confidence out of range.
pub fn bootstrap_mean(x: &[f64], confidence: f64, seed: u64) -> Option<Interval> {
    if x.len() < 2 || !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let centre = mean(x)?;
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    let length = sorted.len() as u64;
    // Means of deviations: a large common offset then costs no digits, and equal values give an interval of width zero.
    let mut means: Vec<f64> = (0..u64::from(RESAMPLES))
        .map(|resample| {
            let drawn = (0..length).map(|position| sorted[below(length, seed, resample * length + position)] - centre);
            drawn.sum::<f64>() / length as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Some(Interval { low: centre + percentile(&means, tail), high: centre + percentile(&means, 1.0 - tail) })
}

/// The `share` quantile of ascending values, at least one of them.
fn percentile(ascending: &[f64], share: f64) -> f64 {
    let place = share * (ascending.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    ascending[below] + (ascending[above] - ascending[below]) * place.fract()
}

/// A number in 0..length: the high half of a 128-bit product, whose bias is below length / 2^64.
fn below(length: u64, seed: u64, counter: u64) -> usize {
    ((u128::from(mixed(seed, counter)) * u128::from(length)) >> 64) as usize
}

/// The output of the SplitMix64 generator with state `seed` at step `counter`.
fn mixed(seed: u64, counter: u64) -> u64 {
    let mut z = seed.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The first outputs for state 1234567, as published with the generator.
    #[test]
    fn the_stream_is_splitmix64() {
        assert_eq!([mixed(1_234_567, 0), mixed(1_234_567, 1)], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn two_values_span_their_own_interval() {
        // A resample of two is both low, mixed, or both high with odds 1:2:1, so both 2.5 % tails lie at the extremes.
        assert_eq!(bootstrap_mean(&[3.0, -1.0], 0.95, 42), Some(Interval { low: -1.0, high: 3.0 }));
    }

    #[test]
    fn many_values_give_the_normal_interval() {
        let x: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let interval = bootstrap_mean(&x, 0.95, 1).unwrap();
        // mean 9.5, standard error sqrt(33.25 / 400)
        let half = 1.96 * (33.25f64 / 400.0).sqrt();
        assert!((interval.low - (9.5 - half)).abs() < 0.1 * half, "{interval:?}");
        assert!((interval.high - (9.5 + half)).abs() < 0.1 * half, "{interval:?}");
    }

    #[test]
    fn the_interval_knows_neither_order_nor_offset() {
        let x = [1.0, 2.0, 4.0, 8.0, 16.0];
        let turned = [8.0, 1.0, 16.0, 4.0, 2.0];
        assert_eq!(bootstrap_mean(&x, 0.95, 7), bootstrap_mean(&turned, 0.95, 7));
        let shifted: Vec<f64> = x.iter().map(|x| x - 1e6).collect();
        let (near, far) = (bootstrap_mean(&x, 0.9, 7).unwrap(), bootstrap_mean(&shifted, 0.9, 7).unwrap());
        assert!((near.low - 1e6 - far.low).abs() < 1e-8 && (near.high - 1e6 - far.high).abs() < 1e-8);
        assert_eq!(bootstrap_mean(&[0.1; 6], 0.95, 7), Some(Interval { low: 0.1, high: 0.1 }));
    }

    #[test]
    fn undefined_intervals_are_none() {
        assert_eq!(bootstrap_mean(&[], 0.95, 1), None);
        assert_eq!(bootstrap_mean(&[1.0], 0.95, 1), None);
        assert_eq!(bootstrap_mean(&[1.0, f64::NAN], 0.95, 1), None);
        for confidence in [0.0, 1.0, -0.5, f64::NAN] {
            assert_eq!(bootstrap_mean(&[1.0, 2.0], confidence, 1), None);
        }
    }
}
