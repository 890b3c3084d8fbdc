//! A source that is a repository: revision to commit, what the cache settles, the rest from the hub. Everything of one
//! call comes from one commit, and the cache's note of a branch moves only when all its files are there and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::mpsc;

use hf_hub::progress::{DownloadEvent, FileStatus, Progress, ProgressEvent, ProgressHandler};
use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFError, HFRepository, HFResult, RepoType, RepoTypeDataset, RepoTypeModel};

use super::cache::{RepoCache, is_commit};
use super::error::HubError;
use super::failure::Asked;
use super::wanted::{self, Choice, Wanted};
use super::{HubProgress, Resolved, shards, verify};

/// One call of [`super::resolve_with`], for a repository.
pub(super) struct Request<'a> {
    pub(super) repo: &'a str,
    pub(super) revision: Option<&'a str>,
    pub(super) wanted: &'a [Wanted],
    pub(super) offline: bool,
    pub(super) progress: &'a dyn Fn(HubProgress),
}

pub(super) async fn resolve<T: Kind>(client: &HFClient, kind: T, request: &Request<'_>) -> Result<Resolved, HubError> {
    let (owner, name) = hf_hub::split_id(request.repo);
    let fetch = Fetch {
        request,
        revision: request.revision.unwrap_or("main"),
        endpoint: client.endpoint(),
        repo: client.repository(kind, owner, name),
        cache: RepoCache::new(client.cache_dir(), kind.plural(), request.repo),
    };
    fetch.run().await
}

/// The kinds of repository whose revisions can be looked up.
pub(super) trait Kind: RepoType {
    async fn commit(repo: &HFRepository<Self>, revision: &str) -> HFResult<Option<String>>;
}

impl Kind for RepoTypeModel {
    async fn commit(repo: &HFRepository<Self>, revision: &str) -> HFResult<Option<String>> {
        Ok(repo.info().revision(revision).expand(vec!["sha".to_owned()]).send().await?.sha)
    }
}

impl Kind for RepoTypeDataset {
    async fn commit(repo: &HFRepository<Self>, revision: &str) -> HFResult<Option<String>> {
        Ok(repo.info().revision(revision).expand(vec!["sha".to_owned()]).send().await?.sha)
    }
}

struct Fetch<'a, T: RepoType> {
    request: &'a Request<'a>,
    revision: &'a str,
    endpoint: &'a str,
    repo: HFRepository<T>,
    cache: RepoCache,
}

