//! What is noise, and from when on a signal is more than that. The noise floor is measured: the base checkpoint is
//! evaluated again with other seeds, which moves every number although nothing was trained. The onset of a series is
//! where it leaves that band for good. Which number drifts, and which way is bad, is for the caller to say; how often
//! there is an onset for nothing is in `false_alarms`.

use serde::{Deserialize, Serialize};

use crate::quantiles::two_sided_t;
use crate::statistics::{mean, sample_std};

/// Least number of points beyond the band for an onset (see [`onset`]).
pub const PERSISTENCE: usize = 3;

/// The band in which one further evaluation of the base checkpoint is expected, in the unit of the values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseFloor {
    /// Mean of the replicates.
    pub mean: f64,
    /// Their sample standard deviation, denominator k - 1.
    pub sd: f64,
    /// How many there are: k.
    pub replicates: usize,
    /// The value at t = 0: 0 for drifts. The band always holds it.
    pub baseline: f64,
    /// Lower end of the band.
    pub low: f64,
    /// Upper end of the band.
    pub high: f64,
}

impl NoiseFloor {
    /// The two-sided prediction interval of probability `level` for one further normal value, stretched to hold
    /// `baseline`, the value at t = 0: mean -+ t sd sqrt(1 + 1/k), where t is the quantile of Student's distribution
    /// with k - 1 degrees of freedom (Hahn and Meeker, "Statistical Intervals", section 4.7). Without the stretch a
    /// model that never moves could lie outside: its value is the baseline for ever, and k replicates may all lie on
    /// one side of that.
    ///
    /// `values` are k evaluations of the base checkpoint under other seeds, in the unit of the series: drifts r_j - r_0
    /// against the evaluation that the series drifts against, with the baseline 0 (the error of r_0 then shifts band
    /// and series alike and cancels), or a proxy as measured, with its value at t = 0 as the baseline. None for fewer
    /// than 2 values, a value, baseline or result that is not finite, or a level outside (0, 1).
    pub fn of(values: &[f64], baseline: f64, level: f64) -> Option<NoiseFloor> {
        Self::with_quantile(values, baseline, two_sided_t(level, values.len().checked_sub(1)?)?)
    }

    /// [`NoiseFloor::of`] with Student's t at hand.
    pub(crate) fn with_quantile(values: &[f64], baseline: f64, t: f64) -> Option<NoiseFloor> {
        let (mean, sd, k) = (mean(values)?, sample_std(values)?, values.len());
        let half = t * sd * (1.0 + 1.0 / k as f64).sqrt();
        Self { mean, sd, replicates: k, baseline, low: mean, high: mean }.widened(half)
    }

    /// The band for the mean of one further evaluation each of several runs that do not depend on each other, from the
    /// floors of all of them: the mean of their means -+ t sd sqrt(sum_i (1 + 1/k_i)) / S for S runs, stretched to hold
    /// the mean of their baselines. The spread is pooled, sd^2 = sum (k_i - 1) sd_i^2 / sum (k_i - 1), with as many
    /// degrees of freedom, which takes the runs to be equally noisy. For one floor it is that floor. None for no floor,
    /// one that cannot have come from [`NoiseFloor::of`], or a level outside (0, 1).
    pub fn of_mean(floors: &[NoiseFloor], level: f64) -> Option<NoiseFloor> {
        let mean_of = |part: fn(&NoiseFloor) -> f64| mean(&floors.iter().map(part).collect::<Vec<_>>());
        let (centre, baseline) = (mean_of(|floor| floor.mean)?, mean_of(|floor| floor.baseline)?);
        let (mut degrees, mut squares, mut variance) = (0usize, 0.0, 0.0);
        for floor in floors {
            let free = floor.replicates.checked_sub(1).filter(|free| *free > 0)?;
            degrees = degrees.checked_add(free)?;
            squares += free as f64 * floor.sd * floor.sd;
            variance += 1.0 + 1.0 / floor.replicates as f64;
        }
        let sd = (squares / degrees as f64).sqrt();
        let half = two_sided_t(level, degrees)? * sd * variance.sqrt() / floors.len() as f64;
        let replicates = floors.iter().map(|floor| floor.replicates).sum();
        Self { mean: centre, sd, replicates, baseline, low: centre, high: centre }.widened(half)
    }

    /// The band `half` to both sides of the mean, and as far as the baseline.
    fn widened(self, half: f64) -> Option<Self> {
        let (low, high) = ((self.mean - half).min(self.baseline), (self.mean + half).max(self.baseline));
        (low.is_finite() && high.is_finite() && self.baseline.is_finite()).then_some(Self { low, high, ..self })
    }

