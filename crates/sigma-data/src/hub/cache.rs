//! One repository's part of the Hugging Face cache, in the layout that all its programs share: `refs/<revision>` holds
//! a commit, `snapshots/<commit>/` its files, `.no_exist/<commit>/` a mark for each file known not to exist. Reading
//! and writing the files themselves is hf-hub's.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A repository in the cache.
pub(super) struct RepoCache {
    pub(super) root: PathBuf,
    /// `models--org--name`.
    name: String,
}

impl RepoCache {
    pub(super) fn new(root: &Path, plural: &str, repo: &str) -> Self {
        RepoCache { root: root.to_owned(), name: format!("{plural}--{}", repo.replace('/', "--")) }
    }

    fn folder(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit)
    }

    /// The commit that a branch or tag had when it was last resolved.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder().join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes the commit of a branch or tag. Done last, so that a broken update leaves the old state usable offline.
    pub(super) fn set_commit_of(&self, revision: &str, commit: &str) -> io::Result<()> {
        let path = self.folder().join("refs").join(revision);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, commit)
    }

    /// Notes that the commit lacks a file. That only saves a request later, so failing to is no failure.
    pub(super) fn mark_absent(&self, commit: &str, file: &str) {
        let path = self.folder().join(".no_exist").join(commit).join(file);
        let marked = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, b""));
        if let Err(error) = marked {
            tracing::debug!(path = %path.display(), %error, "cannot mark a file as absent");
        }
    }

    /// Waits until no other process of ours downloads this repository; the turn ends when the file is dropped.
    ///
    /// hf-hub locks each file for ten seconds and then fails, which is too short for the runs of a sweep that all start
    /// with the same model. None where the file system has no locks: hf-hub's own are left then.
    pub(super) fn take_turn(&self, waiting: impl FnOnce()) -> Option<File> {
        let folder = self.root.join(".locks").join(&self.name);
        fs::create_dir_all(&folder).ok()?;
        let turn = File::create(folder.join("sigma-exp.lock")).ok()?;
        match turn.try_lock() {
            Ok(()) => Some(turn),
            Err(TryLockError::WouldBlock) => {
                waiting();
                turn.lock().ok().map(|()| turn)
            }
            Err(TryLockError::Error(_)) => None,
        }
    }
}

/// A full commit, which names its content for ever.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
