//! A model in training and its optimizer state, on any implementation: explicit passes in f32 and bf16 on the CPU and
//! in any precision on a GPU, candle's autograd for f16 on the CPU and for what the explicit passes lack. It knows
//! nothing of epochs, schedules or saved runs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use sigma_kernels::adamw::{self, adamw};
use sigma_kernels::loss_scale::LossScale;
use sigma_kernels::norm;
use sigma_model::decoder::DecoderTraining;
use sigma_model::opt::{Dropout as OptDropout, Found, GpuTraining, HostTraining, factors_on_cpu};
use sigma_model::reference::Dropout;
use sigma_model::spec::DropoutRates;
use sigma_model::{FamilyModel, LanguageModel, Reference};

use crate::{TrainError, TrainingState};

/// Parameters, their gradients, and AdamW's moments.
pub struct Trainee {
    arithmetic: Arithmetic,
    engine: Engine,
    scale: LossScale,
    /// Steps that changed the parameters.
    updates: usize,
    outcomes: Vec<Outcome>,
}

/// What steps are computed with. A loss scale belongs to it, so a saved run resumes only under the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arithmetic {
    /// Of matrix products.
    pub precision: DType,
    pub on_gpu: bool,
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on a {}", self.precision.as_str(), if self.on_gpu { "GPU" } else { "CPU" })
    }
}

impl FromStr for Arithmetic {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [DType::F32, DType::F16, DType::BF16]
            .into_iter()
            .flat_map(|precision| [false, true].map(|on_gpu| Arithmetic { precision, on_gpu }));
        all.into_iter().find(|arithmetic| arithmetic.to_string() == text).ok_or(())
    }
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Mean next-token cross-entropy before the update.
    pub loss: f32,
    /// L2 norm over all gradients, without the loss scale and before clipping. If it is not finite, nothing was
    /// updated.
    pub gradient_norm: f64,
    /// After the step.
    pub scale: LossScale,
}

enum Engine {
    Host {
        training: Box<HostTraining>,
        m: Vec<f32>,
        v: Vec<f32>,
    },
    Decoder {
        training: Box<DecoderTraining>,
        m: Vec<f32>,
        v: Vec<f32>,
    },
    Gpu(Box<GpuTraining>),
    /// `start` is what is trained a copy of.
    Reference {
        start: Box<LanguageModel>,
        model: Box<Reference>,
        parameters: Vec<Parameter>,
        gradients: Vec<Tensor>,
    },
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
    /// A copy of `model` to be trained with products in `compute` precision, and with these rates of dropout at most.
    pub fn new(model: &LanguageModel, compute: DType, rates: DropoutRates) -> Result<Self, TrainError> {
        if let Some(training) = model.gpu_training(compute)? {
            return Self::at_the_start(Engine::Gpu(Box::new(training)), compute);
        }
        if let LanguageModel::Family(family) = model
            && let Some(training) = family.decoder_training(compute, rates)?
        {
            let n = training.gradients().len();
            let engine = Engine::Decoder { training: Box::new(training), m: vec![0.0; n], v: vec![0.0; n] };
            return Self::at_the_start(engine, compute);
        }
        let (LanguageModel::Opt(opt), Some(factors)) = (model, factors_on_cpu(compute)) else {
            return Self::on_reference(model, compute);
        };
        let mut training = Box::new(opt.host_training(factors)?);
        let n = training.parameters_and_gradients().0.len();
        Self::at_the_start(Engine::Host { training, m: vec![0.0; n], v: vec![0.0; n] }, compute)
    }

    /// The same by candle's autograd, which is the oracle of the explicit passes.
    pub fn on_reference(start: &LanguageModel, compute: DType) -> Result<Self, TrainError> {
        let (model, variables) = start.reference_training(compute)?;
        let parameters = variables
            .into_iter()
            .map(|(name, variable)| {
                let (m, v) = (variable.zeros_like()?, variable.zeros_like()?);
                Ok(Parameter { name, variable, m, v })
            })
            .collect::<Result<_, TrainError>>()?;
        let (start, model) = (Box::new(start.clone()), Box::new(model));
        Self::at_the_start(Engine::Reference { start, model, parameters, gradients: Vec::new() }, compute)
    }

