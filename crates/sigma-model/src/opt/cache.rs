//! Keys and values of the tokens that a batch has seen: one `[B, C, D]` tensor each per layer, allocated once. Prompts
//! lie in the first columns, padded on the right; every later column holds one generated token of each row.

use candle_core::{Result, Tensor};
use sigma_kernels::cached_attention::{Columns, cached_attention};

use super::Opt;
use crate::ModelError;

#[derive(Debug)]
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    prompt_lens: Vec<usize>,
    prompt_columns: usize,
    filled: usize,
}

impl KvCache {
    /// Room for prompts of these lengths (each at least 1) and `new_tokens` generated tokens.
    pub fn new(model: &Opt, prompt_lens: &[usize], new_tokens: usize) -> std::result::Result<Self, ModelError> {
        let prompt_columns = prompt_lens.iter().copied().max().unwrap_or(0);
        let columns = prompt_columns + new_tokens;
        let shape = (prompt_lens.len(), columns, model.config.hidden_size);
        let dtype = model.compute;
        let layers = (0..model.config.num_hidden_layers)
            .map(|_| Ok((Tensor::zeros(shape, dtype, model.device())?, Tensor::zeros(shape, dtype, model.device())?)))
            .collect::<Result<_>>()?;
        Ok(Self { layers, prompt_lens: prompt_lens.to_vec(), prompt_columns, filled: 0 })
    }

    pub fn rows(&self) -> usize {
        self.prompt_lens.len()
    }

    pub fn prompt_lens(&self) -> &[usize] {
        &self.prompt_lens
    }

    /// Columns that hold prompts.
    pub fn prompt_columns(&self) -> usize {
        self.prompt_columns
    }

    /// Columns filled so far.
    pub fn len(&self) -> usize {
        self.filled
    }

    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Keeps only these rows, in this order: how finished rows leave the batch.
    pub fn keep_rows(&mut self, rows: &[usize]) -> Result<()> {
        let Some((first, _)) = self.layers.first() else { return Ok(()) };
        let index: Vec<u32> = rows.iter().map(|r| *r as u32).collect();
        let index = Tensor::from_vec(index, rows.len(), first.device())?;
        for (k, v) in &mut self.layers {
            *k = k.index_select(&index, 0)?;
            *v = v.index_select(&index, 0)?;
        }
        self.prompt_lens = rows.iter().map(|r| self.prompt_lens[*r]).collect();
        Ok(())
    }

    /// Stores k and v of new tokens `[B, Q, D]` and attends over all columns.
    pub(super) fn attend(&mut self, layer: usize, q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
        let (keys, values) = &self.layers[layer];
        keys.slice_set(&k.contiguous()?, 1, self.filled)?;
        values.slice_set(&v.contiguous()?, 1, self.filled)?;
        let columns =
            Columns { prompt_lens: &self.prompt_lens, prompt_columns: self.prompt_columns, first: self.filled };
        cached_attention(q, keys, values, heads, columns)
    }

    pub(super) fn advance(&mut self, columns: usize) {
        self.filled += columns;
    }
}
