//! What control chains say of the runs beside them: the threshold that no control went beyond, when a run does, how
//! well a signal tells both apart, and from when on the difference to the control of the same seed is beyond zero. The
//! statistics are those of sigma-metrics.

use sigma_metrics::{ControlThreshold, Interval, auc, mean_interval, paired_onset};

use crate::condition::{CONFIDENCE, Condition, Member};
use crate::control::{Controls, values};
use crate::floors::Signal;
use crate::paper_tables::{CONDITION, SETTING, column};
use crate::series::RunSeries;
use crate::table::{Cell, Digits, Table};

/// One line for each run and signal, and one for the pairs of a condition.
pub(crate) fn control(conditions: &[Condition], controls: &Controls) -> Table {
    let columns = vec![
        SETTING,
        CONDITION,
        column("signal", "signal", "Signal", Digits::Exact),
        column("seed", "seed", "seed", Digits::Exact),
        column("chains", "control chains", r"\shortstack[r]{control\\chains}", Digits::Exact),
        column("generations", "up to t", r"up to $t$", Digits::Exact),
        column("threshold", "threshold", "threshold", Digits::Decimals(6)),
        column("false_alarm_rate", "false-alarm rate", r"\shortstack[r]{false-alarm\\rate}", Digits::Decimals(3)),
        column("latency", "beyond at t", r"\shortstack[r]{beyond\\at $t$}", Digits::Exact),
        column("auc", "AUC", "AUC", Digits::Decimals(3)),
        column("pairs", "pairs", "pairs", Digits::Exact),
        column("paired_onset", "paired onset", r"\shortstack[r]{paired\\onset}", Digits::Exact),
    ];
    let mut rows = Vec::new();
    for condition in conditions {
        for signal in Signal::ALL {
            rows.extend(condition.members.iter().map(|member| row(condition, member, signal, controls)));
            rows.extend(paired_row(condition, signal, controls));
        }
    }
    Table { columns, rows }
}

/// What a reader of [`control`] has to know.
pub(crate) fn notes(controls: &Controls) -> Vec<String> {
    let chains = controls.values(Signal::TrackTwo).len();
    let alarm = if chains >= sigma_metrics::control::LEAST_CONTROLS {
        format!(
            "A further chain on real text only would go beyond it with a probability of 1 / {} at most; a run that does is an alarm.",
            chains + 1
        )
    } else {
        format!(
            "With {chains} control chain{} there is no false-alarm rate, and going beyond the threshold is no alarm; three are the \
             fewest that have one.",
            if chains == 1 { "" } else { "s" }
        )
    };
    let notes = [
        format!(
            "Threshold: the worst value of the control chains (α = 1, real text only) at any generation up to the last that the run and \
             all of them have. {alarm} A chain on the same fixed texts memorises them and drifts, too."
        ),
        "AUC: the probability that a value of the run lies further on the side of collapse than one of the control chains; 1/2 tells \
         nothing. Paired onset: the first generation from which on the interval of the mean difference to the control of the same \
         seed, Student's t over at least three seeds, 95 %, lies beyond 0 to the end."
            .to_owned(),
    ];
    notes.into_iter().chain(controls.repeats().iter().cloned()).collect()
}

fn first_cells(condition: &Condition, signal: Signal) -> Vec<Cell> {
    vec![Cell::text(condition.setting.title()), Cell::text(&condition.label), Cell::text(signal.title())]
}

fn row(condition: &Condition, member: &Member, signal: Signal, controls: &Controls) -> Vec<Cell> {
    let run = values(&member.series, signal);
    let generations = controls.generations().min(run.len().saturating_sub(1));
    let chains = controls.values(signal);
    let threshold = ControlThreshold::of(&chains, generations, signal.side());
    let cut = |series: &[Option<f64>]| series.iter().copied().take(generations + 1).collect::<Vec<_>>();
    let latency = threshold.and_then(|threshold| threshold.latency(&run, signal.side()));
    let mut row = first_cells(condition, signal);
    row.extend([
        Cell::Text(member.run.manifest.seed.to_string()),
        Cell::count(chains.len()),
        Cell::count(generations),
        threshold.map(|threshold| threshold.worst).into(),
        threshold.and_then(|threshold| threshold.false_alarm_rate).into(),
        latency.map_or(Cell::Missing, Cell::count),
        auc(&cut(&run), &chains.iter().map(|chain| cut(chain)).collect::<Vec<_>>(), signal.side()).into(),
        Cell::Missing,
        Cell::Missing,
    ]);
    row
}

/// `None` where no seed of the condition has a control.
fn paired_row(condition: &Condition, signal: Signal, controls: &Controls) -> Option<Vec<Cell>> {
    let pairs: Vec<(&RunSeries, &RunSeries)> =
        condition.members.iter().filter_map(|member| pair(member, controls)).collect();
    if pairs.is_empty() {
        return None;
    }
    let length = pairs.iter().map(|(run, control)| run.points.len().min(control.points.len())).min()?;
    let at = |t: usize| -> Option<Interval> {
        let difference = |(run, control): &(&RunSeries, &RunSeries)| {
            Some(signal.of(&run.points[t])? - signal.of(&control.points[t])?)
        };
        mean_interval(&pairs.iter().map(difference).collect::<Option<Vec<f64>>>()?, CONFIDENCE)
    };
    let intervals: Vec<Option<Interval>> = (0..length).map(at).collect();
    let mut row = first_cells(condition, signal);
    row.push(Cell::text("pairs"));
    row.push(Cell::Missing);
    row.push(Cell::count(length.saturating_sub(1)));
    row.extend([Cell::Missing, Cell::Missing, Cell::Missing, Cell::Missing]);
    row.push(Cell::count(pairs.len()));
    row.push(paired_onset(&intervals, signal.side()).map_or(Cell::Missing, Cell::count));
    Some(row)
}

/// A run and the control of its seed. Where the seed has controls of both settings, that of the run's own; two that are
/// left are no pair, because nothing says which is meant.
fn pair<'a>(member: &'a Member, controls: &'a Controls) -> Option<(&'a RunSeries, &'a RunSeries)> {
    let found = controls.of_seed(member.run.manifest.seed);
    let own: Vec<&RunSeries> =
        found.iter().copied().filter(|control| control.setting == member.series.setting).collect();
    match (&found[..], &own[..]) {
        (_, [control]) | ([control], _) => Some((&member.series, control)),
        _ => None,
    }
}
