//! Which runs are one experiment. Three hashes stand for the completed config, the content of the files that it names,
//! and the arithmetic: one for a run (the experiment), one for all its seeds (the condition), one for all its real
//! fractions and settings (the family). This is the only list of keys that change no number.

use anyhow::Result;
use serde_yaml::Value;
use sigma_data::hash::hash_bytes;
use sigma_report::chain;
use sigma_report::manifest::{Resolved, SourcesEntry};

use crate::device;
use crate::spec::Experiment;

/// Keys that do not change what a checkpoint contains, wherever it is computed.
const NEVER: [&str; 7] = [
    "name",
    "generations",
    "encoder.batch_size",
    "checkpoints.keep",
    "checkpoints.save_minutes",
    "limits.max_file_memory",
    "limits.max_text_bytes",
];

/// Keys for which something else counts: the content of a source, whatever it is called, and the arithmetic of a run.
const STOOD_FOR: [&str; 13] = [
    "model.source",
    "corpus.path",
    "corpus.hub",
    "corpus.file",
    "prompts.path",
    "prompts.hub",
    "prompts.file",
    "encoder.source",
    "regeneration.batch_size",
    "evaluation.batch_size",
    "device",
    "evaluation_device",
    "training.precision",
];

/// Whether a key, taken by itself, changes no number.
fn is_harmless(key: &str) -> bool {
    NEVER.contains(&key) || STOOD_FOR.contains(&key)
}

/// The hashes of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentKey {
    pub experiment: String,
    pub condition: String,
    pub family: String,
}

impl ExperimentKey {
    /// Of a run that has computed with each of `arithmetic`, in order: more than one where a change of device was
    /// accepted.
    pub fn of(experiment: &Experiment, sources: &SourcesEntry, arithmetic: &[&Resolved]) -> Result<Self> {
        let mut leaves = leaves(&serde_yaml::from_str(&experiment.to_yaml()?)?);
        leaves.retain(|(key, _)| !is_harmless(key) && key != "seed");
        for (name, hash) in contents(sources) {
            leaves.push((format!("content of the {name}"), hash.to_string()));
        }
        let mut before = None;
        for resolved in arithmetic {
            let now = arithmetic_of(resolved);
            if before.as_ref() != Some(&now) {
                leaves.push(("arithmetic".to_string(), now.clone()));
            }
            before = Some(now);
        }
        let hash = |keep: &dyn Fn(&str) -> bool| {
            let kept: Vec<_> = leaves.iter().filter(|(key, _)| keep(key)).collect();
            Ok::<_, anyhow::Error>(hash_bytes(serde_json::to_string(&kept)?.as_bytes()))
        };
        let condition = hash(&|_| true)?;
        Ok(Self {
            experiment: chain::experiment_hash(&condition, experiment.seed),
            family: hash(&|key| key != "setting" && key != "mixture.real_fraction")?,
            condition,
        })
    }
}

/// The files that a config names, with the hash of what they hold.
pub fn contents(sources: &SourcesEntry) -> [(&'static str, &str); 4] {
    [
        ("model (weights, config.json or tokenizer)", &sources.model.hash),
        ("encoder (weights, config.json or tokenizer)", &sources.encoder.hash),
        ("corpus contexts", &sources.corpus.hash),
        ("prompt bank", &sources.prompts.hash),
    ]
}

/// The kinds of devices, the precisions and, on a GPU, the rows that are decoded together.
pub fn arithmetic_of(resolved: &Resolved) -> String {
    let Resolved { device, evaluation_device, precision, evaluation_precision, pool_rows, answer_rows } = resolved;
    let rows = |rows: &Option<usize>| rows.map_or(String::new(), |rows| format!(", {rows} texts together"));
    format!(
        "{precision} on {}{}; evaluation in {evaluation_precision} on {}{}",
        device::kind(device),
        rows(pool_rows),
        device::kind(evaluation_device),
        rows(answer_rows)
    )
}

/// The completed config as far as it can make a difference, whatever its values are: two configs of which this is the
/// same are one experiment. What the sources hold is not looked at.
pub fn what_counts(experiment: &Experiment) -> Result<String> {
    let mut leaves = leaves(&serde_yaml::from_str(&experiment.to_yaml()?)?);
    leaves.retain(|(key, _)| !NEVER.contains(&key.as_str()));
    Ok(serde_json::to_string(&leaves)?)
}

/// Every leaf of a config by its path, with its value as YAML.
fn leaves(config: &Value) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    collect("", config, &mut leaves);
    leaves
}

fn collect(path: &str, value: &Value, leaves: &mut Vec<(String, String)>) {
    match value {
        Value::Mapping(mapping) if !mapping.is_empty() => {
            for (key, value) in mapping {
                let name = key.as_str().unwrap_or("?");
                collect(&if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }, value, leaves);
            }
        }
        value => leaves.push((path.to_string(), serde_yaml::to_string(value).unwrap_or_default().trim().to_string())),
    }
}

