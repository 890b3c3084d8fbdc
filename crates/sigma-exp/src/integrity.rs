//! Whether a run folder still holds what its records say: every file of every complete generation by its hash, and the weights
//! where they are kept. And what to do where it does not: generations that cannot be trusted are set aside, never deleted,
//! so that the run makes them again from the last good one.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use sigma_data::hash::{hash_bytes, hash_file};
use sigma_model::{Device, Opt};
use sigma_report::record::FILE_NAME as RECORD;
use sigma_report::{Manifest, Record, generation_dir_name, manifest, stale_metrics};

use crate::run_folder::{self, RunFolder};

const SET_ASIDE: &str = "set-aside";

/// Something that is not as it was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// None for the run as a whole.
    pub generation: Option<u32>,
    /// File and trouble.
    pub what: String,
}

/// Everything that is damaged in the run folder `path`, by reading every file in it.
pub fn verify(path: &Path) -> Result<Vec<Damage>> {
    let mut damages = Vec::new();
    let mut of_run = |what: String| damages.push(Damage { generation: None, what });
    match Manifest::read(&path.join(manifest::FILE_NAME)) {
        Err(error) => of_run(error.to_string()),
        Ok(manifest) => match fs::read(path.join(run_folder::CONFIG)) {
            Ok(bytes) if hash_bytes(&bytes) == manifest.config_hash => {}
            Ok(_) => of_run(format!("{} is not the config of {}", run_folder::CONFIG, manifest::FILE_NAME)),
            Err(error) => of_run(format!("{}: {error}", run_folder::CONFIG)),
        },
    }
    let numbers = run_folder::generations(path)?;
    let last = numbers.last().copied().unwrap_or(0);
    let mut records = Vec::new();
    for generation in 0..=last {
        if numbers.is_empty() {
            break;
        }
        let trouble = if numbers.contains(&generation) {
            generation_damage(path, generation).or_else(|| weights_damage(path, generation))
        } else {
            Some("it is missing".to_string())
        };
        match trouble {
            Some(what) => damages.push(Damage { generation: Some(generation), what }),
            None => records.extend(Record::read(&path.join(generation_dir_name(generation)).join(RECORD))),
        }
    }
    if damages.is_empty() {
        let stale = stale_metrics(path, &records)?;
        let what = |name: &str| format!("{name} does not follow from the records; the next `run` writes it anew");
        damages.extend(stale.into_iter().map(|name| Damage { generation: None, what: what(name) }));
    }
    Ok(damages)
}

/// What is wrong with the record of a generation or the files that it lists, if anything.
fn generation_damage(path: &Path, generation: u32) -> Option<String> {
    let folder = path.join(generation_dir_name(generation));
    let record = match Record::read(&folder.join(RECORD)) {
        Ok(record) => record,
        Err(error) => return Some(error.to_string()),
    };
    if record.generation != generation {
        return Some(format!("{RECORD} is that of generation {}", record.generation));
    }
    for (name, entry) in &record.files {
        match hash_file(&folder.join(name)) {
            Ok(hash) if hash == entry.blake3 => {}
            Ok(_) => return Some(format!("{name} has changed since it was written")),
            Err(error) => return Some(error.to_string()),
        }
    }
    None
}

/// What is wrong with the weights that a good generation has kept, if it has kept any.
fn weights_damage(path: &Path, generation: u32) -> Option<String> {
    let folder = path.join(generation_dir_name(generation));
    let model = folder.join(run_folder::MODEL);
    if !model.exists() {
        return None;
    }
    let expected = Record::read(&folder.join(RECORD)).ok()?.weights;
    match Opt::load(&model, &Device::Cpu).and_then(|model| model.hash()) {
        Ok(hash) if hash == expected => None,
        Ok(_) => Some(format!("{}: these are not the weights that it ended with", run_folder::MODEL)),
        Err(error) => Some(error.to_string()),
    }
}

/// Leaves only generations that can be trusted, and from the last of which a run to generation `last` can go on. What else is there is
/// moved into a folder of its own.
pub fn repair(folder: &RunFolder, last: u32) -> Result<()> {
    let path = folder.path();
    let numbers = run_folder::generations(path)?;
    let Some(newest) = numbers.last().copied() else { return Ok(()) };
    let trouble = |generation: u32| match numbers.contains(&generation) {
        true => generation_damage(path, generation),
        false => Some("it is missing".to_string()),
    };
    let mut bad: Vec<(u32, String)> = (0..=newest).filter_map(|t| Some((t, trouble(t)?))).collect();
    // a run that goes on needs the weights of the newest generation; one that is complete needs none
    if newest < last
        && newest > 0
        && !bad.iter().any(|(t, _)| *t == newest)
        && let Some(what) = weights_damage(path, newest).or_else(|| missing_weights(path, newest))
    {
        bad.push((newest, what));
    }
    let Some((first, _)) = bad.first().filter(|(t, _)| *t > 0).or(bad.get(1)).cloned() else {
        // nothing, or the base's evaluation alone, on which no other generation rests
        if let Some((0, what)) = bad.first() {
            tracing::warn!("generation 0 is damaged and is made again: {what}");
            return set_aside(path, &[0]);
        }
        return Ok(());
    };
    let usable = |t: &u32| missing_weights(path, *t).or_else(|| weights_damage(path, *t)).is_none();
    let from = (1..first).rev().find(usable).unwrap_or(0);
    for (generation, what) in &bad {
        tracing::warn!("generation {generation} is damaged: {what}");
    }
    let mut moved: Vec<u32> = numbers.iter().copied().filter(|t| *t > from).collect();
    if bad.iter().any(|(t, _)| *t == 0) {
        moved.insert(0, 0);
    }
    let start = if from == 0 { "the base".to_string() } else { format!("generation {from}") };
    tracing::warn!("going on from {start}, the last that is whole and has its weights");
    set_aside(path, &moved)
}

fn missing_weights(path: &Path, generation: u32) -> Option<String> {
    let model = path.join(generation_dir_name(generation)).join(run_folder::MODEL);
    (!model.exists()).then(|| format!("{} is missing", run_folder::MODEL))
}

/// Moves generations out of the run's sight.
fn set_aside(path: &Path, generations: &[u32]) -> Result<()> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', "");
    let place = (0..)
        .map(|number| path.join(SET_ASIDE).join(if number == 0 { now.clone() } else { format!("{now}-{number}") }))
        .find(|place| !place.exists())
        .unwrap_or_else(|| path.join(SET_ASIDE));
    fs::create_dir_all(&place).with_context(|| format!("{} can not be made", place.display()))?;
    for generation in generations {
        let name = generation_dir_name(*generation);
        if path.join(&name).exists() {
            fs::rename(path.join(&name), place.join(&name))
                .with_context(|| format!("{} can not be moved to {}", path.join(&name).display(), place.display()))?;
        }
    }
    tracing::warn!("what can not be used was moved to {}", place.display());
    Ok(())
}
