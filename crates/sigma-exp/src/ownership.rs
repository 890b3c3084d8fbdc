//! Whose a folder is, by what it holds and not by what its files are called, and how everything goes that a run has
//! written there. What the program did not write is never deleted: it stays, or where it is in the way it is set aside.

use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sigma_report::metrics_csv::{BUCKETS_FILE_NAME, METRICS_FILE_NAME, NOISE_FILE_NAME, TIMINGS_FILE_NAME};
use sigma_report::record::FILE_NAME as RECORD;
use sigma_report::report::remove_report;
use sigma_report::{Manifest, generation_of_dir_name, manifest, run_files, stopped};

use crate::layout::{CONFIG, LOCK, LOG, PARTIAL, REPORT, SET_ASIDE, names};
use crate::{clock, draft};

/// What a lock that was taken by this program begins with.
pub const OWNER: &str = "process ";

/// The files of a run beside its generations, in the order in which they go: the one that says whose the folder is
/// comes last. The lock stays.
const FILES: [&str; 8] = [
    METRICS_FILE_NAME,
    BUCKETS_FILE_NAME,
    TIMINGS_FILE_NAME,
    NOISE_FILE_NAME,
    stopped::FILE_NAME,
    LOG,
    CONFIG,
    manifest::FILE_NAME,
];

/// Refuses a folder that neither is a run's nor can become one: anything but a missing or empty folder, or one that
/// holds the manifest of a run.
pub fn check(path: &Path) -> Result<()> {
    if !run_files::exists(path) {
        return Ok(());
    }
    if !path.is_dir() {
        bail!("{} exists and is not a folder: choose another --out or `name`", path.display());
    }
    let manifest = path.join(manifest::FILE_NAME);
    if run_files::exists(&manifest) {
        return is_of_a_run(&manifest).with_context(|| {
            format!(
                "{} is not a run folder, or what says so is damaged; nothing was changed there: choose another --out or `name`, or \
                 restore {}",
                path.display(),
                manifest::FILE_NAME
            )
        });
    }
    if let Some(name) = names(path)?.into_iter().find(|name| !is_left_by_an_early_end(path, name)) {
        bail!(
            "{} exists, is not empty (it holds `{name}`), and is not a run folder (it has no {}): choose another --out or `name`",
            path.display(),
            manifest::FILE_NAME
        );
    }
    Ok(())
}

/// Whether an open lock file was written by this program, or by nobody yet.
pub fn is_lock(lock: &mut fs::File) -> Result<bool> {
    let mut owner = [0; OWNER.len()];
    let (mut read, mut more) = (0, true);
    while more && read < owner.len() {
        let bytes = lock.read(&mut owner[read..]).context("the lock cannot be read")?;
        (read, more) = (read + bytes, bytes > 0);
    }
    lock.rewind().context("the lock cannot be read")?;
    Ok(OWNER.as_bytes().starts_with(&owner[..read]))
}

/// Whether a start that ended before there was a manifest left `name`: its lock and, beside that, its config.
fn is_left_by_an_early_end(path: &Path, name: &str) -> bool {
    let lock = path.join(LOCK);
    let Ok(found) = fs::symlink_metadata(&lock) else { return false };
    let locked = || found.is_file() && fs::File::open(&lock).is_ok_and(|mut lock| is_lock(&mut lock).unwrap_or(false));
    let file = run_files::replaced_by_temporary(name).unwrap_or(name);
    match file {
        LOCK => locked(),
        // written after the lock
        CONFIG | manifest::FILE_NAME => found.len() > OWNER.len() as u64 && locked(),
        _ => false,
    }
}

