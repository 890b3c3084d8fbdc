//! OPT: a decoder-only transformer with learned positions, ReLU, and a head tied to the token embeddings.
//!
//! Two implementations stand behind one type: `host` computes in f32 on the CPU, `tape` with candle's tensors in any
//! precision on any device.

mod config;
mod decoder;
mod files;
mod host;
mod parameters;
mod tape;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use sigma_data::seeds::{Seeds, Stage, Stream};
use sigma_kernels::dropout::Mask;
use sigma_kernels::linear::Threads;

pub use config::OptConfig;
pub use decoder::Decoder;
pub use host::HostTraining;
use host::{Inference, PackedParameters};
pub use tape::Tape;

use crate::ModelError;
use crate::padding::pad_right;
use parameters::Parameters;

const NORM_EPS: f64 = 1e-5;

/// Dropout of one training step: each place in the network draws its own mask key from the stream.
#[derive(Debug)]
pub struct Dropout<'a> {
    pub p: f64,
    pub stream: &'a mut Stream,
}

impl Dropout<'_> {
    fn apply(dropout: &mut Option<Self>, x: &Tensor) -> candle_core::Result<Tensor> {
        match dropout {
            Some(Dropout { p, stream }) => sigma_kernels::dropout::reference(x, Mask { p: *p, key: stream.next_u64() }),
            None => Ok(x.clone()),
        }
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
    Tape(Arc<Tape>),
}

