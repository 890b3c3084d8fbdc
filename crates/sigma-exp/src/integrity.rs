//! Whether a run folder still holds what its records say: every file of every complete generation by its hash, the
//! weights included where they are kept. And what to do where it does not: generations that cannot be trusted are set
//! aside, never deleted, so that the run makes them again from the last good one.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use sigma_data::hash::{hash_bytes, hash_file};
use sigma_report::record::{FILE_NAME as RECORD, FileEntry};
use sigma_report::report::check_report;
use sigma_report::{
    Broken, HashedRecord, Manifest, Record, chain, generation_dir_name, manifest, run_files, stale_metrics,
};

use crate::layout::{CONFIG, EMBEDDINGS, LOG, MODEL, REPORT, RESPONSES, ROWS, generations};
use crate::measure::Base;
use crate::run_folder::RunFolder;
use crate::spec::Experiment;
use crate::{ownership, recompute};

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

/// Reads every file in the run folder `path`, and computes once more what follows from them.
pub fn verify(path: &Path) -> Result<Verified> {
    let Verified { mut damages, mut notes } = Verified::default();
    let mut of_run = |what: String| damages.push(Damage { generation: None, what });
    let manifest = Manifest::read(&path.join(manifest::FILE_NAME)).map_err(|error| of_run(error.to_string())).ok();
    if let Some(manifest) = &manifest {
        match run_files::read(&path.join(CONFIG)) {
            Ok(bytes) if hash_bytes(&bytes) == manifest.config_hash => {}
            Ok(_) => of_run(format!("{CONFIG} is not the config of {}", manifest::FILE_NAME)),
            Err(error) => of_run(format!("{CONFIG}: {error}")),
        }
    }
    let Generations { good, bad, of_run } = Generations::read(path, manifest.as_ref())?;
    damages.extend(of_run.into_iter().map(|what| Damage { generation: None, what }));
    damages.extend(bad.into_iter().map(|(generation, what)| Damage { generation: Some(generation), what }));
    let records: Vec<Record> = good.into_values().map(|read| read.record).collect();
    damages.extend(recomputed(path, &records)?);
    if damages.iter().all(|damage| damage.generation.is_none()) {
        let what = |name: &str| format!("{name} does not follow from the records; the next `run` writes it anew");
        let stale = match stale_metrics(path, &records) {
            Ok(stale) => stale.into_iter().map(what).collect(),
            Err(error) => vec![error.to_string()],
        };
        damages.extend(stale.into_iter().map(|what| Damage { generation: None, what }));
    }
    if let Some(newest) = records.last().map(|record| record.generation).filter(|newest| *newest > 0)
        && !path.join(generation_dir_name(newest)).join(MODEL).exists()
    {
        notes.push(format!("generation {newest}: its weights are gone; only more generations would need them"));
    }
    if let Some(what) = broken_line(&path.join(LOG)) {
        notes.push(format!("{LOG}{what}; it is for people, and no number rests on it"));
    }
    Ok(Verified { damages, notes })
}

/// What in `records` does not follow from the files beside them.
fn recomputed(path: &Path, records: &[Record]) -> Result<Vec<Damage>> {
    let experiment = match Experiment::load(&path.join(CONFIG), &[]) {
        Ok(experiment) => experiment,
        Err(error) => return Ok(vec![Damage { generation: None, what: format!("{error:#}") }]),
    };
    let folder = path.join(generation_dir_name(0));
    let base = records.first().filter(|base| base.generation == 0).map(|record| Base { record, folder: &folder });
    let mut damages = Vec::new();
    for record in records {
        let generation = record.generation;
        let (folder, base) = (path.join(generation_dir_name(generation)), base.filter(|_| generation > 0));
        let found = match recompute::differences(&experiment, &folder, record, base) {
            Ok(found) => found,
            Err(error) => vec![format!("{error:#}")],
        };
        damages.extend(found.into_iter().map(|what| Damage { generation: Some(generation), what }));
    }
    Ok(damages)
}

/// What is wrong with the first line of a log that holds no event, if there is one.
fn broken_line(path: &Path) -> Option<String> {
    let bytes = match run_files::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return Some(format!(" cannot be read ({error})")),
    };
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let is_event = |line: &[u8]| serde_json::from_slice::<serde_json::Map<_, _>>(line).is_ok();
    lines.zip(1..).find(|(line, _)| !is_event(line)).map(|(_, number)| format!(": line {number} holds no event"))
}

/// The generations of a run from 0 to the newest one.
struct Generations {
    /// Whole, and what the manifest says.
    good: BTreeMap<u32, HashedRecord>,
    /// What is wrong with the others.
    bad: BTreeMap<u32, String>,
    /// What is wrong with the run as a whole.
    of_run: Vec<String>,
}

