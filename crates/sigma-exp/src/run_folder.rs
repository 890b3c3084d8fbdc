//! A run's folder: who may write to it, which generations it holds, and how a new one appears. A generation is built in
//! `gen-NNN.partial` and appears by one rename, its record written last; what a crash leaves behind is gone on from or
//! swept at the next start. It knows nothing of what the files mean.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sigma_report::record::FILE_NAME as RECORD;
use sigma_report::{Manifest, generation_dir_name, generation_of_dir_name, manifest, run_files};

use crate::draft::{self, Draft, Place};
use crate::layout::{LOCK, LOG, MODEL, MODEL_FILES, PARTIAL, names};
use crate::ownership::{self, OWNER};
use crate::savepoint::Key;
use crate::spec::Keep;
use crate::{clock, log, machine};

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
        ownership::check(path)?;
        const REMEDY: &str = "choose another --out, or let this user write there";
        run_files::create_dir(path)
            .with_context(|| format!("run folder {} cannot be made: {REMEDY}", path.display()))?;
        let open = run_files::open_own(&path.join(LOCK));
        let mut lock = open.with_context(|| format!("run folder {} cannot be written to: {REMEDY}", path.display()))?;
        if !ownership::is_lock(&mut lock)? {
            bail!("{} is not the lock of a run: move it away", path.join(LOCK).display());
        }
        log::check_own(&path.join(LOG))?;
        match patiently(|| lock.try_lock()) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("{} is in use by {}: wait for it or stop it", path.display(), owner_of(&mut lock));
            }
            Err(TryLockError::Error(error)) => {
                // some network file systems have no locks: a run there is better than none
                tracing::warn!("{} cannot be locked ({error}); start no second run on this folder", path.display());
            }
        }
        let host = machine::host_name();
        let owner = format!("{OWNER}{} on {host} since {}", std::process::id(), clock::now_exactly());
        lock.set_len(0)?;
        write!(lock, "{owner}")?;
        lock.sync_all()?;
        Ok(Self { path: path.to_path_buf(), _lock: lock, owner })
    }

    /// Who writes to the run folder `path` now, if anybody does.
    pub fn holder(path: &Path) -> Option<String> {
        let place = path.join(LOCK);
        if !fs::symlink_metadata(&place).ok()?.is_file() {
            return None;
        }
        let mut lock = File::open(place).ok()?;
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

    /// Removes what unfinished generations left, unless it can be gone on from. What the program did not write is set
    /// aside.
    pub fn sweep(&self) -> Result<()> {
        let mut left = Vec::new();
        for name in names(&self.path)? {
            let Some(generation) = name.strip_suffix(PARTIAL).and_then(generation_of_dir_name) else { continue };
            let partial = self.path.join(&name);
            let complete = run_files::exists(&self.generation(generation));
            if (complete || !draft::has_savepoint(&partial)) && !draft::discard(&partial)? {
                left.push(name);
            }
        }
        if left.is_empty() { Ok(()) } else { ownership::set_aside(&self.path, &left) }
    }

    pub fn manifest(&self) -> Result<Option<Manifest>> {
        Self::peek(&self.path)
    }

    /// The manifest of a folder that need not be a run's yet, without opening it.
    pub fn peek(path: &Path) -> Result<Option<Manifest>> {
        let path = path.join(manifest::FILE_NAME);
        if path.exists() { Ok(Some(Manifest::read(&path)?)) } else { Ok(None) }
    }

    /// A folder for the files of the generation that `key` stands for; see [`Draft::open`].
    pub fn begin(&self, key: &Key, every: Duration) -> Result<Draft> {
        let place = Place {
            partial: self.path.join(format!("{}{PARTIAL}", generation_dir_name(key.generation))),
            target: self.generation(key.generation),
            lock: self.path.join(LOCK),
            owner: self.owner.clone(),
        };
        Draft::open(place, key, every)
    }

    /// Writes down that the record of `generation` has this hash.
    pub fn extend_chain(&self, generation: u32, hash: &str) -> Result<()> {
        self.change_manifest(|manifest| drop(manifest.records.insert(generation, hash.to_string())))
    }

    /// Changes the manifest, here the only writer of it.
    pub fn change_manifest(&self, change: impl FnOnce(&mut Manifest)) -> Result<()> {
        let path = self.path.join(manifest::FILE_NAME);
        let mut manifest = Manifest::read(&path)?;
        change(&mut manifest);
        Ok(manifest.write(&path)?)
    }

    /// Removes the weights of generations before `latest` that are not to be kept.
    pub fn retain(&self, keep: Keep, latest: u32) -> Result<()> {
        for generation in (0..latest).filter(|generation| !keep.keeps(*generation)) {
            let model = self.model(generation);
            if run_files::is_real_dir(&self.generation(generation)) && run_files::is_real_dir(&model) {
                run_files::remove_listed(&model, MODEL_FILES)?;
            }
        }
        Ok(())
    }
}

/// What the holder of a lock wrote into it. It does so right after it took the lock; without that a message is only
/// less helpful.
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
