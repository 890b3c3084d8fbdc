//! Tables of the page alone: what the runs are, and what their records warn of.

use crate::condition::{Condition, Member};
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
        text("created", "created"),
        text("program", "program"),
    ];
    let row = |condition: &Condition, member: &Member| {
        let manifest = &member.run.manifest;
        let sources = &manifest.sources;
        let done = member.run.records.last().map_or(0, |record| record.generation);
        let sigma = member.run.records.first().and_then(|record| record.sigma.as_ref());
        let program = match &manifest.program.commit {
            Some(commit) => format!(
                "{} ({}{})",
                manifest.program.version,
                commit.chars().take(12).collect::<String>(),
                if manifest.program.dirty { ", changed" } else { "" }
            ),
            None => manifest.program.version.clone(),
        };
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
            Cell::text(manifest.machine.gpu.as_ref().unwrap_or(&manifest.machine.device)),
            Cell::text(&manifest.created),
            Cell::Text(program),
        ]
    };
    let rows = conditions
        .iter()
        .flat_map(|condition| condition.members.iter().map(move |member| row(condition, member)))
        .collect();
    Table { columns, rows }
}

/// The flags of all records: which, in which run, at which generations.
pub(crate) fn flags(conditions: &[Condition]) -> Table {
    let text = |name, heading| column(name, heading, heading, Digits::Exact);
    let columns = vec![text("run", "run"), text("flag", "flag"), text("generations", "generations")];
    let mut rows = Vec::new();
    for member in conditions.iter().flat_map(|condition| &condition.members) {
        let mut found: Vec<(&str, Vec<u32>)> = Vec::new();
        for record in &member.run.records {
            for flag in &record.flags {
                match found.iter_mut().find(|(known, _)| known == flag) {
                    Some((_, generations)) => generations.push(record.generation),
                    None => found.push((flag, vec![record.generation])),
                }
            }
        }
        let row = |(flag, generations): (&str, Vec<u32>)| {
            vec![Cell::text(&member.label), Cell::text(flag), Cell::Text(ranges(&generations))]
        };
        rows.extend(found.into_iter().map(row));
    }
    Table { columns, rows }
}

/// Ascending numbers with runs drawn together: `0, 3 to 7`.
fn ranges(numbers: &[u32]) -> String {
    let shown: Vec<String> = numbers
        .chunk_by(|a, b| b - a == 1)
        .map(|run| match run {
            [only] => only.to_string(),
            [first, .., last] => format!("{first} to {last}"),
            [] => String::new(),
        })
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_drawn_together() {
        assert_eq!(ranges(&[0, 3, 4, 5, 9, 10]), "0, 3 to 5, 9 to 10");
        assert_eq!(ranges(&[]), "");
    }
}
