//! Inverted dropout whose mask is a pure function of a key and the element's index: the same on every device, for every
//! thread count, and after a resume. The mask is never stored; the backward pass makes it again.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::bias::TASK;
use crate::lanes;

/// One mask: an element is kept, and multiplied by 1 / (1 - p), or becomes 0 with probability `p` in [0, 1).
#[derive(Debug, Clone, Copy)]
pub struct Mask {
    pub p: f64,
    pub key: u64,
}

/// SplitMix64's output function: 64 well-mixed bits for each counter.
#[inline(always)]
fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Mask {
    /// Applies the mask to the elements that begin at index `first` (even) of the whole.
    #[inline(always)]
    pub(crate) fn apply_from(&self, x: &mut [f32], first: usize) {
        debug_assert!(first.is_multiple_of(2));
        let scale = (1.0 / (1.0 - self.p)) as f32;
        let threshold = (self.p * (1u64 << 32) as f64) as u64;
        let start = self.key.wrapping_add(first as u64 / 2);
        let keep = |x: &mut f32, bits: u64| *x = if bits >= threshold { *x * scale } else { 0.0 };
        let mut pairs = x.chunks_exact_mut(2);
        let mut counter = start;
        for pair in &mut pairs {
            let bits = mix(counter);
            keep(&mut pair[0], bits & 0xFFFF_FFFF);
            keep(&mut pair[1], bits >> 32);
            counter = counter.wrapping_add(1);
        }
        for x in pairs.into_remainder() {
            keep(x, mix(counter) & 0xFFFF_FFFF);
        }
    }

    /// y = the mask applied to x: the gradient of an input from that of the result.
    pub fn applied(&self, y: &mut [f32], x: &[f32]) {
        y.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).enumerate().for_each(|(task, (y, x))| {
            lanes::vectorized(
                #[inline(always)]
                || {
                    y.copy_from_slice(x);
                    self.apply_from(y, task * TASK);
                },
            );
        });
    }

    /// Applies the mask in place.
    pub fn apply(&self, x: &mut [f32]) {
        x.par_chunks_mut(TASK).enumerate().for_each(|(task, x)| {
            lanes::vectorized(
                #[inline(always)]
                || self.apply_from(x, task * TASK),
            );
        });
    }
}

/// The same by multiplication with a mask tensor, differentiable by candle; p = 0 returns x itself.
pub fn reference(x: &Tensor, mask: Mask) -> Result<Tensor> {
    if mask.p == 0.0 {
        return Ok(x.clone());
    }
    let mut factors = vec![1f32; x.elem_count()];
    mask.apply(&mut factors);
    x.mul(&Tensor::from_vec(factors, x.shape(), x.device())?.to_dtype(x.dtype())?)
}
