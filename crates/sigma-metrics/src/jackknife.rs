//! How sure a drift is: a paired delete-a-group jackknife over prompts. The same prompts are left out at a checkpoint
//! and at t = 0, with all of their rows, so that answers of one prompt may depend on each other as they like, and what
//! both checkpoints share cancels. The interval speaks about other prompts and other answers; of training it knows
//! nothing.
//!
//! Leaving a group out subtracts its Gram matrix from the whole. Its unobserved rows go as well, so the tail budget
//! becomes beta' = (n' - n_A') rho: dG is jackknifed as it is defined, and where answers differ in length its interval
//! knows that.
//!
//! Near n_A = d the jackknife alone is too wide: log det bends, and a jackknife counts a term of k rows k times. For
//! Gaussian rows its variance is 2 c / (1 - c) per checkpoint where the true one is -2 log(1 - c), c = d / n_A. The
//! variance is therefore multiplied by (V + K) / (J + K): V the true one and J that of the jackknife with these groups
//! for Gaussian rows, K the part d^2 cv^2 / n_A of the variation between rows (`leverage`), which a jackknife counts
//! once. Track I has d replaced by tr(G (G + (beta + delta) I)^-1).

use rayon::prelude::*;

use crate::accumulator::check_width;
use crate::cholesky::Cholesky;
use crate::gram::Gram;
use crate::leverage::squared_variation;
use crate::quantiles::two_sided_t;
use crate::random::mixed;
use crate::sigma_ub::{check_observed, track_two};
use crate::spectrum::Spectrum;
use crate::statistics::sample_std;
use crate::{Embeddings, MetricsError, NoInterval, SigmaConfig};

/// Most groups that prompts are divided into.
pub const LARGEST_GROUPS: usize = 40;

/// Fewest prompts, each a group of its own, that give an interval.
const LEAST_GROUPS: usize = 8;

/// Without any one group, n_A must exceed this many times d.
const LEAST_ROWS: f64 = 1.2;

/// Seed of the division into groups: a constant, so that the same prompts always give the same interval.
const GROUP_SEED: u64 = 0x5163_6d61_2d55_4231;

/// The rows of one checkpoint with the prompts that they answer.
#[derive(Clone, Copy, Debug)]
pub struct RowsOfPrompts<'a> {
    /// All n rows, observed or not.
    pub rows: &'a Embeddings,
    /// The observed ones, ascending.
    pub observed: &'a [usize],
    /// Which prompt each of the n rows answers. The same number means the same prompt at both checkpoints.
    pub prompts: &'a [usize],
}

/// An interval for the expectation of a drift over prompts and answers, in nats, around the measured drift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftInterval {
    pub lower: f64,
    pub upper: f64,
    /// Groups of prompts that were left out in turn.
    pub groups: usize,
}

/// The intervals of both drifts, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftIntervals {
    pub du: Result<DriftInterval, NoInterval>,
    pub dg: Result<DriftInterval, NoInterval>,
}

