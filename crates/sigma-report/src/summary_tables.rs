//! Table 1 of the paper: where both tracks ended and how they moved, one line for each condition, and one for each seed of those
//! that have several. The columns of the published table come first and keep its names.

use sigma_metrics::Interval;

use crate::condition::{Condition, Member, interval};
use crate::paper_tables::{CONDITION, SETTING, column, names_needed};
use crate::summary::{Agreement, RunSummary};
use crate::table::{Cell, Column, Digits, Table};

const NATS: Digits = Digits::Decimals(3);
const FRACTION: Column = column("real_fraction", "real fraction α", r"$\alpha$", Digits::Exact);

/// The four scalars of a track pair, each under the name of its column.
type Scalar = fn(&RunSummary) -> Option<f64>;

const SCALARS: [(Column, Scalar); 4] = [
    (
        column("delta_u_cov_final", "ΔU_cov (final)", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\final}", NATS),
        |summary| summary.final_du,
    ),
    (column("slope_u_cov", "slope ΔU_cov", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\slope}", NATS), |summary| {
        summary.slope_u
    }),
    (
        column("delta_g_kf_final", "ΔG_KF (final)", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\final}", NATS),
        |summary| summary.final_dg,
    ),
    (column("slope_g_kf", "slope ΔG_KF", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\slope}", NATS), |summary| {
        summary.slope_g
    }),
];

/// The ends of the scalars' intervals.
const ENDS: [[Column; 2]; 4] = [
    [
        column("delta_u_cov_final_low", "ΔU_cov low", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\low}", NATS),
        column("delta_u_cov_final_high", "ΔU_cov high", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\high}", NATS),
    ],
    [
        column("slope_u_cov_low", "slope ΔU_cov low", r"\shortstack[r]{slope $U$\\low}", NATS),
        column("slope_u_cov_high", "slope ΔU_cov high", r"\shortstack[r]{slope $U$\\high}", NATS),
    ],
    [
        column("delta_g_kf_final_low", "ΔG_KF low", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\low}", NATS),
        column("delta_g_kf_final_high", "ΔG_KF high", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\high}", NATS),
    ],
    [
        column("slope_g_kf_low", "slope ΔG_KF low", r"\shortstack[r]{slope $G$\\low}", NATS),
        column("slope_g_kf_high", "slope ΔG_KF high", r"\shortstack[r]{slope $G$\\high}", NATS),
    ],
];

/// One line for each condition. Scalars are those of the mean series, which are the means of the scalars of its seeds; intervals are
/// 95 % percentile bootstraps over seeds.
pub(crate) fn conditions(conditions: &[Condition]) -> Table {
    let named = names_needed(conditions);
    let seeds = has_seeds(conditions);
    let mut columns = published_columns();
    if named {
        columns.extend([CONDITION, FRACTION]);
    }
    if seeds {
        columns.push(column("seeds", "seeds", "seeds", Digits::Exact));
        columns.extend(ENDS.into_iter().flatten());
    }
    let row = |condition: &Condition| {
        let mut row = published_cells(&RunSummary::of(&condition.mean)?);
        if named {
            row.extend([Cell::text(&condition.label), condition.real_fraction.into()]);
        }
        if seeds {
            row.push(Cell::count(condition.members.len()));
            for (_, scalar) in SCALARS {
                let over_seeds =
                    interval(condition.members.iter().map(|member| scalar(&RunSummary::of(&member.series)?)));
                row.extend(ends(over_seeds));
            }
        }
        Some(row)
    };
    let rows = conditions.iter().filter_map(row).collect();
    Table { columns, rows }
}

/// One line for each run, over the checkpoints that all seeds of its condition have.
pub(crate) fn seeds(conditions: &[Condition]) -> Table {
    let mut columns = published_columns();
    columns.extend([
        CONDITION,
        FRACTION,
        column("seed", "seed", "seed", Digits::Exact),
        column("name", "run", "run", Digits::Exact),
    ]);
    let row = |condition: &Condition, member: &Member| {
        let mut row = published_cells(&RunSummary::of(&member.series)?);
        row.extend([
            Cell::text(&condition.label),
            condition.real_fraction.into(),
            Cell::Count(member.run.manifest.seed),
            Cell::text(&member.run.manifest.name),
        ]);
        Some(row)
    };
    let of_condition = |condition| {
        let condition: &Condition = condition;
        condition.members.iter().filter_map(|member| row(condition, member)).collect::<Vec<_>>()
    };
    Table { columns, rows: conditions.iter().flat_map(of_condition).collect() }
}

/// Whether a condition has several seeds.
pub(crate) fn has_seeds(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| condition.members.len() > 1)
}

pub(crate) fn verdict(agreement: Option<Agreement>) -> Cell {
    agreement.map_or(Cell::Missing, |agreement| Cell::Verdict { word: agreement.word(), phrase: agreement.phrase() })
}

fn published_columns() -> Vec<Column> {
    let mut columns = vec![SETTING, column("generations", "T", "$T$", Digits::Exact)];
    columns.extend(SCALARS.map(|(column, _)| column));
    columns.push(column("tracks_agree", "track agreement?", "Track agreement?", Digits::Exact));
    columns
}

fn published_cells(summary: &RunSummary) -> Vec<Cell> {
    let mut row = vec![Cell::text(summary.setting.title()), Cell::Count(summary.generations.into())];
    row.extend(SCALARS.map(|(_, scalar)| Cell::from(scalar(summary))));
    row.push(verdict(summary.agreement));
    row
}

fn ends(interval: Option<Interval>) -> [Cell; 2] {
    [interval.map(|interval| interval.low).into(), interval.map(|interval| interval.high).into()]
}