    /// Whether `value` lies outside the band on `side`. The ends belong to the band, and NaN is nowhere.
    pub fn exceeded_by(&self, value: f64, side: Side) -> bool {
        match side {
            Side::Below => value < self.low,
            Side::Above => value > self.high,
        }
    }
}

/// Where a series goes when a model collapses: a track falls, a concentration rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Below,
    Above,
}

/// The onset: the first generation from which on every point to the end of the series lies beyond the band, if these
/// are at least `persistence` points (0 counts as 1). `series[t]` is generation t; `series[0]` is the base itself and
/// never an onset. A point that was not measured is not beyond the band, so it ends a stretch of points, and there is
/// no onset if it is the last.
///
/// False alarms. A frozen model never has an onset. Let every generation be as good as the base: its value distributed
/// like a replicate. An onset in a finished run needs its last point beyond the band, so it is there in at most (1 -
/// level) / 2 of cases however the generations depend on each other: texts of weights that hardly move are nearly the
/// same for all t, and what persistence filters out of independent noise it does not filter out of that. Who looks
/// after every generation finds more: [`crate::false_alarm_rate`].
pub fn onset(series: &[Option<f64>], floor: &NoiseFloor, side: Side, persistence: usize) -> Option<usize> {
    let generations = series.get(1..)?;
    let beyond =
        generations.iter().rev().take_while(|value| value.is_some_and(|value| floor.exceeded_by(value, side))).count();
    (beyond >= persistence.max(1)).then(|| series.len() - beyond)
}

