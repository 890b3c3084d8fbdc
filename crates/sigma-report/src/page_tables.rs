//! Tables of the page alone: what the runs are, and what their records warn of.

use crate::arithmetic::{self, arithmetic_changes, program_name};
use crate::condition::{Condition, Member};
use crate::flags;
use crate::paper_tables::{CONDITION, column};
use crate::table::{Cell, Digits, Table};

/// One line for each run: where it came from.
pub(crate) fn runs(conditions: &[Condition]) -> Table {
    let text = |name, heading| column(name, heading, heading, Digits::Exact);
    let columns = vec![
        CONDITION,
        text("run", "run"),
        text("domain", "domain"),
        text("seed", "seed"),
        text("generations", "t"),
        text("real_fraction", "α"),
        text("model", "model"),
        text("encoder", "encoder"),
        text("corpus", "corpus"),
        text("contexts", "contexts"),
        text("prompts", "prompts"),
        text("blocks", "n (t = 0)"),
        text("observed", "n_A (t = 0)"),
        text("device", "device"),
        text("program", "program"),
    ];
    let row = |condition: &Condition, member: &Member| {
        let manifest = &member.run.manifest;
        let sources = &manifest.sources;
        let done = member.run.records.last().map_or(0, |record| record.generation);
        let sigma = member.run.records.first().and_then(|record| record.sigma.as_ref());
        let latest = manifest.latest();
        let program = latest.map_or(String::new(), |start| program_name(&start.program));
        let device = latest.map(|start| start.machine.gpu.as_ref().unwrap_or(&start.resolved.device));
        vec![
            Cell::text(&condition.label),
            Cell::text(&manifest.name),
            Cell::text(&manifest.domain),
            Cell::Count(manifest.seed),
            Cell::Text(match done == manifest.generations {
                true => format!("0 to {done}"),
                false => format!("0 to {done} of {}", manifest.generations),
            }),
            condition.real_fraction.into(),
            Cell::text(&sources.model.source),
            Cell::text(&sources.encoder.source),
            Cell::text(&sources.corpus.path),
            Cell::count(sources.corpus.contexts),
            Cell::count(sources.prompts.count),
            sigma.map_or(Cell::Missing, |sigma| Cell::count(sigma.n)),
            sigma.map_or(Cell::Missing, |sigma| Cell::count(sigma.n_a)),
            device.map_or(Cell::Missing, |device| Cell::text(device)),
            Cell::Text(program),
        ]
    };
    let rows = conditions
        .iter()
        .flat_map(|condition| condition.members.iter().map(move |member| row(condition, member)))
        .collect();
    Table { columns, rows }
}

/// Where the arithmetic changes inside a run, and where it differs between the seeds of a condition, in words.
pub(crate) fn arithmetic(conditions: &[Condition]) -> Vec<String> {
    let mut notes = Vec::new();
    for condition in conditions {
        for member in &condition.members {
            let changes = arithmetic_changes(&member.run.records);
            notes.extend(changes.iter().map(|change| format!("{}: {change}.", member.label)));
        }
        notes.extend(seeds_differ(condition));
    }
    notes
}

/// Every part of the arithmetic that is not the same in the first records of all seeds.
fn seeds_differ(condition: &Condition) -> Vec<String> {
    let of_member = |member: &Member| member.run.records.first().map(|record| arithmetic::parts(&record.arithmetic));
    let Some(seeds) = condition.members.iter().map(of_member).collect::<Option<Vec<_>>>() else { return Vec::new() };
    let Some(first) = seeds.first() else { return Vec::new() };
    let differs = |at: &usize| seeds.iter().any(|seed| seed[*at].1 != first[*at].1);
    let named = |at: usize| {
        let values = condition.members.iter().zip(&seeds);
        let values: Vec<String> =
            values.map(|(member, seed)| format!("{} (seed {})", seed[at].1, member.run.manifest.seed)).collect();
        format!("{}: the {} is not that of all seeds: {}.", condition.label, first[at].0, values.join(", "))
    };
    (0..first.len()).filter(differs).map(named).collect()
}

/// The flags of all records: what, in which run, at which generations.
pub(crate) fn flags(conditions: &[Condition]) -> Table {
    let text = |name, heading| column(name, heading, heading, Digits::Exact);
    let columns = vec![
        text("run", "run"),
        text("generations", "generations"),
        text("meaning", "what to know"),
        text("flag", "flag"),
    ];
    let of_member = |member: &Member| -> Vec<Vec<Cell>> {
        let row = |(flag, generations): (&str, Vec<u32>)| {
            vec![
                Cell::text(&member.label),
                Cell::Text(flags::ranges(&generations)),
                Cell::Text(flags::explain(flag)),
                Cell::text(flag),
            ]
        };
        flags::of_records(&member.run.records).into_iter().map(row).collect()
    };
    let members = conditions.iter().flat_map(|condition| &condition.members);
    Table { columns, rows: members.flat_map(of_member).collect() }
}
