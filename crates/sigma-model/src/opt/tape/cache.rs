//! Keys and values of the tokens that a batch has seen: one `[B, C, D]` tensor each per layer, allocated once. Prompts
//! lie in the first columns, padded on the right; every later column holds one generated token of each row.

use candle_core::{Device, Result, Tensor};
use sigma_kernels::attention;
use sigma_kernels::cached_attention::Columns;

use super::Tape;

#[derive(Debug)]
pub(in crate::opt) struct TapeCache {
    layers: Vec<(Tensor, Tensor)>,
    prompt_lens: Vec<usize>,
    prompt_columns: usize,
    filled: usize,
}

impl TapeCache {
    /// Room for prompts of these lengths (each at least 1) and `new_tokens` generated tokens.
    pub(in crate::opt) fn new(model: &Tape, prompt_lens: &[usize], new_tokens: usize) -> Result<Self> {
        let prompt_columns = prompt_lens.iter().copied().max().unwrap_or(0);
        let columns = prompt_columns + new_tokens;
        let shape = (prompt_lens.len(), columns, model.config.hidden_size);
        let (dtype, device) = (model.compute, model.device());
        let layers = (0..model.config.num_hidden_layers)
            .map(|_| Ok((Tensor::zeros(shape, dtype, device)?, Tensor::zeros(shape, dtype, device)?)))
            .collect::<Result<_>>()?;
        Ok(Self { layers, prompt_lens: prompt_lens.to_vec(), prompt_columns, filled: 0 })
    }

    pub(in crate::opt) fn rows(&self) -> usize {
        self.prompt_lens.len()
    }

    /// The position of each row's next token.
    pub(in crate::opt) fn next_positions(&self) -> Vec<usize> {
        match self.filled {
            0 => vec![0; self.rows()],
            filled => self.prompt_lens.iter().map(|len| len + filled - self.prompt_columns).collect(),
        }
    }

    /// Tokens of the longest row.
    pub(in crate::opt) fn longest(&self) -> usize {
        self.filled
    }

    /// Keeps only these rows.
    pub(in crate::opt) fn keep_rows(&mut self, rows: &[usize]) -> Result<()> {
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

    /// Which columns each of `queries` new tokens a row sees.
    pub(super) fn mask(&self, queries: usize, device: &Device) -> Result<Tensor> {
        let columns =
            Columns { prompt_lens: &self.prompt_lens, prompt_columns: self.prompt_columns, first: self.filled };
        columns.mask(queries, device)
    }

    /// Stores k and v of new tokens `[B, Q, D]` and attends over all columns that are filled then.
    pub(super) fn attend(
        &mut self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        heads: usize,
        mask: &Tensor,
    ) -> Result<Tensor> {
        let (keys, values) = &self.layers[layer];
        keys.slice_set(&k.contiguous()?, 1, self.filled)?;
        values.slice_set(&v.contiguous()?, 1, self.filled)?;
        let filled = self.filled + q.dim(1)?;
        attention::reference(q, &keys.narrow(1, 0, filled)?, &values.narrow(1, 0, filled)?, heads, mask)
    }

    pub(super) fn advance(&mut self, columns: usize) {
        self.filled += columns;
    }
}
