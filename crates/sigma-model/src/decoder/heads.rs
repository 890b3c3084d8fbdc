//! Between the product that makes queries, keys and values and attention over them: norms of heads, rotary positions,
//! the scale of scores, and one copy of each head of keys and values per query head. Forward and backward.
//!
//! A row of `qkv` holds a token's queries, keys and values side by side (`Heads::row`); a row of `wide` has as many
//! heads of keys and values as of queries, which is what attention over whole sequences takes.

use std::sync::Arc;

use rayon::prelude::*;
use sigma_kernels::cached_attention::Heads;
use sigma_kernels::rope::{self, Table};

use super::layout::{LayerLayout, NormRange};
use super::norm;
use super::weights::Weights;
use crate::spec::{DecoderSpec, Layer, QkNorm, Rope};

/// Columns of a matrix whose rows are `stride` wide.
#[derive(Debug, Clone, Copy)]
struct Columns {
    stride: usize,
    start: usize,
    width: usize,
}

pub(super) fn of(spec: &DecoderSpec) -> Heads {
    let attention = spec.attention;
    Heads { queries: attention.n_heads, kv: attention.n_kv_heads, dim: attention.head_dim }
}

fn queries(heads: Heads) -> Columns {
    Columns { stride: heads.row(), start: 0, width: heads.query_width() }
}

fn keys(heads: Heads) -> Columns {
    Columns { stride: heads.row(), start: heads.query_width(), width: heads.kv_width() }
}

/// Cosines and sines of the positions in use, one table for all layers that turn alike.
#[derive(Debug, Default)]
pub(super) struct Tables {
    layers: Vec<Option<Arc<Table>>>,
    positions: usize,
}

impl Tables {
    /// Makes tables for at least so many positions, if there are fewer.
    pub(super) fn grow(&mut self, spec: &DecoderSpec, positions: usize) {
        if self.positions >= positions && self.layers.len() == spec.layers.len() {
            return;
        }
        let mut made: Vec<(&Rope, Arc<Table>)> = Vec::new();
        self.layers = Vec::with_capacity(spec.layers.len());
        for layer in &spec.layers {
            let Some(rope) = &layer.rope else {
                self.layers.push(None);
                continue;
            };
            if !made.iter().any(|(own, _)| *own == rope) {
                let table = Table::new(&rope.frequencies(), positions, rope.attention_factor() as f32);
                made.push((rope, Arc::new(table)));
            }
            self.layers.push(made.iter().find(|(own, _)| *own == rope).map(|(_, table)| table.clone()));
        }
        self.positions = positions;
    }

    pub(super) fn of(&self, layer: usize) -> Option<&Table> {
        self.layers.get(layer).and_then(Option::as_deref)
    }
}

/// What is done to the heads of one layer.
#[derive(Clone, Copy)]
pub(super) struct HeadSteps<'a> {
    pub(super) spec: &'a DecoderSpec,
    pub(super) layer: &'a Layer,
    pub(super) layout: &'a LayerLayout,
    pub(super) table: Option<&'a Table>,
    /// Of each row.
    pub(super) positions: &'a [u32],
}

