//! Addition of a bias to every row, in place.

use rayon::prelude::*;

use crate::lanes;

/// About this many elements make one task.
pub(crate) const TASK: usize = 16_384;

/// Elements of whole rows of width `d` that make one task.
pub(crate) fn task(d: usize) -> usize {
    (TASK / d).max(1) * d
}

/// Adds `bias` (`[d]`) to each row of `y` (`[rows, d]`).
pub fn add(y: &mut [f32], bias: &[f32]) {
    let d = bias.len();
    y.par_chunks_mut(task(d)).for_each(|y| {
        lanes::vectorized(
            #[inline(always)]
            || {
                for y in y.chunks_exact_mut(d) {
                    lanes::add_scaled(y, 1.0, bias);
                }
            },
        );
    });
}
