//! Rotary positions: dimension j of a head turns together with dimension j + rotated / 2; the dimensions behind stay as
//! they are.

use candle_core::{D, DType, Device, Result, Tensor};

use super::cache::Places;
use crate::spec::Rope;

/// Cosines and sines `[B, 1, T, rotated / 2]` of each token's angles. Angles are f32, because models were trained with
/// such.
pub(super) struct Turns {
    cos: Tensor,
    sin: Tensor,
}

impl Turns {
    pub(super) fn new(rope: &Rope, places: &Places, dtype: DType, device: &Device) -> Result<Self> {
        let frequencies = rope.frequencies();
        let factor = rope.attention_factor();
        let angles: Vec<f64> =
            places.positions().flat_map(|p| frequencies.iter().map(move |w| f64::from(p as f32 * w))).collect();
        let shape = (places.rows(), 1, angles.len() / (places.rows() * frequencies.len()).max(1), frequencies.len());
        let table = |f: fn(f64) -> f64| {
            Tensor::from_vec(angles.iter().map(|angle| f(*angle) * factor).collect(), shape, device)?.to_dtype(dtype)
        };
        Ok(Self { cos: table(f64::cos)?, sin: table(f64::sin)? })
    }

    /// x `[B, H, T, head_dim]` turned.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let half = self.cos.dim(D::Minus1)?;
        let rest = x.dim(D::Minus1)? - 2 * half;
        let (a, b) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
        let first = (a.broadcast_mul(&self.cos)? - b.broadcast_mul(&self.sin)?)?;
        let second = (b.broadcast_mul(&self.cos)? + a.broadcast_mul(&self.sin)?)?;
        if rest == 0 {
            return Tensor::cat(&[first, second], 3);
        }
        Tensor::cat(&[first, second, x.narrow(D::Minus1, 2 * half, rest)?], 3)
    }
}
