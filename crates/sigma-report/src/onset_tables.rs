//! Tables of what stands beside the two tracks: from which generation on a signal is beyond the noise of the base, and
//! where every other diagnostic began and ended. The definitions are those of sigma-metrics and of `diagnostics`.

use sigma_metrics::{PERSISTENCE, lead};

use crate::condition::{Condition, Member};
use crate::diagnostics::{DIAGNOSTICS, Diagnostic};
use crate::floors::{Floors, LEVEL, Signal};
use crate::paper_tables::{CONDITION, SETTING, column};
use crate::record::Record;
use crate::series::RunSeries;
use crate::table::{Cell, Column, Digits, Table, rounded};

const NATS: Digits = Digits::Decimals(3);

/// Onset and limit of each signal, in the order of [`Signal::ALL`].
const SIGNALS: [[Column; 2]; 4] = [
    [
        column("onset_u_cov", "onset ΔU_cov", r"\shortstack[r]{onset\\$\Delta U_{\mathrm{cov}}$}", Digits::Exact),
        column("limit_u_cov", "limit ΔU_cov", r"\shortstack[r]{limit\\$\Delta U_{\mathrm{cov}}$}", NATS),
    ],
    [
        column("onset_g_kf", "onset ΔG_KF", r"\shortstack[r]{onset\\$\Delta G_{\mathrm{KF}}$}", Digits::Exact),
        column("limit_g_kf", "limit ΔG_KF", r"\shortstack[r]{limit\\$\Delta G_{\mathrm{KF}}$}", NATS),
    ],
    [
        column("onset_distinct_2", "onset distinct-2", r"\shortstack[r]{onset\\distinct-2}", Digits::Exact),
        column("limit_distinct_2", "limit distinct-2", r"\shortstack[r]{limit\\distinct-2}", Digits::Decimals(4)),
    ],
    [
        column("onset_hhi", "onset HHI", r"\shortstack[r]{onset\\HHI}", Digits::Exact),
        column("limit_hhi", "limit HHI", r"\shortstack[r]{limit\\HHI}", Digits::Scientific(2)),
    ],
];

/// Onsets of both tracks and of the published proxies, and by how many generations Track II alarms before each proxy:
/// one line for each condition whose runs have a noise floor, on its mean, and one for each seed of those that have
/// several. A limit is the end of the 95 % band that collapse crosses. No row if no run has a floor.
pub(crate) fn onsets(conditions: &[Condition]) -> Table {
    let mut columns = vec![
        SETTING,
        CONDITION,
        column("seed", "seed", "seed", Digits::Exact),
        column("replicates", "replicates", "$k$", Digits::Exact),
    ];
    columns.extend(SIGNALS.into_iter().flatten());
    columns.push(column(
        "lead_distinct_2",
        "lead over distinct-2",
        r"\shortstack[r]{lead over\\distinct-2}",
        Digits::Exact,
    ));
    columns.push(column("lead_hhi", "lead over HHI", r"\shortstack[r]{lead over\\HHI}", Digits::Exact));
    let mut rows = Vec::new();
    for condition in conditions {
        let seed = |member: &Member| member.run.manifest.seed.to_string();
        let several = condition.members.len() > 1;
        let first = if several { "mean".to_owned() } else { condition.members.iter().map(seed).collect() };
        rows.extend(onset_row(condition, first, &condition.mean, &condition.floors));
        for member in condition.members.iter().filter(|_| several) {
            rows.extend(onset_row(condition, seed(member), &member.series, &member.floors));
        }
    }
    Table { columns, rows }
}

/// What a reader of [`onsets`] has to know.
pub(crate) fn onset_note() -> String {
    format!(
        "Onset: the first generation from which on all points to the end of the run, at least {PERSISTENCE}, lie beyond the limit; n/a \
         where there is none. Limit: the end of the 95 % band that k other evaluations of the base leave for one more, and never on the \
         far side of the value at t = 0. A signal that does not drift has an onset in at most {} % of finished runs. Lead: by how many \
         generations Track II comes first.",
        rounded(100.0 * (1.0 - LEVEL) / 2.0, Digits::Decimals(1)),
    )
}

fn onset_row(condition: &Condition, seed: String, series: &RunSeries, floors: &Floors) -> Option<Vec<Cell>> {
    if floors.is_empty() {
        return None;
    }
    let replicates = Signal::ALL.iter().filter_map(|signal| floors.get(*signal)).map(|floor| floor.replicates).max();
    let mut row = vec![
        Cell::text(condition.setting.title()),
        Cell::text(&condition.label),
        Cell::Text(seed),
        replicates.map_or(Cell::Missing, Cell::count),
    ];
    let onsets = Signal::ALL.map(|signal| floors.onset(signal, series));
    for (signal, onset) in Signal::ALL.into_iter().zip(onsets) {
        row.extend([onset.map_or(Cell::Missing, Cell::count), floors.limit(signal).into()]);
    }
    for proxy in [Signal::Distinct2, Signal::Hhi] {
        let lead = lead(onsets[Signal::TrackTwo as usize], onsets[proxy as usize]);
        row.push(lead.map(|generations| generations as f64).into());
    }
    Some(row)
}

/// Every diagnostic at t = 0 and at the last checkpoint that all seeds have, and its change; means over seeds. One that
/// was measured at neither has no line, and one that a seed lacks has no value.
pub(crate) fn diagnostics(conditions: &[Condition]) -> Table {
    let value = |name, heading, latex| column(name, heading, latex, Digits::Decimals(4));
    let columns = vec![
        SETTING,
        CONDITION,
        column("diagnostic", "diagnostic", "Diagnostic", Digits::Exact),
        column("collapse", "when collapsing", "Collapse", Digits::Exact),
        value("first", "t = 0", "$t = 0$"),
        value("last", "t = T", "$t = T$"),
        value("change", "change", "change"),
    ];
    let row = |condition: &Condition, diagnostic: &Diagnostic| {
        let last = condition.mean.points.len().checked_sub(1)?;
        let mean = |at: usize| {
            let value =
                |member: &Member| member.run.records.get(at).and_then(|record: &Record| (diagnostic.value)(record));
            let values: Option<Vec<f64>> = condition.members.iter().map(value).collect();
            sigma_metrics::statistics::mean(&values?)
        };
        let (first, last) = (mean(0), mean(last));
        let change = first.and_then(|first| Some(last? - first));
        (first.is_some() || last.is_some()).then(|| {
            vec![
                Cell::text(condition.setting.title()),
                Cell::text(&condition.label),
                Cell::Verdict { word: diagnostic.name, phrase: diagnostic.title },
                Cell::text(diagnostic.collapse),
                first.into(),
                last.into(),
                change.into(),
            ]
        })
    };
    let rows = conditions
        .iter()
        .flat_map(|condition| DIAGNOSTICS.iter().filter_map(move |diagnostic| row(condition, diagnostic)))
        .collect();
    Table { columns, rows }
}
