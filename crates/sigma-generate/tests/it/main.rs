//! The sampler against its definition, and decoding against what it must not depend on.
#![allow(clippy::unwrap_used)]

mod decoding;
mod families;
mod on_gpu;
mod sampling;
mod warper;
