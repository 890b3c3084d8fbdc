//! What a generation that is not finished yet keeps, so that a run that was stopped goes on in its middle: the pool
//! once it is written, training every few minutes, texts as they are finished, the weights once they are trained.
//! Everything is checked by its hash before it is used again, and what is damaged is made again: the outcome is the
//! same bytes.
//!
//! ```text
//! gen-007.partial/resume/state.json               what is there, with hashes; replaced as a whole
//!                        training-000120.safetensors    parameters and optimizer after step 120
//!                        regenerate.jsonl  evaluate.jsonl    finished texts, a line each
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use sigma_data::answers::FinishReason;
use sigma_data::hash::{hash_bytes, hash_file};
use sigma_generate::Completion;
use sigma_report::record::{FileEntry, RegenerationRecord, TrainingRecord};
use sigma_report::run_files;
use sigma_train::TrainingState;

use crate::whole_folder::sync;
use crate::{clock, layout};

const STATE: &str = "state.json";

/// What a generation is made from and computed with, as far as the run's config does not fix it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub generation: u32,
    /// Hash of the weights that write the pool.
    pub writer: String,
    /// Hash of the weights that training starts from.
    pub start: String,
    /// Kinds of devices, precisions, and texts that a GPU decodes together.
    pub arithmetic: String,
}

/// `state.json`
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// A state of any other is not used.
    key: Key,
    /// RFC 3339: when the generation was begun.
    started: String,
    /// Spent on it up to the last save.
    seconds: f64,
    /// Spent on texts that are saved, by stage.
    stage_seconds: BTreeMap<String, f64>,
    pool: Option<Pool>,
    training: Option<Training>,
    trained: Option<Trained>,
}

impl State {
    /// Whether no name in it leads out of its folder.
    fn stays_inside(&self) -> bool {
        let trained = self.trained.iter().flat_map(|trained| trained.files.keys());
        self.training.iter().all(|training| run_files::is_plain_name(&training.file))
            && self.stage_seconds.keys().all(|stage| run_files::is_plain_name(stage))
            && trained.into_iter().all(|name| run_files::stays_inside(name))
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Pool {
    blake3: String,
    record: RegenerationRecord,
}

/// Training in the middle.
#[derive(Debug, Serialize, Deserialize)]
struct Training {
    file: String,
    blake3: String,
    seconds: f64,
}

/// Training that is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trained {
    pub weights: String,
    /// Everything that the generation has written so far.
    pub files: BTreeMap<String, FileEntry>,
    pub record: TrainingRecord,
}

/// A finished text as a line.
#[derive(Serialize, Deserialize)]
struct Line {
    index: usize,
    tokens: Vec<u32>,
    finish_reason: FinishReason,
    check: String,
}

impl Line {
    fn check(index: usize, completion: &Completion) -> String {
        let text = format!("{index} {:?} {:?}", completion.tokens, completion.finish_reason);
        hash_bytes(text.as_bytes())[..16].to_string()
    }
}

/// The savepoint of one generation.
pub struct Savepoint {
    shared: Arc<Shared>,
    every: Duration,
    saved: Instant,
    /// Since when the state's seconds do not count.
    clock: Instant,
}

/// What the thread that writes the weights has in common with the one that goes on meanwhile.
struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &State) -> Result<()> {
        Ok(run_files::replace(&self.folder.join(STATE), serde_json::to_string_pretty(state)?)?)
    }
}

/// The part of a savepoint that says that training is done, for the thread that writes the weights.
pub struct TrainedSavepoint(Arc<Shared>);

impl TrainedSavepoint {
    /// The weights are on the disk, and so is everything that was written before them.
    pub fn save(&self, trained: Trained) -> Result<()> {
        let mut state = self.0.state();
        state.trained = Some(trained);
        let before = state.training.take();
        self.0.write(&state)?;
        if let Some(before) = before {
            // a left-over costs room, nothing else
            let _ = run_files::remove_file(&self.0.folder.join(before.file));
        }
        Ok(())
    }
}

impl Savepoint {
    /// The savepoint in `folder`, if it is one of the generation that `key` stands for; a new one otherwise.
    /// `every` is how much time may be lost at most.
    pub fn open(folder: &Path, key: &Key, every: Duration) -> Option<Self> {
        let text = run_files::read_to_string(&folder.join(STATE)).ok()?;
        let state: State = serde_json::from_str(&text).ok()?;
        let now = Instant::now();
        (state.key == *key && state.stays_inside()).then(|| Self::new(folder, state, every, now))
    }

    pub fn create(folder: &Path, key: &Key, every: Duration) -> Result<Self> {
        run_files::create_dir(folder)?;
        let started = clock::now();
        let state = State { key: key.clone(), started, ..State::default() };
        let now = Instant::now();
        let mut savepoint = Self::new(folder, state, every, now);
        savepoint.change(|_| ())?;
        Ok(savepoint)
    }

    fn new(folder: &Path, state: State, every: Duration, now: Instant) -> Self {
        let shared = Arc::new(Shared { folder: folder.to_path_buf(), state: Mutex::new(state) });
        Self { shared, every, saved: now, clock: now }
    }

    /// Whether `folder` holds a savepoint of anything.
    pub fn is_one(folder: &Path) -> bool {
        folder.join(STATE).is_file()
    }

