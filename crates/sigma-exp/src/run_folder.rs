//! A run's folder: who may write to it, which generations it holds, and how a new one appears. A generation is built in
//! `gen-NNN.partial` and appears by one rename, its record written last; what a crash leaves behind is gone on from or
//! swept at the next start. It knows nothing of what the files mean.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use sigma_data::hash::hash_file;
use sigma_report::record::{FILE_NAME as RECORD, FileEntry};
use sigma_report::{Manifest, Record, generation_dir_name, manifest};

use crate::machine;
use crate::savepoint::Savepoint;
use crate::spec::Keep;

pub const CONFIG: &str = "config.yaml";
pub const LOG: &str = "log.jsonl";
pub const REPORT: &str = "report";
const LOCK: &str = "lock";
pub const MODEL: &str = "model";
const PARTIAL: &str = ".partial";
const RESUME: &str = "resume";

/// A run folder that this process alone may write to, for as long as the value lives.
pub struct RunFolder {
    path: PathBuf,
    /// Held for its lock, which the system releases even after a crash.
    _lock: File,
    /// What this process wrote into the lock file.
    owner: String,
}

impl RunFolder {
    /// Opens `path`, or makes it. A folder with other content is refused, and so is one that another process writes to.
    pub fn open(path: &Path) -> Result<Self> {
        if path.exists() && !path.join(manifest::FILE_NAME).exists() && !is_blank(path)? {
            bail!(
                "{} exists, is not empty, and is not a run folder (it has no {}): choose another --out or `name`",
                path.display(),
                manifest::FILE_NAME
            );
        }
        fs::create_dir_all(path).with_context(|| format!("run folder {} can not be made", path.display()))?;
        let lock_path = path.join(LOCK);
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut lock = open.with_context(|| format!("run folder {} can not be written to", path.display()))?;
        match patiently(|| lock.try_lock()) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // the holder wrote its pid; without one the message is only less helpful
                let _ = lock.read_to_string(&mut owner);
                bail!("{} is in use by {}: wait for it or stop it", path.display(), owner.trim());
            }
            Err(TryLockError::Error(error)) => {
                // some network file systems have no locks: a run there is better than none
                tracing::warn!("{} can not be locked ({error}); start no second run on this folder", path.display());
            }
        }
        let host = machine::host_name();
        let owner = format!(
            "process {} on {host} since {}",
            std::process::id(),
            humantime::format_rfc3339_nanos(SystemTime::now())
        );
        lock.set_len(0)?;
        write!(lock, "{owner}")?;
        let folder = Self { path: path.to_path_buf(), _lock: lock, owner };
        folder.sweep()?;
        Ok(folder)
    }

    /// Who writes to the run folder `path` now, if anybody does.
    pub fn holder(path: &Path) -> Option<String> {
        let mut lock = File::open(path.join(LOCK)).ok()?;
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // as above
                let _ = lock.read_to_string(&mut owner);
                Some(owner.trim().to_string())
            }
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }

    /// How many complete generations `path` seems to hold, without reading any.
    pub fn count_records(path: &Path) -> usize {
        (0..).take_while(|t| path.join(generation_dir_name(*t)).join(RECORD).is_file()).count()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn generation(&self, generation: u32) -> PathBuf {
        self.path.join(generation_dir_name(generation))
    }

    /// The weights that `generation` ended with, where they are kept.
    pub fn model(&self, generation: u32) -> PathBuf {
        self.generation(generation).join(MODEL)
    }

    /// Removes what unfinished generations left, unless it can be gone on from.
    fn sweep(&self) -> Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let partial = path.extension().is_some_and(|e| format!(".{}", e.display()) == PARTIAL);
            if partial && (path.with_extension("").exists() || !Savepoint::is_one(&path.join(RESUME))) {
                fs::remove_dir_all(&path)
                    .with_context(|| format!("left-over {} can not be removed", path.display()))?;
            }
        }
        Ok(())
    }

    /// Removes everything that a run has written here.
    pub fn clear(&self) -> Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with("gen-") || name == "report" {
                fs::remove_dir_all(&path)?;
            } else if name != LOCK && path.is_file() {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    pub fn manifest(&self) -> Result<Option<Manifest>> {
        Self::peek(&self.path)
    }

    /// The manifest of a folder that need not be a run's yet, without opening it.
    pub fn peek(path: &Path) -> Result<Option<Manifest>> {
        let path = path.join(manifest::FILE_NAME);
        if path.exists() { Ok(Some(Manifest::read(&path)?)) } else { Ok(None) }
    }

    /// The records of all complete generations, which must be 0, 1, 2, ... without a gap (`integrity::repair` sees to that).
    pub fn records(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for (expected, number) in (0..).zip(generations(&self.path)?) {
            if number != expected {
                bail!("{}: generation {expected} is missing, but {number} is there", self.path.display());
            }
            records.push(Record::read(&self.generation(number).join(RECORD))?);
        }
        Ok(records)
    }

    /// A folder for the files of `generation`: the one of an earlier process that was stopped, if it made the same from the same (`key`), and
    /// an empty one otherwise. `every` is how much work within the generation may be lost.
    pub fn begin(&self, generation: u32, key: &str, every: Duration) -> Result<Draft> {
        let path = self.path.join(format!("{}{PARTIAL}", generation_dir_name(generation)));
        let resume = path.join(RESUME);
        let save = match Savepoint::open(&resume, key, every) {
            Some(savepoint) => savepoint,
            None => {
                if path.exists() {
                    fs::remove_dir_all(&path).with_context(|| format!("{} can not be removed", path.display()))?;
                }
                fs::create_dir(&path).with_context(|| format!("{} can not be made", path.display()))?;
                Savepoint::create(&resume, key, every)?
            }
        };
        Ok(Draft {
            save,
            path,
            target: self.generation(generation),
            lock: self.path.join(LOCK),
            owner: self.owner.clone(),
        })
    }

    /// Removes the weights of generations before `latest` that are not to be kept.
    pub fn retain(&self, keep: Keep, latest: u32) -> Result<()> {
        for generation in 0..latest {
            let path = self.model(generation);
            if !keep.keeps(generation) && path.exists() {
                fs::remove_dir_all(&path).with_context(|| format!("{} can not be removed", path.display()))?;
            }
        }
        Ok(())
    }
}

