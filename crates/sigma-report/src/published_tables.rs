//! Measured beside published: the points of both series, and the scalars that both have. A difference is measured minus published.
//! The published S1 run observed every block, so Track II with every block observed stands beside it too.

use crate::condition::Condition;
use crate::paper_tables::{GENERATION, column};
use crate::published::{Published, PublishedPoint, published_series};
use crate::series::RunSeries;
use crate::summary::{RunSummary, slope};
use crate::table::{Cell, Digits, Table};

const NATS: Digits = Digits::Decimals(6);

/// Both tracks of `measured` and of the paper, at every generation that either has.
pub(crate) fn points(measured: &RunSeries, published: &[PublishedPoint]) -> Table {
    let columns = vec![
        GENERATION,
        column("delta_u_cov", "ΔU_cov measured", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\measured}", NATS),
        column(
            "delta_u_cov_published",
            "ΔU_cov published",
            r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\published}",
            NATS,
        ),
        column("delta_u_cov_difference", "difference", "difference", NATS),
        column("delta_u_cov_full", "ΔU_cov full", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\all blocks}", NATS),
        column("delta_u_cov_full_difference", "full − published", "difference", NATS),
        column("delta_g_kf", "ΔG_KF measured", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\measured}", NATS),
        column("delta_g_kf_published", "ΔG_KF published", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\published}", NATS),
        column("delta_g_kf_difference", "difference", "difference", NATS),
    ];
    let mut generations: Vec<u32> = measured.points.iter().map(|point| point.generation).collect();
    generations.extend(published.iter().map(|point| point.generation));
    generations.sort_unstable();
    generations.dedup();
    let row = |generation: u32| {
        let here = measured.points.iter().find(|point| point.generation == generation);
        let there = published.iter().find(|point| point.generation == generation);
        let du = (here.and_then(|point| point.du_cov), there.map(|point| point.du_cov));
        let dg = (here.and_then(|point| point.dg_kf), there.map(|point| point.dg_kf));
        let full = here.and_then(|point| point.du_cov_full);
        let pair = |(measured, published): (Option<f64>, Option<f64>)| -> [Cell; 3] {
            [measured.into(), published.into(), difference(measured, published).into()]
        };
        let mut row = vec![Cell::Count(generation.into())];
        row.extend(pair(du));
        row.extend([full.into(), difference(full, du.1).into()]);
        row.extend(pair(dg));
        row
    };
    Table { columns, rows: generations.into_iter().map(row).collect() }
}

/// The scalars of every condition beside those printed for its setting: where the runs ended, and, for S1, where the shorter of the
/// two ended.
pub(crate) fn scalars(conditions: &[Condition], published: &Published) -> Table {
    let text = |name, heading| column(name, heading, heading, Digits::Exact);
    let columns = vec![
        text("condition", "condition"),
        text("quantity", "quantity"),
        column("generations", "T measured", r"\shortstack[r]{$T$\\measured}", Digits::Exact),
        column("generations_published", "T published", r"\shortstack[r]{$T$\\published}", Digits::Exact),
        column("measured", "measured", "measured", NATS),
        column("published", "published", "published", NATS),
        column("difference", "difference", "difference", NATS),
    ];
    Table { columns, rows: conditions.iter().flat_map(|condition| condition_rows(condition, published)).collect() }
}

fn condition_rows(condition: &Condition, published: &Published) -> Vec<Vec<Cell>> {
    let series = &condition.mean;
    let (Some(here), Some(there)) = (RunSummary::of(series), published.summary(condition.setting)) else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    let mut row = |quantity: &str, generations: [u32; 2], measured: Option<f64>, printed: Option<f64>| {
        rows.push(vec![
            Cell::text(&condition.label),
            Cell::text(quantity),
            Cell::Count(generations[0].into()),
            Cell::Count(generations[1].into()),
            measured.into(),
            printed.into(),
            difference(measured, printed).into(),
        ]);
    };
    let ends = [here.generations, there.generations];
    row("delta_u_cov_final", ends, here.final_du, Some(there.final_du));
    row("slope_u_cov", ends, here.slope_u, Some(there.slope_u));
    let full = |series: &RunSeries| (series.points.last().and_then(|point| point.du_cov_full), full_slope(series));
    row("delta_u_cov_full_final", ends, full(series).0, Some(there.final_du));
    row("slope_u_cov_full", ends, full(series).1, Some(there.slope_u));
    row("delta_g_kf_final", ends, here.final_dg, Some(there.final_dg));
    row("slope_g_kf", ends, here.slope_g, Some(there.slope_g));
    if let Some((cut, here, there)) = published.points(condition.setting).and_then(|_| common(series, published)) {
        let ends = [here.generations; 2];
        row("delta_u_cov_common", ends, here.final_du, there.final_du);
        row("slope_u_cov_common", ends, here.slope_u, there.slope_u);
        row("delta_u_cov_full_common", ends, full(&cut).0, there.final_du);
        row("slope_u_cov_full_common", ends, full(&cut).1, there.slope_u);
        row("delta_g_kf_common", ends, here.final_dg, there.final_dg);
        row("slope_g_kf_common", ends, here.slope_g, there.slope_g);
    }
    if let Some(surface) = published.surface(condition.setting) {
        let (first, last) = (series.points.first(), series.points.last());
        row("distinct_2_first", [0, 0], first.and_then(|point| point.distinct_2), Some(surface.distinct_2_first));
        row("distinct_2_last", ends, last.and_then(|point| point.distinct_2), Some(surface.distinct_2_last));
        row("hhi_first", [0, 0], first.and_then(|point| point.hhi), Some(surface.hhi_first));
        row("hhi_last", ends, last.and_then(|point| point.hhi), Some(surface.hhi_last));
    }
    rows
}

fn full_slope(series: &RunSeries) -> Option<f64> {
    slope(series, |point| point.du_cov_full)
}

/// Both series cut to the generations that both have: the measured one, and both in scalars.
fn common(measured: &RunSeries, published: &Published) -> Option<(RunSeries, RunSummary, RunSummary)> {
    let length = measured.points.len().min(published.s1_points.len());
    let mut here = measured.clone();
    here.points.truncate(length);
    let mut there = published_series(published);
    there.points.truncate(length);
    let summary = RunSummary::of(&here)?;
    Some((here, summary, RunSummary::of(&there)?))
}

fn difference(measured: Option<f64>, published: Option<f64>) -> Option<f64> {
    Some(measured? - published?)
}
