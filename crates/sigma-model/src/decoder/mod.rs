//! The CPU's engine for decoders of any family, in f32 or with the factors of products rounded to bf16: a layer is
//! written once (`block`), for training, prompts and single steps, over the operations of sigma-kernels. What it does
//! not know (`supports`) the reference computes.

mod block;
mod heads;
mod inference;
mod layout;
mod norm;
mod training;
mod weights;

use sigma_kernels::embedding;

pub(crate) use inference::{DecoderInference, KvCache};
pub use training::DecoderTraining;

use crate::ModelError;
use crate::spec::DecoderSpec;
use layout::Layout;
use weights::Weights;

/// Whether the engine computes this; if not, what it lacks.
pub(crate) fn supports(spec: &DecoderSpec) -> Result<(), &'static str> {
    let lacks = [
        (!block::knows_mlp(spec), "the activation of the MLP"),
        (!block::knows_norms(spec), "norms after the residual sum"),
        (spec.embedding_width != spec.hidden_size, "embeddings of another width"),
        (spec.attention.score_cap.is_some() || spec.final_logit_cap.is_some(), "caps on scores or logits"),
        (
            spec.layers.iter().any(|layer| layer.window.is_some_and(|window| window < spec.max_positions)),
            "windows of attention",
        ),
    ];
    lacks.into_iter().find(|(lacks, _)| *lacks).map_or(Ok(()), |(_, what)| Err(what))
}

/// Ids that the model has, and no more tokens than positions.
pub(crate) fn check(spec: &DecoderSpec, ids: &[u32], positions: usize) -> Result<(), ModelError> {
    let (vocabulary, max) = (spec.vocab_size, spec.max_positions);
    if let Some(id) = ids.iter().find(|id| **id as usize >= vocabulary) {
        return Err(ModelError::TokenId { id: *id, vocabulary });
    }
    if positions > max { Err(ModelError::TooLong { needed: positions, max }) } else { Ok(()) }
}

/// Token embeddings, scaled, plus those of learned positions: `[R, D]`.
fn embed(x: &mut [f32], ids: &[u32], positions: &[u32], spec: &DecoderSpec, (layout, weights): (&Layout, Weights<'_>)) {
    embedding::forward(x, weights.vector(&layout.embed_tokens), ids, spec.hidden_size);
    if spec.embedding_scale != 1.0 {
        x.iter_mut().for_each(|x| *x *= spec.embedding_scale as f32);
    }
    if let (Some(range), Some(table)) = (&layout.embed_positions, spec.position_table) {
        let rows: Vec<u32> = positions.iter().map(|position| position + table.offset as u32).collect();
        embedding::add(x, weights.vector(range), &rows, spec.hidden_size);
    }
}
