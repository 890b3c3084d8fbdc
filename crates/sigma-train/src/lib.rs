//! Fine-tuning: blocks of token ids and a model in, the trained model and its loss curve out. It knows nothing of
//! generations' order, of files, or of where the blocks come from.
//!
//! Reading order: [`config`], [`schedule`], [`precision`] (dtype and loss scale), [`trainee`] (gradients and
//! AdamW), [`state`] (a run in the middle), [`mod@finetune`]; beside them [`mod@perplexity`].

pub mod config;
mod error;
pub mod finetune;
pub mod perplexity;
pub mod precision;
pub mod schedule;
pub mod state;
pub mod trainee;

pub use config::{Precision, Schedule, TrainingConfig};
pub use error::TrainError;
pub use finetune::{
    Progress, STEPS_TOGETHER, Settled, StepRecord, Streams, Trained, TrainingSet, finetune, total_steps,
};
pub use perplexity::{Scored, perplexity};
pub use state::TrainingState;
pub use trainee::Trainee;
