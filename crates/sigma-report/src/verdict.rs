//! What a run says in words: which signals left the noise of the base, which came first, and whether Track I moved
//! because n did. A drift inside its band is never spoken of as a collapse, whatever its sign. Where the words stand is
//! not known here.

use sigma_metrics::PERSISTENCE;

use crate::floors::{Floors, LEVEL, Signal};
use crate::series::{RunSeries, SeriesPoint};
use crate::table::{Digits, rounded};

/// From this share of dG on, a move of n is said to explain it.
const MOST: f64 = 0.5;

/// The verdict on one run or on a mean of runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// Signals that left their bands, the first one first.
    left: Vec<(Signal, usize)>,
    /// Signals that have a band and did not.
    inside: Vec<Signal>,
    /// Checkpoints after t = 0.
    generations: usize,
    moved: Option<MovedByN>,
}

/// Track I at the last checkpoint, where a move of the row count n makes most of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct MovedByN {
    dg: f64,
    dg_fixed_beta: f64,
    n: [f64; 2],
}

impl Verdict {
    pub(crate) fn of(series: &RunSeries, floors: &Floors) -> Verdict {
        let (with, _): (Vec<Signal>, Vec<Signal>) =
            Signal::ALL.into_iter().partition(|signal| floors.get(*signal).is_some());
        let onset = |signal: &Signal| floors.onset(*signal, series).map(|onset| (*signal, onset));
        let mut left: Vec<(Signal, usize)> = with.iter().filter_map(onset).collect();
        left.sort_by_key(|(_, onset)| *onset);
        let inside = with.into_iter().filter(|signal| left.iter().all(|(other, _)| other != signal)).collect();
        let generations = series.points.len().saturating_sub(1);
        Verdict { left, inside, generations, moved: MovedByN::of(series) }
    }

    /// For a cell of a table: the signals that are beyond the noise, and since when.
    pub(crate) fn beyond(&self) -> String {
        match (&self.left[..], self.nothing_left()) {
            ([], (short, _)) => short.to_owned(),
            (left, _) => {
                let part = |(signal, onset): &(Signal, usize)| format!("{} (t = {onset})", signal.title());
                left.iter().map(part).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// How often a signal is said to have left its band although nothing drifts; `None` where none is.
    pub(crate) fn false_alarms(&self) -> Option<String> {
        (!self.left.is_empty()).then(|| {
            format!(
                "A signal that does not drift leaves its band in at most {} % of finished runs; who looks after every generation sees \
                 it more often.",
                rounded(100.0 * (1.0 - LEVEL) / 2.0, Digits::Decimals(1)),
            )
        })
    }

    /// One or more sentences.
    pub(crate) fn sentences(&self) -> String {
        let mut text = match &self.left[..] {
            [] => self.nothing_left().1.to_owned(),
            left => {
                let part = |together: &[(Signal, usize)]| {
                    let names: Vec<&str> = together.iter().map(|(signal, _)| signal.title()).collect();
                    let band = if names.len() > 1 { "their bands" } else { "its band" };
                    format!("{} left {band} at t = {}", listed(&names), together[0].1)
                };
                let parts: Vec<String> = left.chunk_by(|a, b| a.1 == b.1).map(part).collect();
                let inside: Vec<&str> = self.inside.iter().map(|signal| signal.title()).collect();
                let rest = match inside.len() {
                    0 => String::new(),
                    1 => format!("; {} is inside the noise", listed(&inside)),
                    _ => format!("; {} are inside the noise", listed(&inside)),
                };
                format!("{}{rest}.", parts.join(", "))
            }
        };
        if let Some(MovedByN { dg, dg_fixed_beta, n: [before, after] }) = self.moved {
            let nats = |value| rounded(value, Digits::Decimals(3));
            let count =
                |value| rounded(value, Digits::Decimals(if before.fract() + after.fract() > 0.0 { 1 } else { 0 }));
            let rows = if after > before { "more" } else { "fewer" };
            text.push_str(&format!(
                " ΔG mostly follows the row count n, which went from {} to {} ({rows} rows): it is {}, and {} with the tail budget β of \
                 t = 0.",
                count(before),
                count(after),
                nats(dg),
                nats(dg_fixed_beta),
            ));
        }
        text
    }

    /// What no onset means, for a table and as a sentence.
    fn nothing_left(&self) -> (&'static str, &'static str) {
        match (self.inside.is_empty(), self.generations < PERSISTENCE) {
            (true, _) => {
                ("not measured", "No verdict: the noise of the base was not measured (evaluation.noise_replicates).")
            }
            (_, true) => ("too early", "No verdict yet: fewer than three generations after t = 0."),
            _ => ("nothing", "Inside the noise."),
        }
    }
}

impl MovedByN {
    fn of(series: &RunSeries) -> Option<MovedByN> {
        let (first, last): (&SeriesPoint, &SeriesPoint) = (series.points.first()?, series.points.last()?);
        let (dg, dg_fixed_beta) = (last.dg_kf?, last.dg_kf_fixed_beta?);
        let n = [first.behind.n?, last.behind.n?];
        ((dg - dg_fixed_beta).abs() > MOST * dg.abs() && n[0] != n[1]).then_some(MovedByN { dg, dg_fixed_beta, n })
    }
}

/// `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
