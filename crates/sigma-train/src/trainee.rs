//! A model in training and its optimizer state, on any implementation: explicit passes in f32 and bf16 on the CPU and in any
//! precision on a GPU, candle's autograd for f16 on the CPU. It knows nothing of batches, epochs or loss scales.

use std::borrow::Cow;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use sigma_kernels::adamw::{self, adamw};
use sigma_kernels::norm;
use sigma_model::Opt;
use sigma_model::opt::{Dropout, GpuTraining, HostTraining, Tape, factors_on_cpu};

use crate::{TrainError, TrainingConfig};

/// Parameters, their gradients, and AdamW's moments.
pub struct Trainee {
    engine: Engine,
    steps: usize,
}

enum Engine {
    Host { training: Box<HostTraining>, m: Vec<f32>, v: Vec<f32> },
    Gpu(Box<GpuTraining>),
    Tape { model: Box<Tape>, parameters: Vec<Parameter>, gradients: Vec<Tensor> },
}

/// Values by name, borrowed where they lie in one piece.
pub(crate) type NamedArrays<'a> = Vec<(String, Cow<'a, [f32]>)>;

struct Parameter {
    name: String,
    variable: Var,
    m: Tensor,
    v: Tensor,
}

impl Trainee {
    /// A copy of `model` to be trained with products in `compute` precision.
    pub fn new(model: &Opt, compute: DType) -> Result<Self, TrainError> {
        if let Some(training) = model.gpu_training(compute)? {
            return Ok(Self { engine: Engine::Gpu(Box::new(training)), steps: 0 });
        }
        let Some(factors) = factors_on_cpu(compute) else { return Self::on_tape(model, compute) };
        let mut training = Box::new(model.host_training(factors)?);
        let n = training.parameters_and_gradients().0.len();
        Ok(Self { engine: Engine::Host { training, m: vec![0.0; n], v: vec![0.0; n] }, steps: 0 })
    }

    /// The same by candle's autograd, which is the oracle of the explicit passes.
    pub fn on_tape(model: &Opt, compute: DType) -> Result<Self, TrainError> {
        let (model, variables) = model.tape_training(compute)?;
        let parameters = variables
            .into_iter()
            .map(|(name, variable)| {
                let (m, v) = (variable.zeros_like()?, variable.zeros_like()?);
                Ok(Parameter { name, variable, m, v })
            })
            .collect::<Result<_, TrainError>>()?;
        Ok(Self { engine: Engine::Tape { model: Box::new(model), parameters, gradients: Vec::new() }, steps: 0 })
    }

    /// Mean next-token cross-entropy of `batch` rows (see [`HostTraining::loss_and_gradients`]), and its gradients times
    /// `scale` for what follows. If the loss is not finite there may be no gradients.
    pub fn loss_and_gradients(
        &mut self,
        inputs: &[u32],
        labels: &[u32],
        batch: usize,
        dropout: Option<Dropout<'_>>,
        scale: f64,
    ) -> Result<f32, TrainError> {
        match &mut self.engine {
            Engine::Host { training, .. } => Ok(training.loss_and_gradients(inputs, labels, batch, dropout)?),
            Engine::Gpu(training) => Ok(training.loss_and_gradients(inputs, labels, batch, dropout, scale)?),
            Engine::Tape { model, parameters, gradients } => {
                let loss = model.loss(inputs, labels, batch, dropout)?;
                let value = loss.to_scalar::<f32>()?;
                if value.is_finite() {
                    *gradients = in_order(parameters, &(loss * scale)?.backward()?)?;
                }
                Ok(value)
            }
        }
    }

    /// L2 norm over all gradients, which carry the loss scale `scale` everywhere but on the CPU's explicit passes.
    pub fn gradient_norm(&self, scale: f64) -> Result<f64, TrainError> {
        match &self.engine {
            Engine::Host { training, .. } => Ok(norm::global_norm(training.gradients())),
            Engine::Gpu(training) => Ok(training.gradient_norm() / scale),
            Engine::Tape { gradients, .. } => Ok(norm::reference(&gradients.iter().collect::<Vec<_>>())? / scale),
        }
    }

    /// One update with gradients of L2 norm `norm` before clipping.
    pub fn step(
        &mut self,
        config: &TrainingConfig,
        learning_rate: f64,
        norm: f64,
        scale: f64,
    ) -> Result<(), TrainError> {
        self.steps += 1;
        let mut step = adamw::Step {
            learning_rate,
            weight_decay: config.weight_decay,
            beta1: config.beta1,
            beta2: config.beta2,
            epsilon: config.epsilon,
            number: self.steps,
            gradient_scale: clip_coefficient(norm, config.clip_norm),
        };
        match &mut self.engine {
            Engine::Host { training, m, v } => {
                let (theta, gradients) = training.parameters_and_gradients();
                adamw(theta, gradients, m, v, &step);
            }
            Engine::Gpu(training) => {
                step.gradient_scale /= scale;
                training.step(&step)?;
            }
            Engine::Tape { parameters, gradients, .. } => {
                step.gradient_scale /= scale;
                for (p, gradient) in parameters.iter_mut().zip(gradients.drain(..)) {
                    adamw::reference(&p.variable, &gradient, &mut p.m, &mut p.v, &step)?;
                }
            }
        }
        Ok(())
    }

