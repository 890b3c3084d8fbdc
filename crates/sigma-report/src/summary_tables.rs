//! Table 1 of the paper: where both tracks ended and how they moved, one line for each condition, and one for each seed
//! of those that have several. The columns of the published table come first and keep its names; in place of its
//! verdict, which goes by the sign of the drifts, stands which signals left the noise.

use crate::condition::{Condition, Member, interval};
use crate::floors::Floors;
use crate::paper_tables::{CONDITION, SETTING, column, differs, differs_note, ends, names_needed};
use crate::series::RunSeries;
use crate::summary::RunSummary;
use crate::table::{Cell, Column, Digits, Table};
use crate::verdict::Verdict;

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

/// What the last checkpoint is measured on.
const BEHIND: [Column; 4] = [
    column("n", "n (t = T)", r"\shortstack[r]{$n$\\$t = T$}", Digits::Decimals(0)),
    column("n_a", "n_A (t = T)", r"\shortstack[r]{$n_A$\\$t = T$}", Digits::Decimals(0)),
    column("empty_answers", "empty (t = T)", r"\shortstack[r]{empty\\$t = T$}", Digits::Decimals(0)),
    column("differs", "*", "*", Digits::Exact),
];

/// One line for each condition. Scalars are those of the mean series, which are the means of the scalars of its seeds;
/// intervals are those of Student's t over seeds, 95 %, from three on.
pub(crate) fn conditions(conditions: &[Condition]) -> Table {
    let named = names_needed(conditions);
    let seeds = has_seeds(conditions);
    let mut columns = columns();
    if named {
        columns.extend([CONDITION, FRACTION]);
    }
    if seeds {
        columns.push(column("seeds", "seeds", "seeds", Digits::Exact));
        columns.extend(ENDS.into_iter().flatten());
    }
    let row = |condition: &Condition| {
        let mut row = cells(&condition.mean, &condition.floors)?;
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
    let mut columns = columns();
    columns.extend([
        CONDITION,
        FRACTION,
        column("seed", "seed", "seed", Digits::Exact),
        column("name", "run", "run", Digits::Exact),
    ]);
    let row = |condition: &Condition, member: &Member| {
        let mut row = cells(&member.series, &member.floors)?;
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

/// What a reader of both tables has to know, first of all the verdict on every condition in words.
pub(crate) fn notes(conditions: &[Condition]) -> Vec<String> {
    let verdict = |condition: &Condition| {
        format!("{}: {}", condition.label, Verdict::of(&condition.mean, &condition.floors).sentences())
    };
    let mut notes: Vec<String> = conditions.iter().map(verdict).collect();
    if conditions.iter().any(|condition| condition.members.len() > 2) {
        notes.push(
            "Low and high: the interval of the mean over seeds, Student's t, 95 %; none below three seeds.".to_owned(),
        );
    }
    notes.extend(differs_note(conditions.iter().map(|condition| &condition.mean)));
    notes
}

/// What the paper would say of every condition, which goes by the sign of the drifts and of their slopes alone; for
/// tables beside the published numbers and nowhere else.
pub(crate) fn in_the_papers_words(conditions: &[Condition]) -> Vec<String> {
    let words = |condition: &Condition| {
        let agreement = RunSummary::of(&condition.mean)?.agreement?;
        Some(format!(
            "{}, by the sign of the drifts alone, in the paper's words: tracks agree: {}.",
            condition.label,
            agreement.phrase()
        ))
    };
    conditions.iter().filter_map(words).collect()
}

/// Whether a condition has several seeds.
pub(crate) fn has_seeds(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| condition.members.len() > 1)
}

fn columns() -> Vec<Column> {
    let mut columns = vec![SETTING, column("generations", "T", "$T$", Digits::Exact)];
    columns.extend(SCALARS.map(|(column, _)| column));
    columns.extend(BEHIND);
    columns.push(column("beyond_noise", "beyond the noise", r"\shortstack[l]{beyond\\the noise}", Digits::Exact));
    columns
}

/// `None` for a run without checkpoints.
fn cells(series: &RunSeries, floors: &Floors) -> Option<Vec<Cell>> {
    let (summary, last) = (RunSummary::of(series)?, series.points.last()?);
    let mut row = vec![Cell::text(summary.setting.title()), Cell::Count(summary.generations.into())];
    row.extend(SCALARS.map(|(_, scalar)| Cell::from(scalar(&summary))));
    row.extend([last.behind.n.into(), last.behind.n_a.into(), last.behind.empty.into(), differs(last)]);
    row.push(Cell::Text(Verdict::of(series, floors).beyond()));
    Some(row)
}