impl<T: Kind> Fetch<'_, T> {
    async fn run(&self) -> Result<Resolved, HubError> {
        let offline = self.request.offline;
        let (commit, outage) = match self.commit().await {
            Ok(commit) => (commit, None),
            Err(outage) if outage.is_outage() => match self.cache.commit_of(self.revision) {
                Some(commit) => (commit, Some(outage)),
                None => return Err(outage),
            },
            Err(error) => return Err(error),
        };
        let may_ask = !offline && outage.is_none();
        let files = match (self.in_cache(&commit, may_ask).await?, outage) {
            (Ok(files), None) => files,
            (Ok(files), Some(outage)) => {
                tracing::warn!(repo = self.request.repo, commit, %outage, "using the cached state of the repository");
                files
            }
            (Err(_), Some(outage)) => return Err(outage),
            (Err(missing), None) if offline => return Err(self.not_cached(missing)),
            (Err(_), None) => self.download(&commit).await?,
        };
        Ok(Resolved { folder: self.cache.snapshot(&commit), revision: Some(commit), files })
    }

    async fn commit(&self) -> Result<String, HubError> {
        if is_commit(self.revision) {
            return Ok(self.revision.to_owned());
        }
        if self.request.offline {
            return self.cache.commit_of(self.revision).ok_or_else(|| self.not_cached("commit".to_owned()));
        }
        let asked = self.asked("its revision");
        let commit = T::commit(&self.repo, self.revision).await.map_err(|error| asked.failed(error))?;
        // It becomes a folder name in the cache.
        commit.filter(|commit| is_commit(commit)).ok_or_else(|| asked.answer("no commit of 40 hexadecimal digits"))
    }

    /// The files, if the cache has what is wanted; else in words what it lacks. With `may_ask` it must also be certain
    /// that the hub has nothing better, as an optional file or a preferred form of the weights.
    async fn in_cache(&self, commit: &str, may_ask: bool) -> Result<Result<Vec<String>, String>, HubError> {
        let mut present = BTreeSet::new();
        let mut possible = BTreeSet::new();
        for name in wanted::candidates(self.request.wanted) {
            match self.cached(commit, &name).await {
                Ok(_) => drop((present.insert(name.clone()), possible.insert(name))),
                Err(HFError::EntryNotFound { .. }) => {}
                Err(_) => drop(possible.insert(name)),
            }
        }
        let choices = match wanted::choose(self.request.wanted, &present) {
            Ok(choices) => choices,
            Err(lacks) => return Ok(Err(format!("{} ({})", lacks.what, lacks.choices_in_words()))),
        };
        if may_ask && wanted::choose(self.request.wanted, &possible) != Ok(choices.clone()) {
            return Ok(Err("certainty that the hub has nothing better".to_owned()));
        }
        let mut files = wanted::names_of(&choices);
        for shard in self.shards_of(commit, &choices)? {
            if self.cached(commit, &shard).await.is_err() {
                return Ok(Err(format!("shard `{shard}`")));
            }
            files.push(shard);
        }
        // Again at each start: an earlier program may have been stopped between download and check.
        for file in &files {
            verify::check(&self.cache.snapshot(commit).join(file), None, self.request.repo, file)?;
        }
        Ok(Ok(files))
    }

    async fn cached(&self, commit: &str, name: &str) -> HFResult<PathBuf> {
        self.repo.download_file().filename(name).revision(commit).local_files_only(true).send().await
    }

    fn shards_of(&self, commit: &str, choices: &[&Choice]) -> Result<Vec<String>, HubError> {
        let mut shards = Vec::new();
        for choice in choices {
            if let Choice::Sharded { index } = choice {
                shards.extend(wanted::beside(index, shards::named_in(&self.cache.snapshot(commit).join(index))?));
            }
        }
        Ok(shards)
    }

    async fn download(&self, commit: &str) -> Result<Vec<String>, HubError> {
        let waiting = || (self.request.progress)(HubProgress::Waiting { repo: self.request.repo.to_owned() });
        let _turn = self.cache.take_turn(waiting);
        if let Ok(files) = self.in_cache(commit, true).await? {
            self.note(commit)?;
            return Ok(files);
        }
        let candidates = wanted::candidates(self.request.wanted);
        let listed = self.list(commit, &candidates).await?;
        candidates
            .iter()
            .filter(|name| !listed.contains_key(*name))
            .for_each(|name| self.cache.mark_absent(commit, name));
        let present = listed.keys().cloned().collect();
        let choices = wanted::choose(self.request.wanted, &present)
            .map_err(|lacks| self.missing(lacks.what.clone(), lacks.choices_in_words()))?;
        let mut files = wanted::names_of(&choices);
        for file in &files {
            self.fetch(commit, file, listed[file]).await?;
        }
        let shards: BTreeSet<String> = self.shards_of(commit, &choices)?.into_iter().collect();
        if !shards.is_empty() {
            let listed = self.list(commit, &shards).await?;
            for shard in &shards {
                let missing = || self.missing(format!("shard `{shard}`"), "every shard its index names".to_owned());
                self.fetch(commit, shard, *listed.get(shard).ok_or_else(missing)?).await?;
            }
            files.extend(shards);
        }
        self.note(commit)?;
        Ok(files)
    }

    /// The sizes of those of `names` that the commit has.
    async fn list(&self, commit: &str, names: &BTreeSet<String>) -> Result<BTreeMap<String, u64>, HubError> {
        let paths = names.iter().cloned().collect();
        let entries = self.repo.get_paths_info().paths(paths).revision(commit).send().await;
        let entries = entries.map_err(|error| match error {
            // The commit was looked up or is the user's: the list is about it, not about a file.
            HFError::EntryNotFound { context, repo_id, .. } => self
                .asked("the list of its files")
                .failed(HFError::RevisionNotFound { repo_id, revision: commit.to_owned(), context }),
            error => self.asked("the list of its files").failed(error),
        })?;
        let sizes = entries.into_iter().filter_map(|entry| match entry {
            RepoTreeEntry::File { path, size, .. } => names.contains(&path).then_some((path, size)),
            RepoTreeEntry::Directory { .. } => None,
        });
        Ok(sizes.collect())
    }

    async fn fetch(&self, commit: &str, file: &str, size: u64) -> Result<(), HubError> {
        let (relay, events) = Relay::new();
        let download = self.repo.download_file().filename(file).revision(commit).progress(Progress::new(relay)).send();
        let report = |event: ProgressEvent| {
            if let Some(received) = received(&event) {
                (self.request.progress)(HubProgress::Receiving { file: file.to_owned(), received, total: size });
            }
        };
        let path = watched(download, &events, report).await.map_err(|error| self.asked(file).failed(error))?;
        if path != self.cache.snapshot(commit).join(file) {
            return Err(self.asked(file).answer("it gave a file of another commit than the one asked for"));
        }
        verify::check(&path, Some(size), self.request.repo, file)?;
        (self.request.progress)(HubProgress::Received { file: file.to_owned() });
        Ok(())
    }

    fn note(&self, commit: &str) -> Result<(), HubError> {
        if is_commit(self.revision) {
            return Ok(());
        }
        let noted = self.cache.set_commit_of(self.revision, commit);
        noted.map_err(|source| HubError::io(&self.cache.root, "the note of a revision", source))
    }

    fn asked<'b>(&'b self, what: &'b str) -> Asked<'b> {
        Asked {
            endpoint: self.endpoint,
            repo: self.request.repo,
            revision: self.revision,
            what,
            cache: &self.cache.root,
        }
    }

    fn not_cached(&self, missing: String) -> HubError {
        HubError::NotCached {
            repo: self.request.repo.to_owned(),
            revision: self.revision.to_owned(),
            missing,
            cache: self.cache.root.clone(),
        }
    }

    fn missing(&self, what: String, choices: String) -> HubError {
        HubError::MissingOnHub { repo: self.request.repo.to_owned(), revision: self.revision.to_owned(), what, choices }
    }
}

/// Carries hf-hub's events, which it may send from any thread, to the one that waits for the download.
struct Relay(mpsc::Sender<ProgressEvent>);

impl Relay {
    fn new() -> (Self, mpsc::Receiver<ProgressEvent>) {
        let (sender, events) = mpsc::channel();
        (Relay(sender), events)
    }
}

impl ProgressHandler for Relay {
    fn on_progress(&self, event: &ProgressEvent) {
        // Nobody listens any more once the download has failed.
        let _ = self.0.send(event.clone());
    }
}

/// Awaits `future`, passing on what arrived in `events` each time it has moved.
async fn watched<F: Future>(
    future: F,
    events: &mpsc::Receiver<ProgressEvent>,
    report: impl Fn(ProgressEvent),
) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        events.try_iter().for_each(&report);
        polled
    })
    .await
}

fn received(event: &ProgressEvent) -> Option<u64> {
    match event {
        ProgressEvent::Download(DownloadEvent::Progress { files }) => {
            files.iter().find(|file| file.status == FileStatus::InProgress).map(|file| file.bytes_completed)
        }
        ProgressEvent::Download(DownloadEvent::AggregateProgress { bytes_completed, .. }) => Some(*bytes_completed),
        _ => None,
    }
}