impl HeadSteps<'_> {
    /// What attention multiplies scores with is 1 / sqrt(head width); the rest of the factor goes to the queries.
    fn query_scale(&self) -> f32 {
        (self.layer.score_scale * (self.spec.attention.head_dim as f64).sqrt()) as f32
    }

    fn norms(&self) -> [Option<(&NormRange, Columns)>; 2] {
        let heads = of(self.spec);
        [
            self.layout.q_norm.as_ref().map(|norm| (norm, queries(heads))),
            self.layout.k_norm.as_ref().map(|norm| (norm, keys(heads))),
        ]
    }

    /// In place; `scratch` holds what it likes.
    pub(super) fn forward(&self, qkv: &mut [f32], weights: Weights<'_>, scratch: &mut [Vec<f32>; 2]) {
        let heads = of(self.spec);
        if self.spec.attention.qk_norm != QkNorm::None {
            let [x, y] = scratch;
            for (norm, columns) in self.norms().into_iter().flatten() {
                take(x, qkv, columns);
                y.resize(x.len(), 0.0);
                norm::forward(y, x, self.spec.norm, norm, weights);
                put(qkv, y, columns);
            }
        }
        if let Some(table) = self.table {
            for heads in [turned(queries(heads), heads.dim), turned(keys(heads), heads.dim)] {
                rope::forward(qkv, heads, self.positions, table);
            }
        }
        scale(qkv, queries(heads), self.query_scale());
    }

    /// Turns the gradient of what [`Self::forward`] has made into that of what it was given, in place. `before` is what
    /// it was given; it is read only where heads have norms.
    pub(super) fn backward(
        &self,
        dqkv: &mut [f32],
        before: &[f32],
        (values, gradients): (&[f32], &mut [f32]),
        scratch: &mut [Vec<f32>; 3],
    ) {
        let heads = of(self.spec);
        scale(dqkv, queries(heads), self.query_scale());
        if let Some(table) = self.table {
            for heads in [turned(queries(heads), heads.dim), turned(keys(heads), heads.dim)] {
                rope::backward(dqkv, heads, self.positions, table);
            }
        }
        if self.spec.attention.qk_norm != QkNorm::None {
            let [x, dy, dx] = scratch;
            for (norm, columns) in self.norms().into_iter().flatten() {
                take(x, before, columns);
                take(dy, dqkv, columns);
                dx.resize(x.len(), 0.0);
                norm::backward((dx, false), gradients, dy, x, self.spec.norm, (norm, values));
                put(dqkv, dx, columns);
            }
        }
    }
}

fn turned(columns: Columns, dim: usize) -> rope::Heads {
    rope::Heads { width: columns.stride, start: columns.start, count: columns.width / dim, dim }
}

fn take(to: &mut Vec<f32>, from: &[f32], columns: Columns) {
    to.clear();
    for row in from.chunks_exact(columns.stride) {
        to.extend_from_slice(&row[columns.start..][..columns.width]);
    }
}

fn put(to: &mut [f32], from: &[f32], columns: Columns) {
    for (row, from) in to.chunks_exact_mut(columns.stride).zip(from.chunks_exact(columns.width)) {
        row[columns.start..][..columns.width].copy_from_slice(from);
    }
}

fn scale(x: &mut [f32], columns: Columns, factor: f32) {
    // the usual factor is exactly this up to the rounding of f64
    if (factor - 1.0).abs() > 1e-6 {
        x.par_chunks_exact_mut(columns.stride).for_each(|row| {
            row[columns.start..][..columns.width].iter_mut().for_each(|x| *x *= factor);
        });
    }
}

/// `wide` `[R, 3 D]` with a copy of each head of keys and values for each query head that reads it.
pub(super) fn widen(wide: &mut [f32], qkv: &[f32], heads: Heads) {
    let (d, kv, h, group) = (heads.query_width(), heads.kv_width(), heads.dim, heads.group());
    wide.par_chunks_exact_mut(3 * d).zip(qkv.par_chunks_exact(heads.row())).for_each(|(wide, row)| {
        wide[..d].copy_from_slice(&row[..d]);
        let (keys, values) = wide[d..].split_at_mut(d);
        for (to, from) in [(keys, &row[d..d + kv]), (values, &row[d + kv..])] {
            for (to, from) in to.chunks_exact_mut(group * h).zip(from.chunks_exact(h)) {
                to.chunks_exact_mut(h).for_each(|to| to.copy_from_slice(from));
            }
        }
    });
}

/// The gradient of `qkv` from that of `wide`: copies of a head add up.
pub(super) fn narrow(dqkv: &mut [f32], dwide: &[f32], heads: Heads) {
    let (d, kv, h, group) = (heads.query_width(), heads.kv_width(), heads.dim, heads.group());
    dqkv.par_chunks_exact_mut(heads.row()).zip(dwide.par_chunks_exact(3 * d)).for_each(|(row, wide)| {
        row[..d].copy_from_slice(&wide[..d]);
        let (keys, values) = row[d..].split_at_mut(kv);
        for (to, from) in [(keys, &wide[d..2 * d]), (values, &wide[2 * d..])] {
            for (to, from) in to.chunks_exact_mut(h).zip(from.chunks_exact(group * h)) {
                to.copy_from_slice(&from[..h]);
                for copy in from[h..].chunks_exact(h) {
                    to.iter_mut().zip(copy).for_each(|(to, from)| *to += from);
                }
            }
        }
    });
}
