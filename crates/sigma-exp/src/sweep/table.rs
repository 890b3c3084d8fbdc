//! The state of a sweep's runs as a table for people.

use anyhow::Result;
use sigma_report::Run;

use super::folder::{Progress, State, SweepFolder};
use crate::progress::seconds;

/// What a batch system says of a run, if it knows of it: `PENDING (Resources)`.
pub type Remark<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One line per run and a line of totals.
pub fn table(folder: &SweepFolder, remark: Remark<'_>) -> Result<String> {
    let mut rows = vec![["run", "state", "generation", "ΔU", "ΔG", "time", ""].map(str::to_string)];
    let mut totals = Totals::default();
    let mut failures = String::new();
    for run in folder.runs() {
        let progress = folder.progress(run)?;
        totals.count(&progress.state);
        let (du, dg, time) = drifts(folder, run, &progress);
        let generation = match progress.done {
            0 => format!("-/{}", progress.generations),
            done => format!("{}/{}", done - 1, progress.generations),
        };
        let state = match (&progress.state, progress.done) {
            (State::Waiting, 0) => "waiting",
            (State::Waiting, _) => "stopped",
            (State::Running, _) => "running",
            (State::Failed(_), _) => "failed",
            (State::Complete, _) => "complete",
        };
        if let State::Failed(failure) = &progress.state {
            failures.push_str(&format!("\n{run} failed ({}): {}\n", failure.when, failure.message.trim_end()));
        }
        rows.push([run.clone(), state.to_string(), generation, du, dg, time, remark(run).unwrap_or_default()]);
    }
    let mut text = aligned(&rows);
    text.push_str(&format!("\n{}\n{failures}", totals.sentence()));
    Ok(text)
}

/// Final drifts and the time that the run's generations took.
fn drifts(folder: &SweepFolder, run: &str, progress: &Progress) -> (String, String, String) {
    let dash = || "-".to_string();
    if progress.done == 0 {
        return (dash(), dash(), dash());
    }
    match Run::open(&folder.run(run)) {
        Ok(opened) => {
            let points = opened.series().points;
            let number = |value: Option<f64>| value.map_or_else(dash, |value| format!("{value:+.2}"));
            let last = points.last();
            let time: f64 = opened.records.iter().map(|record| record.seconds).sum();
            (number(last.and_then(|p| p.du_cov)), number(last.and_then(|p| p.dg_kf)), seconds(time))
        }
        // status shows what it can; the report names what is damaged
        Err(_) => (dash(), dash(), "damaged".to_string()),
    }
}

/// How many runs are in which state.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    pub complete: usize,
    pub running: usize,
    pub failed: usize,
    pub waiting: usize,
}

impl Totals {
    pub fn count(&mut self, state: &State) {
        match state {
            State::Complete => self.complete += 1,
            State::Running => self.running += 1,
            State::Failed(_) => self.failed += 1,
            State::Waiting => self.waiting += 1,
        }
    }

    pub fn of(folder: &SweepFolder) -> Result<Self> {
        let runs = folder.runs().iter().map(|run| Ok((run.as_str(), folder.generations(run)?)));
        Self::of_known(folder, &runs.collect::<Result<Vec<_>>>()?)
    }

    /// The same of `runs` with the last generation of each, which does not change.
    pub fn of_known(folder: &SweepFolder, runs: &[(&str, u32)]) -> Result<Self> {
        let mut totals = Self::default();
        for (run, generations) in runs {
            totals.count(&folder.progress_to(run, *generations)?.state);
        }
        Ok(totals)
    }

    pub fn sentence(self) -> String {
        let Self { complete, running, failed, waiting } = self;
        let all = complete + running + failed + waiting;
        format!("{all} runs: {complete} complete, {running} running, {failed} failed, {waiting} waiting")
    }
}

/// Columns side by side; the first two to the left, the last as it is, numbers to the right.
fn aligned(rows: &[[String; 7]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 | 1 => line.push_str(&format!("{cell:<width$}  ")),
                6 => line.push_str(cell),
                _ => line.push_str(&format!("{cell:>width$}  ")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
