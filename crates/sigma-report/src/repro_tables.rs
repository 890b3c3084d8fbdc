//! The experiment card (appendix C.2): what the conditions of a report were made with, in six tables, a line for each
//! key and a column for each condition. Values are those of the resolved configs, the manifests and the first records;
//! nothing is said that these do not.

use serde_yaml::Value;

use crate::condition::{Condition, Member};
use crate::config_keys;
use crate::error::{ReportError, Result};
use crate::manifest::{ProgramEntry, StartEntry};
use crate::paper_tables::column;
use crate::record::{Record, Setting};
use crate::run::CONFIG_FILE_NAME;
use crate::table::{Cell, Column, Digits, Table};

/// One of the tables.
pub(crate) struct Card {
    /// Last part of its file name.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) table: Table,
}

/// What a card holds: keys of the config by their first part, then facts of a run.
struct Part {
    name: &'static str,
    title: &'static str,
    sections: &'static [&'static str],
    facts: &'static [Fact],
}

type Fact = (&'static str, fn(&Member) -> String);

const PARTS: [Part; 6] = [
    Part {
        name: "model_training",
        title: "Model and training",
        sections: &["setting", "model", "training", "generations"],
        facts: &[
            ("weights of generation t", |member| update_rule(member.run.manifest.setting).to_owned()),
            ("model revision", |member| optional(member.run.manifest.sources.model.revision.as_deref())),
            ("model hash", |member| member.run.manifest.sources.model.hash.clone()),
            ("steps per generation", |member| trained(member, |training| training.steps.to_string())),
            ("precision used", |member| started(member, |start| start.resolved.precision.clone())),
        ],
    },
    Part {
        name: "data_mixture",
        title: "Data and mixture",
        sections: &["domain", "corpus", "mixture", "prompts"],
        facts: &[
            ("corpus revision", |member| optional(member.run.manifest.sources.corpus.revision.as_deref())),
            ("corpus hash", |member| member.run.manifest.sources.corpus.hash.clone()),
            ("corpus documents", |member| member.run.manifest.sources.corpus.documents.to_string()),
            ("contexts", |member| member.run.manifest.sources.corpus.contexts.to_string()),
            ("prompts", |member| member.run.manifest.sources.prompts.count.to_string()),
            ("prompts revision", |member| optional(member.run.manifest.sources.prompts.revision.as_deref())),
            ("prompts hash", |member| member.run.manifest.sources.prompts.hash.clone()),
        ],
    },
    Part {
        name: "decoding",
        title: "Decoding",
        sections: &["regeneration", "evaluation"],
        facts: &[("synthetic samples per generation", |member| {
            let first = member.run.records.iter().find_map(|record| record.regeneration.as_ref());
            optional(first.map(|made| made.samples.to_string()).as_deref())
        })],
    },
    Part { name: "seeds", title: "Seeds", sections: &["seed", "name"], facts: &[] },
    Part {
        name: "sigma_ub",
        title: "Sigma-UB settings",
        sections: &["encoder", "sigma", "surface"],
        facts: &[
            ("encoder revision", |member| optional(member.run.manifest.sources.encoder.revision.as_deref())),
            ("encoder hash", |member| member.run.manifest.sources.encoder.hash.clone()),
            ("embedding dimension d", |member| measured(member, |record| Some(record.sigma.as_ref()?.d.to_string()))),
            ("blocks n at t = 0", |member| measured(member, |record| Some(record.sigma.as_ref()?.n.to_string()))),
            ("observed blocks n_A at t = 0", |member| {
                measured(member, |record| Some(record.sigma.as_ref()?.n_a.to_string()))
            }),
        ],
    },
    Part {
        name: "environment",
        title: "Hardware and software",
        // And every key that no other card has.
        sections: &["device", "evaluation_device", "checkpoints"],
        facts: &[
            ("program version", |member| started(member, |start| start.program.version.clone())),
            ("program commit", |member| started(member, |start| commit(&start.program))),
            ("operating system", |member| started(member, |start| start.machine.os.clone())),
            ("architecture", |member| started(member, |start| start.machine.arch.clone())),
            ("CPU", |member| started(member, |start| start.machine.cpu.clone())),
            ("CPU features", |member| started(member, |start| start.machine.cpu_features.join(", "))),
            ("threads", |member| started(member, |start| start.machine.threads.to_string())),
            ("device used", |member| started(member, |start| start.resolved.device.clone())),
            ("evaluation device used", |member| started(member, |start| start.resolved.evaluation_device.clone())),
            ("GPU", |member| started(member, |start| optional(start.machine.gpu.as_deref()))),
            ("config hash", |member| member.run.manifest.config_hash.clone()),
        ],
    },
];

/// All cards. Where the seeds of a condition differ in a value, all values stand in its cell.
///
/// # Errors
/// A config that is no YAML.
pub(crate) fn cards(conditions: &[Condition]) -> Result<Vec<Card>> {
    let configs = conditions.iter().map(configs_of).collect::<Result<Vec<_>>>()?;
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in configs.iter().flatten().flatten() {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let card = |part: &Part| {
        let from_config = keys.iter().filter(|key| home(key) == part.name).map(|key| {
            let values = configs.iter().map(|members| joined(members.iter().map(|config| value(config, key))));
            std::iter::once(Cell::text(key)).chain(values).collect()
        });
        let from_run = part.facts.iter().map(|(name, fact)| {
            let values =
                conditions.iter().map(|condition| joined(condition.members.iter().map(|member| Some(fact(member)))));
            std::iter::once(Cell::text(name)).chain(values).collect()
        });
        let mut columns = vec![column("item", "item", "Item", Digits::Exact)];
        columns.extend(
            conditions.iter().map(|condition| Column::of_condition(&condition.slug, &condition.label, Digits::Exact)),
        );
        let rows = from_config.chain(from_run).collect();
        Card { name: part.name, title: part.title, table: Table { columns, rows } }
    };
    Ok(PARTS.iter().map(card).collect())
}

type Leaves = Vec<(String, String)>;

/// The configs of a condition's seeds.
fn configs_of(condition: &Condition) -> Result<Vec<Leaves>> {
    let parse = |member: &Member| {
        let config: Value = serde_yaml::from_str(&member.run.config)
            .map_err(|source| ReportError::Config { path: member.run.dir.join(CONFIG_FILE_NAME), source })?;
        Ok(config_keys::leaves(&config))
    };
    condition.members.iter().map(parse).collect()
}

/// The card that holds a key.
fn home(key: &str) -> &'static str {
    let section = key.split('.').next().unwrap_or(key);
    let part = PARTS.iter().find(|part| part.sections.contains(&section));
    part.map_or("environment", |part| part.name)
}

fn value(config: &Leaves, key: &str) -> Option<String> {
    config.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
}

/// Each different value once, in the order of seeds.
fn joined(values: impl Iterator<Item = Option<String>>) -> Cell {
    let mut found: Vec<String> = Vec::new();
    for value in values.flatten() {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    if found.is_empty() { Cell::text("absent") } else { Cell::Text(found.join("; ")) }
}

fn update_rule(setting: Setting) -> &'static str {
    match setting {
        Setting::S1 => "trained from the base model",
        Setting::S2 => "trained from generation t - 1",
    }
}

fn optional(value: Option<&str>) -> String {
    value.unwrap_or("none").to_owned()
}

fn trained(member: &Member, of: impl Fn(&crate::record::TrainingRecord) -> String) -> String {
    let first = member.run.records.iter().find_map(|record| record.training.as_ref());
    optional(first.map(of).as_deref())
}

fn measured(member: &Member, of: impl Fn(&Record) -> Option<String>) -> String {
    optional(member.run.records.first().and_then(of).as_deref())
}

/// Of every start of a run, each different value once.
fn started(member: &Member, of: impl Fn(&StartEntry) -> String) -> String {
    let mut found: Vec<String> = Vec::new();
    for value in member.run.manifest.starts.iter().map(of) {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found.join("; ")
}

fn commit(program: &ProgramEntry) -> String {
    let changed = if program.dirty { ", changed" } else { "" };
    program.commit.as_ref().map_or("none".to_owned(), |commit| format!("{commit}{changed}"))
}
