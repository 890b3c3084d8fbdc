//! A generation that is being built in `gen-NNN.partial`. It appears by one rename, its record written last. It knows
//! nothing of what the files mean.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sigma_data::hash::hash_file;
use sigma_report::record::{FILE_NAME as RECORD, FileEntry};
use sigma_report::{Record, run_files};

use crate::layout::{CURVE, EMBEDDINGS, MODEL, MODEL_FILES, RESPONSES, RESUME, ROWS, SPECTRUM, SYNTHETIC};
use crate::savepoint::{Key, Savepoint};
use crate::whole_folder;

/// Every file that a generation can have beside its weights.
const FILES: [&str; 7] = [SYNTHETIC, CURVE, RESPONSES, EMBEDDINGS, ROWS, SPECTRUM, RECORD];

/// A generation that is being built.
pub struct Draft {
    pub save: Savepoint,
    path: PathBuf,
    target: PathBuf,
    lock: PathBuf,
    owner: String,
}

/// Where a draft is built, and what for.
pub struct Place {
    /// `gen-NNN.partial`
    pub partial: PathBuf,
    /// What it becomes.
    pub target: PathBuf,
    /// The lock of the run's folder, and what this process wrote there.
    pub lock: PathBuf,
    pub owner: String,
}

/// Removes what an unfinished generation left in `partial`; whether nothing is left of it. What the program did not
/// write stays.
pub fn discard(partial: &Path) -> Result<bool> {
    let mut names: Vec<String> = FILES.iter().map(|name| name.to_string()).collect();
    names.extend(MODEL_FILES.iter().map(|name| format!("{MODEL}/{name}")));
    names.extend(Savepoint::file_names(&partial.join(RESUME)).into_iter().map(|name| format!("{RESUME}/{name}")));
    names.extend(FILES.iter().map(|name| run_files::temporary(Path::new(name)).to_string_lossy().into_owned()));
    Ok(run_files::remove_listed(partial, names.iter().map(String::as_str))?)
}

/// Whether `partial` can be gone on from by somebody.
pub fn has_savepoint(partial: &Path) -> bool {
    Savepoint::is_one(&partial.join(RESUME))
}

impl Draft {
    /// The draft of an earlier process that was stopped, if it made the same from the same (`key`); a new one in an
    /// empty folder otherwise. `every` is how much work within the generation may be lost.
    pub fn open(place: Place, key: &Key, every: Duration) -> Result<Self> {
        let Place { partial: path, target, lock, owner } = place;
        let resume = path.join(RESUME);
        let found = if run_files::is_real_dir(&path) && run_files::is_real_dir(&resume) {
            // other modules write below here by name
            run_files::unlink_links(&path)?;
            Savepoint::open(&resume, key, every)
        } else {
            None
        };
        let save = match found {
            Some(savepoint) => savepoint,
            None => {
                if !discard(&path)? {
                    bail!("{} holds files that this program did not write: move them away", path.display());
                }
                run_files::create_new_dir(&path)?;
                Savepoint::create(&resume, key, every)?
            }
        };
        Ok(Self { save, path, target, lock, owner })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder for the weights, made if it is missing.
    pub fn model(&self) -> Result<PathBuf> {
        let path = self.path.join(MODEL);
        run_files::create_dir(&path)?;
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

    /// Writes the record, flushes everything to the disk, and makes the generation appear; the hash of the record.
    ///
    /// # Errors
    /// If another process took the folder over meanwhile. That needs a file system whose locks do not reach across
    /// machines, and a batch system that starts a job again while its first run still lives; then the second one has
    /// the folder.
    pub fn commit(self, record: &Record) -> Result<String> {
        let owner =
            run_files::read_to_string(&self.lock).with_context(|| format!("{} cannot be read", self.lock.display()))?;
        if owner != self.owner {
            bail!("{} was taken over by {owner}; this process writes no more to it", self.target.display());
        }
        self.save.remove()?;
        let hash = record.write(&self.path.join(RECORD))?;
        whole_folder::appear(&self.path, &self.target)?;
        Ok(hash)
    }
}

/// Size and hash of every file of `folder` by its name behind `prefix`.
pub fn entries(folder: &Path, prefix: &str) -> Result<BTreeMap<String, FileEntry>> {
    let mut files = BTreeMap::new();
    for item in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
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
    let unread = || format!("{} cannot be read", path.display());
    let bytes = fs::metadata(path).with_context(unread)?.len();
    Ok(Some((format!("{prefix}{}", name.to_string_lossy()), FileEntry { bytes, blake3: hash_file(path)? })))
}
