//! Weights rearranged for inference, and the choice between them and the ones as they lie in the buffer. The results are the same
//! to the bit; rearranged weights take as much memory again and pay where few rows meet them many times.

use std::collections::BTreeMap;
use std::ops::Range;

use sigma_kernels::linear::{Then, Threads};
use sigma_kernels::packed::{self, Packed};

use crate::opt::OptConfig;
use crate::opt::parameters::Parameters;

/// Every matrix of a model that rows are multiplied with, by where it begins in the buffer of parameters.
#[derive(Debug)]
pub(in crate::opt) struct PackedParameters(BTreeMap<usize, Packed>);

impl PackedParameters {
    pub(in crate::opt) fn new(parameters: &Parameters, config: &OptConfig) -> Self {
        let (d, ffn, width) = (config.hidden_size, config.ffn_dim, config.embedding_width());
        let layout = &parameters.layout;
        let mut matrices = vec![(&layout.embed_tokens, width)];
        if let Some((project_in, project_out)) = &layout.projections {
            matrices.extend([(project_in, width), (project_out, d)]);
        }
        for layer in &layout.layers {
            let weights = [(&layer.qkv, d), (&layer.out_proj, d), (&layer.fc1, d), (&layer.fc2, ffn)];
            matrices.extend(weights.map(|(affine, inputs)| (&affine.weight, inputs)));
        }
        let pack = |(range, inputs): (&Range<usize>, usize)| {
            (range.start, Packed::new(&parameters.values[range.clone()], inputs))
        };
        Self(matrices.into_iter().map(pack).collect())
    }
}

/// A model for forward passes without gradients.
#[derive(Debug, Clone, Copy)]
pub(in crate::opt) struct Inference<'a> {
    pub(in crate::opt) parameters: &'a Parameters,
    pub(in crate::opt) packed: Option<&'a PackedParameters>,
}

impl Inference<'_> {
    /// y = x W^T for the matrix at `range`.
    pub(super) fn product(&self, y: &mut [f32], x: &[f32], range: &Range<usize>, inputs: usize, threads: Threads) {
        self.product_then(y, x, range, inputs, Then::Nothing, threads);
    }

    /// The same, and what follows it.
    pub(super) fn product_then(
        &self,
        y: &mut [f32],
        x: &[f32],
        range: &Range<usize>,
        inputs: usize,
        then: Then<'_>,
        threads: Threads,
    ) {
        match self.packed.and_then(|packed| packed.0.get(&range.start)) {
            Some(weight) => weight.forward_then(y, x, then, threads),
            None => packed::forward_once(y, x, &self.parameters.values[range.clone()], inputs, then, threads),
        }
    }
}
