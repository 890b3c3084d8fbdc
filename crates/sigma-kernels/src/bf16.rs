//! Numbers rounded to bf16, kept as f32: 8 bits of the 24 remain, the nearest, ties to even. For products whose factors
//! are rounded, on CPUs without a unit that rounds them itself.

use rayon::prelude::*;

use crate::lanes;

/// Numbers of one task for a thread.
const TASK: usize = 16 << 10;

/// Every number rounded.
pub(crate) fn rounded(values: &[f32]) -> Vec<f32> {
    let mut out = vec![0f32; values.len()];
    out.par_chunks_mut(TASK).zip(values.par_chunks(TASK)).for_each(|(out, values)| {
        lanes::vectorized(
            #[inline(always)]
            || {
                for (out, x) in out.iter_mut().zip(values) {
                    *out = round(*x);
                }
            },
        );
    });
    out
}

/// x rounded; what is not a number stays none.
#[inline(always)]
fn round(x: f32) -> f32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000;
    if x.is_nan() { x } else { f32::from_bits(nearest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_like_the_half_crate() {
        let mut bits = 7u32;
        let mut values =
            vec![0.0, -0.0, f32::MAX, f32::INFINITY, f32::MIN_POSITIVE, 1.0 + f32::EPSILON, 1.0 + 1.0 / 256.0];
        values.extend((0..100_000).map(|_| {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from_bits(bits)
        }));
        for (x, y) in values.iter().zip(rounded(&values)) {
            let expected = half::bf16::from_f32(*x).to_f32();
            assert!(y == expected || x.is_nan() && y.is_nan(), "{x:e}: {y:e} for {expected:e}");
        }
    }
}
