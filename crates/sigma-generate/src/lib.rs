//! Text generation: prompts with one random stream each in, sampled tokens out. The tokens of a prompt do not depend on
//! the batch it is in. It knows nothing of generations, of files, or of what the texts are for.
//!
//! Reading order: [`config`], [`nucleus`] (one draw from one row of logits), [`decode`] (batches with a KV cache),
//! `on_gpu`.

pub mod config;
pub mod decode;
mod error;
pub mod nucleus;
mod on_gpu;

pub use config::{Blocks, Empty, EvaluationConfig, RegenerationConfig, Windows};
pub use decode::{Completion, Options, Progress, Request, Whole, generate};
pub use error::GenerateError;
pub use nucleus::Nucleus;
pub use on_gpu::decode_rows;