/// Intervals for dU = U_cov - U_cov,0 and dG = G_KF - G_KF,0 (3.18; third version 3.20) of `now` against `base`, at the
/// confidence of `config`; Student's t with one degree of freedom less than there are groups, min(prompts, 40). A
/// prompt that only one checkpoint has is left out there. The expectation is that at these n_A: between unequal n_A a
/// drift has a bias, which the interval does not remove.
///
/// # Errors
/// Rows that do not fit together: [`MetricsError::Width`], [`MetricsError::Prompts`], a malformed observed set, or a
/// setting out of range. That an interval does not exist is not an error but said in its place.
pub fn drift_intervals(
    now: &RowsOfPrompts<'_>,
    base: &RowsOfPrompts<'_>,
    config: &SigmaConfig,
) -> Result<DriftIntervals, MetricsError> {
    config.validate()?;
    for checkpoint in [now, base] {
        checkpoint.check()?;
    }
    let (d, right) = (now.rows.d(), base.rows.d());
    if d != right {
        return Err(MetricsError::Width { left: right, right: d });
    }
    let groups = Groups::of(now.prompts.iter().chain(base.prompts));
    let missing = |reason: NoInterval| Ok(DriftIntervals { du: Err(reason.clone()), dg: Err(reason) });
    if groups.count < LEAST_GROUPS {
        return missing(NoInterval::FewPrompts { prompts: groups.count, least: LEAST_GROUPS });
    }
    for checkpoint in [now, base] {
        let rows = checkpoint.fewest_left(&groups);
        if rows as f64 <= LEAST_ROWS * d as f64 {
            let least = LEAST_ROWS * d as f64;
            return missing(NoInterval::FewRowsLeft { rows, ratio: LEAST_ROWS, least });
        }
    }
    let (now, base) = (Checkpoint::of(now, config)?, Checkpoint::of(base, config)?);
    for checkpoint in [&now, &base] {
        if checkpoint.rank < d {
            return missing(NoInterval::RankDeficient { rank: checkpoint.rank, d });
        }
    }
    let left_out = (0..groups.count)
        .into_par_iter()
        .map(|group| Ok::<_, MetricsError>((now.without(&groups, group)?, base.without(&groups, group)?)));
    let left_out: Vec<_> = left_out.collect::<Result<_, _>>()?;
    let Some(pairs) = left_out.into_iter().map(|(now, base)| Some((now?, base?))).collect::<Option<Vec<_>>>() else {
        return missing(NoInterval::SingularWithoutGroup);
    };
    let interval = |track: fn(&Volumes) -> f64, shift: fn(&Checkpoint<'_>) -> f64| {
        let replicates: Vec<f64> = pairs.iter().map(|(now, base)| track(now) - track(base)).collect();
        let spreads = [now.spread(shift(&now), groups.count)?, base.spread(shift(&base), groups.count)?];
        Ok::<_, MetricsError>(around(track(&now.whole) - track(&base.whole), &replicates, spreads, config.confidence))
    };
    Ok(DriftIntervals {
        du: Ok(interval(|volumes| volumes.u_cov, |checkpoint| checkpoint.config.delta)?),
        dg: Ok(interval(|volumes| volumes.g_kf, |checkpoint| checkpoint.beta + checkpoint.config.delta)?),
    })
}

/// The interval around `drift` from its values without each group in turn.
fn around(drift: f64, replicates: &[f64], spreads: [Spread; 2], confidence: f64) -> DriftInterval {
    let groups = replicates.len() as f64;
    // Both exist: there are at least LEAST_GROUPS groups, and the confidence has been checked.
    let std = sample_std(replicates).unwrap_or(f64::INFINITY);
    let t = two_sided_t(confidence, replicates.len() - 1).unwrap_or(f64::INFINITY);
    let jackknife = (groups - 1.0).powi(2) / groups * std * std;
    let total = |part: fn(&Spread) -> f64| spreads.iter().map(part).sum::<f64>();
    let between = total(|spread| spread.between_rows);
    let honest = (total(|spread| spread.gaussian) + between) / (total(|spread| spread.gaussian_jackknife) + between);
    let half = t * (jackknife * honest).sqrt();
    DriftInterval { lower: drift - half, upper: drift + half, groups: replicates.len() }
}

/// Variances of log det over the rows of one checkpoint, in nats^2.
#[derive(Clone, Copy, Debug)]
struct Spread {
    /// The true one for Gaussian rows: V.
    gaussian: f64,
    /// What a jackknife over the groups finds for Gaussian rows: J.
    gaussian_jackknife: f64,
    /// What rows of different weight add: K.
    between_rows: f64,
}

/// Both tracks.
#[derive(Clone, Copy, Debug)]
struct Volumes {
    u_cov: f64,
    g_kf: f64,
}

/// A division of prompts into groups of equal size but for one.
struct Groups {
    /// Prompts, ascending, each with its group.
    of_prompt: Vec<(usize, usize)>,
    count: usize,
}

impl Groups {
    /// Prompts in an order that is random but always the same, dealt out in turn.
    fn of<'a>(prompts: impl Iterator<Item = &'a usize>) -> Self {
        let mut prompts: Vec<usize> = prompts.copied().collect();
        prompts.sort_unstable();
        prompts.dedup();
        let count = prompts.len().min(LARGEST_GROUPS);
        prompts.sort_by_key(|&prompt| mixed(GROUP_SEED, prompt as u64));
        let mut of_prompt: Vec<(usize, usize)> =
            prompts.into_iter().enumerate().map(|(place, prompt)| (prompt, place % count)).collect();
        of_prompt.sort_unstable();
        Self { of_prompt, count }
    }

    /// The group of a prompt that is among those divided.
    fn of_prompt(&self, prompt: usize) -> Option<usize> {
        let place = self.of_prompt.binary_search_by_key(&prompt, |pair| pair.0).ok()?;
        Some(self.of_prompt[place].1)
    }
}