    fn at_the_start(mut engine: Engine, compute: DType) -> Result<Self, TrainError> {
        let scale = LossScale::new(compute == DType::F16);
        let arithmetic = Arithmetic { precision: compute, on_gpu: matches!(engine, Engine::Gpu(_)) };
        if let Engine::Gpu(training) = &mut engine {
            training.begin_at(&scale, 0)?;
        }
        Ok(Self { arithmetic, engine, scale, updates: 0, outcomes: Vec::new() })
    }

    /// One step with `batch` rows (see [`HostTraining::loss_and_gradients`]): loss, gradients, and an update of every
    /// parameter if both are finite. A GPU is only given the work: [`Self::outcomes`] tells what came of it.
    pub fn step(
        &mut self,
        inputs: &[u32],
        labels: &[u32],
        batch: usize,
        dropout: Option<Dropout<'_>>,
        settings: &adamw::Settings,
    ) -> Result<(), TrainError> {
        let scale = self.scale.value();
        let (loss, scaled_norm) = match &mut self.engine {
            Engine::Gpu(training) => return Ok(training.step(inputs, labels, batch, of_opt(dropout), settings)?),
            Engine::Host { training, .. } => {
                let loss = training.loss_and_gradients(inputs, labels, batch, of_opt(dropout))?;
                (loss, norm::global_norm(training.gradients()))
            }
            Engine::Decoder { training, .. } => {
                let loss = training.loss_and_gradients(inputs, labels, batch)?;
                (loss, norm::global_norm(training.gradients()))
            }
            Engine::Reference { model, parameters, gradients, .. } => {
                let loss = model.loss(inputs, labels, batch, dropout)?;
                let value = loss.to_scalar::<f32>()?;
                // a loss that is no number may have no gradients
                if value.is_finite() {
                    *gradients = in_order(parameters, &(loss * scale)?.backward()?)?;
                    (value, norm::reference(&gradients.iter().collect::<Vec<_>>())?)
                } else {
                    (value, f64::NAN)
                }
            }
        };
        if loss.is_finite() && scaled_norm.is_finite() {
            let step = settings.step(self.updates + 1, scaled_norm / scale, scale);
            match &mut self.engine {
                Engine::Host { training, m, v } => {
                    let (theta, gradients) = training.parameters_and_gradients();
                    adamw(theta, gradients, m, v, &step);
                }
                Engine::Decoder { training, m, v } => {
                    let (theta, gradients) = training.parameters_and_gradients();
                    adamw(theta, gradients, m, v, &step);
                }
                Engine::Reference { parameters, gradients, .. } => {
                    for (p, gradient) in parameters.iter_mut().zip(gradients.drain(..)) {
                        adamw::reference(&p.variable, &gradient, &mut p.m, &mut p.v, &step)?;
                    }
                }
                Engine::Gpu(_) => {}
            }
        }
        let outcome = self.outcome(loss, scaled_norm);
        self.outcomes.push(outcome);
        Ok(())
    }

    /// What came of each step since this was called last, in order. It waits for a GPU.
    pub fn outcomes(&mut self) -> Result<Vec<Outcome>, TrainError> {
        if let Engine::Gpu(training) = &mut self.engine {
            for Found { loss, scaled_norm } in training.found()? {
                let outcome = self.outcome(loss, scaled_norm);
                self.outcomes.push(outcome);
            }
        }
        Ok(std::mem::take(&mut self.outcomes))
    }

    /// Follows the loss scale and counts the updates. A GPU does the same by itself
    /// (`sigma-kernels/cuda/plan_update.cu`).
    fn outcome(&mut self, loss: f32, scaled_norm: f64) -> Outcome {
        let gradient_norm = scaled_norm / self.scale.value();
        if loss.is_finite() && scaled_norm.is_finite() {
            self.updates += 1;
            self.scale.good_step();
        } else {
            self.scale.back_off();
        }
        Outcome { loss, gradient_norm, scale: self.scale }
    }

