//! How often a signal has an onset though every generation is as good as the base: simulated with the band and the rule
//! of `noise`, for the correlation between generations that the caller states, or for the worst. Which signal it is,
//! and what was measured, is not known.
//!
//! Generations share the evaluation streams of t = 0 and replicates have others, so values of a chain whose weights
//! hardly move are alike from one generation to the next. They are simulated as an autoregression with neighbours that
//! correlate by rho: at rho = 0 every generation is an evaluation of its own, at rho = 1 one evaluation repeats for
//! ever. The evaluation at t = 0 and the replicates are independent of it: where they are not, drifts are smaller, and
//! alarms fewer, down to none for frozen weights.

use crate::quantiles::two_sided_t;
use crate::random::Normal;
use crate::{NoiseFloor, Side};

/// Chains simulated: the standard error of a rate of 2.5 % is 0.08 %, that of 10 % 0.15 %.
const CHAINS: usize = 40_000;

/// Correlations among which the worst is looked for. Between neighbours the rates differ by less than 1 %.
const CORRELATIONS: [f64; 9] = [0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0];

/// When there is an onset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlarmRule {
    /// Replicates behind the noise floor: k.
    pub replicates: usize,
    /// Generations after t = 0: T.
    pub generations: usize,
    /// As in [`crate::onset`].
    pub persistence: usize,
    /// Probability of the two-sided band: 0.95 for a band that collapse crosses in 2.5 % of evaluations.
    pub level: f64,
}

/// How often there is an onset for nothing, for one signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FalseAlarmRate {
    /// In a finished run.
    pub finished: f64,
    /// At any generation, for one who looks after each and stops at the first onset.
    pub watching: f64,
}

/// The rates where neighbouring generations correlate by `rho` ([`crate::serial_correlation`]), from 40,000 simulated
/// chains of a fixed seed. None for fewer than two replicates, no generation, a level outside (0, 1) or a `rho` outside
/// [0, 1].
pub fn false_alarm_rate(rule: &AlarmRule, rho: f64) -> Option<FalseAlarmRate> {
    let AlarmRule { replicates, generations, persistence, level } = *rule;
    if replicates < 2 || generations == 0 || !(level > 0.0 && level < 1.0) || !(0.0..=1.0).contains(&rho) {
        return None;
    }
    let t = two_sided_t(level, replicates - 1)?;
    let (persistence, fresh) = (persistence.max(1), (1.0 - rho * rho).sqrt());
    let mut normal = Normal::seeded(generations as u64);
    let (mut finished, mut watching) = (0usize, 0usize);
    let mut drifts = vec![0.0; replicates];
    for _ in 0..CHAINS {
        let base = normal.draw();
        drifts.fill_with(|| normal.draw() - base);
        let floor = NoiseFloor::with_quantile(&drifts, 0.0, t)?;
        let (mut value, mut beyond, mut alarmed) = (normal.draw(), 0, false);
        for _ in 0..generations {
            beyond = if floor.exceeded_by(value - base, Side::Below) { beyond + 1 } else { 0 };
            alarmed |= beyond >= persistence;
            value = rho * value + fresh * normal.draw();
        }
        finished += usize::from(beyond >= persistence);
        watching += usize::from(alarmed);
    }
    let rate = |alarms: usize| alarms as f64 / CHAINS as f64;
    Some(FalseAlarmRate { finished: rate(finished), watching: rate(watching) })
}

