//! AdamW over a model's parameters with clipping by the global norm, in the order of parameter names.

use candle_core::Var;
use candle_core::backprop::GradStore;
use sigma_kernels::adamw::{Moments, Step, adamw};
use sigma_kernels::norm::global_norm;

use crate::{TrainError, TrainingConfig};

pub struct Optimizer {
    parameters: Vec<(String, Var, Moments)>,
    steps: usize,
}

impl Optimizer {
    pub fn new(parameters: Vec<(String, Var)>) -> Result<Self, TrainError> {
        let parameters = parameters
            .into_iter()
            .map(|(name, parameter)| {
                let moments = Moments::zeros(&parameter)?;
                Ok((name, parameter, moments))
            })
            .collect::<Result<_, TrainError>>()?;
        Ok(Self { parameters, steps: 0 })
    }

    /// L2 norm over all gradients. A parameter without a gradient is an error: it would silently stay as it is.
    pub fn gradient_norm(&self, gradients: &GradStore) -> Result<f64, TrainError> {
        let mut all = Vec::with_capacity(self.parameters.len());
        for (name, parameter, _) in &self.parameters {
            match gradients.get(parameter) {
                Some(gradient) => all.push(gradient.contiguous()?),
                None => return Err(TrainError::NoGradient { name: name.clone() }),
            }
        }
        Ok(global_norm(&all.iter().collect::<Vec<_>>())?)
    }

    /// One update. `norm` is [`Optimizer::gradient_norm`] and `scale` the loss scale that the gradients carry.
    pub fn step(
        &mut self,
        gradients: &GradStore,
        config: &TrainingConfig,
        learning_rate: f64,
        norm: f64,
        scale: f64,
    ) -> Result<(), TrainError> {
        self.steps += 1;
        let step = Step {
            learning_rate,
            weight_decay: config.weight_decay,
            beta1: config.beta1,
            beta2: config.beta2,
            epsilon: config.epsilon,
            number: self.steps,
            gradient_scale: clip_coefficient(norm / scale, config.clip_norm) / scale,
        };
        for (name, parameter, moments) in &mut self.parameters {
            let Some(gradient) = gradients.get(parameter) else {
                return Err(TrainError::NoGradient { name: name.clone() });
            };
            adamw(parameter, gradient, moments, &step)?;
        }
        Ok(())
    }
}

/// min(1, max_norm / (norm + 1e-6)), as torch's clip_grad_norm_; a `max_norm` of 0 means no clipping.
fn clip_coefficient(norm: f64, max_norm: f64) -> f64 {
    if max_norm == 0.0 { 1.0 } else { (max_norm / (norm + 1e-6)).min(1.0) }
}
