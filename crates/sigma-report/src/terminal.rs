//! What a run prints when it ends: a short table over the generations and a line of conclusions, as plain aligned text.
//! It knows neither colours nor the width of the terminal; everything it shows is also in metrics.csv.

use crate::series::{RunSeries, SeriesPoint};
use crate::summary::RunSummary;
use crate::table::{Digits, rounded};

/// Longer runs are thinned to about so many rows.
const MAX_ROWS: usize = 20;

const HEADINGS: [&str; 6] = ["t", "ΔU", "ΔG", "distinct-2", "HHI", "loss"];

/// Track II is Delta U, Track I is Delta G, in nats against t = 0.
pub fn run_table(series: &RunSeries) -> String {
    let Some(summary) = RunSummary::of(series) else {
        return "no generation is finished yet\n".to_owned();
    };
    let (shown, thinning) = thinned(&series.points);
    let rows: Vec<[String; 6]> = shown.into_iter().map(cells).collect();
    let headings = HEADINGS.map(str::to_owned);
    let mut widths = [0; 6];
    for row in rows.iter().chain([&headings]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    push_row(&mut text, &headings, &widths);
    push_row(&mut text, &widths.map(|width| "─".repeat(width)), &widths);
    for row in &rows {
        push_row(&mut text, row, &widths);
    }
    if let Some(stride) = thinning {
        text.push_str(&format!("every {} generation and the last; all are in metrics.csv\n", ordinal(stride)));
    }
    text.push('\n');
    text.push_str(&conclusion(series, &summary));
    text
}

fn cells(point: &SeriesPoint) -> [String; 6] {
    [
        point.generation.to_string(),
        shown(point.du_cov, Digits::Decimals(3)),
        shown(point.dg_kf, Digits::Decimals(3)),
        shown(point.distinct_2, Digits::Decimals(3)),
        shown(point.hhi, Digits::Scientific(2)),
        shown(point.loss, Digits::Decimals(3)),
    ]
}

fn conclusion(series: &RunSeries, summary: &RunSummary) -> String {
    let nats = |value| shown(value, Digits::Decimals(3));
    format!(
        "{} at t = {}: ΔU {}, ΔG {} nats; slope ΔU {}, ΔG {} nats per generation; tracks agree: {}\n",
        series.setting.title(),
        summary.generations,
        nats(summary.final_du),
        nats(summary.final_dg),
        nats(summary.slope_u),
        nats(summary.slope_g),
        summary.agreement.map_or("–", |agreement| agreement.phrase()),
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

fn push_row(text: &mut String, cells: &[String; 6], widths: &[usize; 6]) {
    let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, &width)| format!("{cell:>width$}")).collect();
    text.push_str(&padded.join("  "));
    text.push('\n');
}
