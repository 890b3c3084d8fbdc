//! Rows of an embedding table by id, with PyTorch's `padding_idx`: that row is looked up like any other, but the lookup
//! gives it no gradient.

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use crate::lanes;

/// Writes row `ids[i]` of `table` (`[vocabulary, d]`) to row i of `y`. Every id must be below the number of rows.
pub fn forward(y: &mut [f32], table: &[f32], ids: &[u32], d: usize) {
    y.par_chunks_mut(d).zip(ids).with_min_len(64).for_each(|(y, id)| {
        y.copy_from_slice(&table[*id as usize * d..][..d]);
    });
}

/// Adds row `ids[i]` of `table` to row i of `y`.
pub fn add(y: &mut [f32], table: &[f32], ids: &[u32], d: usize) {
    y.par_chunks_mut(d).zip(ids).with_min_len(64).for_each(|(y, id)| {
        y.iter_mut().zip(&table[*id as usize * d..][..d]).for_each(|(y, x)| *y += x);
    });
}

/// Adds row i of `dy` to row `ids[i]` of `dtable`, in order, except for ids equal to `padding`.
pub fn backward(dtable: &mut [f32], dy: &[f32], ids: &[u32], d: usize, padding: Option<u32>) {
    lanes::vectorized(
        #[inline(always)]
        || {
            for (id, dy) in ids.iter().zip(dy.chunks_exact(d)) {
                if Some(*id) != padding {
                    lanes::add_scaled(&mut dtable[*id as usize * d..][..d], 1.0, dy);
                }
            }
        },
    );
}

/// The same lookup by candle's `index_select`, differentiable in the table except for the row `padding`.
pub fn reference(table: &Tensor, ids: &[u32], padding: Option<u32>) -> Result<Tensor> {
    let rows = table.dim(0)?;
    if let Some(id) = ids.iter().find(|id| **id as usize >= rows) {
        candle_core::bail!("embedding: id {id} is outside the table of {rows} rows");
    }
    let index = Tensor::from_slice(ids, ids.len(), table.device())?;
    if !ids.iter().any(|id| Some(*id) == padding) {
        return table.index_select(&index, 0);
    }
    let live: Vec<f32> = ids.iter().map(|id| if Some(*id) == padding { 0.0 } else { 1.0 }).collect();
    let live = Tensor::from_vec(live, (ids.len(), 1), table.device())?.to_dtype(table.dtype())?;
    let dead = live.to_dtype(DType::F32)?.affine(-1.0, 1.0)?.to_dtype(table.dtype())?;
    let tracked = table.index_select(&index, 0)?.broadcast_mul(&live)?;
    tracked + table.detach().index_select(&index, 0)?.broadcast_mul(&dead)?
}
