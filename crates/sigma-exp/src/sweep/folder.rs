//! A sweep's folder: which runs it has, and how far each is. Whether a run is complete follows from its own records;
//! here are only the configs that runs are started from, their logs, and a note for each run that failed.
//!
//! ```text
//! results/<sweep>/sweep.json        the runs, and what Slurm is asked for
//!                 configs/<run>.yaml    the complete config of each run
//!                 runs/<run>/           run folders
//!                 logs/<run>.log        what the run said (Slurm: <job>_<element>.out)
//!                 failed/<run>.json     why it ended, for a run that did
//!                 base/                 evaluations of base checkpoints that several runs share
//!                 slurm/                scripts and job ids
//!                 report/
//! ```

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_yaml::Value;
use sigma_report::{run_files, write_json};

use super::members::Member;
use super::spec::SlurmSpec;
use crate::layout;
use crate::run_folder::RunFolder;
use crate::{clock, experiment_key, spec};

const INDEX: &str = "sweep.json";
const SCHEMA: u32 = 1;

/// `sweep.json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    schema: u32,
    name: String,
    runs: Vec<String>,
    slurm: SlurmSpec,
}

/// `failed/<run>.json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    pub message: String,
    /// RFC 3339.
    pub when: String,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Not begun, or begun and stopped.
    Waiting,
    /// A process holds its folder.
    Running,
    Failed(Failure),
    Complete,
}

/// A run as `status` shows it.
#[derive(Debug, Clone)]
pub struct Progress {
    pub state: State,
    /// Complete generations, the base included.
    pub done: usize,
    /// T of the run's config.
    pub generations: u32,
}

pub struct SweepFolder {
    path: PathBuf,
    index: Index,
}

impl SweepFolder {
    /// Whether `path` is a sweep's folder.
    pub fn is_one(path: &Path) -> bool {
        path.join(INDEX).is_file()
    }

