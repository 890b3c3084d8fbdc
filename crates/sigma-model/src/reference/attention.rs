//! Causal attention with grouped heads: each group of query heads reads one head of keys and values.

use candle_core::{Result, Tensor};

use super::cache::{KvCache, Places};
use super::rotation::Turns;
use super::{Dropout, Reference, capped};
use crate::spec::{Part, QkNorm};

impl Reference {
    /// x `[B, T, D]` to the output of layer `layer`'s attention, `[B, T, D]` in `compute`.
    pub(super) fn attention(
        &self,
        x: &Tensor,
        layer: usize,
        places: &Places,
        cache: Option<&mut KvCache>,
        dropout: &mut Option<Dropout<'_>>,
    ) -> Result<Tensor> {
        let (b, t, _) = x.dims3()?;
        let shape = &self.spec.attention;
        let this = &self.spec.layers[layer];
        let turns = match &this.rope {
            Some(rope) => Some(Turns::new(rope, places, self.wide(), self.device())?),
            None => None,
        };
        // [B, T, heads * head_dim] to [B, heads, T, head_dim], normalized and turned
        let heads = |x: Tensor, heads: usize, norm: Part| -> Result<Tensor> {
            let mut x = x;
            if shape.qk_norm == QkNorm::WholeRow {
                x = self.norm(&x.to_dtype(self.wide())?, Some(layer), norm)?;
            }
            x = x.reshape((b, t, heads, shape.head_dim))?;
            if shape.qk_norm == QkNorm::PerHead {
                x = self.norm(&x.to_dtype(self.wide())?, Some(layer), norm)?;
            }
            x = x.transpose(1, 2)?.contiguous()?;
            match &turns {
                Some(turns) => turns.apply(&x.to_dtype(self.wide())?)?.to_dtype(self.compute),
                None => x.to_dtype(self.compute),
            }
        };
        let q = heads(self.linear(x, Some(layer), Part::Q)?, shape.n_heads, Part::QNorm)?;
        let k = heads(self.linear(x, Some(layer), Part::K)?, shape.n_kv_heads, Part::KNorm)?;
        let v = self.linear(x, Some(layer), Part::V)?.reshape((b, t, shape.n_kv_heads, shape.head_dim))?;
        let v = v.transpose(1, 2)?.contiguous()?;
        let (k, v) = match cache {
            Some(cache) => cache.append(layer, &k, &v)?,
            None => (k, v),
        };

        let group = shape.n_heads / shape.n_kv_heads;
        let (k, v) = (repeated(&k, group)?, repeated(&v, group)?);
        let scores = (q * this.score_scale)?.matmul(&k.t()?)?.to_dtype(self.wide())?;
        let mask = places.mask(this.window, self.wide(), self.device())?;
        let scores = capped(scores, shape.score_cap)?.broadcast_add(&mask)?;
        let probabilities = candle_nn::ops::softmax(&scores, 3)?;
        let probabilities = Dropout::apply(dropout, |rates| rates.attention, probabilities)?.to_dtype(self.compute)?;
        let mixed = probabilities.matmul(&v)?.transpose(1, 2)?.contiguous()?;
        self.linear(&mixed.reshape((b, t, shape.n_heads * shape.head_dim))?, Some(layer), Part::O)
    }
}

/// `[B, heads, C, head_dim]` with each head `times` times in a row.
fn repeated(x: &Tensor, times: usize) -> Result<Tensor> {
    if times == 1 {
        return Ok(x.clone());
    }
    let (b, heads, columns, head_dim) = x.dims4()?;
    let x = x.unsqueeze(2)?.broadcast_as((b, heads, times, columns, head_dim))?.contiguous()?;
    x.reshape((b, heads * times, columns, head_dim))
}
