//! What was probably meant by a key or an argument that does not exist. Hints are added to messages; nothing is refused
//! or accepted here.

use anyhow::{Error, anyhow};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde::Serialize;
use serde_json::Value;
use sigma_embed::EncoderConfig;
use sigma_generate::{EvaluationConfig, RegenerationConfig};
use sigma_metrics::{SigmaConfig, SurfaceConfig};
use sigma_train::TrainingConfig;

use crate::mixture::MixtureConfig;
use crate::spec::CheckpointsConfig;

/// What papers and other programs call a key.
const OTHER_NAMES: [(&str, &str); 3] =
    [("alpha", "mixture.real_fraction"), ("lr", "training.learning_rate"), ("n_a", "sigma.observed")];

/// Sections that are often given as the one text that matters in them, and its key.
const MAIN_KEYS: [(&str, &str); 4] =
    [("model", "source"), ("encoder", "source"), ("corpus", "path"), ("prompts", "path")];

/// Keys of a config outside its sections that a command line may try as options.
const ROOT: [&str; 6] = ["name", "domain", "setting", "generations", "seed", "model"];

/// The error of a config with a hint, where there is one.
pub fn for_config(error: Error) -> Error {
    match config_hint(&error.to_string()) {
        Some(hint) => anyhow!("{error}; {hint}"),
        None => error,
    }
}

fn config_hint(message: &str) -> Option<String> {
    if let Some((before, found)) = message.split_once(": expected a section of keys with values, found ") {
        let section = before.rsplit(": ").next()?;
        let (_, key) = MAIN_KEYS.iter().find(|(name, _)| *name == section)?;
        return found.starts_with('`').then(|| format!("did you mean `{section}.{key}`?"));
    }
    let (_, after) = message.split_once("unknown field `")?;
    let key = after.split('`').next()?;
    if message.contains("did you mean") {
        return None;
    }
    let keys = full_names(key);
    if keys.is_empty() { None } else { Some(format!("did you mean {}?", keys.join(" or "))) }
}

/// The keys that `name` may stand for, each with its section.
fn full_names(name: &str) -> Vec<String> {
    if let Some((_, key)) = OTHER_NAMES.iter().find(|(other, _)| *other == name) {
        return vec![format!("`{key}`")];
    }
    fn section(name: &'static str, defaults: &impl Serialize) -> (&'static str, Value) {
        // what cannot be written has no keys to hint at
        (name, serde_json::to_value(defaults).unwrap_or_default())
    }
    let sections = [
        section("mixture", &MixtureConfig::default()),
        section("training", &TrainingConfig::default()),
        section("regeneration", &RegenerationConfig::default()),
        section("evaluation", &EvaluationConfig::default()),
        section("encoder", &EncoderConfig::default()),
        section("sigma", &SigmaConfig::default()),
        section("surface", &SurfaceConfig::default()),
        section("checkpoints", &CheckpointsConfig::default()),
    ];
    let holds = sections.iter().filter(|(_, keys)| keys.get(name).is_some());
    holds.map(|(section, _)| format!("`{section}.{name}`")).collect()
}

/// Commands that take `--set`.
const WITH_SETTINGS: [&str; 6] = ["run", "check", "finetune", "generate", "embed", "pretrain"];

/// The error of a command line with a hint, where there is one. `command` is the first word of the line.
pub fn for_arguments(mut error: clap::Error, command: Option<&str>) -> clap::Error {
    let takes_settings = command.is_some_and(|command| WITH_SETTINGS.contains(&command));
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let hint = match error.kind() {
        ErrorKind::UnknownArgument if takes_settings => {
            text(ContextKind::InvalidArg).and_then(|argument| argument_hint(&argument))
        }
        ErrorKind::InvalidSubcommand if text(ContextKind::InvalidSubcommand).as_deref() == Some("train") => {
            Some("'run' runs an experiment, 'finetune' trains a model on blocks".to_string())
        }
        _ => None,
    };
    if let Some(hint) = hint {
        // clap's own tips are the options that are spelled like it
        for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
            error.remove(kind);
        }
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    error
}

/// How to give the key that an unknown argument names.
fn argument_hint(argument: &str) -> Option<String> {
    let set = |key: &str, value: &str| format!("keys of the config are given as '--set {key}={value}'");
    let Some(option) = argument.strip_prefix("--") else {
        let (key, value) = argument.split_once('=')?;
        return Some(set(key, value));
    };
    let name = option.split('=').next().unwrap_or_default().replace('-', "_");
    if let Some((section, key)) = MAIN_KEYS.iter().find(|(section, _)| *section == name) {
        return Some(set(&format!("{section}.{key}"), "VALUE"));
    }
    if ROOT.contains(&name.as_str()) {
        return Some(set(&name, "VALUE"));
    }
    let keys = full_names(&name);
    let keys: Vec<String> = keys.iter().map(|key| format!("'--set {}=VALUE'", key.trim_matches('`'))).collect();
    if keys.is_empty() { None } else { Some(format!("keys of the config are given as {}", keys.join(" or "))) }
}
