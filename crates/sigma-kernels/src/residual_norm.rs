//! The end of a sub-block whose norm comes after it: bias, addition to the residual stream and layer normalisation,
//! while the row is in cache. Forward only, on the calling thread; a row's result depends on nothing but that row.

use candle_core::{Result, Tensor};

use crate::lanes;
use crate::layer_norm::{self, moments};

/// x = LayerNorm(x + (y + bias)) for rows of `bias.len()` elements.
pub fn forward(x: &mut [f32], y: &[f32], bias: &[f32], (weight, norm_bias): (&[f32], &[f32]), eps: f64) {
    let d = bias.len();
    assert!(x.len() == y.len() && x.len().is_multiple_of(d) && weight.len() == d && norm_bias.len() == d);
    lanes::vectorized(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact_mut(d).zip(y.chunks_exact(d)) {
                for ((x, y), bias) in x.iter_mut().zip(y).zip(bias) {
                    *x += y + bias;
                }
                let (mean, rstd) = moments(x, eps);
                for ((x, weight), bias) in x.iter_mut().zip(weight).zip(norm_bias) {
                    *x = ((*x - mean) * rstd).mul_add(*weight, *bias);
                }
            }
        },
    );
}

/// The same by candle's composed operations.
pub fn reference(
    x: &Tensor,
    y: &Tensor,
    bias: &Tensor,
    (weight, norm_bias): (&Tensor, &Tensor),
    eps: f64,
) -> Result<Tensor> {
    layer_norm::reference(&(x + y.broadcast_add(bias)?)?, weight, norm_bias, eps)
}
