//! The interval of `full` and those of drifts: what they hold by simulation (a small part of `examples/coverage`), what
//! they are by a slower way, and where there is none.

use sigma_metrics::random::Normal;
use sigma_metrics::{
    DriftInterval, DriftIntervals, Embeddings, MetricsError, NoInterval, RowsOfPrompts, SigmaConfig, SigmaUb,
    drift_intervals, sigma_ub,
};

use crate::cells::{Coverage, DriftCell, FullCell, drift, full};
use crate::population::{Kind, Population};

/// Draws of a cell: the standard error of a coverage of 95 % is 1.1 %.
const DRAWS: usize = 400;

/// Within [92 %, 98 %] by what 400 draws can tell.
fn holds(coverage: &Coverage, at_most: f64) -> bool {
    let error = |rate: f64| 3.0 * (rate * (1.0 - rate) / DRAWS as f64).sqrt();
    coverage.printed == DRAWS
        && coverage.rate().is_some_and(|rate| rate > 0.92 - error(0.92) && rate < at_most + error(0.98))
}

#[test]
fn the_volume_of_all_rows_lies_in_its_interval_as_often_as_stated_near_d() {
    for kind in [Kind::Gaussian, Kind::Isotropic, Kind::Anisotropic] {
        for n_a in [42, 64, 160] {
            let coverage = full(&FullCell { kind, d: 32, n_a, n: 2 * n_a }, DRAWS).unwrap();
            assert!(holds(&coverage, 0.98), "{kind:?}, n_A = {n_a}: {coverage:?}");
        }
    }
}

#[test]
fn a_drift_lies_in_its_interval_as_often_as_stated_though_answers_of_a_prompt_depend_on_each_other() {
    for (kind, at_most) in [(Kind::Gaussian, 0.98), (Kind::Anisotropic, 0.98), (Kind::Isotropic, 1.0)] {
        for (prompts, answers, observed) in [(64, 1, 1), (21, 4, 3), (40, 5, 4)] {
            let cell = DriftCell { kind, d: 32, prompts, answers, observed };
            for coverage in drift(&cell, DRAWS).unwrap() {
                assert!(holds(&coverage, at_most), "{cell:?}: {coverage:?}");
            }
        }
    }
}

/// Rows of a checkpoint with dependent answers, and the prompt of each.
struct Checkpoint {
    rows: Embeddings,
    prompts: Vec<usize>,
}

impl Checkpoint {
    fn of(seed: u64, d: usize, prompts: usize, answers: usize) -> Self {
        let mut normal = Normal::seeded(seed);
        let asked: Vec<f64> = (0..prompts * d).map(|_| normal.draw()).collect();
        let values = Population::new(Kind::Anisotropic, d, 0.5).answers(&mut normal, &asked, answers);
        let n = prompts * answers;
        Self { rows: Embeddings::new(n, d, values).unwrap(), prompts: (0..n).map(|row| row / answers).collect() }
    }

    fn all(&self) -> Vec<usize> {
        (0..self.rows.n()).collect()
    }

    fn keep(&self, keep: impl Fn(usize) -> bool) -> Self {
        let kept: Vec<usize> = self.all().into_iter().filter(|&row| keep(row)).collect();
        let values = kept.iter().flat_map(|&row| self.rows.row(row).to_vec()).collect();
        let rows = Embeddings::new(kept.len(), self.rows.d(), values).unwrap();
        Self { rows, prompts: kept.into_iter().map(|row| self.prompts[row]).collect() }
    }

    fn measured(&self, observed: &[usize]) -> SigmaUb {
        sigma_ub(&self.rows, observed, None, &SigmaConfig::default()).unwrap()
    }
}

fn of_prompts<'a>(checkpoint: &'a Checkpoint, observed: &'a [usize]) -> RowsOfPrompts<'a> {
    RowsOfPrompts { rows: &checkpoint.rows, observed, prompts: &checkpoint.prompts }
}

fn intervals(now: &Checkpoint, base: &Checkpoint) -> DriftIntervals {
    let (seen, seen_base) = (now.all(), base.all());
    drift_intervals(&of_prompts(now, &seen), &of_prompts(base, &seen_base), &SigmaConfig::default()).unwrap()
}