impl Opt {
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
            if name.ends_with("embed_tokens.weight") {
                let (row, width) = (config.pad_token_id as usize, shape[1]);
                values[row * width..][..width].fill(0.0);
            }
            Ok::<_, std::convert::Infallible>(values)
        };
        let Ok(parameters) = Parameters::build(&config, value);
        Self::on_host(config, parameters)
    }

    /// A copy for training on the CPU in f32.
    pub fn host_training(&self) -> Result<HostTraining, ModelError> {
        let parameters = match &self.weights {
            Weights::Host { parameters, .. } => (**parameters).clone(),
            Weights::Tape(tape) => from_tape(&self.config, tape)?,
        };
        Ok(HostTraining::new(self.config.clone(), parameters))
    }

    /// A copy for training with candle's tensors on the model's device, its parameters as variables, products in
    /// `compute` precision.
    pub fn tape_training(&self, compute: DType) -> Result<(Tape, Vec<(String, Var)>), ModelError> {
        Ok(self.tape(self.device(), compute)?.trainable()?)
    }

    /// What [`Self::tape_training`] has trained.
    pub fn from_tape(tape: &Tape) -> Result<Self, ModelError> {
        let config = tape.config().clone();
        if tape.device().is_cpu() {
            return Ok(Self::on_host(config.clone(), from_tape(&config, tape)?));
        }
        let tensors = tape.parameters().iter().map(|(name, t)| (name.clone(), t.detach())).collect();
        let tape = Tape::new(config.clone(), tensors, DType::F32)?;
        Ok(Self { config, weights: Weights::Tape(Arc::new(tape)) })
    }

    /// The same weights with products in `compute` precision. On the CPU in f32 these are the model's own, and a copy that is arranged for
    /// speed; the results are the same bits as without.
    pub fn for_inference(&self, compute: DType) -> Result<Self, ModelError> {
        if !self.device().is_cpu() || compute != DType::F32 {
            return self.on_tape(compute);
        }
        let mut model = self.to_device(&Device::Cpu)?;
        if let Weights::Host { parameters, packed } = &mut model.weights {
            *packed = Some(Arc::new(PackedParameters::new(parameters, &self.config)));
        }
        Ok(model)
    }

    /// The same weights for inference with candle's tensors, on the CPU too: slow there, but the oracle of the fast code.
    pub fn on_tape(&self, compute: DType) -> Result<Self, ModelError> {
        let tape = self.tape(self.device(), compute)?.for_inference()?;
        Ok(Self { config: self.config.clone(), weights: Weights::Tape(Arc::new(tape)) })
    }

    /// The same model on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self, ModelError> {
        let weights = match &self.weights {
            Weights::Host { parameters, .. } if device.is_cpu() => {
                Weights::Host { parameters: parameters.clone(), packed: None }
            }
            Weights::Tape(tape) if device.is_cpu() => {
                Weights::Host { parameters: Arc::new(from_tape(&self.config, tape)?), packed: None }
            }
            _ => Weights::Tape(Arc::new(self.tape(device, DType::F32)?)),
        };
        Ok(Self { config: self.config.clone(), weights })
    }

    pub fn config(&self) -> &OptConfig {
        &self.config
    }

    pub fn device(&self) -> &Device {
        match &self.weights {
            Weights::Host { .. } => &Device::Cpu,
            Weights::Tape(tape) => tape.device(),
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

    /// Calls `visit` with name, shape and values of every parameter, in the order of names.
    fn for_each_parameter(&self, mut visit: impl FnMut(&str, &[usize], &[f32])) -> Result<(), ModelError> {
        match &self.weights {
            Weights::Host { parameters, .. } => {
                parameters.iter().for_each(|(name, shape, values)| visit(name, shape, values))
            }
            Weights::Tape(tape) => {
                for (name, tensor) in tape.parameters() {
                    visit(name, tensor.dims(), &host_values(tensor)?);
                }
            }
        }
        Ok(())
    }

    /// The differentiable implementation over the same weights.
    fn tape(&self, device: &Device, compute: DType) -> Result<Tape, ModelError> {
        let mut tensors = BTreeMap::new();
        match &self.weights {
            Weights::Host { parameters, .. } => {
                for (name, shape, values) in parameters.iter() {
                    tensors.insert(name.to_string(), Tensor::from_slice(values, shape, device)?);
                }
            }
            Weights::Tape(tape) => {
                for (name, tensor) in tape.parameters() {
                    tensors.insert(name.clone(), tensor.detach().to_device(device)?);
                }
            }
        }
        Ok(Tape::new(self.config.clone(), tensors, compute)?)
    }

    /// Last hidden states `[sum of lengths, width]` of rows of token ids (each at least one), one row after another.
    pub fn hidden_states(&self, rows: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        self.hidden_states_on(rows, Threads::All)
    }

    /// The same, with the products on all threads or on the calling one.
    pub(crate) fn hidden_states_on(&self, rows: &[&[u32]], threads: Threads) -> Result<Vec<f32>, ModelError> {
        for row in rows {
            self.config.check_ids(row)?;
            self.config.check_length(row.len())?;
        }
        match &self.weights {
            Weights::Host { parameters, packed } => {
                let model = Inference { parameters, packed: packed.as_deref() };
                Ok(host::hidden_states(model, &self.config, rows, threads))
            }
            Weights::Tape(tape) => {
                let (ids, lens) = pad_right(rows, self.config.pad_token_id);
                let width = self.config.embedding_width();
                let longest = ids.len() / lens.len().max(1);
                let padded = host_values(&tape.hidden_states(&ids, &lens)?)?;
                let row = |(row, len): (usize, &usize)| padded[row * longest * width..][..len * width].to_vec();
                Ok(lens.iter().enumerate().flat_map(row).collect())
            }
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
            Weights::Tape(tape) => {
                let shape = (rows.iter().map(|row| row.len()).sum::<usize>(), self.config.embedding_width());
                host_values(&tape.head(&Tensor::from_vec(hidden, shape, tape.device())?)?)
            }
        }
    }
}

fn host_values(tensor: &Tensor) -> Result<Vec<f32>, ModelError> {
    Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

fn from_tape(config: &OptConfig, tape: &Tape) -> Result<Parameters, ModelError> {
    Parameters::build(config, |name, _| match tape.parameters().get(name) {
        Some(tensor) => host_values(tensor),
        None => Err(candle_core::Error::Msg(format!("parameter {name} is missing")).into()),
    })
}