    /// Everything that [`Self::restore`] needs, by name.
    pub(crate) fn arrays(&mut self) -> Result<NamedArrays<'_>, TrainError> {
        match &mut self.engine {
            Engine::Host { training, m, v } => {
                let (theta, _) = training.parameters_and_gradients();
                let named = [("theta", &*theta), ("m", &m[..]), ("v", &v[..])];
                Ok(named.into_iter().map(|(name, values)| (name.to_string(), Cow::Borrowed(values))).collect())
            }
            Engine::Gpu(training) => {
                let named = ["theta", "m", "v"].into_iter().zip(training.arrays()?);
                Ok(named.map(|(name, values)| (name.to_string(), Cow::Owned(values))).collect())
            }
            Engine::Tape { parameters, .. } => {
                let mut arrays = Vec::with_capacity(3 * parameters.len());
                for p in parameters {
                    for (kind, tensor) in [("theta", p.variable.as_tensor()), ("m", &p.m), ("v", &p.v)] {
                        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
                        arrays.push((format!("{kind}.{}", p.name), Cow::Owned(values)));
                    }
                }
                Ok(arrays)
            }
        }
    }

    pub(crate) fn updates(&self) -> usize {
        self.steps
    }

    /// Takes over what another run of the same model has saved.
    ///
    /// # Errors
    /// [`TrainError::StateShape`] if an array is missing or of another size; then nothing was changed that a caller could still use.
    pub(crate) fn restore(&mut self, updates: usize, mut arrays: Vec<(String, Vec<f32>)>) -> Result<(), TrainError> {
        let mut take = |name: String, expected: usize| -> Result<Vec<f32>, TrainError> {
            let place = arrays.iter().position(|(candidate, _)| *candidate == name);
            let values = place.map_or_else(Vec::new, |place| arrays.swap_remove(place).1);
            if values.len() != expected {
                return Err(TrainError::StateShape { name, expected, got: values.len() });
            }
            Ok(values)
        };
        match &mut self.engine {
            Engine::Host { training, m, v } => {
                let (theta, _) = training.parameters_and_gradients();
                theta.copy_from_slice(&take("theta".to_string(), theta.len())?);
                *m = take("m".to_string(), m.len())?;
                *v = take("v".to_string(), v.len())?;
            }
            Engine::Gpu(training) => {
                let n = training.parameter_count();
                let [theta, m, v] = ["theta", "m", "v"].map(|name| take(name.to_string(), n));
                training.restore([&theta?, &m?, &v?])?;
            }
            Engine::Tape { parameters, .. } => {
                for p in parameters {
                    let (shape, count) = (p.variable.shape().clone(), p.variable.elem_count());
                    let mut tensor = |kind: &str| -> Result<Tensor, TrainError> {
                        let values = take(format!("{kind}.{}", p.name), count)?;
                        Ok(Tensor::from_vec(values, shape.clone(), p.variable.device())?)
                    };
                    let theta = tensor("theta")?;
                    (p.m, p.v) = (tensor("m")?, tensor("v")?);
                    p.variable.set(&theta)?;
                }
            }
        }
        self.steps = updates;
        Ok(())
    }

    /// The model as it is now.
    pub fn into_model(self) -> Result<Opt, TrainError> {
        match self.engine {
            Engine::Host { training, .. } => Ok(training.into_model()),
            Engine::Gpu(training) => Ok(training.into_model()),
            Engine::Tape { model, .. } => Ok(Opt::from_tape(&model)?),
        }
    }
}

/// The gradient of each parameter. One without a gradient is an error: it would silently stay as it is.
fn in_order(parameters: &[Parameter], gradients: &GradStore) -> Result<Vec<Tensor>, TrainError> {
    let one = |p: &Parameter| match gradients.get(&p.variable) {
        Some(gradient) => Ok(gradient.contiguous()?),
        None => Err(TrainError::NoGradient { name: p.name.clone() }),
    };
    parameters.iter().map(one).collect()
}

/// min(1, max_norm / (norm + 1e-6)), as torch's clip_grad_norm_; a `max_norm` of 0 means no clipping.
fn clip_coefficient(norm: f64, max_norm: f64) -> f64 {
    if max_norm == 0.0 { 1.0 } else { (max_norm / (norm + 1e-6)).min(1.0) }
}
