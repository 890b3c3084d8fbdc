//! Tensor operations that candle lacks, runs slowly, or cuts gradients in: each has a fused CPU path for contiguous
//! `f32` tensors with its own backward pass, and a slow reference made of candle's differentiable operations. The
//! reference is the oracle of the tests, and it is what runs for every other device and dtype. No candle operation
//! without a backward pass (fused layer norm, `softmax_last_dim`) is used on a path that trains.
//!
//! Every fused path gives the same bits for any number of threads: work is cut into fixed pieces, and partial sums are
//! added in a fixed order. [`mod@linear`] and [`mod@cached_attention`] also treat each row alone, so a row's result does not
//! depend on which other rows are in the batch. This is the only crate with `unsafe` code.
//!
//! Reading order: [`lanes`] (vectors), [`mod@linear`], [`mod@layer_norm`], [`mod@relu`], [`mod@dropout`], [`mod@embedding`], [`attention`],
//! [`mod@cached_attention`], [`cross_entropy`], then the optimizer's [`adamw`] and [`norm`].

pub mod adamw;
pub mod attention;
pub mod cached_attention;
mod cpu;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod lanes;
pub mod layer_norm;
pub mod linear;
pub mod norm;
pub mod relu;
pub mod threads;

pub use attention::causal_attention;
pub use cached_attention::cached_attention;
pub use cross_entropy::lm_head_loss;
pub use dropout::dropout;
pub use embedding::embedding;
pub use layer_norm::layer_norm;
pub use linear::linear;
pub use relu::relu;