fn half(interval: &DriftInterval) -> f64 {
    0.5 * (interval.upper - interval.lower)
}

/// With at most 40 prompts every prompt is a group, and the jackknife can be made again from `sigma_ub` of the rows
/// that are left. What is compared is the ratio of both tracks and the middle: the common factor of n_A near d cancels
/// only where the tail budget is zero, so the factor itself is written out once more.
#[test]
fn the_interval_equals_one_recomputed_from_the_rows_that_are_left() {
    let (d, prompts, answers) = (6, 12, 4);
    let (now, base) = (Checkpoint::of(1, d, prompts, answers), Checkpoint::of(2, d, prompts, answers));
    // one answer in four is not observed, and prompt 3 has lost two answers at the later checkpoint
    let now = now.keep(|row| row != 13 && row != 14);
    let observed = |checkpoint: &Checkpoint| -> Vec<usize> {
        checkpoint.all().into_iter().filter(|row| row % answers != 1).collect()
    };
    let (seen, seen_base) = (observed(&now), observed(&base));
    let config = SigmaConfig::default();
    let found = drift_intervals(&of_prompts(&now, &seen), &of_prompts(&base, &seen_base), &config).unwrap();

    let drifts = |out: Option<usize>| {
        let tracks = [(&now, &seen), (&base, &seen_base)].map(|(checkpoint, seen)| {
            let left = checkpoint.keep(|row| Some(checkpoint.prompts[row]) != out);
            let kept: Vec<usize> =
                checkpoint.all().into_iter().filter(|&row| Some(checkpoint.prompts[row]) != out).collect();
            let seen: Vec<usize> = (0..kept.len()).filter(|&place| seen.contains(&kept[place])).collect();
            let measured = left.measured(&seen);
            (measured.u_cov, measured.g_kf)
        });
        (tracks[0].0 - tracks[1].0, tracks[0].1 - tracks[1].1)
    };
    let whole = drifts(None);
    let replicates: Vec<(f64, f64)> = (0..prompts).map(|prompt| drifts(Some(prompt))).collect();
    let t_11 = 2.200_985_160_082_949;
    for (interval, drift, values, track_one) in [
        (found.du.unwrap(), whole.0, replicates.iter().map(|pair| pair.0).collect::<Vec<_>>(), false),
        (found.dg.unwrap(), whole.1, replicates.iter().map(|pair| pair.1).collect(), true),
    ] {
        let g = prompts as f64;
        let mean = values.iter().sum::<f64>() / g;
        let jackknife = (g - 1.0) / g * values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let (mut honest, mut inflated) = (0.0, 0.0);
        for (checkpoint, seen) in [(&now, &seen), (&base, &seen_base)] {
            let measured = checkpoint.measured(seen);
            let n_a = seen.len() as f64;
            let shift = config.delta + if track_one { measured.beta } else { 0.0 };
            let leverages = leverages(checkpoint, seen, shift);
            let effective: f64 = leverages.iter().sum();
            let c = effective / n_a;
            let variance = leverages.iter().map(|h| (h - c).powi(2)).sum::<f64>() / (n_a - 1.0);
            let variation = (variance - 2.0 * c * (1.0 - c) / (n_a + 2.0)) / (c * (1.0 - c)).powi(2);
            let rows = (effective * effective / n_a * variation).max(0.0);
            let of = |rows: f64| -2.0 * (1.0 - effective / rows).ln();
            honest += of(n_a) + rows;
            inflated += g * (of(n_a * (g - 1.0) / g) - of(n_a)) + rows;
        }
        let expected = t_11 * (jackknife * honest / inflated).sqrt();
        assert!((half(&interval) / expected - 1.0).abs() < 1e-8, "{} and {expected}", half(&interval));
        assert!((0.5 * (interval.lower + interval.upper) - drift).abs() < 1e-9 && interval.groups == prompts);
    }
}

