//! The models of an experiment: OPT (trained, and asked to write) and the frozen sentence encoder. Weights come from
//! and go to Hugging Face folders; forward passes are the same code for every device, for training and for decoding.
//! It knows nothing of optimizers, sampling or files other than models.
//!
//! Reading order: [`device`], [`weights`] (tensors of a folder), [`opt`] (the language model), [`encoder`] (texts to vectors).

mod buffer;
pub mod checkpoint;
pub mod device;
pub mod encoder;
mod error;
mod launches;
pub mod opt;
mod padding;
pub mod weights;

pub use device::Device;
pub use encoder::{Encoder, TextRead};
pub use error::ModelError;
pub use opt::{Decoder, Opt, OptConfig};