    /// Makes or extends the folder of a sweep. A run that is there already must have the same config, but for what may
    /// change in a run that goes on; runs that the file does not name any more stay.
    pub fn create(path: &Path, name: &str, members: &[Member], slurm: &SlurmSpec) -> Result<Self> {
        let occupied = path.exists() && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        if occupied && !Self::is_one(path) {
            bail!(
                "{} exists and is not a sweep's folder (it has no {INDEX}): choose another --out or `name`",
                path.display()
            );
        }
        let mut index = Index { schema: SCHEMA, name: name.to_string(), runs: Vec::new(), slurm: slurm.clone() };
        if occupied {
            index.runs = Self::open(path)?.index.runs;
        }
        let mut folder = Self { path: path.to_path_buf(), index };
        for sub in ["configs", "runs", "logs", "failed", "base", "slurm"] {
            let sub = path.join(sub);
            run_files::create_dir(&sub)?;
            if !run_files::is_real_dir(&sub) {
                bail!("{} is a link: what is written there would lie elsewhere; move it away", sub.display());
            }
        }
        for member in members {
            folder.check_unchanged(member)?;
        }
        for member in members {
            run_files::replace(&folder.config(&member.name), &member.experiment.to_yaml()?)?;
            if !folder.index.runs.contains(&member.name) {
                folder.index.runs.push(member.name.clone());
            }
        }
        write_json(&path.join(INDEX), "index of a sweep", &folder.index)?;
        Ok(folder)
    }

    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(INDEX);
        let text = run_files::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let index: Index = serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))?;
        if index.schema != SCHEMA {
            bail!(
                "{}: schema {} of another version of sigma-exp (this one writes {SCHEMA})",
                file.display(),
                index.schema
            );
        }
        for run in &index.runs {
            // the names become paths
            spec::check_folder_name("a name in `runs`", run)
                .with_context(|| format!("{} is damaged", file.display()))?;
        }
        Ok(Self { path: path.to_path_buf(), index })
    }

    fn check_unchanged(&self, member: &Member) -> Result<()> {
        let path = self.config(&member.name);
        if !path.exists() {
            return Ok(());
        }
        let stored = run_files::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let stored: Value = serde_yaml::from_str(&stored).with_context(|| format!("{} is damaged", path.display()))?;
        let differences = experiment_key::differences(&stored, &serde_yaml::from_str(&member.experiment.to_yaml()?)?);
        if differences.is_empty() || !self.run(&member.name).exists() {
            return Ok(());
        }
        bail!(
            "run `{}` of {} was begun with another config:\n  {}\nGo on with the old sweep file, or choose another `name` or --out",
            member.name,
            self.path.display(),
            differences.join("\n  ")
        );
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn name(&self) -> &str {
        &self.index.name
    }

    pub fn slurm(&self) -> &SlurmSpec {
        &self.index.slurm
    }

    /// The names of all runs, in the order in which they are started.
    pub fn runs(&self) -> &[String] {
        &self.index.runs
    }

    pub fn config(&self, run: &str) -> PathBuf {
        self.path.join("configs").join(format!("{run}.yaml"))
    }

    pub fn run(&self, run: &str) -> PathBuf {
        self.path.join("runs").join(run)
    }

    pub fn log(&self, run: &str) -> PathBuf {
        self.path.join("logs").join(format!("{run}.log"))
    }

    pub fn base_evaluations(&self) -> PathBuf {
        self.path.join("base")
    }

    pub fn slurm_folder(&self) -> PathBuf {
        self.path.join("slurm")
    }

    pub fn report(&self) -> PathBuf {
        self.path.join(layout::REPORT)
    }

    fn failure_path(&self, run: &str) -> PathBuf {
        self.path.join("failed").join(format!("{run}.json"))
    }

    pub fn failure(&self, run: &str) -> Result<Option<Failure>> {
        let path = self.failure_path(run);
        match run_files::read_to_string(&path) {
            Ok(text) => {
                Ok(Some(serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    pub fn write_failure(&self, run: &str, message: &str) -> Result<()> {
        let when = clock::now();
        let failure = Failure { message: message.to_string(), when };
        Ok(write_json(&self.failure_path(run), "note of a failure", &failure)?)
    }

    pub fn forget_failure(&self, run: &str) -> Result<()> {
        run_files::remove_file(&self.failure_path(run))?;
        Ok(())
    }

    /// T of `run`'s config.
    pub fn generations(&self, run: &str) -> Result<u32> {
        let config = self.config(run);
        let text =
            run_files::read_to_string(&config).with_context(|| format!("{} cannot be read", config.display()))?;
        let value: Value = serde_yaml::from_str(&text).with_context(|| format!("{} is damaged", config.display()))?;
        Ok(value.get("generations").and_then(Value::as_u64).unwrap_or(0) as u32)
    }

    /// How far `run` is.
    pub fn progress(&self, run: &str) -> Result<Progress> {
        self.progress_to(run, self.generations(run)?)
    }

    /// The same where T is known, for those who ask often.
    pub fn progress_to(&self, run: &str, generations: u32) -> Result<Progress> {
        let folder = self.run(run);
        let done = RunFolder::count_records(&folder);
        let state = if RunFolder::holder(&folder).is_some() {
            State::Running
        } else if done as u64 > u64::from(generations) {
            State::Complete
        } else {
            self.failure(run)?.map_or(State::Waiting, State::Failed)
        };
        Ok(Progress { state, done, generations })
    }

    /// The folders of the runs that have measured something.
    pub fn measured(&self) -> Vec<PathBuf> {
        let runs = self.runs().iter().map(|run| self.run(run));
        runs.filter(|run| RunFolder::count_records(run) > 0).collect()
    }

    /// Only one process may start the sweep's runs. The lock lives as long as the value, also if the process crashes.
    pub fn lock(&self) -> Result<File> {
        let path = self.path.join("lock");
        let file = run_files::open_own(&path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => bail!(
                "{} is being run by another process: wait for it or stop it; `sigma-exp status {0}` shows how far it is",
                self.path.display()
            ),
            // a file system without locks: the runs' own guards remain
            Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
        }
    }
}
