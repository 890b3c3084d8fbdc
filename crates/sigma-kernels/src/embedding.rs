//! Rows of an embedding table by id, with PyTorch's `padding_idx`: that row is looked up like any other, but the lookup
//! gives it no gradient.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};

use crate::cpu;

/// Rows `ids` of `table` `[V, D]` as `[ids.len(), D]`, differentiable in the table except for the row `padding`.
pub fn embedding(table: &Tensor, ids: &[u32], padding: Option<u32>) -> Result<Tensor> {
    let rows = table.dim(0)?;
    if let Some(id) = ids.iter().find(|id| **id as usize >= rows) {
        candle_core::bail!("embedding: id {id} is outside the table of {rows} rows");
    }
    if cpu::fused(&[table]) {
        return table.apply_op1(Lookup { ids: ids.to_vec(), padding });
    }
    reference(table, ids, padding)
}

/// The same by candle's `index_select`.
pub fn reference(table: &Tensor, ids: &[u32], padding: Option<u32>) -> Result<Tensor> {
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

struct Lookup {
    ids: Vec<u32>,
    padding: Option<u32>,
}

impl CustomOp1 for Lookup {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, d) = layout.shape().dims2()?;
        let table = cpu::slice(table, layout, "embedding")?;
        let mut out = Vec::with_capacity(self.ids.len() * d);
        for id in &self.ids {
            out.extend_from_slice(&table[*id as usize * d..][..d]);
        }
        Ok((CpuStorage::F32(out), Shape::from((self.ids.len(), d))))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (rows, d) = table.dims2()?;
        let total = cpu::with_slice(&grad.contiguous()?, "embedding", |grad| {
            let mut total = vec![0f32; rows * d];
            for (id, g) in self.ids.iter().zip(grad.chunks_exact(d)) {
                if Some(*id) != self.padding {
                    total[*id as usize * d..][..d].iter_mut().zip(g).for_each(|(t, g)| *t += g);
                }
            }
            total
        })?;
        Ok(Some(Tensor::from_vec(total, table.shape(), table.device())?))
    }
}
