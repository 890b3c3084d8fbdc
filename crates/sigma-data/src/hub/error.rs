//! What can go wrong between a source and its files, each with the way out. Nothing here carries what a server wrote or
//! a whole address: tokens and signed links hide in both.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A failure of another library, type-erased so that its types stay out of this crate's interface.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the files of a source could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HubError {
    #[error(
        "there is no folder `{}`; check the path (a relative one counts from the working folder), or for a repository of \
         the hub write `org/name`",
        path.display()
    )]
    FolderMissing { path: PathBuf },

    #[error("`{}` is a file where a folder is needed; name the folder it is in", path.display())]
    NotAFolder { path: PathBuf },

    #[error("the folder `{}` has no {what}; it needs {choices}", folder.display())]
    MissingInFolder { folder: PathBuf, what: String, choices: String },

    #[error("the repository `{repo}` at {revision} has no {what}; it needs {choices}")]
    MissingOnHub { repo: String, revision: String, what: String, choices: String },

    #[error(
        "offline, and the cache `{}` lacks the {missing} of `{repo}` at {revision}; run once with the network, or give a \
         local folder as source", cache.display()
    )]
    NotCached { repo: String, revision: String, missing: String, cache: PathBuf },

    #[error(
        "the hub at {endpoint} cannot be reached for `{repo}`, and the cache does not have it; check network and proxy, \
         set HF_ENDPOINT to a mirror, or give a local folder as source"
    )]
    Unreachable { endpoint: String, repo: String, source: Cause },

    #[error(
        "the hub at {endpoint} has no repository `{repo}`, or only for tokens with access to it (HF_TOKEN); check the id. \
         If you meant a folder: there is no `{repo}` here either, seen from the working directory"
    )]
    NoSuchRepo { endpoint: String, repo: String },

    #[error(
        "the repository `{repo}` has no revision `{revision}`; give a branch, a tag or a full commit after the `@`"
    )]
    NoSuchRevision { repo: String, revision: String },

    #[error(
        "the hub at {endpoint} refused `{repo}` with status {status}: it is private, gated or does not exist, and there was \
         no token or one without access; accept its terms on the hub if it has any, and set HF_TOKEN to a token that may \
         read it. If you meant a folder: there is no `{repo}` here either"
    )]
    Refused { endpoint: String, repo: String, status: u16 },

    #[error("the hub at {endpoint} asks to slow down{}; try again later, or set HF_TOKEN for a higher limit", after(*seconds))]
    RateLimited { endpoint: String, seconds: Option<u64> },

    #[error("the hub at {endpoint} answered with status {status} to a request for {what} of `{repo}`; try again later")]
    Status { endpoint: String, repo: String, what: String, status: u16 },

    #[error(
        "the answer of {endpoint} about `{repo}` makes no sense ({what}); is it a Hugging Face hub? See HF_ENDPOINT"
    )]
    Answer { endpoint: String, repo: String, what: String },

    #[error("the download of `{file}` of `{repo}` broke off; run again")]
    BrokenOff { repo: String, file: String, source: Cause },

    #[error(
        "`{file}` of `{repo}` came with {got} bytes where the hub promised {expected}; it was deleted from the cache, run \
         again"
    )]
    WrongSize { repo: String, file: String, expected: u64, got: u64 },

    #[error(
        "`{file}` of `{repo}` has the sha256 {got} where the hub promised {expected}; it was deleted from the cache, run \
         again"
    )]
    WrongHash { repo: String, file: String, expected: String, got: String },

    #[error("the index of shards `{}` cannot be understood", path.display())]
    Index { path: PathBuf, source: serde_json::Error },

    #[error("the index `{}` names no shard at all", path.display())]
    EmptyIndex { path: PathBuf },

    #[error("the index `{}` names the shard `{shard}`, which is not a plain file name; do not trust it", path.display())]
    ShardName { path: PathBuf, shard: String },

    #[error("`{name}` is not a path inside a repository: it must be relative, with `/`, and without `..`")]
    FileName { name: String },

    #[error("the disk is full: {what} does not fit in `{}`; make room, or set HF_HOME to another disk", folder.display())]
    DiskFull { folder: PathBuf, what: String },

    #[error("cannot use `{}`", path.display())]
    Io { path: PathBuf, source: io::Error },

    #[error("another program is downloading the same file (its lock is `{}`); wait for it and run again", lock.display())]
    Locked { lock: PathBuf },

    #[error("HF_ENDPOINT is not an address; write it as `https://host`")]
    Endpoint { source: Cause },

    #[error("the network client cannot be started; on a bare system install its CA certificates")]
    Client { source: Cause },
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn after(seconds: Option<u64>) -> String {
    seconds.map(|seconds| format!(" for {seconds} s")).unwrap_or_default()
}

impl HubError {
    pub(super) fn io(path: impl Into<PathBuf>, what: &str, source: io::Error) -> Self {
        let path = path.into();
        match is_full(&source) {
            true => HubError::DiskFull { folder: path, what: what.to_owned() },
            false => HubError::Io { path, source },
        }
    }

    /// Whether the hub itself is in trouble, so that what is cached is the best there is.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            HubError::Unreachable { .. } => true,
            HubError::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }
}
