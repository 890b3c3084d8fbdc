//! OPT: a decoder-only transformer with learned positions, ReLU, and a head tied to the token embeddings.
//!
//! Three implementations stand behind one type: `host` computes in f32 or bf16 on the CPU, `gpu` in any precision on a
//! GPU, and the
//! [`Reference`] in any precision on the CPU, which is slow: the oracle of the others, and what computes in f16 there.

mod config;
mod decoder;
mod ends;
mod files;
mod gpu;
mod host;
mod losses;
mod parameters;
mod settled;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Tensor, Var};
use sigma_data::seeds::{Seeds, Stage, Stream};
use sigma_kernels::linear::{Factors, Threads};

pub use config::OptConfig;
pub use decoder::Decoder;
pub use ends::Ends;
pub(crate) use files::hash_of;
use gpu::GpuParameters;
pub use gpu::{Found, GpuDecoder, GpuTraining, RowState, Sampling, Slot};
pub use host::HostTraining;
use host::{Inference, PackedParameters};
pub(crate) use losses::negative_log_likelihood;
pub use settled::Settled;

use crate::reference::{self, Reference};
use crate::spec::{self, DropoutRates};
use crate::{Device, ModelError, distance};
use parameters::Parameters;

const NORM_EPS: f64 = 1e-5;

/// Dropout of one training step: each place in the network draws its own mask key from the stream.
#[derive(Debug)]
pub struct Dropout<'a> {
    pub p: f64,
    pub stream: &'a mut Stream,
}

impl<'a> From<Dropout<'a>> for reference::Dropout<'a> {
    fn from(Dropout { p, stream }: Dropout<'a>) -> Self {
        let rates = DropoutRates { residual: Some(p), ..DropoutRates::default() };
        Self { rates, stream }
    }
}

/// An OPT model: its config and its parameters. Cloning shares the parameters.
#[derive(Debug, Clone)]
pub struct Opt {
    config: OptConfig,
    weights: Weights,
}

/// Shape and values of parameters by name.
pub type NamedParameters = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

#[derive(Debug, Clone)]
enum Weights {
    /// `packed` for inference, beside the parameters that everything else reads.
    Host {
        parameters: Arc<Parameters>,
        packed: Option<Arc<PackedParameters>>,
    },
    Gpu(GpuParameters),
    Reference(Arc<Reference>),
}

/// What the CPU's own code rounds factors to for products in `compute` precision; `None` where it has no such code.
pub fn factors_on_cpu(compute: DType) -> Option<Factors> {
    match compute {
        DType::F32 => Some(Factors::F32),
        DType::BF16 => Some(Factors::Bf16),
        _ => None,
    }
}

impl Opt {
    fn on_gpu(config: OptConfig, parameters: GpuParameters) -> Self {
        Self { config, weights: Weights::Gpu(parameters) }
    }

    fn on_host(config: OptConfig, parameters: Parameters) -> Self {
        Self { config, weights: Weights::Host { parameters: Arc::new(parameters), packed: None } }
    }

    /// Fresh weights as transformers makes them: normal(0, init_std) for matrices, zero biases and padding row, unit
    /// norms. Each tensor draws from its own stream, so the result does not depend on order.
    pub fn init(config: OptConfig, seeds: &Seeds) -> Self {
        let value = |name: &str, shape: &[usize]| {
            let n = shape.iter().product();
            let mut values = if name.contains("layer_norm.weight") {
                vec![1f32; n]
            } else if name.ends_with(".bias") {
                vec![0f32; n]
            } else {
                let mut stream = seeds.stream(Stage::Init, None, name);
                (0..n).map(|_| (stream.normal() * config.init_std) as f32).collect()
            };
            if let Some(row) = config.pad_token_id.filter(|_| name.ends_with("embed_tokens.weight")) {
                let (row, width) = (row as usize, shape[1]);
                values[row * width..][..width].fill(0.0);
            }
            Ok::<_, std::convert::Infallible>(values)
        };
        let Ok(parameters) = Parameters::build(&config, value);
        Self::on_host(config, parameters)
    }

