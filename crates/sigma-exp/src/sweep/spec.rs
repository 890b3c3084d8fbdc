//! The sweep file: a base config, what is varied, and how the runs are placed. Reading and checking only.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::yaml::{Entry, Kind, Node};
use crate::{spec, yaml};

/// The file as it is written. What varies stays as it is spelled until a config takes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepFile {
    name: String,
    base: PathBuf,
    #[serde(default, rename = "set")]
    _set: Option<IgnoredAny>,
    #[serde(default, rename = "grid")]
    _grid: Option<IgnoredAny>,
    #[serde(default, rename = "runs")]
    _runs: Option<IgnoredAny>,
    #[serde(default)]
    jobs: Option<usize>,
    #[serde(default)]
    slurm: SlurmSpec,
}

#[derive(Debug, Clone)]
pub struct SweepSpec {
    /// Name of the sweep and of its folder below `results/`.
    pub name: String,
    /// The experiment config that every run starts from; relative to the sweep file.
    pub base: PathBuf,
    /// Keys that are set in every run.
    pub set: Vec<Entry>,
    /// Key to list of values; every combination is a run. `alpha` stands for `mixture.real_fraction`; a key that names
    /// several, as in `domain, corpus.path`, takes lists of as many values, which vary together.
    pub grid: Vec<Entry>,
    /// Explicit runs, each a mapping of keys; every one is combined with every point of `grid`.
    pub runs: Vec<Vec<Entry>>,
    /// Runs at the same time on this machine: by default one per GPU, or one on the CPU.
    pub jobs: Option<usize>,
    pub slurm: SlurmSpec,
}

/// What the job array asks of Slurm. What is left out is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlurmSpec {
    pub partition: Option<String>,
    pub account: Option<String>,
    pub qos: Option<String>,
    pub constraint: Option<String>,
    /// Time limit of one run, as sbatch takes it: `04:00:00`, `1-12`, or minutes.
    pub time: Option<String>,
    /// For example `gpu:1`.
    pub gres: Option<String>,
    pub cpus_per_task: Option<u32>,
    /// For example `32G`.
    pub mem: Option<String>,
    /// At most so many runs at once.
    pub throttle: Option<u32>,
    /// How long before the end of its time a run is told to save and to queue again; 120 by default.
    pub signal_seconds: Option<u32>,
    /// How often a run may queue again after such a warning; 20 by default.
    pub max_requeues: Option<u32>,
    /// Shell lines before the run: `module load cuda`, `export HF_HOME=...`.
    pub setup: Vec<String>,
    /// Further options of sbatch, one per entry: `--exclude=node3`.
    pub extra: Vec<String>,
}

/// The keys and values of a section; none where nothing is written.
fn section(what: &str, node: Option<&Node>) -> Result<Vec<Entry>> {
    match node.map(|node| (node, &node.kind)) {
        Some((_, Kind::Map(entries))) => Ok(entries.clone()),
        Some((node, _)) if !node.is_null() => {
            bail!("{}: {what} must be a section of keys with values, not {}", node.at, node.describe())
        }
        _ => Ok(Vec::new()),
    }
}

impl SweepSpec {
    /// What a file's tree states.
    pub(super) fn of(root: &Node) -> Result<Self> {
        let SweepFile { name, base, jobs, slurm, .. } = yaml::typed(root)?;
        let runs = match root.get("runs").map(|node| (node, &node.kind)) {
            Some((_, Kind::List(nodes))) => {
                nodes.iter().map(|node| section("an entry of `runs`", Some(node))).collect::<Result<_>>()?
            }
            Some((node, _)) if !node.is_null() => {
                bail!("{}: `runs` must be a list of sections, not {}", node.at, node.describe())
            }
            _ => Vec::new(),
        };
        let (set, grid) = (section("`set`", root.get("set"))?, section("`grid`", root.get("grid"))?);
        Ok(Self { name, base, set, grid, runs, jobs, slurm })
    }

    pub fn load(path: &Path) -> Result<Self> {
        let mut sweep = Self::of(&yaml::read(path)?)?;
        sweep.validate().with_context(|| format!("{}", path.display()))?;
        if let (Some(folder), true) = (path.parent(), sweep.base.is_relative()) {
            sweep.base = folder.join(&sweep.base);
        }
        Ok(sweep)
    }

    fn validate(&self) -> Result<()> {
        spec::check_folder_name("name", &self.name)?;
        if self.grid.is_empty() && self.runs.is_empty() {
            bail!("the sweep varies nothing: give it a `grid` (key: list of values) or `runs` (a list of mappings)");
        }
        if self.jobs == Some(0) {
            bail!("jobs is 0; it must be at least 1 (leave it out for one per GPU, or one on the CPU)");
        }
        self.slurm.validate()
    }
}

impl SlurmSpec {
    /// Every value becomes a part of one line of the script.
    fn validate(&self) -> Result<()> {
        let Self { partition, account, qos, constraint, time, gres, mem, setup, extra, .. } = self;
        let words = [
            ("partition", partition),
            ("account", account),
            ("qos", qos),
            ("constraint", constraint),
            ("time", time),
            ("gres", gres),
            ("mem", mem),
        ];
        for (field, value) in words {
            if let Some(value) = value
                && (value.is_empty() || value.chars().any(|c| c.is_whitespace() || c.is_control()))
            {
                bail!("slurm.{field} is {value:?}; it must be one word");
            }
        }
        for (field, lines) in [("setup", setup), ("extra", extra)] {
            if let Some(line) = lines.iter().find(|line| line.contains('\n')) {
                bail!("slurm.{field} holds {line:?}; give every line an entry of its own");
            }
        }
        if let Some(option) = extra.iter().find(|option| !option.starts_with('-')) {
            bail!("slurm.extra holds {option:?}; an option of sbatch starts with `-`");
        }
        if self.throttle == Some(0) || self.cpus_per_task == Some(0) {
            bail!("slurm.throttle and slurm.cpus_per_task must be at least 1 (leave them out for no limit)");
        }
        Ok(())
    }
}
