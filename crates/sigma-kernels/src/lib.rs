//! The operations of a transformer's forward and backward pass on CPU memory: plain functions over `f32` slices that
//! the caller allocates, fused where that saves a pass over memory. Next to each stands a slow twin, `reference`, made
//! of candle's differentiable operations: the oracle of the tests, and what runs on other devices and dtypes. No candle
//! operation without a backward pass (fused layer norm, `softmax_last_dim`) is used in a reference that trains.
//!
//! Every function gives the same bits for any number of threads: work is cut into fixed pieces, and partial sums are
//! added in a fixed order. [`mod@linear`]'s forward pass, [`mod@cached_attention`] and what encoders use also treat
//! each row alone, so a row's result does not depend on which other rows are in the batch. Lengths that do not fit
//! together are a mistake of the calling code and panic. This crate and `sigma-amx` alone have `unsafe` code.
//!
//! Reading order: [`lanes`] (vectors), `tile` (products in registers), `matrix_unit` (or on a unit for them),
//! [`mod@linear`], [`packed`], [`bias`], [`mod@relu`], [`mod@dropout`], [`residual`], [`mod@layer_norm`],
//! [`mod@rms_norm`], [`mod@rope`], [`mod@gated`], [`mod@embedding`], [`attention`], [`mod@cached_attention`],
//! [`cross_entropy`], then an encoder's [`mod@bidirectional_attention`], [`mod@gelu`] and [`mod@residual_norm`], and
//! the optimizer's [`norm`], [`loss_scale`] and [`mod@adamw`]. [`gpu`] runs the same operations, written in CUDA
//! (`cuda/`), on a GPU.

pub mod adamw;
pub mod attention;
mod bf16;
pub mod bias;
pub mod bidirectional_attention;
mod blocks;
pub mod cached_attention;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod gated;
pub mod gelu;
pub mod gpu;
pub mod lanes;
pub mod layer_norm;
pub mod linear;
pub mod loss_scale;
mod matrix_unit;
pub mod norm;
pub mod packed;
mod panels;
mod product;
pub mod relu;
pub mod residual;
pub mod residual_norm;
pub mod rms_norm;
pub mod rope;
mod shared;
pub mod threads;
mod tile;
mod transpose;
