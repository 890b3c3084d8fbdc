//! What a forward pass reads: the parameters as they lie in one buffer, or rearranged once for decoding. Which of the
//! two decides last bits and speed, and nothing else.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Tensor;
use sigma_kernels::linear::{self, Factors, Then, Threads};
use sigma_kernels::packed::Packed;

use super::layout::{Layout, Matrix};
use crate::ModelError;
use crate::opt::host_values;
use crate::spec::{DecoderSpec, Slot};

/// Parameters by their ranges in a [`Layout`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Weights<'a> {
    Flat { values: &'a [f32], factors: Factors },
    Packed(&'a PackedWeights),
}

/// Matrices rearranged for products with few rows, and all other parameters as they are, by where they begin.
#[derive(Debug)]
pub(super) struct PackedWeights {
    matrices: BTreeMap<usize, Packed>,
    others: BTreeMap<usize, Vec<f32>>,
}

impl Weights<'_> {
    /// y = x W^T + b.
    pub(super) fn product(&self, y: &mut [f32], x: &[f32], matrix: &Matrix, threads: Threads) {
        let then = matrix.bias.as_ref().map_or(Then::Nothing, |bias| Then::Bias(self.vector(bias)));
        match self {
            Self::Flat { values, factors } => {
                let weight = &values[matrix.weight.clone()];
                linear::forward_then(y, x, weight, matrix.inputs, then, (*factors, threads));
            }
            Self::Packed(packed) => match packed.matrices.get(&matrix.weight.start) {
                Some(weight) => weight.forward_then(y, x, then, threads),
                None => unreachable!("every matrix of the layout is packed"),
            },
        }
    }

    /// A bias, a norm's weight, or a table.
    pub(super) fn vector(&self, range: &Range<usize>) -> &[f32] {
        match self {
            Self::Flat { values, .. } => &values[range.clone()],
            // a bias of fused products is put together from several
            Self::Packed(packed) => packed.others.get(&range.start).map_or(&[], Vec::as_slice),
        }
    }
}

impl PackedWeights {
    /// Reads `parameters` once; products round their factors to `factors`.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub(super) fn new(
        spec: &DecoderSpec,
        layout: &Layout,
        parameters: &BTreeMap<Slot, Tensor>,
        factors: Factors,
    ) -> Result<Self, ModelError> {
        let read = |range: &Range<usize>| -> Result<Vec<f32>, ModelError> {
            let mut values = Vec::with_capacity(range.len());
            // slots are in the order of the buffer, and a range is whole slots
            let from = layout.slots.partition_point(|(_, own, _)| own.start < range.start);
            for (slot, own, _) in &layout.slots[from..] {
                if own.start >= range.end {
                    break;
                }
                values.extend(host_values(&parameters[slot])?);
            }
            Ok(values)
        };
        let (mut matrices, mut others) = (BTreeMap::new(), BTreeMap::new());
        for matrix in layout.matrices(spec) {
            matrices.insert(matrix.weight.start, Packed::new(&read(&matrix.weight)?, matrix.inputs, factors));
            if let Some(bias) = matrix.bias {
                others.insert(bias.start, read(&bias)?);
            }
        }
        for (slot, range, shape) in &layout.slots {
            let is_norm = slot.part.is_norm();
            if is_norm || *range == layout.embed_tokens || Some(range) == layout.embed_positions.as_ref() {
                debug_assert!(!is_norm || shape.len() == 1);
                others.insert(range.start, read(range)?);
            }
        }
        Ok(Self { matrices, others })
    }
}
