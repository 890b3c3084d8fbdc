//! Brings the files of a [`Source`] to a local folder: a folder as it is, a repository through the Hugging Face cache
//! and its environment variables (`HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`, ...), every download checked. It knows nothing
//! of what the files mean: callers say which they want.

mod cache;
mod error;
mod failure;
mod fetch;
mod folder;
mod shards;
mod verify;
mod wanted;

use std::path::PathBuf;
use std::time::Duration;

use hf_hub::HFClient;

use crate::source::Source;

pub use error::HubError;
pub use wanted::{Choice, Wanted};

/// A folder that has every wanted file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    pub folder: PathBuf,
    /// The commit (40 hexadecimal digits) of a repository; none for a folder the user named.
    pub revision: Option<String>,
    /// The files that were chosen, shards included, by their path in `folder`. The folder may have others.
    pub files: Vec<String>,
}

/// What happens while a repository is resolved. Nothing is said of files that are in the cache already.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubProgress {
    /// Another process is downloading the same repository; it is waited for.
    Waiting { repo: String },
    /// `received` of `total` bytes; a `total` of 0 means that the hub did not say.
    Receiving { file: String, received: u64, total: u64 },
    /// The file is complete and was checked.
    Received { file: String },
}

/// Whether an id names a repository of models or of data sets: the hub keeps them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RepoKind {
    #[default]
    Model,
    Dataset,
}

/// How to reach the hub. What is left out comes from the environment, as for every Hugging Face program.
#[derive(Clone, Default)]
pub struct HubOptions {
    pub kind: RepoKind,
    pub endpoint: Option<String>,
    pub cache_dir: Option<PathBuf>,
    pub token: Option<String>,
    /// The pause before the first retry; it doubles from there.
    pub retry_delay: Option<Duration>,
}

/// Finds or downloads the `wanted` files of `source`.
///
/// The network is left alone if `offline` is set or `HF_HUB_OFFLINE` says so, and if the source is a commit whose files
/// are all in the cache. If a branch cannot be looked up because the hub is down, the cached state of it is used.
/// Blocks, and must not be called from async code.
pub fn resolve(
    kind: RepoKind,
    source: &Source,
    wanted: &[Wanted],
    offline: bool,
    progress: &dyn Fn(HubProgress),
) -> Result<Resolved, HubError> {
    let options = HubOptions { kind, ..HubOptions::default() };
    resolve_with(&options, source, wanted, offline || offline_by_environment(), progress)
}

/// [`resolve`] with the hub, the cache or the token given. `HF_HUB_OFFLINE` is not consulted.
pub fn resolve_with(
    options: &HubOptions,
    source: &Source,
    wanted: &[Wanted],
    offline: bool,
    progress: &dyn Fn(HubProgress),
) -> Result<Resolved, HubError> {
    if let Some(name) = wanted::candidates(wanted).into_iter().find(|name| !wanted::stays_inside(name)) {
        return Err(HubError::FileName { name });
    }
    match source {
        Source::Folder(folder) => folder::resolve(folder, wanted),
        Source::Hub { repo, revision } => {
            let client = client(options)?;
            let request = fetch::Request { repo, revision: revision.as_deref(), wanted, offline, progress };
            // The download future does all its work on this thread, so that `progress` need not be shareable.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|source| HubError::Client { source: source.into() })?;
            let resolved = match options.kind {
                RepoKind::Model => runtime.block_on(fetch::resolve(&client, hf_hub::RepoTypeModel, &request)),
                RepoKind::Dataset => runtime.block_on(fetch::resolve(&client, hf_hub::RepoTypeDataset, &request)),
            };
            // A name lookup or a file lock that never answers must not keep the program from ending.
            runtime.shutdown_background();
            resolved
        }
    }
}

fn client(options: &HubOptions) -> Result<HFClient, HubError> {
    let mut builder = HFClient::builder();
    if let Some(endpoint) = &options.endpoint {
        builder = builder.endpoint(endpoint);
    }
    if let Some(folder) = &options.cache_dir {
        builder = builder.cache_dir(folder);
    }
    if let Some(token) = &options.token {
        builder = builder.token(token);
    }
    if let Some(delay) = options.retry_delay {
        builder = builder.retry_base_delay(delay);
    }
    builder.build().map_err(failure::of_client)
}

/// Python's reading of the variable; hf-hub does not know it.
fn offline_by_environment() -> bool {
    std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| means_yes(&value))
}

fn means_yes(value: &str) -> bool {
    ["1", "true", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn offline_is_read_as_python_reads_it() {
        assert!(["1", "true", "TRUE", "Yes", "on"].into_iter().all(super::means_yes));
        assert!(!["", "0", "false", "no", "off", "2"].into_iter().any(super::means_yes));
    }
}
