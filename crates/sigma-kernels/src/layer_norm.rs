//! Layer normalisation over the last dimension, y = (x - mean) / sqrt(var + eps) * weight + bias, forward and backward.
//! (candle's own fused layer norm has no backward pass and silently stops the gradient.)

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::lanes;
use crate::linear::add_column_sums;

/// Rows that one task handles; sums over rows are grouped by it, so it also fixes their order.
const ROWS: usize = 16;

/// Mean and reciprocal standard deviation of one row.
#[inline(always)]
pub(crate) fn moments(x: &[f32], eps: f64) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = lanes::sum(x) / n;
    let mut centred = [0f32; 16];
    let chunks = x.chunks_exact(16);
    let tail: f32 = chunks.remainder().iter().map(|x| (x - mean) * (x - mean)).sum();
    for chunk in chunks {
        for i in 0..16 {
            centred[i] = (chunk[i] - mean).mul_add(chunk[i] - mean, centred[i]);
        }
    }
    let variance = (lanes::sum(&centred) + tail) / n;
    (mean, (1.0 / (f64::from(variance) + eps).sqrt()) as f32)
}

/// y = LayerNorm(x) for rows of `weight.len()` elements.
pub fn forward(y: &mut [f32], x: &[f32], weight: &[f32], bias: &[f32], eps: f64) {
    let d = weight.len();
    assert!(y.len() == x.len() && x.len().is_multiple_of(d) && bias.len() == d);
    y.par_chunks_mut(ROWS * d).zip(x.par_chunks(ROWS * d)).for_each(|(y, x)| {
        lanes::vectorized(
            #[inline(always)]
            || {
                for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                    let (mean, rstd) = moments(x, eps);
                    for (((y, x), weight), bias) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                        *y = ((x - mean) * rstd).mul_add(*weight, *bias);
                    }
                }
            },
        );
    });
}

/// The gradients for an input `x` of the forward pass and the gradient `dy` of its result: dx (or dx += where
/// `accumulate`), dweight += and dbias +=.
pub fn backward(
    (dx, accumulate): (&mut [f32], bool),
    dweight: &mut [f32],
    dbias: &mut [f32],
    dy: &[f32],
    x: &[f32],
    weight: &[f32],
    eps: f64,
) {
    let d = weight.len();
    assert!(dx.len() == x.len() && dy.len() == x.len() && x.len().is_multiple_of(d));
    // each task's sums of dy * x_hat and of dy over its rows
    let tasks = x.len().div_ceil(ROWS * d);
    let (mut weight_parts, mut bias_parts) = (vec![0f32; tasks * d], vec![0f32; tasks * d]);
    let rows = dx.par_chunks_mut(ROWS * d).zip(x.par_chunks(ROWS * d)).zip(dy.par_chunks(ROWS * d));
    rows.zip(weight_parts.par_chunks_mut(d)).zip(bias_parts.par_chunks_mut(d)).for_each(
        |((((dx, x), dy), dweight), dbias)| {
            let (mut x_hat, mut gw) = (vec![0f32; d], vec![0f32; d]);
            lanes::vectorized(
                #[inline(always)]
                || {
                    let rows = dx.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(dy.chunks_exact(d));
                    for ((dx, x), dy) in rows {
                        let (mean, rstd) = moments(x, eps);
                        // slices of a length the compiler knows to be equal, so that it need not check each index
                        let (x, dy, weight) = (&x[..d], &dy[..d], &weight[..d]);
                        let (x_hat, gw) = (&mut x_hat[..d], &mut gw[..d]);
                        let (dweight, dbias, dx) = (&mut dweight[..d], &mut dbias[..d], &mut dx[..d]);
                        for i in 0..d {
                            x_hat[i] = (x[i] - mean) * rstd;
                            gw[i] = dy[i] * weight[i];
                            dweight[i] = dy[i].mul_add(x_hat[i], dweight[i]);
                            dbias[i] += dy[i];
                        }
                        let mean_gw = lanes::sum(gw) / d as f32;
                        let mean_gwx = lanes::dot(gw, x_hat) / d as f32;
                        for i in 0..d {
                            let gradient = rstd * (gw[i] - mean_gw - x_hat[i] * mean_gwx);
                            dx[i] = if accumulate { dx[i] + gradient } else { gradient };
                        }
                    }
                },
            );
        },
    );
    add_column_sums(dweight, &weight_parts);
    add_column_sums(dbias, &bias_parts);
}

/// The same by candle's composed, differentiable operations.
pub fn reference(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    candle_nn::ops::layer_norm_slow(&x.contiguous()?, weight, bias, eps as f32)
}
