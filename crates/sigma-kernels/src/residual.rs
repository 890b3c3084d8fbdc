//! The end of every sub-block in one pass: bias, dropout, and addition to the residual stream.

use rayon::prelude::*;

use crate::bias::{TASK, task};
use crate::dropout::Mask;
use crate::lanes;

/// out = x + dropout(y + bias); `y` (`[rows, d]`) is overwritten.
pub fn add(out: &mut [f32], x: &[f32], y: &mut [f32], bias: &[f32], mask: Option<Mask>) {
    let d = bias.len();
    // whole rows, and an even number of elements: masks are drawn for pairs
    let size = 2 * task(d);
    out.par_chunks_mut(size).zip(x.par_chunks(size)).zip(y.par_chunks_mut(size)).enumerate().for_each(
        |(task, ((out, x), y))| {
            lanes::vectorized(
                #[inline(always)]
                || {
                    for y in y.chunks_exact_mut(d) {
                        lanes::add_scaled(y, 1.0, bias);
                    }
                    if let Some(mask) = mask {
                        mask.apply_from(y, task * size);
                    }
                    for ((out, x), y) in out.iter_mut().zip(x).zip(y.iter()) {
                        *out = x + y;
                    }
                },
            );
        },
    );
}

/// y += x.
pub fn accumulate(y: &mut [f32], x: &[f32]) {
    y.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(y, x)| {
        lanes::vectorized(
            #[inline(always)]
            || lanes::add_scaled(y, 1.0, x),
        );
    });
}
