//! Forward passes that need no gradient: prompts, whole texts, and new tokens of rows that each have their own length.
//! A row's result does not depend on the other rows of its batch.

use std::sync::Arc;

use sigma_kernels::cached_attention::Cache;
use sigma_kernels::linear::{Factors, Threads};
use sigma_kernels::threads::on_a_worker;

use super::block::{Activations, Block, Scratch};
use super::heads::{self, Tables};
use super::layout::Layout;
use super::norm;
use super::weights::{PackedWeights, Weights};
use crate::buffer::sized;
use crate::spec::DecoderSpec;
use crate::{Checkpoint, ModelError};

/// A model whose matrices are rearranged for decoding.
#[derive(Debug)]
pub(crate) struct DecoderInference {
    checkpoint: Arc<Checkpoint>,
    layout: Layout,
    weights: PackedWeights,
}

/// Keys and values of the rows of a batch, of the heads of keys and values alone, and the space that a step computes in.
#[derive(Debug)]
pub(crate) struct KvCache {
    layers: Vec<Cache>,
    threads: Threads,
    tables: Tables,
    positions: Vec<u32>,
    stream: Vec<f32>,
    next: Vec<f32>,
    activations: Activations,
    scratch: Scratch,
}

impl DecoderInference {
    /// Of a model that [`super::supports`].
    ///
    /// # Errors
    /// A parameter that cannot be read.
    pub(crate) fn new(checkpoint: Arc<Checkpoint>, factors: Factors) -> Result<Self, ModelError> {
        let layout = Layout::new(&checkpoint.spec);
        let weights = PackedWeights::new(&checkpoint.spec, &layout, &checkpoint.parameters, factors)?;
        Ok(Self { checkpoint, layout, weights })
    }

    pub(crate) fn spec(&self) -> &DecoderSpec {
        &self.checkpoint.spec
    }

    /// Room for `rows` rows of `capacity` tokens.
    pub(crate) fn cache(&self, rows: usize, capacity: usize, threads: Threads) -> KvCache {
        let (spec, mut tables) = (self.spec(), Tables::default());
        tables.grow(spec, capacity);
        KvCache {
            layers: spec.layers.iter().map(|_| Cache::new(rows, capacity, heads::of(spec))).collect(),
            threads,
            tables,
            positions: Vec::new(),
            stream: Vec::new(),
            next: Vec::new(),
            activations: Activations::default(),
            scratch: Scratch::default(),
        }
    }

    /// Appends `new[r]` tokens to row r (`ids` holds the rows one after another) and gives their hidden states after the
    /// final norm, `[R, D]`.
    pub(crate) fn extend<'a>(&self, cache: &'a mut KvCache, ids: &[u32], new: &[usize]) -> &'a [f32] {
        match cache.threads {
            Threads::One => self.run(cache, ids, new),
            Threads::All => on_a_worker(|| self.run(cache, ids, new)),
        }
    }

    fn run<'a>(&self, cache: &'a mut KvCache, ids: &[u32], new: &[usize]) -> &'a [f32] {
        let spec = self.spec();
        let n = ids.len() * spec.hidden_size;
        let weights = Weights::Packed(&self.weights);
        let KvCache { layers, threads, tables, positions, stream, next, activations, scratch } = cache;
        positions.clear();
        for (len, new) in layers.first().map_or(&[][..], Cache::lens).iter().zip(new) {
            positions.extend((*len..len + new).map(|p| p as u32));
        }
        super::embed(sized(stream, n), ids, positions, spec, (&self.layout, weights));
        for (index, (range, kept)) in self.layout.layers.iter().zip(layers).enumerate() {
            let block = Block { spec, index, layout: range, tables, positions };
            let out = sized(next, n);
            block.forward(out, stream, (weights, *threads), activations, scratch, |attended, qkv| {
                kept.attend(attended, qkv, new);
            });
            std::mem::swap(stream, next);
        }
        match &self.layout.final_norm {
            Some(range) => {
                norm::forward(sized(next, n), stream, spec.norm, range, weights);
                next
            }
            None => stream,
        }
    }

    /// Logits `[R, V]` of hidden states `[R, D]`.
    pub(crate) fn head(&self, logits: &mut Vec<f32>, hidden: &[f32], threads: Threads) {
        let spec = self.spec();
        let logits = sized(logits, hidden.len() / spec.hidden_size * spec.vocab_size);
        Weights::Packed(&self.weights).product(logits, hidden, &self.layout.head_matrix(spec), threads);
    }

    /// Logits `[sum of lengths, V]` after every token of `rows`, one row after another.
    ///
    /// # Errors
    /// An id outside the vocabulary, or more tokens than positions.
    pub(crate) fn logits(&self, rows: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        let lens: Vec<usize> = rows.iter().map(|row| row.len()).collect();
        let (ids, longest) = (rows.concat(), lens.iter().copied().max().unwrap_or(0));
        super::check(self.spec(), &ids, longest)?;
        let mut cache = self.cache(rows.len(), longest, Threads::All);
        let mut logits = Vec::new();
        self.head(&mut logits, self.extend(&mut cache, &ids, &lens), Threads::All);
        Ok(logits)
    }
}

impl KvCache {
    /// Tokens that each row holds.
    pub(crate) fn lens(&self) -> &[usize] {
        self.layers.first().map_or(&[], Cache::lens)
    }

    pub(crate) fn threads(&self) -> Threads {
        self.threads
    }

    /// Keeps only these rows (ascending numbers).
    pub(crate) fn keep_rows(&mut self, rows: &[usize]) {
        self.layers.iter_mut().for_each(|layer| layer.keep_rows(rows));
    }
}
