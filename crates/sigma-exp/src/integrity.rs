//! Whether a run folder still holds what its records say: every file of every complete generation by its hash, the weights
//! included where they are kept. And what to do where it does not: generations that cannot be trusted are set aside, never deleted,
//! so that the run makes them again from the last good one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use sigma_data::hash::{hash_bytes, hash_file};
use sigma_report::record::{FILE_NAME as RECORD, FileEntry};
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

/// What a look at every file of a run has found.
#[derive(Debug, Default)]
pub struct Verified {
    pub damages: Vec<Damage>,
    /// What is not as it was either, but what nothing rests on.
    pub notes: Vec<String>,
}

/// Reads every file in the run folder `path`.
pub fn verify(path: &Path) -> Result<Verified> {
    let Verified { mut damages, mut notes } = Verified::default();
    let mut of_run = |what: String| damages.push(Damage { generation: None, what });
    match Manifest::read(&path.join(manifest::FILE_NAME)) {
        Err(error) => of_run(error.to_string()),
        Ok(manifest) => match fs::read(path.join(run_folder::CONFIG)) {
            Ok(bytes) if hash_bytes(&bytes) == manifest.config_hash => {}
            Ok(_) => of_run(format!("{} is not the config of {}", run_folder::CONFIG, manifest::FILE_NAME)),
            Err(error) => of_run(format!("{}: {error}", run_folder::CONFIG)),
        },
    }
    let mut records = Vec::new();
    for (generation, read) in read_all(path)? {
        match read {
            Ok(record) => records.push(record),
            Err(what) => damages.push(Damage { generation: Some(generation), what }),
        }
    }
    if damages.iter().all(|damage| damage.generation.is_none()) {
        let what = |name: &str| format!("{name} does not follow from the records; the next `run` writes it anew");
        let stale = match stale_metrics(path, &records) {
            Ok(stale) => stale.into_iter().map(what).collect(),
            Err(error) => vec![error.to_string()],
        };
        damages.extend(stale.into_iter().map(|what| Damage { generation: None, what }));
    }
    if let Some(newest) = records.last().map(|record| record.generation).filter(|newest| *newest > 0)
        && !path.join(generation_dir_name(newest)).join(run_folder::MODEL).exists()
    {
        notes.push(format!("generation {newest}: its weights are gone; only more generations would need them"));
    }
    if let Some(what) = broken_line(&path.join(run_folder::LOG)) {
        notes.push(format!("{}{what}; it is for people, and no number rests on it", run_folder::LOG));
    }
    Ok(Verified { damages, notes })
}

/// What is wrong with the first line of a log that holds no event, if there is one.
fn broken_line(path: &Path) -> Option<String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return Some(format!(" can not be read ({error})")),
    };
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let is_event = |line: &[u8]| serde_json::from_slice::<serde_json::Map<_, _>>(line).is_ok();
    lines.zip(1..).find(|(line, _)| !is_event(line)).map(|(_, number)| format!(": line {number} holds no event"))
}

/// What each generation from 0 to the newest one holds: its record, or what is wrong with it.
fn read_all(path: &Path) -> Result<Vec<(u32, Result<Record, String>)>> {
    let numbers = run_folder::generations(path)?;
    let Some(newest) = numbers.last().copied() else { return Ok(Vec::new()) };
    let read = |generation: u32| match numbers.contains(&generation) {
        true => whole(path, generation),
        false => Err("it is missing".to_string()),
    };
    Ok((0..=newest).map(|generation| (generation, read(generation))).collect())
}

/// The record of a generation whose files, weights included where they are kept, are what it lists.
fn whole(path: &Path, generation: u32) -> Result<Record, String> {
    let folder = path.join(generation_dir_name(generation));
    let record = Record::read(&folder.join(RECORD)).map_err(|error| error.to_string())?;
    if record.generation != generation {
        return Err(format!("{RECORD} is that of generation {}", record.generation));
    }
    match damaged_file(&folder, &record.files) {
        Some(what) => Err(what),
        None => Ok(record),
    }
}

/// What is wrong with the first of `files` in `folder` that is not as it was. Weights may be gone as a whole: they are not kept for ever.
pub fn damaged_file(folder: &Path, files: &BTreeMap<String, FileEntry>) -> Option<String> {
    let has_weights = folder.join(run_folder::MODEL).exists();
    let of_weights = |name: &str| name.starts_with(run_folder::MODEL) && name.contains('/');
    files.iter().filter(|(name, _)| has_weights || !of_weights(name)).find_map(|(name, entry)| {
        match hash_file(&folder.join(name)) {
            Ok(hash) if hash == entry.blake3 => None,
            Ok(_) => Some(format!("{name} has changed since it was written")),
            Err(error) => Some(error.to_string()),
        }
    })
}

/// Leaves only generations that can be trusted, and from the last of which a run to generation `last` can go on; their records. What else
/// is there is moved into a folder of its own.
pub fn repair(folder: &RunFolder, last: u32) -> Result<Vec<Record>> {
    let path = folder.path();
    let (mut good, mut bad) = (BTreeMap::new(), BTreeMap::new());
    for (generation, read) in read_all(path)? {
        match read {
            Ok(record) => drop(good.insert(generation, record)),
            Err(what) => drop(bad.insert(generation, what)),
        }
    }
    let has_weights = |generation: u32| folder.model(generation).exists();
    // a run that goes on needs the weights of the newest generation; one that is complete needs none
    if let Some((newest, _)) = good.last_key_value()
        && (1..last).contains(newest)
        && bad.range(newest..).next().is_none()
        && !has_weights(*newest)
    {
        bad.insert(*newest, format!("{} is missing", run_folder::MODEL));
    }
    if bad.is_empty() {
        return Ok(good.into_values().collect());
    }
    for (generation, what) in &bad {
        tracing::warn!("generation {generation} is damaged: {what}");
    }
    // on the base's evaluation no other generation rests
    let from = match bad.range(1..).next() {
        None => u32::MAX,
        Some((first, _)) => (1..*first).rev().find(|t| good.contains_key(t) && has_weights(*t)).unwrap_or(0),
    };
    match from {
        u32::MAX => tracing::warn!("generation 0 is made again; nothing else rests on it"),
        0 => tracing::warn!("going on from the base, the last that is whole and has its weights"),
        _ => tracing::warn!("going on from generation {from}, the last that is whole and has its weights"),
    }
    let trusted = |t: &u32| *t <= from && !bad.contains_key(t);
    let moved: Vec<u32> = run_folder::generations(path)?.into_iter().filter(|t| !trusted(t)).collect();
    set_aside(path, &moved)?;
    good.retain(|t, _| trusted(t));
    Ok(good.into_values().collect())
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
