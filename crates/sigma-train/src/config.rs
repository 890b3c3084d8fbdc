//! The `training` section of a config. Defaults are the paper's protocol.

use serde::{Deserialize, Serialize};
use sigma_kernels::adamw::Settings;

use crate::TrainError;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Passes over the training blocks.
    pub epochs: usize,
    /// Blocks per optimizer step.
    pub batch_size: usize,
    pub learning_rate: f64,
    /// Decoupled decay of every parameter, as torch.optim.AdamW applies it.
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Largest L2 norm of all gradients together; 0 turns clipping off.
    pub clip_norm: f64,
    pub schedule: Schedule,
    /// Steps over which the learning rate rises from 0.
    pub warmup_steps: usize,
    /// Dropout probability; by default what the model's config.json says.
    pub dropout: Option<f64>,
    pub precision: Precision,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 5,
            batch_size: 16,
            learning_rate: 2e-5,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: 1.0,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            dropout: None,
            precision: Precision::Auto,
        }
    }
}

/// How the learning rate changes within one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    Constant,
    /// Down to 0 at the last step.
    Linear,
}

/// The dtype of matrix products; weights, optimizer, norms, softmax and loss are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// `fp16` on CUDA, `fp32` on the CPU.
    Auto,
    Fp32,
    /// With dynamic loss scaling.
    Fp16,
    Bf16,
}

/// More epochs, or rows in a batch, are a slip of the keyboard; plans multiply them.
const MOST: usize = 1_000_000;

impl TrainingConfig {
    /// What AdamW is told for a step at this learning rate.
    pub fn settings(&self, learning_rate: f64) -> Settings {
        let Self { weight_decay, beta1, beta2, epsilon, clip_norm, .. } = *self;
        Settings { learning_rate, weight_decay, beta1, beta2, epsilon, clip_norm }
    }

    /// Checks ranges; the error names the field.
    pub fn validate(&self) -> Result<(), TrainError> {
        let wrong = |field, value: f64, rule| Err(TrainError::Config { field, value, rule });
        for (field, count) in [("epochs", self.epochs), ("batch_size", self.batch_size)] {
            if count == 0 {
                return wrong(field, 0.0, "it must be at least 1");
            }
            if count > MOST {
                return wrong(field, count as f64, "it must be at most 1000000");
            }
        }
        let rates = [
            ("learning_rate", self.learning_rate),
            ("weight_decay", self.weight_decay),
            ("clip_norm", self.clip_norm),
            ("epsilon", self.epsilon),
        ];
        for (field, value) in rates {
            if !(value >= 0.0 && value.is_finite()) {
                return wrong(field, value, "it must be a number of at least 0");
            }
        }
        if self.epsilon == 0.0 {
            return wrong("epsilon", 0.0, "it must be above 0");
        }
        let shares = [("beta1", self.beta1), ("beta2", self.beta2), ("dropout", self.dropout.unwrap_or(0.0))];
        for (field, value) in shares {
            if !(0.0..1.0).contains(&value) {
                return wrong(field, value, "it must lie in [0, 1)");
            }
        }
        Ok(())
    }
}
