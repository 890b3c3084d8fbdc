//! What can stop a training run.

use std::path::PathBuf;

use sigma_model::ModelError;

use crate::trainee::Arithmetic;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    #[error("training.{field} is {value}; {rule}")]
    Config { field: &'static str, value: f64, rule: &'static str },
    #[error("there are no blocks to train on")]
    NoBlocks,
    #[error(
        "blocks of one token leave nothing to predict where the tokenizer puts no BOS before a text; set \
         corpus.context_tokens to 2 or more"
    )]
    NoTargets,
    #[error(
        "block `{id}` has {got} tokens, but the first block has {expected}; blocks of one training set must be of equal length, at least 1"
    )]
    BlockLength { id: String, expected: usize, got: usize },
    #[error(
        "the loss became {loss} at step {step} of {total} (learning rate {learning_rate}); nothing was saved. Try a \
         lower training.learning_rate, training.warmup_steps, or training.precision: fp32"
    )]
    Loss { step: usize, total: usize, loss: f32, learning_rate: f64 },
    #[error(
        "the gradient became non-finite at step {step} of {total} although the loss is finite ({loss}); nothing was \
         saved. Try a lower training.learning_rate or training.precision: fp32"
    )]
    Gradient { step: usize, total: usize, loss: f32 },
    #[error(
        "the FP16 loss scale fell to {scale} at step {step} of {total} and gradients still overflow; nothing was saved. \
         Use training.precision: bf16 or fp32, or a lower training.learning_rate"
    )]
    LossScale { step: usize, total: usize, scale: f64 },
    #[error("parameter `{name}` got no gradient: an operation in the model cuts it off")]
    NoGradient { name: String },
    #[error("the perplexity of {texts} texts is not finite: the model's weights or activations overflow")]
    Perplexity { texts: usize },
    #[error("training was interrupted after step {step} of {total}")]
    Interrupted { step: usize, total: usize },
    #[error("{path}: the state of a training run cannot be saved or read: {reason}")]
    State { path: PathBuf, reason: String },
    #[error("a saved training run does not belong to this model: `{name}` has {got} values instead of {expected}")]
    StateShape { name: String, expected: usize, got: usize },
    #[error(
        "a saved training run was computed in {saved}, but this one computes in {now}: its loss scale and its rounding are those of \
         another arithmetic; resume it where it began, or train from the start"
    )]
    StateArithmetic { saved: Arithmetic, now: Arithmetic },
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        TrainError::Model(ModelError::Tensor(error))
    }
}
