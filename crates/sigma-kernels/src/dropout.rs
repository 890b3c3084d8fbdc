//! Inverted dropout whose mask is a pure function of a key and the element's index: the same on every device, for every
//! thread count, and after a resume. The mask is never stored on the CPU; the backward pass makes it again.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::{cpu, lanes};

const CHUNK: usize = 4096;

/// x / (1 - p) where the mask keeps an element, 0 elsewhere; p in [0, 1). p = 0 returns x itself.
pub fn dropout(x: &Tensor, p: f64, key: u64) -> Result<Tensor> {
    if !(0.0..1.0).contains(&p) {
        candle_core::bail!("dropout probability {p} is not in [0, 1)");
    }
    if p == 0.0 {
        return Ok(x.clone());
    }
    let x = &x.contiguous()?;
    if cpu::fused(&[x]) { x.apply_op1(Dropout { p, key }) } else { reference(x, p, key) }
}

/// The same by multiplication with a mask tensor.
pub fn reference(x: &Tensor, p: f64, key: u64) -> Result<Tensor> {
    let mut mask = vec![1f32; x.elem_count()];
    Dropout { p, key }.apply(&mut mask);
    x.mul(&Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?)
}

struct Dropout {
    p: f64,
    key: u64,
}

/// SplitMix64's output function: 64 well-mixed bits for each counter.
#[inline(always)]
fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Dropout {
    fn apply(&self, x: &mut [f32]) {
        let scale = (1.0 / (1.0 - self.p)) as f32;
        let threshold = (self.p * (1u64 << 32) as f64) as u64;
        x.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, x)| {
            lanes::vectorized(
                #[inline(always)]
                || {
                    for (pair, x) in x.chunks_mut(2).enumerate() {
                        let bits = mix(self.key.wrapping_add((chunk * CHUNK / 2 + pair) as u64));
                        for (half, x) in x.iter_mut().enumerate() {
                            let kept = (bits >> (32 * half)) & 0xFFFF_FFFF >= threshold;
                            *x = if kept { *x * scale } else { 0.0 };
                        }
                    }
                },
            );
        });
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = cpu::slice(x, layout, "dropout")?.to_vec();
        self.apply(&mut y);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = cpu::with_slice(&grad.contiguous()?, "dropout", <[f32]>::to_vec)?;
        self.apply(&mut dx);
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}