/// Rates that hold whatever the correlation between generations. `finished` is (1 - level) / 2, which needs no
/// simulation: an onset needs the last generation beyond the band, and that is distributed like a replicate. `watching`
/// is the worst of nine correlations. None as for [`false_alarm_rate`].
pub fn worst_false_alarm_rate(rule: &AlarmRule) -> Option<FalseAlarmRate> {
    let mut worst = FalseAlarmRate { finished: 0.5 * (1.0 - rule.level), watching: 0.0 };
    for rho in CORRELATIONS {
        worst.watching = worst.watching.max(false_alarm_rate(rule, rho)?.watching);
    }
    Some(worst)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{PERSISTENCE, binomial_upper_bound, onset};

    const LEVEL: f64 = 0.95;
    /// Trials of the independent simulation.
    const TRIALS: usize = 4_000;

    /// Onsets of `crate::onset` itself, counted over chains made here: of the finished runs and of those looked at
    /// after each generation.
    fn counted(rule: &AlarmRule, rho: f64) -> (usize, usize) {
        let mut normal = Normal::seeded(99);
        let t = two_sided_t(rule.level, rule.replicates - 1).unwrap();
        let (mut finished, mut watching) = (0, 0);
        for _ in 0..TRIALS {
            let base = normal.draw();
            let replicates: Vec<f64> = (0..rule.replicates).map(|_| normal.draw()).collect();
            let floor = NoiseFloor::with_quantile(&replicates, base, t).unwrap();
            let mut series = vec![Some(base), Some(normal.draw())];
            while series.len() <= rule.generations {
                let last = series[series.len() - 1].unwrap();
                series.push(Some(rho * last + (1.0 - rho * rho).sqrt() * normal.draw()));
            }
            let alarm = |end: usize| onset(&series[..end], &floor, Side::Below, rule.persistence).is_some();
            finished += usize::from(alarm(series.len()));
            watching += usize::from((2..=series.len()).any(alarm));
        }
        (finished, watching)
    }

    /// Both simulations have a standard error of their own; 4.5 of the larger one, in 64 comparisons.
    #[test]
    fn the_rates_are_those_of_onsets_counted_one_by_one() {
        for replicates in [3, 5, 8, 20] {
            for (generations, rho) in
                [(10, 0.0), (10, 0.5), (10, 0.9), (10, 1.0), (50, 0.0), (50, 0.5), (50, 0.9), (50, 1.0)]
            {
                let rule = AlarmRule { replicates, generations, persistence: PERSISTENCE, level: LEVEL };
                let rate = false_alarm_rate(&rule, rho).unwrap();
                let (finished, watching) = counted(&rule, rho);
                for (stated, found) in [(rate.finished, finished), (rate.watching, watching)] {
                    let found = found as f64 / TRIALS as f64;
                    let error = (stated.max(1.0 / TRIALS as f64) / TRIALS as f64).sqrt();
                    assert!((found - stated).abs() < 4.5 * error, "{rule:?} rho {rho}: {found}, stated {stated}");
                }
            }
        }
    }

    /// However generations depend on each other, a finished run alarms in at most 2.5 % of cases.
    #[test]
    fn the_worst_rate_of_a_finished_run_holds_for_every_correlation() {
        for replicates in [3, 8] {
            let rule = AlarmRule { replicates, generations: 10, persistence: PERSISTENCE, level: LEVEL };
            let worst = worst_false_alarm_rate(&rule).unwrap();
            assert!((worst.finished - 0.025).abs() < 1e-12);
            for rho in [0.0, 0.5, 0.85, 0.9, 1.0] {
                let (finished, watching) = counted(&rule, rho);
                for (stated, found) in [(worst.finished, finished), (worst.watching, watching)] {
                    // as many as were found, or more, would be seen in more than one of 10,000 cases
                    let least = 1.0 - binomial_upper_bound(TRIALS - found, TRIALS, 0.9999).unwrap();
                    assert!(
                        least <= stated,
                        "{replicates} replicates, rho {rho}: {found} of {TRIALS}, stated {stated}"
                    );
                }
            }
        }
    }

    /// Persistence filters independent noise and not what repeats.
    #[test]
    fn an_evaluation_that_repeats_for_ever_alarms_as_often_as_its_first_value() {
        let rule = |persistence: usize, generations: usize| AlarmRule {
            replicates: 8,
            generations,
            persistence,
            level: LEVEL,
        };
        let (one, three) = (false_alarm_rate(&rule(1, 10), 1.0).unwrap(), false_alarm_rate(&rule(3, 10), 1.0).unwrap());
        assert_eq!((one, one.finished), (three, three.watching));
        assert!(false_alarm_rate(&rule(3, 10), 0.0).unwrap().finished < 0.1 * three.finished);
        // fewer generations than persistence never alarm
        assert_eq!(false_alarm_rate(&rule(3, 2), 1.0), Some(FalseAlarmRate { finished: 0.0, watching: 0.0 }));
    }

    #[test]
    fn impossible_rules_have_no_rate() {
        let rule = AlarmRule { replicates: 8, generations: 10, persistence: 3, level: LEVEL };
        for (rule, rho) in [
            (AlarmRule { replicates: 1, ..rule }, 0.0),
            (AlarmRule { generations: 0, ..rule }, 0.0),
            (AlarmRule { level: 1.0, ..rule }, 0.0),
            (rule, 1.1),
            (rule, f64::NAN),
        ] {
            assert_eq!(false_alarm_rate(&rule, rho), None, "{rule:?}, {rho}");
        }
    }
}