/// Every key of a config whose change would make other numbers, or another run: `path: new was old`.
pub fn differences(old: &Value, new: &Value) -> Vec<String> {
    let (before, now) = (leaves(old), leaves(new));
    let of = |leaves: &[(String, String)], key: &str| {
        leaves.iter().find(|(known, _)| known == key).map_or("null".to_string(), |(_, value)| value.clone())
    };
    let mut keys: Vec<&String> = before.iter().map(|(key, _)| key).collect();
    keys.extend(now.iter().map(|(key, _)| key).filter(|key| !before.iter().any(|(known, _)| known == *key)));
    let counts = |key: &&String| !is_harmless(key) || NAMED.contains(&key.as_str());
    keys.into_iter()
        .filter(counts)
        .filter(|key| of(&before, key) != of(&now, key))
        .map(|key| format!("{key}: {} was {}", of(&now, key), of(&before, key)))
        .collect()
}

/// Keys that change no number, but that a run does not change either: its folder is called by its name, and what
/// `precision: auto` stood for is stored.
const NAMED: [&str; 2] = ["name", "training.precision"];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use sigma_report::manifest::{CorpusSource, ModelSource, PromptsSource};

    use super::*;

    fn experiment(sets: &[&str]) -> Experiment {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/demo_s2.yaml");
        let settings: Vec<_> = sets.iter().map(|set| crate::yaml::Setting::parse(set).unwrap()).collect();
        Experiment::load(&config, &settings).unwrap()
    }

    fn sources(corpus: &str) -> SourcesEntry {
        let model = |hash: &str| ModelSource { source: "m".into(), revision: None, hash: hash.into() };
        SourcesEntry {
            model: model("1"),
            encoder: model("2"),
            corpus: CorpusSource { path: "c".into(), revision: None, hash: corpus.into(), documents: 1, contexts: 1 },
            prompts: PromptsSource { path: "p".into(), revision: None, hash: "4".into(), count: 1 },
        }
    }

    fn resolved(device: &str, precision: &str) -> Resolved {
        Resolved {
            device: device.into(),
            evaluation_device: device.into(),
            precision: precision.into(),
            evaluation_precision: precision.into(),
            pool_rows: None,
            answer_rows: None,
        }
    }

    fn key(sets: &[&str]) -> ExperimentKey {
        ExperimentKey::of(&experiment(sets), &sources("3"), &[&resolved("cpu", "f32")]).unwrap()
    }

    #[test]
    fn seeds_are_one_condition_and_different_experiments() {
        let (one, two) = (key(&[]), key(&["seed=7"]));
        assert_eq!((&one.condition, &one.family), (&two.condition, &two.family));
        assert_ne!(one.experiment, two.experiment);
    }

    #[test]
    fn real_fractions_and_settings_are_one_family_and_different_conditions() {
        for set in ["mixture.real_fraction=0.5", "setting=s1"] {
            let (one, two) = (key(&[]), key(&[set]));
            assert_eq!(one.family, two.family, "{set}");
            assert_ne!(one.condition, two.condition, "{set}");
        }
    }

    #[test]
    fn what_changes_no_number_changes_no_hash_and_everything_else_does() {
        for set in [
            "name=other",
            "generations=3",
            "device=auto",
            "encoder.batch_size=3",
            "regeneration.batch_size=3",
            "evaluation.batch_size=3",
            "checkpoints.keep=all",
            "limits.max_file_memory=5",
            "limits.max_text_bytes=5",
            "corpus.path=elsewhere.jsonl",
            "model.source=elsewhere",
        ] {
            assert_eq!(key(&[]), key(&[set]), "{set}");
        }
        for set in ["training.epochs=2", "evaluation.noise_replicates=3", "domain=other", "sigma.observed=all"] {
            assert_ne!(key(&[]).condition, key(&[set]).condition, "{set}");
        }
        let of = |corpus: &str, arithmetic: &[&Resolved]| {
            ExperimentKey::of(&experiment(&[]), &sources(corpus), arithmetic).unwrap().condition
        };
        let (cpu, gpu) = (resolved("cpu", "f32"), resolved("cuda:0", "f32"));
        assert_ne!(of("3", &[&cpu]), of("other text", &[&cpu]));
        assert_ne!(of("3", &[&cpu]), of("3", &[&gpu]), "a CPU run and a GPU run are no two seeds of one condition");
        assert_ne!(of("3", &[&gpu]), of("3", &[&resolved("cuda:0", "f16")]));
        assert_eq!(of("3", &[&gpu]), of("3", &[&resolved("cuda:1", "f32")]), "the index of a GPU makes no number");
        assert_eq!(of("3", &[&cpu]), of("3", &[&cpu, &cpu]), "a run that was resumed is what it was");
        assert_ne!(of("3", &[&cpu]), of("3", &[&cpu, &gpu]));
        assert_ne!(of("3", &[&gpu, &cpu]), of("3", &[&cpu, &gpu]));
    }
}