    /// The parameters in CPU memory: the model's own where they lie there.
    fn host_parameters(&self) -> Result<Cow<'_, Parameters>, ModelError> {
        Ok(match &self.weights {
            Weights::Host { parameters, .. } => Cow::Borrowed(parameters),
            Weights::Gpu(parameters) => Cow::Owned(parameters.download()?),
            Weights::Reference(reference) => Cow::Owned(from_reference(&self.config, reference)?),
        })
    }

    /// A copy for training on the CPU.
    pub fn host_training(&self, factors: Factors) -> Result<HostTraining, ModelError> {
        Ok(HostTraining::new(self.config.clone(), self.host_parameters()?.into_owned(), factors))
    }

    /// A copy for training on the model's GPU with products in `compute` precision; `None` for a model on the CPU.
    pub fn gpu_training(&self, compute: DType) -> Result<Option<GpuTraining>, ModelError> {
        match &self.weights {
            Weights::Gpu(parameters) => {
                Ok(Some(GpuTraining::new(self.config.clone(), parameters, gpu::dtype(compute))?))
            }
            _ => Ok(None),
        }
    }

    /// A copy for training by candle's autograd on the CPU, its parameters as variables, products in `compute`
    /// precision.
    pub fn reference_training(&self, compute: DType) -> Result<(Reference, Vec<(String, Var)>), ModelError> {
        let (reference, variables) = self.reference(compute)?.trainable(DType::F32)?;
        let names: BTreeMap<spec::Slot, String> = self.config.slots()?.1.into_iter().collect();
        let named = |(slot, variable)| (names.get(&slot).cloned().unwrap_or_default(), variable);
        let mut variables: Vec<(String, Var)> = variables.into_iter().map(named).collect();
        variables.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok((reference, variables))
    }

    /// What [`Self::reference_training`] of this model has trained.
    pub fn trained(&self, reference: &Reference) -> Result<Self, ModelError> {
        Ok(Self::on_host(self.config.clone(), from_reference(&self.config, reference)?))
    }

    /// The same weights with products in `compute` precision. On the CPU in f32 and bf16 these are the model's own, and
    /// a copy that is arranged for speed; the results are the same bits as without.
    pub fn for_inference(&self, compute: DType) -> Result<Self, ModelError> {
        if let Weights::Gpu(parameters) = &self.weights {
            return Ok(Self::on_gpu(self.config.clone(), parameters.in_precision(gpu::dtype(compute))?));
        }
        let Some(compute) = factors_on_cpu(compute) else { return self.on_reference(compute) };
        let mut model = self.to_device(&Device::Cpu)?;
        if let Weights::Host { parameters, packed } = &mut model.weights {
            *packed = Some(Arc::new(PackedParameters::new(parameters, &self.config, compute)));
        }
        Ok(model)
    }

    /// The same weights for inference with candle's tensors: slow, but the oracle of the fast code.
    pub fn on_reference(&self, compute: DType) -> Result<Self, ModelError> {
        let reference = self.reference(compute)?.for_inference(compute)?;
        Ok(Self { config: self.config.clone(), weights: Weights::Reference(Arc::new(reference)) })
    }

    /// The same model on another device, or on the same.
    pub fn to_device(&self, device: &Device) -> Result<Self, ModelError> {
        match (device, &self.weights) {
            (Device::Cpu, Weights::Host { parameters, .. }) => {
                let weights = Weights::Host { parameters: parameters.clone(), packed: None };
                Ok(Self { config: self.config.clone(), weights })
            }
            (Device::Cpu, _) => Ok(Self::on_host(self.config.clone(), self.host_parameters()?.into_owned())),
            (Device::Gpu(gpu), Weights::Gpu(parameters)) if parameters.gpu == *gpu => Ok(self.clone()),
            (Device::Gpu(gpu), _) => {
                let parameters = GpuParameters::upload(gpu, &*self.host_parameters()?)?;
                Ok(Self::on_gpu(self.config.clone(), parameters))
            }
        }
    }

    pub fn config(&self) -> &OptConfig {
        &self.config
    }

    /// The same model, whose texts end at any of these tokens.
    pub fn with_ends(mut self, ends: impl IntoIterator<Item = u32>) -> Self {
        self.config.eos_token_id = ends.into_iter().collect();
        self
    }

    pub fn device(&self) -> Device {
        match &self.weights {
            Weights::Host { .. } | Weights::Reference(_) => Device::Cpu,
            Weights::Gpu(parameters) => Device::Gpu(parameters.gpu.clone()),
        }
    }

    /// How many numbers the parameters are.
    pub fn parameter_count(&self) -> usize {
        self.config.parameters().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Name, shape and values of every parameter, in the order of names.
    pub fn parameters(&self) -> Result<NamedParameters, ModelError> {
        let mut all = BTreeMap::new();
        self.for_each_parameter(|name, shape, values| {
            all.insert(name.to_string(), (shape.to_vec(), values.to_vec()));
        })?;
        Ok(all)
    }

    /// How far this model's parameters lie from those of `start`: the L2 norm of the difference over the L2 norm of
    /// `start`, both over all parameters, in f64. The models must have one config.
    pub fn distance(&self, start: &Opt) -> Result<f64, ModelError> {
        let (ours, theirs) = (self.host_parameters()?, start.host_parameters()?);
        let pairs = ours.iter().zip(theirs.iter());
        Ok(distance::relative(pairs.map(|((_, _, now), (_, _, before))| (now, before))))
    }

    /// Calls `visit` with name, shape and values of every parameter, in the order of names.
    fn for_each_parameter(&self, mut visit: impl FnMut(&str, &[usize], &[f32])) -> Result<(), ModelError> {
        self.host_parameters()?.iter().for_each(|(name, shape, values)| visit(name, shape, values));
        Ok(())
    }

    /// The differentiable implementation over the same weights.
    fn reference(&self, compute: DType) -> Result<Reference, ModelError> {
        let (spec, names) = self.config.slots()?;
        let parameters = match &self.weights {
            Weights::Reference(reference) => reference.parameters().clone(),
            _ => {
                let mut by_name = self.parameters()?;
                let mut parameters = BTreeMap::new();
                for (slot, name) in names {
                    let (shape, values) = by_name.remove(&name).unwrap_or_default();
                    parameters.insert(slot, Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?);
                }
                parameters
            }
        };
        Ok(Reference::new(spec, parameters, compute)?)
    }

    /// Last hidden states `[sum of lengths, width]` of rows of token ids (each at least one), one row after another.
    pub fn hidden_states(&self, rows: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        self.hidden_states_on(rows, Threads::All)
    }

    /// The same, with the products on all threads or on the calling one.
    pub(crate) fn hidden_states_on(&self, rows: &[&[u32]], threads: Threads) -> Result<Vec<f32>, ModelError> {
        self.config.check_rows(rows)?;
        match &self.weights {
            Weights::Host { parameters, packed } => {
                let model = Inference { parameters, packed: packed.as_deref() };
                Ok(host::hidden_states(model, &self.config, rows, threads))
            }
            Weights::Gpu(parameters) => Ok(gpu::hidden_states(parameters, &self.config, rows)?),
            Weights::Reference(reference) => host_values(&reference.hidden_states(rows)?),
        }
    }

    /// Logits `[sum of lengths, V]` after every token of `rows`, one row after another, for comparisons.
    pub fn logits(&self, rows: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        let hidden = self.hidden_states(rows)?;
        match &self.weights {
            Weights::Host { parameters, packed } => {
                let mut logits = Vec::new();
                let model = Inference { parameters, packed: packed.as_deref() };
                host::head(&mut logits, model, &self.config, &hidden, Threads::All);
                Ok(logits)
            }
            Weights::Gpu(parameters) => Ok(gpu::logits(parameters, &self.config, &hidden)?),
            Weights::Reference(reference) => {
                let shape = (rows.iter().map(|row| row.len()).sum::<usize>(), self.config.embedding_width());
                host_values(&reference.head(&Tensor::from_vec(hidden, shape, reference.device())?)?)
            }
        }
    }
}

pub(crate) fn host_values(tensor: &Tensor) -> Result<Vec<f32>, ModelError> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

fn from_reference(config: &OptConfig, reference: &Reference) -> Result<Parameters, ModelError> {
    let slots: BTreeMap<String, spec::Slot> = config.slots()?.1.into_iter().map(|(slot, name)| (name, slot)).collect();
    Parameters::build(config, |name, _| match slots.get(name).and_then(|slot| reference.parameters().get(slot)) {
        Some(tensor) => host_values(tensor),
        None => Err(candle_core::Error::Msg(format!("parameter {name} is missing")).into()),
    })
}
