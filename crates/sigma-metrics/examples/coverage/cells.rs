//! One cell of the coverage tables: how often an interval of 95 % holds what it is about. Draws are independent, seeded
//! by their number, and spread over all threads; which cells there are is not known here.

use rayon::prelude::*;
use sigma_metrics::random::Normal;
use sigma_metrics::{Embeddings, MetricsError, RowsOfPrompts, SigmaConfig, drift_intervals, sigma_ub};

use crate::population::{Kind, Population};

/// Fall of the deviations with the coordinate; at a later checkpoint they fall faster, so that its drift is not zero.
const DECAY: f64 = 0.5;
const LATER_DECAY: f64 = 0.7;

/// A cell of the table of `full`: n_A of n rows are observed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FullCell {
    pub(crate) kind: Kind,
    pub(crate) d: usize,
    pub(crate) n_a: usize,
    pub(crate) n: usize,
}

/// A cell of the table of drifts: `prompts` prompts with `answers` each at both checkpoints, of which `observed` are
/// observed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DriftCell {
    pub(crate) kind: Kind,
    pub(crate) d: usize,
    pub(crate) prompts: usize,
    pub(crate) answers: usize,
    /// Observed answers of each prompt.
    pub(crate) observed: usize,
}

/// What a cell shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Coverage {
    pub(crate) draws: usize,
    /// Draws with an interval.
    pub(crate) printed: usize,
    /// Intervals that hold the truth.
    pub(crate) held: usize,
    /// Mean half width over the one that a normal estimate with the standard deviation of the errors would need for 95
    /// %.
    pub(crate) width: f64,
}

impl Coverage {
    /// Share of the printed intervals that hold the truth; None where none is printed.
    pub(crate) fn rate(&self) -> Option<f64> {
        (self.printed > 0).then(|| self.held as f64 / self.printed as f64)
    }

    /// From the half width, where an interval is printed, and the error of its centre in each draw.
    fn of(draws: &[Option<(f64, f64)>]) -> Self {
        let printed: Vec<(f64, f64)> = draws.iter().flatten().copied().collect();
        let held = printed.iter().filter(|(half, error)| error.abs() <= *half).count();
        let count = printed.len() as f64;
        let mean = printed.iter().map(|(_, error)| error).sum::<f64>() / count;
        let deviation = (printed.iter().map(|(_, error)| (error - mean).powi(2)).sum::<f64>() / count).sqrt();
        let half = printed.iter().map(|(half, _)| half).sum::<f64>() / count;
        Self { draws: draws.len(), printed: printed.len(), held, width: half / (1.96 * deviation) }
    }
}

/// Draws of a cell, each with a stream of its own.
fn each<T: Send>(
    draws: usize,
    draw: impl Fn(&mut Normal) -> Result<T, MetricsError> + Sync,
) -> Result<Vec<T>, MetricsError> {
    (0..draws as u64).into_par_iter().map(|seed| draw(&mut Normal::seeded(seed))).collect()
}

/// `full` of the observed rows alone against log det over all of them.
pub(crate) fn full(cell: &FullCell, draws: usize) -> Result<Coverage, MetricsError> {
    let FullCell { kind, d, n_a, n } = *cell;
    let population = Population::new(kind, d, DECAY);
    let config = config();
    let results = each(draws, |normal| {
        let rows = population.rows(normal, n);
        // the ridge is negligible, so Track II over all rows is what `full` is about
        let measured = sigma_ub(&Embeddings::new(n, d, rows)?, &(0..n_a).collect::<Vec<_>>(), None, &config)?;
        let interval = measured.full.map(|full| (full, measured.u_cov_full));
        Ok(interval.map(|(full, truth)| (0.5 * (full.upper - full.lower), full.estimate - truth)))
    })?;
    Ok(Coverage::of(&results))
}

/// Both drift intervals against the mean drift over all draws: dU, then dG.
pub(crate) fn drift(cell: &DriftCell, draws: usize) -> Result<[Coverage; 2], MetricsError> {
    let DriftCell { kind, d, prompts, answers, observed } = *cell;
    let (base, later) = (Population::new(kind, d, DECAY), Population::new(kind, d, LATER_DECAY));
    let config = config();
    let n = prompts * answers;
    let of_row: Vec<usize> = (0..n).map(|row| row / answers).collect();
    let seen: Vec<usize> = (0..n).filter(|row| row % answers < observed).collect();
    let results = each(draws, |normal| {
        let asked: Vec<f64> = (0..prompts * d).map(|_| normal.draw()).collect();
        let base = Embeddings::new(n, d, base.answers(normal, &asked, answers))?;
        let later = Embeddings::new(n, d, later.answers(normal, &asked, answers))?;
        let of = |rows| RowsOfPrompts { rows, observed: &seen, prompts: &of_row };
        let intervals = drift_intervals(&of(&later), &of(&base), &config)?;
        let ends =
            |interval: Result<sigma_metrics::DriftInterval, _>| interval.ok().map(|ends| (ends.lower, ends.upper));
        Ok([ends(intervals.du), ends(intervals.dg)])
    })?;
    Ok([0, 1].map(|track| {
        let ends: Vec<Option<(f64, f64)>> = results.iter().map(|both| both[track]).collect();
        let middles: Vec<f64> = ends.iter().flatten().map(|(lower, upper)| 0.5 * (lower + upper)).collect();
        let truth = middles.iter().sum::<f64>() / middles.len() as f64;
        let draws =
            ends.iter().map(|ends| ends.map(|(lower, upper)| (0.5 * (upper - lower), 0.5 * (lower + upper) - truth)));
        Coverage::of(&draws.collect::<Vec<_>>())
    }))
}

/// The paper's settings with a ridge that is negligible beside the simulated spectra: no interval is given where it is
/// not.
fn config() -> SigmaConfig {
    SigmaConfig { delta: 1e-9, ..SigmaConfig::default() }
}