impl Generations {
    fn read(path: &Path, manifest: Option<&Manifest>) -> Result<Self> {
        let numbers = generations(path)?;
        let Self { mut good, mut bad, mut of_run } =
            Self { good: BTreeMap::new(), bad: BTreeMap::new(), of_run: Vec::new() };
        for generation in 0..numbers.last().map_or(0, |newest| newest + 1) {
            let read = match numbers.binary_search(&generation) {
                Ok(_) => whole(path, generation),
                Err(_) => Err("it is missing".to_string()),
            };
            match read {
                Ok(read) => drop(good.insert(generation, read)),
                Err(what) => drop(bad.insert(generation, what)),
            }
        }
        let Some(manifest) = manifest else { return Ok(Self { good, bad, of_run }) };
        for Broken { generation, what } in chain::broken(manifest, &good) {
            match generation {
                Some(generation) => drop(bad.entry(generation).or_insert(what)),
                None => of_run.push(what),
            }
        }
        good.retain(|generation, _| !bad.contains_key(generation));
        let complete = manifest.records.keys().next_back().copied();
        if let Some(last) = complete.filter(|last| numbers.last().is_none_or(|newest| newest < last)) {
            of_run.push(format!("generation {last} was complete and is missing"));
        }
        Ok(Self { good, bad, of_run })
    }
}

/// The record of a generation whose files, weights included where they are kept, are what it lists.
fn whole(path: &Path, generation: u32) -> Result<HashedRecord, String> {
    let folder = path.join(generation_dir_name(generation));
    let read = Record::read_hashed(&folder.join(RECORD)).map_err(|error| error.to_string())?;
    let record = &read.record;
    if record.generation != generation {
        return Err(format!("{RECORD} is that of generation {}", record.generation));
    }
    if let Some(name) = [RESPONSES, EMBEDDINGS, ROWS].iter().find(|name| !record.files.contains_key(**name)) {
        return Err(format!("{RECORD} does not list {name}"));
    }
    match damaged_file(&folder, &record.files) {
        Some(what) => Err(what),
        None => Ok(read),
    }
}

/// What is wrong with the first of `files` in `folder` that is not as it was. Weights may be gone as a whole: they are
/// not kept for ever.
pub fn damaged_file(folder: &Path, files: &BTreeMap<String, FileEntry>) -> Option<String> {
    let has_weights = folder.join(MODEL).exists();
    let of_weights = |name: &str| name.starts_with(MODEL) && name.contains('/');
    files.iter().filter(|(name, _)| has_weights || !of_weights(name)).find_map(|(name, entry)| {
        match hash_file(&folder.join(name)) {
            Ok(hash) if hash == entry.blake3 => None,
            Ok(_) => Some(format!("{name} has changed since it was written")),
            Err(error) => Some(error.to_string()),
        }
    })
}

/// Leaves only generations that can be trusted, and from the last of which a run to generation `last` can go on; their
/// records. What else is there is moved into a folder of its own.
pub fn repair(folder: &RunFolder, last: u32) -> Result<Vec<HashedRecord>> {
    let path = folder.path();
    let manifest = folder.manifest()?;
    let Generations { mut good, mut bad, .. } = Generations::read(path, manifest.as_ref())?;
    let has_weights = |generation: u32| folder.model(generation).exists();
    // a run that goes on needs the weights of the newest generation; one that is complete needs none
    if let Some((newest, _)) = good.last_key_value()
        && (1..last).contains(newest)
        && bad.range(newest..).next().is_none()
        && !has_weights(*newest)
    {
        bad.insert(*newest, format!("{MODEL} is missing"));
    }
    if bad.is_empty() {
        return keep(folder, good);
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
    let moved: Vec<u32> = generations(path)?.into_iter().filter(|t| !trusted(t)).collect();
    ownership::set_aside(path, &moved.iter().map(|t| generation_dir_name(*t)).collect::<Vec<_>>())?;
    good.retain(|t, _| trusted(t));
    keep(folder, good)
}

/// Makes the manifest say that these records are there, and no others. A report of which nobody knows which files it
/// wrote is set aside.
fn keep(folder: &RunFolder, good: BTreeMap<u32, HashedRecord>) -> Result<Vec<HashedRecord>> {
    let report = folder.path().join(REPORT);
    if let Err(error) = check_report(&report)
        && run_files::is_real_dir(&report)
    {
        tracing::warn!("{REPORT}/ is made again: {error}");
        ownership::set_aside(folder.path(), &[REPORT.to_string()])?;
    }
    let hashes = good.iter().map(|(generation, read)| (*generation, read.hash.clone())).collect();
    folder.change_manifest(|manifest| manifest.records = hashes)?;
    Ok(good.into_values().collect())
}
