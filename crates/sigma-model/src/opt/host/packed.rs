//! The products of forward passes without gradients. Whole prompts and texts are multiplied as in training. Steps of
//! one token a row read every weight for few rows: there weights that were rearranged once pay, which take as much
//! memory again (or half, in bf16) and give the same bits as the ones in the buffer. What kind of pass it is decides,
//! never the number of rows, so a row has the same bits in every batch.

use std::collections::BTreeMap;
use std::ops::Range;

use sigma_kernels::linear::{self, Factors, Then, Threads};
use sigma_kernels::packed::{self, Packed};

use crate::opt::OptConfig;
use crate::opt::parameters::Parameters;

/// Every matrix of a model that steps multiply through [`Inference::product`], by where it begins in the buffer of
/// parameters.
#[derive(Debug)]
pub(in crate::opt) struct PackedParameters {
    matrices: BTreeMap<usize, Packed>,
    factors: Factors,
}

impl PackedParameters {
    pub(in crate::opt) fn new(parameters: &Parameters, config: &OptConfig, factors: Factors) -> Self {
        let (d, ffn, width) = (config.hidden_size, config.ffn_dim, config.embedding_width());
        let layout = &parameters.layout;
        let mut matrices = vec![(&layout.embed_tokens, width)];
        if let Some((_, project_out)) = &layout.projections {
            matrices.push((project_out, d));
        }
        for layer in &layout.layers {
            let weights = [(&layer.qkv, d), (&layer.out_proj, d), (&layer.fc1, d), (&layer.fc2, ffn)];
            matrices.extend(weights.map(|(affine, inputs)| (&affine.weight, inputs)));
        }
        let pack = |(range, inputs): (&Range<usize>, usize)| {
            (range.start, Packed::new(&parameters.values[range.clone()], inputs, factors))
        };
        Self { matrices: matrices.into_iter().map(pack).collect(), factors }
    }
}

/// What is run through a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::opt) enum Pass {
    /// Prompts or texts from their first token on.
    Whole,
    /// One more token of each row.
    Step,
}

/// A model for forward passes without gradients.
#[derive(Debug, Clone, Copy)]
pub(in crate::opt) struct Inference<'a> {
    pub(in crate::opt) parameters: &'a Parameters,
    /// In f32, unless packed for something else.
    pub(in crate::opt) packed: Option<&'a PackedParameters>,
}

impl Inference<'_> {
    pub(super) fn factors(&self) -> Factors {
        self.packed.map_or(Factors::F32, |packed| packed.factors)
    }

    /// y = x W^T for the matrix at `range`, and what follows it.
    pub(super) fn product(
        &self,
        y: &mut [f32],
        x: &[f32],
        (range, inputs): (&Range<usize>, usize),
        then: Then<'_>,
        (pass, threads): (Pass, Threads),
    ) {
        let weight = &self.parameters.values[range.clone()];
        match (pass, self.packed.and_then(|packed| packed.matrices.get(&range.start))) {
            (Pass::Whole, _) => linear::forward_then(y, x, weight, inputs, then, (self.factors(), threads)),
            (Pass::Step, Some(packed)) => packed.forward_then(y, x, then, threads),
            (Pass::Step, None) => packed::forward_once(y, x, weight, inputs, then, threads),
        }
    }
}
