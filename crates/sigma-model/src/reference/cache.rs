//! Keys and values of the tokens that a batch has seen, of the heads of keys and values alone, and where new tokens
//! stand. Rows of
//! different lengths are padded on the right; a padded column is seen by nobody.

use candle_core::{DType, Device, Result, Tensor};

/// Positions of a batch's new tokens, and of all that it holds with them; `None` is padding.
#[derive(Debug)]
pub(super) struct Places {
    /// By row, of new tokens.
    new: Vec<Vec<Option<u32>>>,
    /// By row, of columns: what was there before, then the new tokens.
    columns: Vec<Vec<Option<u32>>>,
}

impl Places {
    /// Whole sequences without padding.
    pub(super) fn whole(rows: usize, time: usize) -> Self {
        let row: Vec<Option<u32>> = (0..time).map(|position| Some(position as u32)).collect();
        Self { new: vec![row.clone(); rows], columns: vec![row; rows] }
    }

    pub(super) fn rows(&self) -> usize {
        self.new.len()
    }

    /// Of new tokens, one row after another; padding counts as the first position.
    pub(super) fn positions(&self) -> impl Iterator<Item = u32> {
        self.new.iter().flatten().map(|position| position.unwrap_or(0))
    }

    /// Positions that the longest row needs.
    pub(super) fn longest(&self) -> usize {
        self.new.iter().flatten().flatten().max().map_or(0, |position| *position as usize + 1)
    }

    /// What is added to scores `[B, 1, T, C]`: 0 where a new token sees a column, and else a number that makes its
    /// probability 0.
    /// It is finite, so that rows of padding, which see nothing, give numbers too.
    pub(super) fn mask(&self, window: Option<usize>, dtype: DType, device: &Device) -> Result<Tensor> {
        let sees = |query: Option<u32>, column: Option<u32>| match (query, column) {
            (Some(query), Some(column)) => {
                column <= query && window.is_none_or(|window| ((query - column) as usize) < window)
            }
            _ => false,
        };
        let mut mask = Vec::new();
        for (new, columns) in self.new.iter().zip(&self.columns) {
            for query in new {
                mask.extend(columns.iter().map(|column| if sees(*query, *column) { 0f32 } else { f32::MIN }));
            }
        }
        let (time, width) = (self.new.first().map_or(0, Vec::len), self.columns.first().map_or(0, Vec::len));
        Tensor::from_vec(mask, (self.rows(), 1, time, width), device)?.to_dtype(dtype)
    }
}

/// The keys and values of a batch, `[B, kv heads, C, head_dim]` each per layer.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<Option<(Tensor, Tensor)>>,
    /// Positions by row and column.
    columns: Vec<Vec<Option<u32>>>,
}

impl KvCache {
    pub(super) fn new(layers: usize, rows: usize) -> Self {
        Self { layers: vec![None; layers], columns: vec![Vec::new(); rows] }
    }

    pub fn rows(&self) -> usize {
        self.columns.len()
    }

    /// Tokens of the longest row.
    pub fn longest(&self) -> usize {
        self.columns.iter().flatten().flatten().max().map_or(0, |position| *position as usize + 1)
    }

    /// Numbers that one more token of a row takes.
    pub fn numbers_per_token(&self) -> usize {
        let per_layer = |(k, _): &(Tensor, Tensor)| 2 * k.dims()[1] * k.dims()[3];
        self.layers.iter().flatten().map(per_layer).sum()
    }

    /// Keeps only these rows.
    ///
    /// # Errors
    /// A row that is not there.
    pub fn keep_rows(&mut self, rows: &[usize]) -> Result<()> {
        let index: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
        for (k, v) in self.layers.iter_mut().flatten() {
            let index = Tensor::from_slice(&index, rows.len(), k.device())?;
            (*k, *v) = (k.index_select(&index, 0)?, v.index_select(&index, 0)?);
        }
        self.columns = rows.iter().filter_map(|row| self.columns.get(*row).cloned()).collect();
        Ok(())
    }

    /// New tokens of each row, padded to one length, and where they stand.
    pub(super) fn places(&self, new: &[&[u32]]) -> (Vec<u32>, Places) {
        let time = new.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let (mut ids, mut places) = (Vec::new(), Places { new: Vec::new(), columns: self.columns.clone() });
        for (row, columns) in new.iter().zip(&mut places.columns) {
            let first = columns.iter().flatten().max().map_or(0, |last| last + 1);
            let positions: Vec<Option<u32>> = (0..time).map(|i| (i < row.len()).then_some(first + i as u32)).collect();
            ids.extend((0..time).map(|i| row.get(i).copied().unwrap_or(0)));
            columns.extend(&positions);
            places.new.push(positions);
        }
        (ids, places)
    }

    /// Appends keys and values of new tokens, and gives those of all columns.
    pub(super) fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let grown = match &self.layers[layer] {
            Some((keys, values)) => {
                (Tensor::cat(&[keys, k], 2)?.contiguous()?, Tensor::cat(&[values, v], 2)?.contiguous()?)
            }
            None => (k.clone(), v.clone()),
        };
        self.layers[layer] = Some(grown.clone());
        Ok(grown)
    }

    /// The new tokens of `places` are in all layers.
    pub(super) fn advance(&mut self, places: &Places) {
        self.columns.clone_from(&places.columns);
    }
}
