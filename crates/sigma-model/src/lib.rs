//! The models of an experiment: a decoder of any family (trained, and asked to write) and the frozen sentence encoder.
//! Weights come from and go to Hugging Face folders. It knows nothing of optimizers, sampling or files other than
//! models.
//!
//! Reading order: [`spec`] (what a decoder computes), [`families`] (config.json to a spec), [`checkpoint`] (folders),
//! [`gguf`] (files that become one), [`mod@reference`] (any spec, slowly), [`opt`] (OPT, fast), [`LanguageModel`]
//! (which engine answers), [`weights`] (tensors of a folder), [`device`], [`encoder`] (texts to vectors).

mod buffer;
pub mod checkpoint;
pub mod decoder;
pub mod device;
mod distance;
pub mod encoder;
mod error;
pub mod families;
mod family_model;
pub mod gguf;
mod language_model;
mod launches;
pub mod opt;
mod padding;
pub mod reference;
pub mod spec;
pub mod weights;

pub use checkpoint::Checkpoint;
pub use device::Device;
pub use encoder::{Encoder, TextRead};
pub use error::ModelError;
pub use family_model::FamilyModel;
pub use language_model::{LanguageModel, SettledModel};
pub use opt::{Decoder, Opt, OptConfig};
pub use reference::Reference;
pub use spec::DecoderSpec;