impl RowsOfPrompts<'_> {
    fn check(&self) -> Result<(), MetricsError> {
        check_width(self.rows.d())?;
        if self.prompts.len() != self.rows.n() {
            return Err(MetricsError::Prompts { prompts: self.prompts.len(), rows: self.rows.n() });
        }
        check_observed(self.rows, self.observed)
    }

    /// How many rows of each group are observed, and how many are not.
    fn counts(&self, groups: &Groups) -> (Vec<usize>, Vec<usize>) {
        let (mut all, mut observed) = (vec![0; groups.count], vec![0; groups.count]);
        for group in self.prompts.iter().filter_map(|&prompt| groups.of_prompt(prompt)) {
            all[group] += 1;
        }
        for group in self.observed.iter().filter_map(|&row| groups.of_prompt(self.prompts[row])) {
            observed[group] += 1;
        }
        let unobserved = all.iter().zip(&observed).map(|(all, observed)| all - observed).collect();
        (observed, unobserved)
    }

    /// The least n_A that leaving out one group leaves.
    fn fewest_left(&self, groups: &Groups) -> usize {
        self.observed.len() - self.counts(groups).0.into_iter().max().unwrap_or(0)
    }
}

/// One checkpoint as a whole.
struct Checkpoint<'a> {
    given: &'a RowsOfPrompts<'a>,
    config: &'a SigmaConfig,
    gram: Gram,
    rank: usize,
    beta: f64,
    whole: Volumes,
}

impl<'a> Checkpoint<'a> {
    fn of(given: &'a RowsOfPrompts<'a>, config: &'a SigmaConfig) -> Result<Self, MetricsError> {
        let n_a = given.observed.len();
        let gram = Gram::of(given.rows, given.observed);
        let beta = (given.rows.n() - n_a) as f64 * config.rho;
        let whole = volumes(&gram, n_a, beta, config.delta)?;
        Ok(Self { given, config, rank: Spectrum::of(&gram)?.rank(n_a), gram, beta, whole })
    }

    /// Both tracks without the prompts of `group`; None if that leaves a singular matrix.
    fn without(&self, groups: &Groups, group: usize) -> Result<Option<Volumes>, MetricsError> {
        let Self { given, config, .. } = self;
        let is_out = |row: usize| groups.of_prompt(given.prompts[row]) == Some(group);
        let out: Vec<usize> = given.observed.iter().copied().filter(|&row| is_out(row)).collect();
        let n_a = given.observed.len() - out.len();
        let n = (0..given.rows.n()).filter(|&row| !is_out(row)).count();
        let left = self.gram.minus(&Gram::of(given.rows, &out));
        if !left.is_regular(n_a) {
            return Ok(None);
        }
        volumes(&left, n_a, (n - n_a) as f64 * config.rho, config.delta).map(Some)
    }

    /// How log det(G_A + shift I) varies.
    fn spread(&self, shift: f64, groups: usize) -> Result<Spread, MetricsError> {
        let leverages = Cholesky::of(&self.gram, shift)?.quadratic_forms(self.given.rows, self.given.observed);
        let (n_a, effective) = (leverages.len() as f64, leverages.iter().sum::<f64>());
        let variance = |rows: f64| -2.0 * (-effective / rows).ln_1p();
        let (all, left) = (variance(n_a), variance(n_a * (1.0 - 1.0 / groups as f64)));
        Ok(Spread {
            gaussian: all,
            gaussian_jackknife: groups as f64 * (left - all),
            between_rows: (effective * effective / n_a * squared_variation(&leverages, effective)).max(0.0),
        })
    }
}

/// Both tracks of a Gram matrix, from Cholesky factors alone.
fn volumes(gram: &Gram, n_a: usize, beta: f64, delta: f64) -> Result<Volumes, MetricsError> {
    let s = Cholesky::of(gram, delta)?.log_det();
    let shift = beta + delta;
    let over = if beta == 0.0 { s } else { Cholesky::of(gram, shift)?.log_det() };
    Ok(Volumes { u_cov: track_two(s, gram.d(), n_a), g_kf: over - gram.d() as f64 * shift.ln() })
}
