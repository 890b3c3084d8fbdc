//! A run's folder: who may write to it, which generations it holds, and how a new one appears. A generation is built in
//! `gen-NNN.partial` and appears by one rename, its record written last; what a crash leaves behind is gone on from or
//! swept at the next start. It knows nothing of what the files mean.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use sigma_data::hash::hash_file;
use sigma_report::metrics_csv::{BUCKETS_FILE_NAME, METRICS_FILE_NAME, NOISE_FILE_NAME, TIMINGS_FILE_NAME};
use sigma_report::record::{FILE_NAME as RECORD, FileEntry};
use sigma_report::{Manifest, Record, generation_dir_name, manifest, stopped};

use crate::machine;
use crate::savepoint::{Key, Savepoint};
use crate::spec::Keep;
use crate::whole_folder;

pub const CONFIG: &str = "config.yaml";
pub const LOG: &str = "log.jsonl";
pub const REPORT: &str = "report";
const LOCK: &str = "lock";
pub const MODEL: &str = "model";
const PARTIAL: &str = ".partial";
const RESUME: &str = "resume";
/// What a lock that was taken by this program begins with.
const OWNER: &str = "process ";
/// The files of a run beside its generations; the lock stays.
const FILES: [&str; 8] = [
    CONFIG,
    LOG,
    manifest::FILE_NAME,
    stopped::FILE_NAME,
    METRICS_FILE_NAME,
    BUCKETS_FILE_NAME,
    TIMINGS_FILE_NAME,
    NOISE_FILE_NAME,
];

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
        const REMEDY: &str = "choose another --out, or let this user write there";
        fs::create_dir_all(path).with_context(|| format!("run folder {} can not be made: {REMEDY}", path.display()))?;
        let lock_path = path.join(LOCK);
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut lock =
            open.with_context(|| format!("run folder {} can not be written to: {REMEDY}", path.display()))?;
        match patiently(|| lock.try_lock()) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("{} is in use by {}: wait for it or stop it", path.display(), owner_of(&mut lock));
            }
            Err(TryLockError::Error(error)) => {
                // some network file systems have no locks: a run there is better than none
                tracing::warn!("{} can not be locked ({error}); start no second run on this folder", path.display());
            }
        }
        let host = machine::host_name();
        let owner = format!(
            "{OWNER}{} on {host} since {}",
            std::process::id(),
            humantime::format_rfc3339_nanos(SystemTime::now())
        );
        lock.set_len(0)?;
        write!(lock, "{owner}")?;
        lock.sync_all()?;
        Ok(Self { path: path.to_path_buf(), _lock: lock, owner })
    }

    /// Who writes to the run folder `path` now, if anybody does.
    pub fn holder(path: &Path) -> Option<String> {
        let mut lock = File::open(path.join(LOCK)).ok()?;
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(owner_of(&mut lock)),
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
    pub fn sweep(&self) -> Result<()> {
        for (path, name) in self.entries()? {
            let Some(generation) = name.strip_suffix(PARTIAL).and_then(number_of) else { continue };
            if path.is_dir() && (self.generation(generation).exists() || !Savepoint::is_one(&path.join(RESUME))) {
                fs::remove_dir_all(&path)
                    .with_context(|| format!("left-over {} can not be removed", path.display()))?;
            }
        }
        Ok(())
    }

    /// Removes everything that a run has written here, and nothing else.
    pub fn clear(&self) -> Result<()> {
        for (path, name) in self.entries()? {
            let removed = match name.strip_suffix(PARTIAL).unwrap_or(&name) {
                folder if (number_of(folder).is_some() || folder == REPORT) && path.is_dir() => {
                    fs::remove_dir_all(&path)
                }
                file if FILES.contains(&without_temporary(file)) && !path.is_dir() => fs::remove_file(&path),
                _ => Ok(()),
            };
            removed.with_context(|| format!("{} can not be removed", path.display()))?;
        }
        Ok(())
    }

    /// What lies in the folder, with names.
    fn entries(&self) -> Result<Vec<(PathBuf, String)>> {
        let entries = fs::read_dir(&self.path).with_context(|| format!("{} can not be read", self.path.display()))?;
        let named = entries.map(|entry| {
            let entry = entry?;
            Ok((entry.path(), entry.file_name().to_string_lossy().into_owned()))
        });
        named.collect()
    }

    pub fn manifest(&self) -> Result<Option<Manifest>> {
        Self::peek(&self.path)
    }

    /// The manifest of a folder that need not be a run's yet, without opening it.
    pub fn peek(path: &Path) -> Result<Option<Manifest>> {
        let path = path.join(manifest::FILE_NAME);
        if path.exists() { Ok(Some(Manifest::read(&path)?)) } else { Ok(None) }
    }

    /// A folder for the files of a generation: the one of an earlier process that was stopped, if it made the same from the same (`key`), and
    /// an empty one otherwise. `every` is how much work within the generation may be lost.
    pub fn begin(&self, key: &Key, every: Duration) -> Result<Draft> {
        let generation = key.generation;
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
        numbers.extend(number_of(&name));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The generation whose folder has this name.
fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_prefix("gen-")?.parse().ok()?;
    (generation_dir_name(number) == name).then_some(number)
}

/// The name of the file that a temporary one is to replace, and any other name as it is.
fn without_temporary(name: &str) -> &str {
    name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")).unwrap_or(name)
}

/// What the holder of a lock wrote into it. It does so right after it took the lock; without that a message is only less helpful.
fn owner_of(lock: &mut File) -> String {
    for _ in 0..20 {
        let mut owner = String::new();
        let read = lock.rewind().and_then(|()| lock.read_to_string(&mut owner));
        if read.is_ok() && owner.starts_with(OWNER) {
            return owner.trim().to_string();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    "another process".to_string()
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
    let names: Vec<String> =
        entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    // a start that failed early leaves its lock and log; one that was killed early may have written its config, but no manifest yet
    let ours = fs::read_to_string(path.join(LOCK)).is_ok_and(|owner| owner.starts_with(OWNER));
    let early = |name: &str| name == LOCK || name == LOG || (ours && [CONFIG, manifest::FILE_NAME].contains(&name));
    Ok(names.iter().all(|name| early(without_temporary(name))))
}

/// A generation that is being built.
pub struct Draft {
    pub save: Savepoint,
    path: PathBuf,
    target: PathBuf,
    lock: PathBuf,
    owner: String,
}

/// Size and hash of every file of `folder` by its name behind `prefix`.
pub fn entries(folder: &Path, prefix: &str) -> Result<BTreeMap<String, FileEntry>> {
    let mut files = BTreeMap::new();
    for item in fs::read_dir(folder).with_context(|| format!("{} can not be read", folder.display()))? {
        let item = item?;
        if item.file_type()?.is_file() {
            files.extend(entry(&item.path(), prefix)?);
        }
    }
    Ok(files)
}

/// The same of one file.
pub fn entry(path: &Path, prefix: &str) -> Result<Option<(String, FileEntry)>> {
    let Some(name) = path.file_name() else { return Ok(None) };
    let unread = || format!("{} can not be read", path.display());
    let bytes = fs::metadata(path).with_context(unread)?.len();
    Ok(Some((format!("{prefix}{}", name.to_string_lossy()), FileEntry { bytes, blake3: hash_file(path)? })))
}

impl Draft {
    pub fn path(&self) -> &Path {
        &self.path
    }

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

    /// Size and hash of every file by its name, those of the weights as `model/NAME`; what is for going on is left out.
    pub fn files(&self) -> Result<BTreeMap<String, FileEntry>> {
        let mut files = entries(&self.path, "")?;
        if self.model_path().exists() {
            files.extend(entries(&self.model_path(), &format!("{MODEL}/"))?);
        }
        Ok(files)
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
        record.write(&self.path.join(RECORD))?;
        whole_folder::appear(&self.path, &self.target)
    }
}