    /// The names of those files in `folder` that a savepoint can have.
    pub fn file_names(folder: &Path) -> Vec<String> {
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let of_training = |name: &str| {
            name.strip_prefix("training-").and_then(|name| name.strip_suffix(".safetensors")).is_some_and(number)
        };
        let of_texts = |name: &str| {
            name.strip_suffix(".jsonl").is_some_and(|stage| {
                ["regenerate", "evaluate"].contains(&stage) || stage.strip_prefix("noise-").is_some_and(number)
            })
        };
        let ours = |name: &String| {
            let name = run_files::replaced_by_temporary(name).unwrap_or(name);
            name == STATE || of_training(name) || of_texts(name)
        };
        layout::names(folder).unwrap_or_default().into_iter().filter(ours).collect()
    }

    /// Removes it, once the generation is complete but for its record.
    pub fn remove(&self) -> Result<()> {
        let folder = &self.shared.folder;
        let names = Self::file_names(folder);
        if !run_files::remove_listed(folder, names.iter().map(String::as_str))? {
            bail!("{} holds files that this program did not write: move them away", folder.display());
        }
        Ok(())
    }

    /// Changes the state, here and in its file.
    fn change<R>(&mut self, change: impl FnOnce(&mut State) -> R) -> Result<R> {
        let mut state = self.shared.state();
        let result = change(&mut state);
        state.seconds += self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        self.shared.write(&state)?;
        self.saved = Instant::now();
        Ok(result)
    }

    /// Whether so much was done since the last save that it would be a pity to lose it.
    pub fn due(&self) -> bool {
        self.saved.elapsed() >= self.every
    }

    /// RFC 3339.
    pub fn started(&self) -> String {
        self.shared.state().started.clone()
    }

    /// Spent on the generation so far, interruptions left out.
    pub fn seconds(&self) -> f64 {
        self.shared.state().seconds + self.clock.elapsed().as_secs_f64()
    }

    /// The record of the pool, if `path` holds it as it was written.
    pub fn pool(&self, path: &Path) -> Option<RegenerationRecord> {
        let state = self.shared.state();
        let pool = state.pool.as_ref()?;
        (hash_file(path).ok()? == pool.blake3).then(|| pool.record.clone())
    }

    /// The pool is in `path`.
    pub fn save_pool(&mut self, path: &Path, record: &RegenerationRecord) -> Result<()> {
        sync(path)?;
        let pool = Pool { blake3: hash_file(path)?, record: record.clone() };
        self.change(|state| state.pool = Some(pool))
    }

    /// Training in the middle, and the seconds that it took so far.
    pub fn training(&self) -> Option<(TrainingState, f64)> {
        let state = self.shared.state();
        let training = state.training.as_ref()?;
        let path = self.shared.folder.join(&training.file);
        if hash_file(&path).ok()? != training.blake3 {
            tracing::warn!("{} is damaged; training begins again", path.display());
            return None;
        }
        Some((TrainingState::read(&path).ok()?, training.seconds))
    }

    /// Saves training after step `step`, `seconds` into it, by `save` to the path that it is given.
    pub fn save_training(&mut self, step: usize, seconds: f64, save: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let file = format!("training-{step:06}.safetensors");
        let folder = self.shared.folder.clone();
        let path = folder.join(&file);
        save(&path)?;
        sync(&path)?;
        let training = Training { blake3: hash_file(&path)?, file, seconds };
        let before = self.change(|state| state.training.replace(training))?;
        if let Some(before) = before.filter(|before| folder.join(&before.file) != path) {
            // a left-over costs room, nothing else
            let _ = run_files::remove_file(&folder.join(before.file));
        }
        Ok(())
    }

    /// Training that is done.
    pub fn trained(&self) -> Option<Trained> {
        self.shared.state().trained.clone()
    }

    /// Where the thread that writes the weights says so.
    pub fn of_weights(&self) -> TrainedSavepoint {
        TrainedSavepoint(self.shared.clone())
    }

    /// Forgets all texts but those of `stage`: they were written with weights that are made again.
    pub fn keep_only_texts(&mut self, stage: &str) -> Result<()> {
        let stages: Vec<String> = self.shared.state().stage_seconds.keys().filter(|s| *s != stage).cloned().collect();
        for stage in &stages {
            run_files::remove_file(&self.texts_path(stage))?;
        }
        self.change(|state| state.stage_seconds.retain(|known, _| known == stage))
    }

    /// The texts of `stage` that are finished, by the index of their request, and the seconds that they took. A line
    /// that is cut off or changed ends what is believed.
    pub fn texts(&self, stage: &str) -> (BTreeMap<usize, Completion>, f64) {
        let text = run_files::read_to_string(&self.texts_path(stage)).unwrap_or_default();
        let mut texts = BTreeMap::new();
        for line in text.lines() {
            let Ok(Line { index, tokens, finish_reason, check }) = serde_json::from_str(line) else { break };
            let completion = Completion { tokens, finish_reason };
            if Line::check(index, &completion) != check {
                break;
            }
            texts.insert(index, completion);
        }
        (texts, self.shared.state().stage_seconds.get(stage).copied().unwrap_or(0.0))
    }

    /// Replaces the file of `stage` by `texts`, so that a broken line at its end is gone.
    pub fn save_texts(&mut self, stage: &str, texts: &BTreeMap<usize, Completion>, seconds: f64) -> Result<()> {
        let mut text = String::new();
        for (index, completion) in texts {
            let Completion { tokens, finish_reason } = completion.clone();
            let check = Line::check(*index, completion);
            let line = Line { index: *index, tokens, finish_reason, check };
            text.push_str(&serde_json::to_string(&line)?);
            text.push('\n');
        }
        run_files::replace(&self.texts_path(stage), &text)?;
        self.change(|state| state.stage_seconds.insert(stage.to_string(), seconds))?;
        Ok(())
    }

    fn texts_path(&self, stage: &str) -> PathBuf {
        self.shared.folder.join(format!("{stage}.jsonl"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
