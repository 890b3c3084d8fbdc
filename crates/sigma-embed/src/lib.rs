//! Embedding: texts and a frozen encoder in, one L2-normalised row per text out. It knows nothing of where texts come
//! from or of what is measured on the rows.

pub mod config;
pub mod embed;
mod error;
pub mod npy;

pub use config::EncoderConfig;
pub use embed::embed;
pub use error::EmbedError;