/// Refuses a file that is not the manifest of a run, be it of another version of this program.
fn is_of_a_run(path: &Path) -> Result<()> {
    /// What every version's manifest has.
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Core {
        schema: u32,
        setting: sigma_report::Setting,
        seed: u64,
        sources: serde_json::Map<String, serde_json::Value>,
        config_hash: String,
    }
    if !fs::symlink_metadata(path)?.is_file() {
        bail!("{} is not a regular file", path.display());
    }
    let text = run_files::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let core: Core =
        serde_json::from_str(&text).with_context(|| format!("{} is not the manifest of a run", path.display()))?;
    if core.schema == manifest::SCHEMA {
        Manifest::read(path)?;
    }
    Ok(())
}

/// Removes everything that a run has written into its folder `path`, which is open, and nothing else. What stands in
/// the way of another run is set aside.
pub fn clear(path: &Path) -> Result<()> {
    check(path)?;
    if !run_files::exists(&path.join(manifest::FILE_NAME)) {
        return Ok(());
    }
    let folders: Vec<String> = names(path)?.into_iter().filter(|name| generation_of(name).is_some()).collect();
    let files: Vec<PathBuf> = FILES.map(|name| path.join(name)).to_vec();
    if let Some(taken) = folders.iter().map(|name| path.join(name)).find(|folder| !run_files::is_real_dir(folder)) {
        bail!("{} is not a folder of a run but a link or a file: move it away", taken.display());
    }
    for taken in files.iter().filter(|file| run_files::exists(file)) {
        if !fs::symlink_metadata(taken).is_ok_and(|found| found.is_file()) {
            bail!("{} is not a file of a run but a link or a folder: move it away", taken.display());
        }
    }

    let mut left = Vec::new();
    for name in &folders {
        let folder = path.join(name);
        let gone = match name.ends_with(PARTIAL) {
            true => draft::discard(&folder)?,
            false => remove_generation(&folder)?,
        };
        if !gone {
            left.push(name.clone());
        }
    }
    if run_files::is_real_dir(&path.join(REPORT)) && !remove_report(&path.join(REPORT))? {
        tracing::warn!("{} holds files that no report wrote; they stay", path.join(REPORT).display());
    }
    if !left.is_empty() {
        set_aside(path, &left)?;
    }
    for file in files {
        run_files::remove_file(&run_files::temporary(&file))?;
        run_files::remove_file(&file)?;
    }
    Ok(())
}

/// The generation that a folder of this name is of, finished or not.
fn generation_of(name: &str) -> Option<u32> {
    generation_of_dir_name(name.strip_suffix(PARTIAL).unwrap_or(name))
}

/// Removes the files that the record in `folder` lists, and the record; whether nothing is left. Without a readable
/// record all stays.
fn remove_generation(folder: &Path) -> Result<bool> {
    #[derive(Deserialize)]
    struct Listed {
        files: std::collections::BTreeMap<String, serde_json::Value>,
    }
    let listed = run_files::read_to_string(&folder.join(RECORD))
        .ok()
        .and_then(|text| serde_json::from_str::<Listed>(&text).ok());
    match listed {
        Some(Listed { files }) if files.keys().all(|name| run_files::stays_inside(name)) => {
            Ok(run_files::remove_listed(folder, files.keys().map(String::as_str).chain([RECORD]))?)
        }
        _ => Ok(run_files::remove_empty(folder)?),
    }
}

/// Moves the folders `names` of the run folder `path` out of the run's sight.
pub fn set_aside(path: &Path, names: &[String]) -> Result<()> {
    let all = path.join(SET_ASIDE);
    if run_files::exists(&all) && !run_files::is_real_dir(&all) {
        bail!("{} is a link or a file: move it away", all.display());
    }
    let now = clock::now().replace(':', "");
    let place = (0..)
        .map(|number| all.join(if number == 0 { now.clone() } else { format!("{now}-{number}") }))
        .find(|place| !run_files::exists(place))
        .unwrap_or_else(|| all.clone());
    run_files::create_dir(&place)?;
    for name in names {
        if run_files::exists(&path.join(name)) {
            run_files::rename(&path.join(name), &place.join(name))?;
        }
    }
    tracing::warn!("what cannot be used was moved to {}", place.display());
    Ok(())
}