/// The numbers of the generations that lie in the run folder `path`, ascending.
pub fn generations(path: &Path) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("{} can not be read", path.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(number) = name.strip_prefix("gen-").and_then(|n| n.parse::<u32>().ok())
            && generation_dir_name(number) == name
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Asking who holds a lock holds it for a moment too.
fn patiently(attempt: impl Fn() -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    for _ in 0..50 {
        match attempt() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
    attempt()
}

fn is_blank(path: &Path) -> Result<bool> {
    if !path.is_dir() {
        bail!("{} exists and is not a folder: choose another --out or `name`", path.display());
    }
    let entries = fs::read_dir(path).with_context(|| format!("{} can not be read", path.display()))?;
    // a start that failed early leaves its lock and log
    Ok(entries.filter_map(Result::ok).all(|e| e.file_name() == LOCK || e.file_name() == LOG))
}

/// A generation that is being built.
pub struct Draft {
    pub save: Savepoint,
    path: PathBuf,
    target: PathBuf,
    lock: PathBuf,
    owner: String,
}

impl Draft {
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder for the weights, made if it is missing.
    pub fn model(&self) -> Result<PathBuf> {
        let path = self.path.join(MODEL);
        fs::create_dir_all(&path).with_context(|| format!("{} can not be made", path.display()))?;
        Ok(path)
    }

    /// The same without making it.
    pub fn model_path(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// Size and hash of every file but the weights, whose hash the record holds on its own (they may be removed later).
    pub fn files(&self) -> Result<std::collections::BTreeMap<String, FileEntry>> {
        let mut files = std::collections::BTreeMap::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let bytes = entry.metadata()?.len();
                files.insert(name, FileEntry { bytes, blake3: hash_file(&entry.path())? });
            }
        }
        Ok(files)
    }

    /// Brings everything that is in it to the disk.
    pub fn flush(&self) -> Result<()> {
        flush(&self.path)
    }

    /// Writes the record, flushes everything to the disk, and makes the generation appear.
    ///
    /// # Errors
    /// If another process took the folder over meanwhile. That needs a file system whose locks do not reach across machines, and a batch
    /// system that starts a job again while its first run still lives; then the second one has the folder.
    pub fn commit(self, record: &Record) -> Result<()> {
        let owner =
            fs::read_to_string(&self.lock).with_context(|| format!("{} can not be read", self.lock.display()))?;
        if owner != self.owner {
            bail!("{} was taken over by {owner}; this process writes no more to it", self.target.display());
        }
        self.save.remove()?;
        flush(&self.path)?;
        record.write(&self.path.join(RECORD))?;
        File::open(&self.path)?.sync_all()?;
        fs::rename(&self.path, &self.target)
            .with_context(|| format!("{} can not be renamed to {}", self.path.display(), self.target.display()))?;
        if let Some(parent) = self.target.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }
}

/// Brings every file below `folder` to the disk.
pub fn flush(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            flush(&path)?;
        }
        File::open(&path)
            .and_then(|f| f.sync_all())
            .with_context(|| format!("{} can not be flushed", path.display()))?;
    }
    Ok(())
}
