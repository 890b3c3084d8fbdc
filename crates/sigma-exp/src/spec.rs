//! The experiment as a YAML file states it: one section per component, each the component's own config type. What is
//! left out takes the paper's value. Reading and checking only; no file that the config names is touched here.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sigma_data::Limits;
use sigma_data::config::{CorpusConfig, PromptsConfig};
use sigma_embed::EncoderConfig;
use sigma_generate::{EvaluationConfig, RegenerationConfig};
use sigma_metrics::{SigmaConfig, SurfaceConfig};
use sigma_report::Setting;
use sigma_train::TrainingConfig;

use crate::mixture::MixtureConfig;
use crate::yaml;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name of the run and of its folder below `results/`.
    pub name: String,
    /// What the corpus is about; part of every random stream's key, and a folder name in reports.
    pub domain: String,
    pub setting: Setting,
    /// The last generation: checkpoints 0 (the base) to this one are measured.
    pub generations: u32,
    #[serde(default = "default_seed")]
    pub seed: u64,
    pub model: ModelConfig,
    pub corpus: CorpusConfig,
    pub prompts: PromptsConfig,
    #[serde(default)]
    pub mixture: MixtureConfig,
    #[serde(default)]
    pub training: TrainingConfig,
    #[serde(default)]
    pub regeneration: RegenerationConfig,
    #[serde(default)]
    pub evaluation: EvaluationConfig,
    #[serde(default)]
    pub encoder: EncoderConfig,
    #[serde(default)]
    pub sigma: SigmaConfig,
    #[serde(default)]
    pub surface: SurfaceConfig,
    #[serde(default)]
    pub checkpoints: CheckpointsConfig,
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// `auto`, `cpu`, `cuda` or `cuda:<index>`.
    #[serde(default = "default_device")]
    pub device: String,
    /// A second device: the answers of every generation are written and embedded there, those of t while t + 1 trains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_device: Option<String>,
}

/// The base checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// A Hugging Face folder, or `org/name[@revision]` on the hub.
    pub source: String,
}

/// What is kept on the disk, to go on from and to look at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointsConfig {
    /// Which generations keep their weights. The last one always does: going on needs it.
    pub keep: Keep,
    /// Minutes of work within a generation that may be lost at most; 0 saves after every step.
    pub save_minutes: f64,
}

impl Default for CheckpointsConfig {
    fn default() -> Self {
        Self { keep: Keep::default(), save_minutes: 5.0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    #[default]
    Last,
    All,
    /// Every k-th generation.
    #[serde(untagged)]
    Every {
        every: u32,
    },
}

impl Keep {
    /// Whether the weights of `generation` stay once a later one is complete.
    pub fn keeps(self, generation: u32) -> bool {
        match self {
            Keep::Last => false,
            Keep::All => true,
            Keep::Every { every } => generation.is_multiple_of(every),
        }
    }
}

/// A year.
const MOST_MINUTES: f64 = 525_600.0;

/// For values that name folders.
pub fn check_folder_name(field: &str, value: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if value.is_empty() || value.starts_with('.') || !value.chars().all(plain) {
        bail!("{field} is `{value}`; it names a folder: use letters, digits, `-`, `_` and `.`, not first a dot");
    }
    Ok(())
}

fn default_seed() -> u64 {
    42
}

fn default_device() -> String {
    "auto".to_string()
}

impl Experiment {
    /// Reads `path`, applies the settings, and checks every range. The limits that it states are in force from then on.
    pub fn load(path: &Path, settings: &[yaml::Setting]) -> Result<Self> {
        let experiment: Self = yaml::load(path, settings)?;
        experiment.validate().with_context(|| format!("{}", path.display()))?;
        experiment.limits.or(Limits::from_environment()?).enforce();
        Ok(Self { evaluation: experiment.evaluation.clone().completed(), ..experiment })
    }

    fn validate(&self) -> Result<()> {
        check_folder_name("name", &self.name)?;
        check_folder_name("domain", &self.domain)?;
        self.corpus.text_file()?;
        self.prompts.text_file()?;
        if self.corpus.context_tokens == 0 {
            bail!("corpus.context_tokens is 0; it must be at least 1");
        }
        for (field, count) in
            [("corpus.max_contexts", self.corpus.max_contexts), ("prompts.max_per_bucket", self.prompts.max_per_bucket)]
        {
            if count == Some(0) {
                bail!("{field} is 0; it must be at least 1 (leave it out to use all)");
            }
        }
        if self.prompts.buckets.is_empty() {
            bail!("prompts.buckets is empty; name the buckets of the prompt bank (leave it out for the paper's five)");
        }
        if self.checkpoints.keep == (Keep::Every { every: 0 }) {
            bail!("checkpoints.keep is `every: 0`; it must be at least 1");
        }
        let minutes = self.checkpoints.save_minutes;
        if !(0.0..=MOST_MINUTES).contains(&minutes) {
            bail!("checkpoints.save_minutes is {minutes}; it must be from 0 (after every step) to {MOST_MINUTES}");
        }
        self.limits.validate()?;
        self.mixture.validate()?;
        self.training.validate()?;
        self.regeneration.nucleus()?;
        self.evaluation.nucleus()?;
        self.encoder.validate()?;
        // every encoder's rows have norm 1
        self.sigma.validate_for_unit_rows().context("section `sigma`")?;
        self.surface.validate()?;
        crate::device::check(&self.device).context("device")?;
        if let Some(device) = &self.evaluation_device {
            crate::device::check(device).context("evaluation_device")?;
        }
        Ok(())
    }

    /// The complete config, every default written out.
    pub fn to_yaml(&self) -> Result<String> {
        serde_yaml::to_string(self).context("the config cannot be written as YAML")
    }
}
