//! OPT on the CPU, in f32 or with factors of products rounded to bf16: explicit passes over buffers that are allocated
//! once, in the manner of llm.c. the reference computes the same slowly and is the oracle in the tests.
//!
//! Legend: R tokens of all rows of a batch, D hidden size, F feed-forward size, V vocabulary, L layers.

mod decoding;
mod packed;
mod training;

pub(super) use decoding::{HostCache, head, hidden_states};
pub(super) use packed::{Inference, PackedParameters, Pass};
pub use training::HostTraining;

use sigma_kernels::linear::{self, Factors, Threads};
use sigma_kernels::{embedding, layer_norm};

use super::config::POSITION_OFFSET;
use super::parameters::{Affine, Parameters};
use super::{NORM_EPS, OptConfig};
use crate::buffer::sized;

impl Parameters {
    fn layer_norm(&self, y: &mut [f32], x: &[f32], norm: &Affine) {
        layer_norm::forward(y, x, &self.values[norm.weight.clone()], &self.values[norm.bias.clone()], NORM_EPS);
    }

    /// Token plus position embeddings `[R, D]`; `rows` gets the table rows of the positions, and `tokens` the token
    /// embeddings `[R, width]` where they have another width.
    fn embed(
        &self,
        stream: &mut [f32],
        config: &OptConfig,
        (ids, positions): (&[u32], &[u32]),
        (rows, tokens): (&mut Vec<u32>, &mut Vec<f32>),
        how: (Factors, Threads),
    ) {
        let (d, width) = (config.hidden_size, config.embedding_width());
        let table = &self.values[self.layout.embed_tokens.clone()];
        match &self.layout.projections {
            Some((project_in, _)) => {
                embedding::forward(sized(tokens, ids.len() * width), table, ids, width);
                linear::forward(stream, tokens, &self.values[project_in.clone()], width, how);
            }
            None => embedding::forward(stream, table, ids, d),
        }
        rows.clear();
        rows.extend(positions.iter().map(|p| p + POSITION_OFFSET as u32));
        embedding::add(stream, &self.values[self.layout.embed_positions.clone()], rows, d);
    }
}
