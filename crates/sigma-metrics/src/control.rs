//! What a control chain says: a run of the same loop on real text only, whose numbers move by everything but the
//! model's own text. From its band come a threshold with a false-alarm rate, how well a signal tells a run from it, and
//! when. Which runs are controls, and whether they are comparable, is for the caller to say.

use crate::noise::Side;
use crate::seeds::Interval;

/// Fewest control chains whose worst value is a threshold with a stated rate.
pub const LEAST_CONTROLS: usize = 3;

/// The worst value that control chains of the same length have shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ControlThreshold {
    /// Worst value over all control chains and generations 1 to `generations`, on the side of collapse.
    pub worst: f64,
    /// How many control chains: C.
    pub chains: usize,
    /// Generations looked at in each.
    pub generations: usize,
    /// How often a further control chain would go beyond `worst` at any of these generations: 1 / (C + 1). None below
    /// three chains, where going beyond is no alarm.
    pub false_alarm_rate: Option<f64>,
}

impl ControlThreshold {
    /// From the series of one signal in each control chain; `controls[c][t]` is generation t, and t = 0 is the base. If
    /// a further chain is exchangeable with the C of them, its worst value is the worst of all C + 1 with probability 1
    /// / (C + 1) at most, whatever the correlation of its generations. None without a chain, for no generation, or
    /// where a chain lacks a value at one of the generations 1 to `generations`: a threshold from shorter chains would
    /// not have that rate.
    pub fn of(controls: &[Vec<Option<f64>>], generations: usize, side: Side) -> Option<Self> {
        let mut worst: Option<f64> = None;
        for control in controls {
            for value in control.get(1..=generations)? {
                let value = value.filter(|value| value.is_finite())?;
                worst = Some(worst.map_or(value, |worst| if side.is_beyond(value, worst) { value } else { worst }));
            }
        }
        let chains = controls.len();
        let false_alarm_rate = (chains >= LEAST_CONTROLS).then(|| 1.0 / (chains + 1) as f64);
        Some(Self { worst: worst?, chains, generations, false_alarm_rate })
    }

    /// The first generation t >= 1, up to the last that the controls have, at which `series` goes beyond the threshold.
    pub fn latency(&self, series: &[Option<f64>], side: Side) -> Option<usize> {
        let looked_at = series.iter().enumerate().take(self.generations + 1).skip(1);
        looked_at
            .filter(|(_, value)| value.is_some_and(|value| side.is_beyond(value, self.worst)))
            .map(|(t, _)| t)
            .next()
    }
}

/// How well one value of a signal tells a run from its controls: the probability that a value of the run at a
/// generation t >= 1 lies further on the side of collapse than one of a control chain, ties counting half (the
/// Mann-Whitney statistic over its maximum, the area under the ROC curve). 1/2 tells nothing. Values that were not
/// measured are left out; None where one side has none.
pub fn auc(run: &[Option<f64>], controls: &[Vec<Option<f64>>], side: Side) -> Option<f64> {
    fn measured(series: &[Option<f64>]) -> impl Iterator<Item = f64> + '_ {
        series.iter().skip(1).flatten().copied().filter(|value| value.is_finite())
    }
    let mut control: Vec<f64> = controls.iter().flat_map(|series| measured(series)).collect();
    control.sort_by(f64::total_cmp);
    let (mut wins, mut values) = (0.0, 0usize);
    for value in measured(run) {
        let below = control.partition_point(|other| *other < value);
        let not_above = control.partition_point(|other| *other <= value);
        let beaten = match side {
            Side::Above => below,
            Side::Below => control.len() - not_above,
        };
        wins += beaten as f64 + 0.5 * (not_above - below) as f64;
        values += 1;
    }
    (values > 0 && !control.is_empty()).then(|| wins / (values * control.len()) as f64)
}

/// The first generation t >= 1 from which on every interval to the end of the series lies beyond 0 on `side`.
/// `intervals[t]` is that of the difference of a run to the control chain of the same seed; one that is missing lies
/// nowhere.
pub fn paired_onset(intervals: &[Option<Interval>], side: Side) -> Option<usize> {
    let beyond = |interval: &Interval| match side {
        Side::Below => interval.high < 0.0,
        Side::Above => interval.low > 0.0,
    };
    let later = intervals.get(1..)?;
    let stretch = later.iter().rev().take_while(|interval| interval.as_ref().is_some_and(beyond)).count();
    (stretch > 0).then(|| intervals.len() - stretch)
}