/// v^T (G + shift I)^-1 v by Gauss and Jordan.
fn leverages(checkpoint: &Checkpoint, seen: &[usize], shift: f64) -> Vec<f64> {
    let d = checkpoint.rows.d();
    let row = |i: usize| checkpoint.rows.row(i).iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let mut a = vec![vec![0.0; 2 * d]; d];
    for i in 0..d {
        a[i][i] = shift;
        a[i][d + i] = 1.0;
    }
    for v in seen.iter().map(|&i| row(i)) {
        for i in 0..d {
            for j in 0..d {
                a[i][j] += v[i] * v[j];
            }
        }
    }
    for pivot in 0..d {
        let scale = a[pivot][pivot];
        a[pivot].iter_mut().for_each(|x| *x /= scale);
        let line = a[pivot].clone();
        for (i, other) in a.iter_mut().enumerate() {
            let factor = other[pivot];
            if i != pivot {
                other.iter_mut().zip(&line).for_each(|(x, y)| *x -= factor * y);
            }
        }
    }
    let form =
        |v: Vec<f64>| (0..d).flat_map(|i| (0..d).map(move |j| (i, j))).map(|(i, j)| v[i] * a[i][d + j] * v[j]).sum();
    seen.iter().map(|&i| form(row(i))).collect()
}

#[test]
fn texts_that_did_not_change_have_a_drift_of_zero_without_doubt() {
    let base = Checkpoint::of(4, 8, 30, 3);
    let frozen = intervals(&base, &base);
    let zero = DriftInterval { lower: 0.0, upper: 0.0, groups: 30 };
    assert_eq!(frozen, DriftIntervals { du: Ok(zero), dg: Ok(zero) });
}

/// The same prompts, paired, cancel: the interval is narrower than that of other prompts.
#[test]
fn what_the_prompts_share_cancels_and_groups_are_at_most_forty() {
    let d = 8;
    let mut normal = Normal::seeded(9);
    let asked: Vec<f64> = (0..90 * d).map(|_| normal.draw()).collect();
    let population = Population::new(Kind::Anisotropic, d, 0.5);
    let mut checkpoint = |asked: &[f64]| Checkpoint {
        rows: Embeddings::new(270, d, population.answers(&mut normal, asked, 3)).unwrap(),
        prompts: (0..270).map(|row| row / 3).collect(),
    };
    let (base, same) = (checkpoint(&asked), checkpoint(&asked));
    let turned: Vec<f64> = asked.iter().rev().copied().collect();
    let other = checkpoint(&turned);
    let (paired, unpaired) = (intervals(&same, &base).du.unwrap(), intervals(&other, &base).du.unwrap());
    assert_eq!(paired.groups, 40);
    assert!(half(&paired) < 0.9 * half(&unpaired), "{paired:?} {unpaired:?}");
}

/// Eight copies of each answer say no more than one: the interval must not shrink as if they were eight answers.
#[test]
fn copies_of_an_answer_do_not_narrow_the_interval() {
    let copied = |checkpoint: &Checkpoint| {
        let n = checkpoint.rows.n();
        let values = (0..8 * n).flat_map(|row| checkpoint.rows.row(row % n).to_vec()).collect();
        Checkpoint { rows: Embeddings::new(8 * n, 4, values).unwrap(), prompts: checkpoint.prompts.repeat(8) }
    };
    let (now, base) = (Checkpoint::of(5, 4, 60, 1), Checkpoint::of(6, 4, 60, 1));
    let (once, eight) = (intervals(&now, &base).du.unwrap(), intervals(&copied(&now), &copied(&base)).du.unwrap());
    assert!(half(&eight) > 0.95 * half(&once), "{eight:?} {once:?}");
}

