//! Root-mean-square normalisation over the last dimension, y = x / sqrt(mean(x^2) + eps) * gain, forward and backward.
//! No mean is subtracted and there is no bias. What the rows are (tokens, or the heads of a token) the caller knows.

use candle_core::{D, Result, Tensor};
use rayon::prelude::*;

use crate::lanes;
use crate::linear::add_column_sums;

/// Rows that one task handles; sums over rows are grouped by it, so it also fixes their order.
const ROWS: usize = 16;

/// What a stored weight w stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gain {
    /// w, which begins at 1.
    Weight,
    /// 1 + w, which begins at 0 (Gemma).
    OnePlusWeight,
}

impl Gain {
    #[inline(always)]
    fn of(self, weight: f32) -> f32 {
        match self {
            Self::Weight => weight,
            Self::OnePlusWeight => 1.0 + weight,
        }
    }
}

/// 1 / sqrt(mean(x^2) + eps) of one row.
#[inline(always)]
fn reciprocal(x: &[f32], eps: f64) -> f32 {
    (1.0 / (lanes::sum_squares(x) / x.len() as f64 + eps).sqrt()) as f32
}

/// y = RMSNorm(x) for rows of `weight.len()` elements.
pub fn forward(y: &mut [f32], x: &[f32], weight: &[f32], gain: Gain, eps: f64) {
    let d = weight.len();
    assert!(y.len() == x.len() && x.len().is_multiple_of(d));
    y.par_chunks_mut(ROWS * d).zip(x.par_chunks(ROWS * d)).for_each(|(y, x)| {
        lanes::vectorized(
            #[inline(always)]
            || {
                for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                    let r = reciprocal(x, eps);
                    for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
                        *y = x * r * gain.of(*weight);
                    }
                }
            },
        );
    });
}

/// The gradients for an input `x` of the forward pass and the gradient `dy` of its result: dx (or dx += where
/// `accumulate`), and dweight +=. With n = x r and u = dy gain: dx = r (u - n mean(u n)), dweight = sum of dy n over
/// rows.
pub fn backward(
    (dx, accumulate): (&mut [f32], bool),
    dweight: &mut [f32],
    dy: &[f32],
    x: &[f32],
    weight: &[f32],
    (gain, eps): (Gain, f64),
) {
    let d = weight.len();
    assert!(dx.len() == x.len() && dy.len() == x.len() && x.len().is_multiple_of(d) && dweight.len() == d);
    // each task's sums of dy n over its rows
    let mut parts = vec![0f32; x.len().div_ceil(ROWS * d) * d];
    let rows = dx.par_chunks_mut(ROWS * d).zip(x.par_chunks(ROWS * d)).zip(dy.par_chunks(ROWS * d));
    rows.zip(parts.par_chunks_mut(d)).for_each(|(((dx, x), dy), dweight)| {
        let (mut n, mut u) = (vec![0f32; d], vec![0f32; d]);
        lanes::vectorized(
            #[inline(always)]
            || {
                for ((dx, x), dy) in dx.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(dy.chunks_exact(d)) {
                    let r = reciprocal(x, eps);
                    // slices of a length the compiler knows to be equal, so that it need not check each index
                    let (x, dy, weight) = (&x[..d], &dy[..d], &weight[..d]);
                    let (n, u, dweight, dx) = (&mut n[..d], &mut u[..d], &mut dweight[..d], &mut dx[..d]);
                    for i in 0..d {
                        n[i] = x[i] * r;
                        u[i] = dy[i] * gain.of(weight[i]);
                        dweight[i] = dy[i].mul_add(n[i], dweight[i]);
                    }
                    let mean = lanes::dot(u, n) / d as f32;
                    for i in 0..d {
                        let gradient = r * (u[i] - n[i] * mean);
                        dx[i] = if accumulate { dx[i] + gradient } else { gradient };
                    }
                }
            },
        );
    });
    add_column_sums(dweight, &parts);
}

/// The same by candle's differentiable operations.
pub fn reference(x: &Tensor, weight: &Tensor, gain: Gain, eps: f64) -> Result<Tensor> {
    let n = x.broadcast_div(&(x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?)?;
    match gain {
        Gain::Weight => n.broadcast_mul(weight),
        Gain::OnePlusWeight => n.broadcast_mul(&(weight + 1.0)?),
    }
}