impl Side {
    fn is_beyond(self, value: f64, limit: f64) -> bool {
        match self {
            Side::Below => value < limit,
            Side::Above => value > limit,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::Normal;

    fn series(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn the_threshold_is_the_worst_control_and_the_base_does_not_count() {
        let controls = [series(&[-9.0, -1.0, -2.0]), series(&[9.0, 0.5, 3.0]), series(&[0.0, -0.5, -1.0, -7.0])];
        let below = ControlThreshold::of(&controls, 2, Side::Below).unwrap();
        assert_eq!((below.worst, below.chains, below.false_alarm_rate), (-2.0, 3, Some(0.25)));
        assert_eq!(ControlThreshold::of(&controls, 2, Side::Above).unwrap().worst, 3.0);
        let run = series(&[-9.0, -2.0, -2.5, -9.0]);
        assert_eq!(below.latency(&run, Side::Below), Some(2));
        // Generation 3 is beyond what the controls cover.
        assert_eq!(below.latency(&series(&[0.0, 0.0, 0.0, -9.0]), Side::Below), None);
    }

    #[test]
    fn too_few_or_too_short_controls_have_no_rate() {
        let two = [series(&[0.0, 1.0]), series(&[0.0, 2.0])];
        let threshold = ControlThreshold::of(&two, 1, Side::Above).unwrap();
        assert_eq!((threshold.worst, threshold.false_alarm_rate), (2.0, None));
        assert_eq!(ControlThreshold::of(&two, 2, Side::Above), None);
        assert_eq!(ControlThreshold::of(&[], 1, Side::Above), None);
        assert_eq!(ControlThreshold::of(&two, 0, Side::Above), None);
        assert_eq!(ControlThreshold::of(&[vec![Some(0.0), None]], 1, Side::Above), None);
    }

    /// C control chains and one more, all random walks or all independent noise: 20,000 draws, standard error at most
    /// 0.31 %.
    #[test]
    fn a_further_chain_alarms_as_often_as_stated_whatever_the_correlation() {
        for (chains, rho) in [(3, 0.0), (3, 0.95), (3, 1.0), (5, 0.9), (8, 0.5)] {
            let mut normal = Normal::seeded(chains as u64);
            let mut chain = || {
                let mut value = normal.draw();
                let mut series = vec![Some(0.0)];
                for _ in 0..10 {
                    series.push(Some(value));
                    value = rho * value + f64::sqrt(1.0 - rho * rho) * normal.draw();
                }
                series
            };
            let alarms = (0..20_000).filter(|_| {
                let controls: Vec<_> = (0..chains).map(|_| chain()).collect();
                let threshold = ControlThreshold::of(&controls, 10, Side::Below).unwrap();
                threshold.latency(&chain(), Side::Below).is_some()
            });
            let rate = alarms.count() as f64 / 20_000.0;
            assert!((rate - 1.0 / (chains + 1) as f64).abs() < 0.012, "{chains} chains, rho {rho}: {rate}");
        }
    }

    #[test]
    fn a_frozen_chain_never_alarms_and_tells_nothing() {
        let frozen = [series(&[0.0; 5]), series(&[0.0; 5]), series(&[0.0; 5])];
        let threshold = ControlThreshold::of(&frozen, 4, Side::Below).unwrap();
        assert_eq!(threshold.latency(&frozen[0], Side::Below), None);
        assert_eq!(auc(&frozen[0], &frozen, Side::Below), Some(0.5));
    }

    #[test]
    fn the_area_counts_pairs_and_ties_half() {
        let control = [series(&[99.0, 1.0, 2.0])];
        // Pairs (run, control): 0 < 1, 0 < 2, 2 > 1, 2 = 2.
        let run = [Some(-99.0), Some(0.0), None, Some(2.0)];
        assert_eq!(auc(&run, &control, Side::Below), Some(2.5 / 4.0));
        assert_eq!(auc(&run, &control, Side::Above), Some(1.5 / 4.0));
        assert_eq!((auc(&run[..1], &control, Side::Below), auc(&run, &[], Side::Below)), (None, None));
    }

    #[test]
    fn a_paired_onset_lasts_to_the_end() {
        let at = |low: f64, high: f64| Some(Interval { low, high });
        let falling = [None, at(-1.0, 0.0), at(-3.0, -1.0), at(-4.0, -0.1)];
        assert_eq!((paired_onset(&falling, Side::Below), paired_onset(&falling, Side::Above)), (Some(2), None));
        let returns = [None, at(-3.0, -1.0), at(-1.0, 1.0)];
        assert_eq!(paired_onset(&returns, Side::Below), None);
        assert_eq!(paired_onset(&[None, at(1.0, 2.0), None], Side::Above), None);
        assert_eq!(paired_onset(&[None, at(1.0, 2.0)], Side::Above), Some(1));
        assert_eq!(paired_onset(&[], Side::Above), None);
    }
}