#[test]
fn a_drift_without_enough_rows_or_prompts_says_why_it_has_no_interval() {
    let reason = |now: &Checkpoint, base: &Checkpoint| {
        let DriftIntervals { du, dg } = intervals(now, base);
        assert_eq!(du, dg);
        du.unwrap_err()
    };
    let few = Checkpoint::of(1, 4, 7, 9);
    assert_eq!(reason(&few, &few), NoInterval::FewPrompts { prompts: 7, least: 8 });
    let base = Checkpoint::of(2, 8, 10, 2);
    // 8 of 10 prompts are left, and without one of them 14 rows, where 1.2 d = 9.6 are enough; of 6 prompts 10 are
    assert!(intervals(&base.keep(|row| row < 16), &base).du.is_ok());
    let short = base.keep(|row| row < 10);
    assert!(matches!(reason(&short, &base), NoInterval::FewRowsLeft { rows: 8, .. }));
    assert!(matches!(reason(&base, &short), NoInterval::FewRowsLeft { rows: 8, .. }));

    // nothing but one coordinate in all rows but those of prompt 0
    let flat = |rank_of_prompt_zero: usize| {
        let values =
            (0..40 * 2).map(|i| if i % 2 == 0 { 1.0 } else { 0.0 }).enumerate().map(move |(i, value): (usize, f32)| {
                if i / 2 < 4 && rank_of_prompt_zero == 2 { std::f32::consts::FRAC_1_SQRT_2 } else { value }
            });
        Checkpoint {
            rows: Embeddings::new(40, 2, values.collect()).unwrap(),
            prompts: (0..40).map(|row| row / 4).collect(),
        }
    };
    assert_eq!(reason(&flat(1), &flat(2)), NoInterval::RankDeficient { rank: 1, d: 2 });
    assert_eq!(reason(&flat(2), &flat(2)), NoInterval::SingularWithoutGroup);
}

#[test]
fn rows_that_do_not_fit_together_are_errors() {
    let (base, other) = (Checkpoint::of(1, 4, 10, 2), Checkpoint::of(1, 5, 10, 2));
    let (seen, config) = (base.all(), SigmaConfig::default());
    let good = of_prompts(&base, &seen);
    let refused = |now: RowsOfPrompts<'_>| drift_intervals(&now, &good, &config).unwrap_err();
    assert_eq!(refused(of_prompts(&other, &seen)), MetricsError::Width { left: 4, right: 5 });
    let short = RowsOfPrompts { prompts: &base.prompts[1..], ..good };
    assert_eq!(refused(short), MetricsError::Prompts { prompts: 19, rows: 20 });
    assert_eq!(refused(RowsOfPrompts { observed: &[], ..good }), MetricsError::NothingObserved { n: 20 });
}

#[test]
fn the_volume_is_a_point_where_all_rows_are_observed_and_missing_with_a_reason_where_it_cannot_be_known() {
    let checkpoint = Checkpoint::of(3, 8, 40, 1);
    let whole = checkpoint.measured(&checkpoint.all());
    let full = whole.full.unwrap();
    assert_eq!((full.lower, full.upper, whole.full_missing), (full.estimate, full.estimate, None));
    assert!((full.estimate - (whole.log_det_ga.unwrap() - 8.0 * 40f64.ln())).abs() < 1e-12);

    let measured = |observed: usize, delta: f64| {
        let config = SigmaConfig { delta, ..SigmaConfig::default() };
        sigma_ub(&checkpoint.rows, &(0..observed).collect::<Vec<_>>(), None, &config).unwrap()
    };
    for (measured, reason) in [
        (measured(7, 1e-6), "rank 7 below d = 8"),
        (measured(12, 1e-6), "not more than d + 4 = 12"),
        (measured(30, 0.1), "delta = 1e-1 is not small beside lambda_min"),
    ] {
        let missing = measured.full_missing.clone().unwrap();
        assert!(measured.full.is_none() && missing.contains(reason), "{missing}");
    }
    let copies =
        Embeddings::new(40, 8, (0..40).flat_map(|row| checkpoint.rows.row(row % 10).to_vec()).collect()).unwrap();
    let repeated =
        sigma_ub(&copies, &(0..30).collect::<Vec<_>>(), None, &SigmaConfig { delta: 1e-6, ..SigmaConfig::default() });
    assert!(repeated.unwrap().full_missing.unwrap().contains("only 10 differ"));
    let some = measured(30, 1e-6);
    assert!(some.full.is_some_and(|full| full.lower < full.estimate && full.estimate < full.upper));
    let json = serde_json::to_value(&some).unwrap();
    assert!(
        json["full"]["lower"].is_f64() && json["full_missing"].is_null() && json["theorem3"]["asymptotic"] == false
    );
}
