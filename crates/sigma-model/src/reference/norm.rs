//! Norms, composed of differentiable operations.

use candle_core::{D, Result, Tensor};
use sigma_kernels::layer_norm;

use super::Reference;
use crate::spec::{NormKind, Part, Slot};

impl Reference {
    /// Over the last dimension, with the parameters of this place.
    pub(super) fn norm(&self, x: &Tensor, layer: Option<usize>, part: Part) -> Result<Tensor> {
        let norm = self.spec.norm;
        let weight = self.weight(layer, part)?;
        match (norm.kind, self.get(Slot::bias(layer, part))) {
            (NormKind::Layer, Some(bias)) => layer_norm::reference(x, weight, bias, norm.eps),
            (NormKind::Layer, None) => candle_core::bail!("the norm {} has no bias", Slot::weight(layer, part)),
            (NormKind::Rms, _) => unit_rows(x, norm.eps)?.broadcast_mul(weight),
            (NormKind::RmsOnePlus, _) => unit_rows(x, norm.eps)?.broadcast_mul(&(weight + 1.0)?),
        }
    }
}

/// Rows over the root of their mean square.
fn unit_rows(x: &Tensor, eps: f64) -> Result<Tensor> {
    let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(mean_square + eps)?.sqrt()?)
}
