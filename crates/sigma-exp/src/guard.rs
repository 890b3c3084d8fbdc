//! Whether a run may go on with a config: everything that changes a number must be what it was, from the keys of the
//! config to the content of the files that it names.

use anyhow::{Context, Result, bail};
use serde_yaml::Value;
use sigma_report::Manifest;
use sigma_report::manifest::SourcesEntry;

use crate::run_folder::RunFolder;
use crate::spec::Experiment;

/// Keys that do not change what a finished generation contains.
const HARMLESS: [&str; 8] = [
    "device",
    "evaluation_device",
    "generations",
    "checkpoints.keep",
    "checkpoints.save_minutes",
    "regeneration.batch_size",
    "evaluation.batch_size",
    "encoder.batch_size",
];

/// Refuses to go on in `folder` where `experiment` or the content of its sources differs from what began it.
pub fn check(folder: &RunFolder, manifest: &Manifest, experiment: &Experiment, sources: &SourcesEntry) -> Result<()> {
    let path = folder.path().join(crate::run_folder::CONFIG);
    let stored = std::fs::read_to_string(&path).with_context(|| format!("{} can not be read", path.display()))?;
    let stored: Value = serde_yaml::from_str(&stored).with_context(|| format!("{} is damaged", path.display()))?;
    let current: Value = serde_yaml::from_str(&experiment.to_yaml()?)?;
    let mut differences = differences(&stored, &current);
    let old = &manifest.sources;
    for (what, before, now) in [
        ("model (weights, config.json or tokenizer)", &old.model.hash, &sources.model.hash),
        ("encoder (weights, config.json or tokenizer)", &old.encoder.hash, &sources.encoder.hash),
        ("corpus contexts", &old.corpus.hash, &sources.corpus.hash),
        ("prompt bank", &old.prompts.hash, &sources.prompts.hash),
    ] {
        if before != now {
            differences.push(format!("content of the {what}: {} was {}", short(now), short(before)));
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "{} was begun with another config; going on would mix two experiments:\n  {}\nGo on with the old config, choose \
         another `name` or --out, or start over with --fresh (which deletes what is there)",
        folder.path().display(),
        differences.join("\n  ")
    );
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// Every key of a config whose change would make other numbers: `path: new was old`.
pub fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    compare("", old, new, &mut differences);
    differences
}

/// Collects `path: new was old` for every leaf that differs.
fn compare(path: &str, old: &Value, new: &Value, differences: &mut Vec<String>) {
    if HARMLESS.contains(&path) || old == new {
        return;
    }
    if let (Value::Mapping(before), Value::Mapping(now)) = (old, new) {
        for key in before.keys().chain(now.keys().filter(|key| !before.contains_key(*key))) {
            let name = key.as_str().unwrap_or("?");
            let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            let get = |m: &serde_yaml::Mapping| m.get(key).cloned().unwrap_or(Value::Null);
            compare(&path, &get(before), &get(now), differences);
        }
        return;
    }
    let text = |value: &Value| serde_yaml::to_string(value).unwrap_or_default().trim().to_string();
    differences.push(format!("{path}: {} was {}", text(new), text(old)));
}
