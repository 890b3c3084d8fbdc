//! Whether a run may resume with a config: everything that changes a number must be what it was, from the keys of the
//! config to the content of the files that it names. What it computes with is judged in `arithmetic`.

use anyhow::{Context, Result, bail};
use serde_yaml::Value;
use sigma_report::manifest::{Resolved, SourcesEntry};
use sigma_report::{Manifest, run_files};

use crate::experiment_key::{contents, differences};
use crate::run_folder::RunFolder;
use crate::spec::Experiment;

/// Refuses to resume in `folder` where `experiment` or the content of its sources differs from what began it.
pub fn check(folder: &RunFolder, manifest: &Manifest, experiment: &Experiment, sources: &SourcesEntry) -> Result<()> {
    let path = folder.path().join(crate::layout::CONFIG);
    let stored = run_files::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let stored: Value = serde_yaml::from_str(&stored).with_context(|| format!("{} is damaged", path.display()))?;
    let current: Value = serde_yaml::from_str(&experiment.to_yaml()?)?;
    let mut differences = differences(&stored, &current);
    for ((what, before), (_, now)) in contents(&manifest.sources).into_iter().zip(contents(sources)) {
        if before != now {
            differences.push(format!("content of the {what}: {} was {}", short(now), short(before)));
        }
    }
    refuse(folder, &differences)
}

/// Refuses batch sizes of a GPU that the config states and that are not those which the run began with: there texts
/// follow from them.
pub fn check_rows(folder: &RunFolder, experiment: &Experiment, begun: &Resolved) -> Result<()> {
    let mut differences = Vec::new();
    for (key, asked, before) in [
        ("regeneration.batch_size", experiment.regeneration.batch_size, begun.pool_rows),
        ("evaluation.batch_size", experiment.evaluation.batch_size, begun.answer_rows),
    ] {
        if let (Some(asked), Some(before)) = (asked, before)
            && asked != before
        {
            differences.push(format!("{key}: {asked} was {before} (on a GPU it changes texts)"));
        }
    }
    refuse(folder, &differences)
}

fn refuse(folder: &RunFolder, differences: &[String]) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "{} was begun with another config; resuming would mix two experiments:\n  {}\nResume with the old config, choose \
         another `name` or --out, or start over with --fresh (which deletes what is there)",
        folder.path().display(),
        differences.join("\n  ")
    );
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