/// By how many generations a track alarms before a proxy: onset of the proxy - onset of the track, negative if the
/// proxy was first. None if either has no onset.
pub fn lead(track: Option<usize>, proxy: Option<usize>) -> Option<i64> {
    i64::try_from(proxy?).ok()?.checked_sub(i64::try_from(track?).ok()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod detection;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::Normal;

    const LEVEL: f64 = 0.95;
    const REPLICATES: usize = 8;

    impl Normal {
        /// A noise floor and T generations whose means are `trend`, all as drifts against one evaluation of the base.
        fn run(&mut self, generations: usize, trend: impl Fn(usize) -> f64) -> (NoiseFloor, Vec<Option<f64>>) {
            let base = self.draw();
            let replicates: Vec<f64> = (0..REPLICATES).map(|_| self.draw() - base).collect();
            let drifts = (1..=generations).map(|t| Some(trend(t) + self.draw() - base));
            let series = std::iter::once(Some(0.0)).chain(drifts).collect();
            (NoiseFloor::of(&replicates, 0.0, LEVEL).unwrap(), series)
        }
    }

    fn band(low: f64, high: f64) -> NoiseFloor {
        NoiseFloor { mean: 0.0, sd: 1.0, replicates: 2, baseline: 0.0, low, high }
    }

    fn at(series: &[Option<f64>], side: Side, persistence: usize) -> Option<usize> {
        onset(series, &band(-2.0, 2.0), side, persistence)
    }

    #[test]
    fn the_band_is_the_prediction_interval_of_the_textbook() {
        // Mean 2, sd 1, k = 3, t_2 = 4.302653: 4.302653 * sqrt(4/3) = 4.968275.
        let floor = NoiseFloor::of(&[1.0, 3.0, 2.0], 0.0, LEVEL).unwrap();
        assert_eq!((floor.mean, floor.sd, floor.replicates), (2.0, 1.0, 3));
        assert!((floor.low - (2.0 - 4.968_275)).abs() < 1e-5 && (floor.high - (2.0 + 4.968_275)).abs() < 1e-5);
        assert_eq!(NoiseFloor::of(&[0.25; 4], 0.0, LEVEL).map(|floor| (floor.low, floor.high)), Some((0.0, 0.25)));
        let measured = NoiseFloor::of(&[0.25; 4], 0.25, LEVEL);
        assert_eq!(measured.map(|floor| (floor.low, floor.high)), Some((0.25, 0.25)));
    }

    #[test]
    fn without_two_finite_values_or_a_level_there_is_no_band() {
        for values in [&[][..], &[1.0], &[1.0, f64::NAN], &[1.0, f64::INFINITY], &[f64::MAX, -f64::MAX]] {
            assert_eq!(NoiseFloor::of(values, 0.0, LEVEL), None, "{values:?}");
        }
        for level in [0.0, 1.0, f64::NAN] {
            assert_eq!(NoiseFloor::of(&[1.0, 2.0], 0.0, level), None);
        }
    }

    #[test]
    fn an_onset_lasts_to_the_end() {
        let series = [0.0, -3.0, -1.0, -2.5, -3.0, -9.0].map(Some);
        assert_eq!(at(&series, Side::Below, 3), Some(3));
        assert_eq!(at(&series, Side::Below, 4), None);
        assert_eq!(at(&series, Side::Above, 1), None);
        // Generation 5 is back within the band, at its end exactly.
        let recovered = [0.0, -3.0, -3.0, -3.0, -3.0, -2.0].map(Some);
        assert_eq!(at(&recovered, Side::Below, 1), None);
        assert_eq!(at(&[0.0, 1.0, 5.0, 6.0, 7.0].map(Some), Side::Above, 3), Some(2));
    }

    #[test]
    fn the_base_is_no_onset_and_gaps_break_a_stretch() {
        assert_eq!(at(&[-9.0; 4].map(Some), Side::Below, 3), Some(1));
        assert_eq!(at(&[-9.0; 3].map(Some), Side::Below, 3), None);
        assert_eq!(at(&[Some(0.0), Some(-9.0), None, Some(-9.0), Some(-9.0)], Side::Below, 2), Some(3));
        assert_eq!(at(&[Some(0.0), Some(-9.0), Some(-9.0), None], Side::Below, 1), None);
        assert_eq!(at(&[Some(0.0), Some(-9.0), Some(f64::NAN)], Side::Below, 1), None);
        assert_eq!(at(&[Some(0.0), Some(-9.0), Some(f64::NEG_INFINITY)], Side::Below, 2), Some(1));
        assert_eq!((at(&[], Side::Below, 0), at(&[Some(-9.0)], Side::Below, 0)), (None, None));
        assert_eq!(at(&[Some(0.0), Some(0.0)], Side::Below, 0), None);
    }

    #[test]
    fn the_lead_is_positive_if_the_track_alarms_first() {
        assert_eq!((lead(Some(3), Some(8)), lead(Some(8), Some(3))), (Some(5), Some(-5)));
        assert_eq!((lead(None, Some(3)), lead(Some(3), None)), (None, None));
    }

    #[test]
    fn one_further_evaluation_lies_in_the_band_as_often_as_stated() {
        let mut normal = Normal::seeded(7);
        let outside = (0..40_000).filter(|_| {
            let (floor, series) = normal.run(1, |_| 0.0);
            let value = series[1].unwrap();
            floor.exceeded_by(value, Side::Below) || floor.exceeded_by(value, Side::Above)
        });
        let rate = outside.count() as f64 / 40_000.0;
        // Standard error 0.0011.
        assert!((rate - 0.05).abs() < 0.0045, "{rate}");
    }

    #[test]
    fn the_band_of_one_run_is_its_own_and_that_of_a_mean_covers_means_as_often_as_stated() {
        let floor = NoiseFloor::of(&[1.0, 3.0, 2.5, 0.5], 0.0, LEVEL).unwrap();
        let same = NoiseFloor::of_mean(&[floor], LEVEL).unwrap();
        assert!((same.low - floor.low).abs() < 1e-12 && (same.high - floor.high).abs() < 1e-12 && same.replicates == 4);
        assert_eq!((NoiseFloor::of_mean(&[], LEVEL), NoiseFloor::of_mean(&[floor], 1.0)), (None, None));
        assert_eq!(NoiseFloor::of_mean(&[NoiseFloor { replicates: 1, ..floor }], LEVEL), None);

        let mut normal = Normal::seeded(11);
        let outside = (0..20_000).filter(|_| {
            let runs: Vec<(NoiseFloor, Vec<Option<f64>>)> = (0..3).map(|_| normal.run(1, |_| 0.0)).collect();
            let floors: Vec<NoiseFloor> = runs.iter().map(|run| run.0).collect();
            let value = runs.iter().filter_map(|run| run.1[1]).sum::<f64>() / 3.0;
            let floor = NoiseFloor::of_mean(&floors, LEVEL).unwrap();
            floor.exceeded_by(value, Side::Below) || floor.exceeded_by(value, Side::Above)
        });
        let rate = outside.count() as f64 / 20_000.0;
        // Standard error 0.0015.
        assert!((rate - 0.05).abs() < 0.006, "{rate}");
    }

    /// The mean is that of the base up to generation 10 and falls by two standard deviations in each one after. The
    /// band is about two and a half wide, so the second generation after the change is the first whose mean is outside.
    #[test]
    fn a_decline_is_found_within_a_generation_or_two_of_leaving_the_band() {
        let (mut normal, runs) = (Normal::seeded(3), 5_000);
        let (mut found, mut near) = (0, 0);
        for _ in 0..runs {
            let (floor, series) = normal.run(30, |t| -2.0 * t.saturating_sub(10) as f64);
            let at = onset(&series, &floor, Side::Below, PERSISTENCE);
            found += usize::from(at.is_some());
            near += usize::from(at.is_some_and(|t| (10..=14).contains(&t)));
        }
        println!("found {found}, within two generations {near}, of {runs}");
        assert_eq!(found, runs);
        assert!(near as f64 > 0.97 * f64::from(runs as u32), "{near} of {runs}");
    }
}