    /// Everything that [`Self::restore`] needs, by name.
    pub(crate) fn arrays(&mut self) -> Result<NamedArrays<'_>, TrainError> {
        match &mut self.engine {
            Engine::Host { training, m, v } => {
                let (theta, _) = training.parameters_and_gradients();
                let named = [("theta", &*theta), ("m", &m[..]), ("v", &v[..])];
                Ok(named.into_iter().map(|(name, values)| (name.to_string(), Cow::Borrowed(values))).collect())
            }
            Engine::Decoder { training, m, v } => {
                let (theta, _) = training.parameters_and_gradients();
                let named = [("theta", &*theta), ("m", &m[..]), ("v", &v[..])];
                Ok(named.into_iter().map(|(name, values)| (name.to_string(), Cow::Borrowed(values))).collect())
            }
            Engine::Gpu(training) => {
                let named = ["theta", "m", "v"].into_iter().zip(training.arrays()?);
                Ok(named.map(|(name, values)| (name.to_string(), Cow::Owned(values))).collect())
            }
            Engine::Reference { parameters, .. } => {
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

    pub(crate) fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    pub(crate) fn scale(&self) -> LossScale {
        self.scale
    }

    pub(crate) fn updates(&self) -> usize {
        self.updates
    }

    /// Takes over what another run of the same model has saved.
    ///
    /// # Errors
    /// [`TrainError::StateArithmetic`] if it was computed on another kind of device or in another precision, and
    /// [`TrainError::StateShape`] if an array is missing or of another size; then nothing was changed that a caller
    /// could still use.
    pub(crate) fn restore(&mut self, state: TrainingState) -> Result<(), TrainError> {
        if state.arithmetic != self.arithmetic {
            return Err(TrainError::StateArithmetic { saved: state.arithmetic, now: self.arithmetic });
        }
        let TrainingState { scale, good_steps, updates, mut arrays, .. } = state;
        self.scale = LossScale::from_parts(scale, good_steps, self.scale.is_dynamic());
        self.updates = updates;
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
            Engine::Decoder { training, m, v } => {
                let (theta, _) = training.parameters_and_gradients();
                theta.copy_from_slice(&take("theta".to_string(), theta.len())?);
                *m = take("m".to_string(), m.len())?;
                *v = take("v".to_string(), v.len())?;
            }
            Engine::Gpu(training) => {
                let n = training.parameter_count();
                let [theta, m, v] = ["theta", "m", "v"].map(|name| take(name.to_string(), n));
                training.restore([&theta?, &m?, &v?])?;
                training.begin_at(&self.scale, updates)?;
            }
            Engine::Reference { parameters, .. } => {
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
        Ok(())
    }

    /// The model as it is now.
    pub fn into_model(self) -> Result<LanguageModel, TrainError> {
        match self.engine {
            Engine::Host { training, .. } => Ok(training.into_model().into()),
            Engine::Decoder { training, .. } => Ok(LanguageModel::Family(FamilyModel::of_training(*training)?)),
            Engine::Gpu(training) => Ok(training.into_model().into()),
            Engine::Reference { start, model, .. } => Ok(start.trained(&model)?),
        }
    }
}

/// OPT has dropout in one kind of place.
fn of_opt(dropout: Option<Dropout<'_>>) -> Option<OptDropout<'_>> {
    let Dropout { rates, stream } = dropout?;
    Some(OptDropout { p: rates.residual?, stream })
}

/// The gradient of each parameter. One without a gradient is an error: it would silently stay as it is.
fn in_order(parameters: &[Parameter], gradients: &GradStore) -> Result<Vec<Tensor>, TrainError> {
    let one = |p: &Parameter| match gradients.get(&p.variable) {
        Some(gradient) => Ok(gradient.contiguous()?),
        None => Err(TrainError::NoGradient { name: p.name.clone() }),
    };
    parameters.iter().map(one).collect()
}
