//! What a run prints when it ends: its verdict, a short table over the generations and what to know before trusting it,
//! as plain aligned text. It knows neither colours nor the width of the terminal; everything it shows is also in
//! metrics.csv.

use crate::flags;
use crate::floors::Floors;
use crate::manifest::Manifest;
use crate::record::Record;
use crate::series::{RunSeries, SeriesPoint};
use crate::summary::RunSummary;
use crate::table::{Digits, rounded};
use crate::verdict::Verdict;

/// Longer runs are thinned to about so many rows.
const MAX_ROWS: usize = 20;

/// A column: its heading, and its cell.
type Column = (&'static str, fn(&SeriesPoint) -> String);

const COLUMNS: &[Column] = &[
    ("t", |point| format!("{}{}", point.generation, if point.behind.differs { "*" } else { "" })),
    ("ΔU", |point| shown(point.du_cov, Digits::Decimals(3))),
    ("ΔG", |point| shown(point.dg_kf, Digits::Decimals(3))),
    ("distinct-2", |point| shown(point.distinct_2, Digits::Decimals(3))),
    ("HHI", |point| shown(point.hhi, Digits::Scientific(2))),
    ("loss", |point| shown(point.loss, Digits::Decimals(3))),
    ("n", |point| shown(point.behind.n, Digits::Decimals(0))),
    ("n_A", |point| shown(point.behind.n_a, Digits::Decimals(0))),
    ("empty", |point| shown(point.behind.empty, Digits::Decimals(0))),
    ("tokens", |point| shown(point.mean_tokens, Digits::Decimals(1))),
];
/// Stands after ΔG where the tail budget moves.
const FIXED_BETA: Column = ("ΔG, β of 0", |point| shown(point.dg_kf_fixed_beta, Digits::Decimals(3)));

/// Track II is ΔU, Track I is ΔG, in nats against t = 0.
pub fn run_table(manifest: &Manifest, records: &[Record]) -> String {
    let series = RunSeries::new(manifest, records);
    let Some(summary) = RunSummary::of(&series) else {
        return "no generation is finished yet\n".to_owned();
    };
    let verdict = Verdict::of(&series, &Floors::of(records));
    let rate = verdict.false_alarms().map(|rate| format!("{rate}\n")).unwrap_or_default();
    let mut text = format!("{}\n{rate}\n", verdict.sentences());
    let mut columns = COLUMNS.to_vec();
    let budget = |point: &SeriesPoint| point.behind.beta;
    if series.points.iter().any(|point| budget(point).is_some() && budget(point) != budget(&series.points[0])) {
        columns.insert(3, FIXED_BETA);
    }
    let (points, thinning) = thinned(&series.points);
    let headings: Vec<String> = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let rows: Vec<Vec<String>> =
        points.iter().map(|point| columns.iter().map(|(_, cell)| cell(point)).collect()).collect();
    let width =
        |column: usize| rows.iter().chain([&headings]).map(|row| row[column].chars().count()).fold(0, usize::max);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    push_row(&mut text, &headings, &widths);
    push_row(&mut text, &widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>(), &widths);
    for row in &rows {
        push_row(&mut text, row, &widths);
    }
    if points.iter().any(|point| point.behind.differs) {
        text.push_str("* n or n_A is not that of t = 0\n");
    }
    if let Some(stride) = thinning {
        text.push_str(&format!("every {} generation and the last; all are in metrics.csv\n", ordinal(stride)));
    }
    text.push('\n');
    text.push_str(&conclusion(&series, &summary));
    for (flag, generations) in flags::of_records(records) {
        if flags::concerns_verdict(flag) {
            text.push_str(&format!("note: t = {}: {}\n", flags::ranges(&generations), flags::explain(flag)));
        }
    }
    text
}

fn conclusion(series: &RunSeries, summary: &RunSummary) -> String {
    let nats = |value| shown(value, Digits::Decimals(3));
    format!(
        "{} at t = {}: ΔU {}, ΔG {} nats; slope ΔU {}, ΔG {} nats per generation\n",
        series.setting.title(),
        summary.generations,
        nats(summary.final_du),
        nats(summary.final_dg),
        nats(summary.slope_u),
        nats(summary.slope_g),
    )
}

fn shown(value: Option<f64>, digits: Digits) -> String {
    value.map_or("–".to_owned(), |value| rounded(value, digits))
}

/// The first point, every `stride`-th after it, and the last; the stride if something was left out.
fn thinned(points: &[SeriesPoint]) -> (Vec<&SeriesPoint>, Option<usize>) {
    let stride = points.len().div_ceil(MAX_ROWS);
    if stride <= 1 {
        return (points.iter().collect(), None);
    }
    let last = points.len() - 1;
    let shown =
        points.iter().enumerate().filter(|(t, _)| t % stride == 0 || *t == last).map(|(_, point)| point).collect();
    (shown, Some(stride))
}

fn ordinal(number: usize) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

fn push_row(text: &mut String, cells: &[String], widths: &[usize]) {
    let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, &width)| format!("{cell:>width$}")).collect();
    text.push_str(&padded.join("  "));
    text.push('\n');
}
