//! The language model of an experiment: OPT on engines of its own, every other family on that of `decoder`. What trains,
//! writes and measures asks this type; which engine answers is decided here.

use std::path::Path;

use candle_core::{DType, Var};
use sigma_kernels::linear::Threads;

use crate::families::ConfigFile;
use crate::family_model::FamilyModel;
use crate::opt::{GpuTraining, NamedParameters, Settled, hash_of};
use crate::reference::Reference;
use crate::spec::DropoutRates;
use crate::{Decoder, Device, ModelError, Opt, distance};

/// Cloning shares the parameters.
// a process has a handful of them
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone)]
pub enum LanguageModel {
    Opt(Opt),
    Family(FamilyModel),
}

impl From<Opt> for LanguageModel {
    fn from(model: Opt) -> Self {
        Self::Opt(model)
    }
}

impl LanguageModel {
    /// Loads `folder` (config.json and weights in any supported format) as f32 onto `device`.
    ///
    /// # Errors
    /// A folder that its family refuses, or a GPU for a family other than OPT.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        let model_type = ConfigFile::load(folder)?.model_type();
        if model_type.as_deref().unwrap_or("opt") == "opt" {
            return Ok(Self::Opt(Opt::load(folder, device)?));
        }
        Self::Family(FamilyModel::load(folder)?).to_device(device)
    }

    /// Writes a folder that `AutoModelForCausalLM.from_pretrained` loads.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        match self {
            Self::Opt(model) => model.save(folder),
            Self::Family(model) => model.checkpoint().save(folder),
        }
    }

    /// A hash of every parameter; two models of one config with the same hash compute the same function.
    ///
    /// # Errors
    /// A GPU that fails.
    pub fn hash(&self) -> Result<String, ModelError> {
        match self {
            Self::Opt(model) => model.hash(),
            Self::Family(model) => Ok(hash_of(&model.parameters()?)),
        }
    }

    pub fn device(&self) -> Device {
        match self {
            Self::Opt(model) => model.device(),
            Self::Family(_) => Device::Cpu,
        }
    }

    /// The same model on another device, or on the same.
    ///
    /// # Errors
    /// A GPU for a family other than OPT.
    pub fn to_device(&self, device: &Device) -> Result<Self, ModelError> {
        match (self, device) {
            (Self::Opt(model), device) => Ok(Self::Opt(model.to_device(device)?)),
            (Self::Family(_), Device::Cpu) => Ok(self.clone()),
            (Self::Family(model), Device::Gpu(_)) => {
                Err(ModelError::FamilyOnGpu { model_type: model.checkpoint().family.model_type })
            }
        }
    }

    /// The same weights with products in `compute` precision; see [`Opt::for_inference`].
    ///
    /// # Errors
    /// A GPU or candle that fails.
    pub fn for_inference(&self, compute: DType) -> Result<Self, ModelError> {
        match self {
            Self::Opt(model) => Ok(Self::Opt(model.for_inference(compute)?)),
            Self::Family(model) => Ok(Self::Family(model.for_inference(compute)?)),
        }
    }

    /// A copy for training on the model's GPU; `None` for a model on the CPU.
    ///
    /// # Errors
    /// A GPU that fails.
    pub fn gpu_training(&self, compute: DType) -> Result<Option<GpuTraining>, ModelError> {
        match self {
            Self::Opt(model) => model.gpu_training(compute),
            Self::Family(_) => Ok(None),
        }
    }

    /// A copy for training by candle's autograd, its parameters as variables with their names.
    ///
    /// # Errors
    /// What candle fails at.
    pub fn reference_training(&self, compute: DType) -> Result<(Reference, Vec<(String, Var)>), ModelError> {
        match self {
            Self::Opt(model) => model.reference_training(compute),
            Self::Family(model) => model.training(compute),
        }
    }

    /// What [`Self::reference_training`] of this model has trained.
    ///
    /// # Errors
    /// What candle fails at.
    pub fn trained(&self, reference: &Reference) -> Result<Self, ModelError> {
        match self {
            Self::Opt(model) => Ok(Self::Opt(model.trained(reference)?)),
            Self::Family(model) => Ok(Self::Family(model.trained(reference)?)),
        }
    }

    /// Waits for the device, so that any thread can make a copy on the CPU from then on.
    ///
    /// # Errors
    /// A GPU that fails.
    pub fn settle(&self) -> Result<SettledModel, ModelError> {
        match self {
            Self::Opt(model) => Ok(SettledModel::Opt(Box::new(model.settle()?))),
            Self::Family(model) => Ok(SettledModel::Family(model.clone())),
        }
    }

    /// Runs the prompts (each at least one token), and leaves room for `new_tokens` more in each row.
    ///
    /// # Errors
    /// A prompt that the model cannot take, or a model on a GPU.
    pub fn decoder(&self, prompts: &[&[u32]], new_tokens: usize, threads: Threads) -> Result<Decoder<'_>, ModelError> {
        match self {
            Self::Opt(model) => model.decoder(prompts, new_tokens, threads),
            Self::Family(model) => model.decoder(prompts, new_tokens, threads),
        }
    }

    /// -log p(label), in nats, of the label that belongs to each token of `rows`.
    ///
    /// # Errors
    /// An id that the model does not have, or a row that is longer than its positions.
    pub fn losses(&self, rows: &[&[u32]], labels: &[u32]) -> Result<Vec<f64>, ModelError> {
        match self {
            Self::Opt(model) => model.losses(rows, labels),
            Self::Family(model) => model.losses(rows, labels),
        }
    }

    /// Logits `[sum of lengths, V]` after every token of `rows`, one row after another.
    ///
    /// # Errors
    /// As [`Self::losses`].
    pub fn logits(&self, rows: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        match self {
            Self::Opt(model) => model.logits(rows),
            Self::Family(model) => model.logits(rows),
        }
    }

    /// Name, shape and values of every tensor of the model's file.
    ///
    /// # Errors
    /// A GPU that fails.
    pub fn parameters(&self) -> Result<NamedParameters, ModelError> {
        match self {
            Self::Opt(model) => model.parameters(),
            Self::Family(model) => model.parameters(),
        }
    }

    /// How far this model's parameters lie from those of `start`, as a share of these; see [`Opt::distance`].
    ///
    /// # Errors
    /// A GPU that fails.
    pub fn distance(&self, start: &Self) -> Result<f64, ModelError> {
        if let (Self::Opt(model), Self::Opt(start)) = (self, start) {
            return model.distance(start);
        }
        let (ours, theirs) = (self.parameters()?, start.parameters()?);
        let pairs = ours.values().zip(theirs.values());
        Ok(distance::relative(pairs.map(|((_, now), (_, before))| (&now[..], &before[..]))))
    }

    /// What the fast engines lack for this model, which the reference then computes slowly; `None` for nothing.
    pub fn lacks(&self) -> Option<&'static str> {
        match self {
            Self::Opt(_) => None,
            Self::Family(model) => model.lacks(),
        }
    }

    /// How many numbers the parameters are.
    pub fn parameter_count(&self) -> usize {
        match self {
            Self::Opt(model) => model.parameter_count(),
            Self::Family(model) => model.checkpoint().spec.parameter_count(),
        }
    }

    /// About how many numbers a training step keeps per token.
    pub fn activations_per_token(&self) -> usize {
        match self {
            Self::Opt(model) => {
                let config = model.config();
                config.num_hidden_layers * (16 * config.hidden_size + 2 * config.ffn_dim)
            }
            Self::Family(model) => {
                let spec = &model.checkpoint().spec;
                let attention = spec.attention;
                let (queries, kv) = (attention.n_heads, attention.n_kv_heads);
                let per_layer = match model.lacks() {
                    // queries, keys and values with and without copies, what attention gives, and the stream five times
                    None => 5 * spec.hidden_size + attention.head_dim * (5 * queries + 2 * kv) + 3 * spec.mlp.width,
                    // candle keeps the result of every operation
                    Some(_) => 40 * spec.hidden_size + 8 * spec.mlp.width,
                };
                spec.layers.len() * per_layer
            }
        }
    }

    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Opt(model) => model.config().vocab_size,
            Self::Family(model) => model.checkpoint().spec.vocab_size,
        }
    }

    pub fn max_positions(&self) -> usize {
        match self {
            Self::Opt(model) => model.config().max_position_embeddings,
            Self::Family(model) => model.checkpoint().spec.max_positions,
        }
    }

    /// A text ends at any of them.
    pub fn eos(&self) -> Vec<u32> {
        match self {
            Self::Opt(model) => model.config().eos_token_id.ids().to_vec(),
            Self::Family(model) => model.checkpoint().spec.special_tokens.eos.clone(),
        }
    }

    /// The same model, whose texts end at any of these tokens.
    pub fn with_ends(self, ends: impl IntoIterator<Item = u32>) -> Self {
        match self {
            Self::Opt(model) => Self::Opt(model.with_ends(ends)),
            Self::Family(model) => Self::Family(model.with_ends(ends.into_iter().collect())),
        }
    }

    /// What fills places that nobody looks at.
    pub fn pad(&self) -> u32 {
        match self {
            Self::Opt(model) => model.config().filler(),
            Self::Family(model) => model.checkpoint().spec.special_tokens.pad.unwrap_or(0),
        }
    }

    /// Dropout in training: what config.json says, or `p` in each place where the family has dropout.
    pub fn dropout(&self, p: Option<f64>) -> DropoutRates {
        match self {
            Self::Opt(model) => {
                DropoutRates { residual: Some(model.config().dropout), ..DropoutRates::default() }.with(p)
            }
            Self::Family(model) => model.checkpoint().spec.dropout.with(p),
        }
    }

    /// All that config.json says of what the model computes, as JSON.
    ///
    /// # Errors
    /// None that is known.
    pub fn config_json(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::Opt(model) => serde_json::to_string(model.config()),
            Self::Family(model) => serde_json::to_string(model.checkpoint().config()),
        }
    }
}

/// A model's weights as they are now; see [`LanguageModel::settle`].
#[derive(Debug)]
pub enum SettledModel {
    Opt(Box<Settled>),
    Family(FamilyModel),
}

impl SettledModel {
    /// The model on the CPU.
    ///
    /// # Errors
    /// A GPU that fails.
    pub fn to_cpu(&self) -> Result<LanguageModel, ModelError> {
        match self {
            Self::Opt(settled) => Ok(LanguageModel::Opt(settled.to_cpu()?)),
            Self::Family(model) => Ok(LanguageModel::Family(model.clone())),
        }
    }
}
