//! Bias and ReLU in one pass. The gradient at exactly 0 is 0, as in PyTorch (candle's is 1).

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::bias::{TASK, task};
use crate::lanes;

/// y = max(y + bias, 0) in place; y `[rows, d]`, bias `[d]`. NaN stays NaN.
pub fn forward(y: &mut [f32], bias: &[f32]) {
    let d = bias.len();
    y.par_chunks_mut(task(d)).for_each(|y| {
        lanes::vectorized(
            #[inline(always)]
            || {
                for y in y.chunks_exact_mut(d) {
                    for (y, b) in y.iter_mut().zip(bias) {
                        let x = *y + b;
                        *y = if x < 0.0 { 0.0 } else { x };
                    }
                }
            },
        );
    });
}

/// Turns the gradient `dy` of the result `y` into that of the input, in place.
pub fn backward(dy: &mut [f32], y: &[f32]) {
    dy.par_chunks_mut(TASK).zip(y.par_chunks(TASK)).for_each(|(dy, y)| {
        lanes::vectorized(
            #[inline(always)]
            || {
                for (dy, y) in dy.iter_mut().zip(y) {
                    *dy = if *y > 0.0 { *dy } else { 0.0 };
                }
            },
        );
    });
}

/// ReLU as x times the indicator of x > 0, differentiable by candle.
pub fn reference(x: &Tensor) -> Result<Tensor> {
    x.mul(&x.detach().gt(0f64)?.to_dtype(x.dtype())?)
}
