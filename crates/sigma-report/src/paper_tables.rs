//! The tables of the paper: the points of every figure, and the scalars made from them. Columns that the paper's published files have
//! keep those names (`delta_u_cov`, `slope_g_kf`, ...). What a table looks like on paper is left to `table`.

use std::borrow::Cow;

use sigma_metrics::Interval;

use crate::condition::{Band, Condition};
use crate::series::{NormalisedPoint, RunSeries, SeriesPoint};
use crate::summary::ProxySummary;
use crate::table::{Cell, Column, Digits, Table};

pub(crate) const fn column(name: &'static str, heading: &'static str, latex: &'static str, digits: Digits) -> Column {
    Column { name: Cow::Borrowed(name), heading: Cow::Borrowed(heading), latex: Cow::Borrowed(latex), digits }
}

pub(crate) const GENERATION: Column = column("generation", "generation", "$t$", Digits::Exact);
pub(crate) const SETTING: Column = column("setting", "setting", "Setting", Digits::Exact);
/// Where the setting alone does not name a line.
pub(crate) const CONDITION: Column = column("condition", "condition", "Condition", Digits::Exact);

/// The points of the two-track figure (appendix C.3); with the ends of their intervals for a mean over seeds, and the half width of
/// Theorem 3's interval, of which a mean over seeds shows the mean.
pub(crate) fn two_tracks_points(series: &RunSeries, bands: &[Band]) -> Table {
    let nats = |name, heading, latex| column(name, heading, latex, Digits::Decimals(6));
    let mut columns = vec![
        GENERATION,
        nats("delta_u_cov", "ΔU_cov (Track II)", r"$\Delta U_{\mathrm{cov}}$"),
        nats("delta_g_kf", "ΔG_KF (Track I)", r"$\Delta G_{\mathrm{KF}}$"),
    ];
    if !bands.is_empty() {
        columns.extend([
            nats("delta_u_cov_low", "ΔU_cov low", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\low}"),
            nats("delta_u_cov_high", "ΔU_cov high", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\high}"),
            nats("delta_g_kf_low", "ΔG_KF low", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\low}"),
            nats("delta_g_kf_high", "ΔG_KF high", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\high}"),
        ]);
    }
    let thin = r"\shortstack[r]{Thm.\ 3\\$\pm$}";
    columns.push(column("theorem3_half_width", "Theorem 3 half width", thin, Digits::Decimals(3)));
    let row = |(t, point): (usize, &SeriesPoint)| {
        let mut row = vec![Cell::Count(point.generation.into()), point.du_cov.into(), point.dg_kf.into()];
        if let Some(band) = bands.get(t) {
            row.extend(ends(band.du_cov).into_iter().chain(ends(band.dg_kf)));
        }
        row.push(point.theorem3_half_width.into());
        row
    };
    Table { columns, rows: series.points.iter().enumerate().map(row).collect() }
}

/// What a reader of [`two_tracks_points`] and of its figure has to know.
pub(crate) fn two_tracks_note() -> String {
    "Theorem 3 half width: with every block observed, U_cov would be within this of the U_cov measured, at the level sigma.confidence of the config; \
     asymptotically, for n_A far above d, and too short where n_A is near d. It is 0 where every block is observed. Whiskers show it \
     around the drift of Track II of a single run, the base taken as it is; the drift of two estimates is less certain than either. Of \
     several seeds the intervals over seeds are shown, and the table has the mean half width."
        .to_owned()
}

fn ends(interval: Option<Interval>) -> [Cell; 2] {
    [interval.map(|interval| interval.low).into(), interval.map(|interval| interval.high).into()]
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

/// Endpoints of the surface proxies, and how they moved with Track II (appendix C.4). For several seeds everything is taken of the
/// mean series.
pub(crate) fn surface_summary(conditions: &[Condition]) -> Table {
    let share = |name, heading, latex| column(name, heading, latex, Digits::Decimals(3));
    let hhi = |name, heading, latex| column(name, heading, latex, Digits::Decimals(6));
    let several = names_needed(conditions);
    let mut columns = vec![
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
    columns.extend(several.then_some(CONDITION));
    let row = |condition: &Condition| {
        let run = &condition.mean;
        let distinct_2 = ProxySummary::of(run, |point| point.distinct_2);
        let hhi = ProxySummary::of(run, |point| point.hhi);
        let mut row = vec![
            Cell::text(run.setting.title()),
            distinct_2.first.into(),
            distinct_2.last.into(),
            hhi.first.into(),
            hhi.last.into(),
            distinct_2.pearson.into(),
            hhi.pearson.into(),
            distinct_2.spearman.into(),
            hhi.spearman.into(),
        ];
        row.extend(several.then(|| Cell::text(&condition.label)));
        row
    };
    Table { columns, rows: conditions.iter().map(row).collect() }
}

/// Whether the setting alone does not name a condition.
pub(crate) fn names_needed(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| condition.label != condition.setting.title())
}
