//! The tables of the paper: the points of every figure, and the scalars made from them. Columns that the paper's
//! published files have keep those names (`delta_u_cov`, `slope_g_kf`, ...). What a table looks like on paper is left
//! to `table`.

use std::borrow::Cow;

use sigma_metrics::Interval;

use crate::condition::{Condition, aimed_at};
use crate::series::{Behind, NormalisedPoint, RunSeries, SeriesPoint};
use crate::summary::ProxySummary;
use crate::table::{Cell, Column, Digits, Table};

pub(crate) const fn column(name: &'static str, heading: &'static str, latex: &'static str, digits: Digits) -> Column {
    Column { name: Cow::Borrowed(name), heading: Cow::Borrowed(heading), latex: Cow::Borrowed(latex), digits }
}

pub(crate) const GENERATION: Column = column("generation", "generation", "$t$", Digits::Exact);
pub(crate) const SETTING: Column = column("setting", "setting", "Setting", Digits::Exact);
/// Where the setting alone does not name a line.
pub(crate) const CONDITION: Column = column("condition", "condition", "Condition", Digits::Exact);

const N: Column = column("n", "n", "$n$", Digits::Decimals(0));
const N_A: Column = column("n_a", "n_A", "$n_A$", Digits::Decimals(0));
const EMPTY: Column = column("empty_answers", "empty answers", r"\shortstack[r]{empty\\answers}", Digits::Decimals(0));
const DIFFERS: Column = column("differs", "*", "*", Digits::Exact);

/// What stands beside the values of a checkpoint.
const BEHIND: [Column; 4] = [N, N_A, EMPTY, DIFFERS];

fn behind(point: &SeriesPoint) -> [Cell; 4] {
    let Behind { n, n_a, empty, .. } = point.behind;
    [n.into(), n_a.into(), empty.into(), differs(point)]
}

/// The mark of a checkpoint whose n or n_A is not that of t = 0.
pub(crate) fn differs(point: &SeriesPoint) -> Cell {
    if point.behind.differs { Cell::Verdict { word: "yes", phrase: "*" } } else { Cell::Text(String::new()) }
}

/// What [`differs`] marks; `None` where it marks no point of `series`.
pub(crate) fn differs_note<'a>(series: impl IntoIterator<Item = &'a RunSeries>) -> Option<String> {
    let marked = |series: &RunSeries| series.points.iter().any(|point| point.behind.differs);
    series.into_iter().any(marked).then(|| {
        "* n or n_A is not that of t = 0, so that the drifts also hold what that does; hollow points in figures. No line leads to a \
         checkpoint whose n_A differs by more than 1 % from the one before, or where the tail budget goes to 0 or leaves it."
            .to_owned()
    })
}

/// The points of the two-track figure (appendix C.3) with the ends of their intervals, Track I with the tail budget of
/// t = 0, and what the values are measured on.
pub(crate) fn two_tracks_points(series: &RunSeries) -> Table {
    let nats = |name, heading, latex| column(name, heading, latex, Digits::Decimals(6));
    let mut columns = vec![
        GENERATION,
        nats("delta_u_cov", "ΔU_cov (Track II)", r"$\Delta U_{\mathrm{cov}}$"),
        nats("delta_u_cov_low", "ΔU_cov low", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\low}"),
        nats("delta_u_cov_high", "ΔU_cov high", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\high}"),
        nats("delta_g_kf", "ΔG_KF (Track I)", r"$\Delta G_{\mathrm{KF}}$"),
        nats("delta_g_kf_low", "ΔG_KF low", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\low}"),
        nats("delta_g_kf_high", "ΔG_KF high", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\high}"),
        nats("delta_g_kf_fixed_beta", "ΔG_KF, β of t = 0", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\$\beta_0$}"),
    ];
    columns.extend(BEHIND);
    let row = |point: &SeriesPoint| {
        let mut row = vec![Cell::Count(point.generation.into()), point.du_cov.into()];
        row.extend(ends(point.du_interval));
        row.push(point.dg_kf.into());
        row.extend(ends(point.dg_interval));
        row.push(point.dg_kf_fixed_beta.into());
        row.extend(behind(point));
        row
    };
    Table { columns, rows: series.points.iter().map(row).collect() }
}

/// What a reader of [`two_tracks_points`] and of its figure has to know.
pub(crate) fn two_tracks_notes(series: &RunSeries, seeds: usize, confidence: Option<f64>) -> Vec<String> {
    let intervals = match seeds {
        1 => format!(
            "Low and high: the interval of the drift over prompts and answers, a delete-a-group jackknife over the prompts that both \
             checkpoints were asked{}; none where deleting a group leaves too few rows for one.",
            aimed_at(confidence)
        ),
        2 => "Means of two seeds, which give no interval; the points of each seed stand in tables of their own."
            .to_owned(),
        _ => "Low and high: the interval of the mean over seeds, Student's t, 95 %.".to_owned(),
    };
    let fixed =
        "ΔG_KF, β of t = 0: Track I with the tail budget of t = 0 at every checkpoint, so that it does not follow n.";
    [intervals, fixed.to_owned()].into_iter().chain(differs_note([series])).collect()
}

pub(crate) fn ends(interval: Option<Interval>) -> [Cell; 2] {
    [interval.map(|interval| interval.low).into(), interval.map(|interval| interval.high).into()]
}

/// The points of the surface proxy figure: proxies as measured, then every signal on the common scale.
pub(crate) fn surface_points(series: &RunSeries) -> Table {
    let scaled = |name, heading, latex| column(name, heading, latex, Digits::Decimals(4));
    let mut columns = vec![
        GENERATION,
        column("distinct_2", "distinct-2", "distinct-2", Digits::Decimals(4)),
        column("hhi", "HHI", "HHI", Digits::Decimals(6)),
        scaled("delta_u_cov_scaled", "ΔU_cov scaled", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\scaled}"),
        scaled("delta_g_kf_scaled", "ΔG_KF scaled", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\scaled}"),
        scaled("distinct_2_scaled", "distinct-2 scaled", r"\shortstack[r]{distinct-2\\scaled}"),
        scaled("hhi_scaled", "HHI scaled", r"\shortstack[r]{HHI\\scaled}"),
    ];
    columns.extend(BEHIND);
    let row = |(point, scaled): (&SeriesPoint, NormalisedPoint)| {
        let mut row = vec![
            Cell::Count(point.generation.into()),
            point.distinct_2.into(),
            point.hhi.into(),
            scaled.du_cov.into(),
            scaled.dg_kf.into(),
            scaled.distinct_2.into(),
            scaled.hhi.into(),
        ];
        row.extend(behind(point));
        row
    };
    Table { columns, rows: series.points.iter().zip(series.normalised()).map(row).collect() }
}

/// Endpoints of the surface proxies, and how they moved with Track II (appendix C.4). For several seeds everything is
/// taken of the mean series.
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
