//! A norm of a decoder, forward and backward, of whichever kind the spec names.

use sigma_kernels::rms_norm::Gain;
use sigma_kernels::{layer_norm, rms_norm};

use super::layout::NormRange;
use super::weights::Weights;
use crate::spec::{Norm, NormKind};

/// y = Norm(x), rows of the norm's width.
pub(super) fn forward(y: &mut [f32], x: &[f32], norm: Norm, range: &NormRange, weights: Weights<'_>) {
    let weight = weights.vector(&range.weight);
    match (norm.kind, &range.bias) {
        (NormKind::Layer, Some(bias)) => layer_norm::forward(y, x, weight, weights.vector(bias), norm.eps),
        (NormKind::Layer, None) => {
            layer_norm::forward(y, x, weight, &vec![0.0; weight.len()], norm.eps);
        }
        (NormKind::Rms, _) => rms_norm::forward(y, x, weight, Gain::Weight, norm.eps),
        (NormKind::RmsOnePlus, _) => rms_norm::forward(y, x, weight, Gain::OnePlusWeight, norm.eps),
    }
}

/// dx = or += (where `accumulate`), and the gradients of weight and bias +=.
pub(super) fn backward(
    (dx, accumulate): (&mut [f32], bool),
    gradients: &mut [f32],
    dy: &[f32],
    x: &[f32],
    norm: Norm,
    (range, values): (&NormRange, &[f32]),
) {
    let weight = &values[range.weight.clone()];
    let end = range.bias.as_ref().map_or(range.weight.end, |bias| bias.end);
    // a norm's bias lies behind its weight
    let (dweight, dbias) = gradients[range.weight.start..end].split_at_mut(weight.len());
    match norm.kind {
        NormKind::Layer if dbias.is_empty() => {
            let mut unused = vec![0.0; weight.len()];
            layer_norm::backward((dx, accumulate), dweight, &mut unused, dy, x, weight, norm.eps);
        }
        NormKind::Layer => layer_norm::backward((dx, accumulate), dweight, dbias, dy, x, weight, norm.eps),
        NormKind::Rms => rms_norm::backward((dx, accumulate), dweight, dy, x, weight, (Gain::Weight, norm.eps)),
        NormKind::RmsOnePlus => {
            rms_norm::backward((dx, accumulate), dweight, dy, x, weight, (Gain::OnePlusWeight, norm.eps));
        }
    }
}
