//! Downloads against a fake hub on this machine: what arrives, what is refused, and what is said when it fails. The
//! real hub is never asked.

mod cache;
mod choice;
mod failure;
mod fake;
mod integrity;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use sigma_data::hub::{HubError, HubOptions, HubProgress, Resolved, Wanted, resolve_with};
use sigma_data::source::Source;
use tempfile::TempDir;

use fake::FakeHub;

/// A user's side: an empty cache, a token, and the fake hub as endpoint.
struct User {
    options: HubOptions,
    cache: TempDir,
    progress: Mutex<Vec<HubProgress>>,
}

const TOKEN: &str = "hf_do_not_print_me";

impl User {
    fn of(hub: &FakeHub) -> Self {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let options = HubOptions {
            endpoint: Some(hub.url()),
            cache_dir: Some(cache.path().to_owned()),
            token: Some(TOKEN.to_owned()),
            retry_delay: Some(Duration::from_millis(1)),
            ..HubOptions::default()
        };
        User { options, cache, progress: Mutex::default() }
    }

    fn resolve(&self, source: &str, wanted: &[Wanted]) -> Result<Resolved, HubError> {
        self.ask(source, wanted, false)
    }

    fn resolve_offline(&self, source: &str, wanted: &[Wanted]) -> Result<Resolved, HubError> {
        self.ask(source, wanted, true)
    }

    fn ask(&self, source: &str, wanted: &[Wanted], offline: bool) -> Result<Resolved, HubError> {
        let source: Source = source.parse().expect("a source");
        resolve_with(&self.options, &source, wanted, offline, &|event| {
            self.progress.lock().expect("events").push(event);
        })
    }

    fn events(&self) -> Vec<HubProgress> {
        self.progress.lock().expect("events").clone()
    }

    /// The names of all files that hold content in the cache, whether or not a snapshot points at them.
    fn blobs(&self) -> Vec<String> {
        let folder = self.cache.path().join("models--org--tiny/blobs");
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.ends_with(".incomplete")).collect()
    }
}

fn read(resolved: &Resolved, file: &str) -> Vec<u8> {
    read_in(&resolved.folder, file)
}

fn read_in(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// An error as a program would print it: the message and all causes, and once more with everything it carries.
fn in_full(error: &HubError) -> String {
    let mut text = format!("{error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    format!("{text}\n{error:?}")
}
