//! Tables over the real fraction: the points of the curves, those of single seeds, and every cell of the heat map.

use crate::alpha::{AlphaCurve, AlphaPoint, AlphaSweep};
use crate::floors::Signal;
use crate::paper_tables::{GENERATION, SETTING, column, differs, ends};
use crate::series::SeriesPoint;
use crate::table::{Cell, Column, Digits, Table};
use crate::verdict::Verdict;

const NATS: Digits = Digits::Decimals(3);
const GROUP: Column = column("group", "group", "Group", Digits::Exact);
const ALPHA: Column = column("real_fraction", "real fraction α", r"$\alpha$", Digits::Exact);
const DU: Column =
    column("delta_u_cov_final", "ΔU_cov (final)", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\final}", NATS);
const DG: Column =
    column("delta_g_kf_final", "ΔG_KF (final)", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\final}", NATS);
const PROXIES: [Column; 2] = [
    column("distinct_2_final", "distinct-2 (final)", r"\shortstack[r]{distinct-2\\final}", Digits::Decimals(3)),
    column("hhi_final", "HHI (final)", r"\shortstack[r]{HHI\\final}", Digits::Decimals(6)),
];

/// One line for each point of the figure over alpha: means over seeds with the intervals of their points, the limits of
/// the noise of the base, and from when on a track is beyond it.
pub(crate) fn points(sweep: &AlphaSweep) -> Table {
    let mut columns = head(sweep);
    columns.extend([
        column("seeds", "seeds", "seeds", Digits::Exact),
        DU,
        column("delta_u_cov_final_low", "ΔU_cov low", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\low}", NATS),
        column("delta_u_cov_final_high", "ΔU_cov high", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\high}", NATS),
        DG,
        column("delta_g_kf_final_low", "ΔG_KF low", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\low}", NATS),
        column("delta_g_kf_final_high", "ΔG_KF high", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\high}", NATS),
    ]);
    columns.extend(PROXIES);
    columns.extend([
        column("limit_u_cov", "limit ΔU_cov", r"\shortstack[r]{limit\\$\Delta U_{\mathrm{cov}}$}", NATS),
        column("limit_g_kf", "limit ΔG_KF", r"\shortstack[r]{limit\\$\Delta G_{\mathrm{KF}}$}", NATS),
        column("n", "n", "$n$", Digits::Decimals(0)),
        column("n_a", "n_A", "$n_A$", Digits::Decimals(0)),
        column("empty_answers", "empty answers", r"\shortstack[r]{empty\\answers}", Digits::Decimals(0)),
        column("differs", "*", "*", Digits::Exact),
        column("beyond_noise", "beyond the noise", r"\shortstack[l]{beyond\\the noise}", Digits::Exact),
    ]);
    let row = |curve: &AlphaCurve, point: &AlphaPoint| {
        let (mean, floors) = (point.mean(sweep.generation), &point.condition.floors);
        let value = |of: fn(&SeriesPoint) -> Option<f64>| Cell::from(mean.and_then(of));
        let mut row = first_cells(curve, point);
        row.extend([Cell::count(point.condition.members.len()), value(|point| point.du_cov)]);
        row.extend(ends(mean.and_then(|point| point.du_interval)));
        row.push(value(|point| point.dg_kf));
        row.extend(ends(mean.and_then(|point| point.dg_interval)));
        row.extend([value(|point| point.distinct_2), value(|point| point.hhi)]);
        row.extend([Signal::TrackTwo, Signal::TrackOne].map(|signal| Cell::from(floors.limit(signal))));
        row.extend([value(|point| point.behind.n), value(|point| point.behind.n_a), value(|point| point.behind.empty)]);
        row.push(mean.map_or(Cell::Missing, differs));
        row.push(Cell::Text(Verdict::of(&point.condition.mean, floors).beyond()));
        row
    };
    Table { columns, rows: rows(sweep, |curve, point| vec![row(curve, point)]) }
}

/// One line for each seed of a point; `None` where no point has several.
pub(crate) fn seed_points(sweep: &AlphaSweep) -> Option<Table> {
    let mut columns = head(sweep);
    columns.extend([column("seed", "seed", "seed", Digits::Exact), DU, DG]);
    columns.extend(PROXIES);
    let of_point = |curve: &AlphaCurve, point: &AlphaPoint| {
        let row = |(seed, numbers): (u64, &SeriesPoint)| {
            let mut row = first_cells(curve, point);
            row.push(Cell::Count(seed));
            row.extend([numbers.du_cov, numbers.dg_kf, numbers.distinct_2, numbers.hhi].map(Cell::from));
            row
        };
        point.seeds(sweep.generation).into_iter().map(row).collect()
    };
    let rows = rows(sweep, of_point);
    (!rows.is_empty()).then_some(Table { columns, rows })
}

/// The cells of the heat map: mean ΔU, one line for each generation, one column for each condition.
pub(crate) fn heat_map(sweep: &AlphaSweep) -> Table {
    let all = || sweep.curves.iter().flat_map(|curve| &curve.points);
    let mut columns = vec![GENERATION];
    columns.extend(all().map(|point| {
        let named = Column::of_condition(&point.condition.slug, &point.condition.label, NATS);
        Column { name: format!("delta_u_cov_{}", point.condition.slug).into(), ..named }
    }));
    let row = |generation: u32| {
        let values = all().map(|point| Cell::from(point.mean(generation).and_then(|point| point.du_cov)));
        std::iter::once(Cell::Count(generation.into())).chain(values).collect()
    };
    Table { columns, rows: (0..=sweep.generation).map(row).collect() }
}

/// What the columns of the heat map's table are.
pub(crate) fn heat_map_note() -> String {
    "Mean ΔU_cov over seeds in nats, one column for each condition.".to_owned()
}

fn head(sweep: &AlphaSweep) -> Vec<Column> {
    let mut columns = vec![SETTING];
    columns.extend(grouped(sweep).then_some(GROUP));
    columns.push(ALPHA);
    columns
}

fn first_cells(curve: &AlphaCurve, point: &AlphaPoint) -> Vec<Cell> {
    let mut cells = vec![Cell::text(curve.setting.title())];
    cells.extend(curve.group.as_deref().map(Cell::text));
    cells.push(Cell::Number(point.alpha));
    cells
}

/// Groups are named for all curves or for none.
fn grouped(sweep: &AlphaSweep) -> bool {
    sweep.curves.iter().any(|curve| curve.group.is_some())
}

fn rows(sweep: &AlphaSweep, of_point: impl Fn(&AlphaCurve, &AlphaPoint) -> Vec<Vec<Cell>>) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for curve in &sweep.curves {
        rows.extend(curve.points.iter().flat_map(|point| of_point(curve, point)));
    }
    rows
}
