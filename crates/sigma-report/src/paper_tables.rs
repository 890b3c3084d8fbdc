//! The tables of the paper: the points of every figure, and the scalars made from them. Columns that the paper's published files have
//! keep those names (`delta_u_cov`, `slope_g_kf`, ...). What a table looks like on paper is left to `table`.

use crate::series::{NormalisedPoint, RunSeries, SeriesPoint};
use crate::summary::{ProxySummary, RunSummary};
use crate::table::{Cell, Column, Digits, Table};

const fn column(name: &'static str, heading: &'static str, latex: &'static str, digits: Digits) -> Column {
    Column { name, heading, latex, digits }
}

const GENERATION: Column = column("generation", "generation", "$t$", Digits::Exact);
const SETTING: Column = column("setting", "setting", "Setting", Digits::Exact);

/// The points of the two-track figure (appendix C.3).
pub(crate) fn two_tracks_points(series: &RunSeries) -> Table {
    let columns = vec![
        GENERATION,
        column("delta_u_cov", "ΔU_cov (Track II)", r"$\Delta U_{\mathrm{cov}}$", Digits::Decimals(6)),
        column("delta_g_kf", "ΔG_KF (Track I)", r"$\Delta G_{\mathrm{KF}}$", Digits::Decimals(6)),
    ];
    let row = |point: &SeriesPoint| vec![Cell::Count(point.generation.into()), point.du_cov.into(), point.dg_kf.into()];
    Table { columns, rows: series.points.iter().map(row).collect() }
}

/// The points of the surface proxy figure: proxies as measured, then every signal on the common scale.
pub(crate) fn surface_points(series: &RunSeries) -> Table {
    let scaled = |name, heading, latex| column(name, heading, latex, Digits::Decimals(4));
    let columns = vec![
        GENERATION,
        column("distinct_2", "distinct-2", "distinct-2", Digits::Decimals(4)),
        column("hhi", "HHI", "HHI", Digits::Decimals(6)),
        scaled("delta_u_cov_scaled", "ΔU_cov scaled", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\scaled}"),
        scaled("delta_g_kf_scaled", "ΔG_KF scaled", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\scaled}"),
        scaled("distinct_2_scaled", "distinct-2 scaled", r"\shortstack[r]{distinct-2\\scaled}"),
        scaled("hhi_scaled", "HHI scaled", r"\shortstack[r]{HHI\\scaled}"),
    ];
    let row = |(point, scaled): (&SeriesPoint, NormalisedPoint)| {
        vec![
            Cell::Count(point.generation.into()),
            point.distinct_2.into(),
            point.hhi.into(),
            scaled.du_cov.into(),
            scaled.dg_kf.into(),
            scaled.distinct_2.into(),
            scaled.hhi.into(),
        ]
    };
    Table { columns, rows: series.points.iter().zip(series.normalised()).map(row).collect() }
}

/// Table 1: where both tracks ended and how they moved.
pub(crate) fn summary(runs: &[RunSummary]) -> Table {
    let nats = |name, heading, latex| column(name, heading, latex, Digits::Decimals(3));
    let columns = vec![
        SETTING,
        column("generations", "T", "$T$", Digits::Exact),
        nats("delta_u_cov_final", "ΔU_cov (final)", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\final}"),
        nats("slope_u_cov", "slope ΔU_cov", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\slope}"),
        nats("delta_g_kf_final", "ΔG_KF (final)", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\final}"),
        nats("slope_g_kf", "slope ΔG_KF", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\slope}"),
        column("tracks_agree", "track agreement?", "Track agreement?", Digits::Exact),
    ];
    let row = |run: &RunSummary| {
        vec![
            Cell::text(run.setting.title()),
            Cell::Count(run.generations.into()),
            run.final_du.into(),
            run.slope_u.into(),
            run.final_dg.into(),
            run.slope_g.into(),
            run.agreement.map_or(Cell::Missing, |agreement| Cell::Verdict {
                word: agreement.word(),
                phrase: agreement.phrase(),
            }),
        ]
    };
    Table { columns, rows: runs.iter().map(row).collect() }
}

/// Endpoints of the surface proxies, and how they moved with Track II (appendix C.4).
pub(crate) fn surface_summary(runs: &[RunSeries]) -> Table {
    let share = |name, heading, latex| column(name, heading, latex, Digits::Decimals(3));
    let hhi = |name, heading, latex| column(name, heading, latex, Digits::Decimals(6));
    let columns = vec![
        SETTING,
        share("distinct_2_first", "distinct-2 (t = 0)", r"\shortstack[r]{distinct-2\\$t = 0$}"),
        share("distinct_2_last", "distinct-2 (t = T)", r"\shortstack[r]{distinct-2\\$t = T$}"),
        hhi("hhi_first", "HHI (t = 0)", r"\shortstack[r]{HHI\\$t = 0$}"),
        hhi("hhi_last", "HHI (t = T)", r"\shortstack[r]{HHI\\$t = T$}"),
        share("pearson_distinct_2", "Pearson(ΔU, distinct-2)", r"\shortstack[r]{Pearson\\distinct-2}"),
        share("pearson_hhi", "Pearson(ΔU, HHI)", r"\shortstack[r]{Pearson\\HHI}"),
        share("spearman_distinct_2", "Spearman(ΔU, distinct-2)", r"\shortstack[r]{Spearman\\distinct-2}"),
        share("spearman_hhi", "Spearman(ΔU, HHI)", r"\shortstack[r]{Spearman\\HHI}"),
    ];
    let row = |run: &RunSeries| {
        let distinct_2 = ProxySummary::of(run, |point| point.distinct_2);
        let hhi = ProxySummary::of(run, |point| point.hhi);
        vec![
            Cell::text(run.setting.title()),
            distinct_2.first.into(),
            distinct_2.last.into(),
            hhi.first.into(),
            hhi.last.into(),
            distinct_2.pearson.into(),
            hhi.pearson.into(),
            distinct_2.spearman.into(),
            hhi.spearman.into(),
        ]
    };
    Table { columns, rows: runs.iter().map(row).collect() }
}
