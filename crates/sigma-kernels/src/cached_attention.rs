//! Attention of new tokens over the keys and values of their own row's earlier tokens, for rows that each have their own
//! length. Forward only. A row's result depends on nothing but that row.
//!
//! On the CPU a row keeps its tokens without gaps, head by head, so that a head's keys and values are each read from
//! front to back. Keys are stored in groups of 16 tokens, one vector of 16 for each dimension, so that the scores of 16
//! tokens grow side by side and nothing is added across a vector.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use crate::lanes;

/// Tokens of a group of keys, and elements of a vector.
const GROUP: usize = 16;
/// Partial sums of one score, so that one addition need not wait for the last.
const PARTS: usize = 4;

/// Keys and values of one layer for a batch of rows: room for `capacity` tokens of width D = H h each. A row's keys are
/// `[H, capacity / 16, h, 16]`, its values `[H, capacity, h]`.
#[derive(Debug, Clone)]
pub struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
    lens: Vec<usize>,
    capacity: usize,
    heads: usize,
    width: usize,
}

impl Cache {
    pub fn new(rows: usize, capacity: usize, heads: usize, width: usize) -> Self {
        assert!(heads > 0 && width.is_multiple_of(heads));
        let capacity = capacity.next_multiple_of(GROUP);
        let size = rows * capacity * width;
        Self { keys: vec![0.0; size], values: vec![0.0; size], lens: vec![0; rows], capacity, heads, width }
    }

    /// Tokens that each row holds.
    pub fn lens(&self) -> &[usize] {
        &self.lens
    }

    /// Keeps only these rows (ascending numbers).
    pub fn keep_rows(&mut self, rows: &[usize]) {
        assert!(rows.is_sorted_by(|a, b| a < b));
        let size = self.capacity * self.width;
        for (to, from) in rows.iter().enumerate() {
            self.keys.copy_within(from * size..(from + 1) * size, to * size);
            self.values.copy_within(from * size..(from + 1) * size, to * size);
        }
        self.keys.truncate(rows.len() * size);
        self.values.truncate(rows.len() * size);
        self.lens = rows.iter().map(|r| self.lens[*r]).collect();
    }

    /// Appends the keys and values of new tokens to their rows, and writes to `out` what the new queries find: softmax of
    /// q k^T / sqrt(h) over the row's tokens up to the query's own, times v, per head of width h = D / H. Row r has
    /// `new[r]` new tokens; `qkv` `[sum of new, 3 D]` and `out` `[sum of new, D]` hold the rows one after another.
    pub fn attend(&mut self, out: &mut [f32], qkv: &[f32], new: &[usize]) {
        let (d, capacity, h) = (self.width, self.capacity, self.width / self.heads);
        let tokens: usize = new.iter().sum();
        assert!(out.len() == tokens * d && qkv.len() == tokens * 3 * d && new.len() == self.lens.len());
        assert!(self.lens.iter().zip(new).all(|(len, new)| len + new <= capacity));
        let mut rest = out;
        let mut first = 0;
        let tasks: Vec<_> = self
            .keys
            .chunks_mut(capacity * d)
            .zip(self.values.chunks_mut(capacity * d))
            .zip(&mut self.lens)
            .zip(new)
            .map(|(((keys, values), len), new)| {
                let (out, others) = std::mem::take(&mut rest).split_at_mut(new * d);
                rest = others;
                let qkv = &qkv[first * 3 * d..][..new * 3 * d];
                first += new;
                (keys, values, len, out, qkv)
            })
            .collect();
        tasks.into_par_iter().for_each_init(
            || vec![0f32; capacity],
            |scores, (keys, values, len, out, qkv)| {
                for (out, qkv) in out.chunks_exact_mut(d).zip(qkv.chunks_exact(3 * d)) {
                    let (q, kv) = qkv.split_at(d);
                    let (k, v) = kv.split_at(d);
                    for (head, (k, v)) in k.chunks_exact(h).zip(v.chunks_exact(h)).enumerate() {
                        let group = &mut keys[head * capacity * h + *len / GROUP * GROUP * h..][..GROUP * h];
                        for (tokens, k) in group.chunks_exact_mut(GROUP).zip(k) {
                            tokens[*len % GROUP] = *k;
                        }
                        values[head * capacity * h + *len * h..][..h].copy_from_slice(v);
                    }
                    *len += 1;
                    let heads = keys.chunks_exact(capacity * h).zip(values.chunks_exact(capacity * h));
                    for ((out, q), (keys, values)) in out.chunks_exact_mut(h).zip(q.chunks_exact(h)).zip(heads) {
                        lanes::vectorized(
                            #[inline(always)]
                            || attend(out, q, keys, values, *len, scores),
                        );
                    }
                }
            },
        );
    }
}

/// One query of one head over the first `n` tokens of its row.
#[inline(always)]
fn attend(out: &mut [f32], q: &[f32], keys: &[f32], values: &[f32], n: usize, scores: &mut [f32]) {
    let h = q.len();
    let scale = 1.0 / (h as f32).sqrt();
    let groups = keys.chunks_exact(GROUP * h).take(n.div_ceil(GROUP));
    for (scores, keys) in scores.chunks_exact_mut(GROUP).zip(groups) {
        let mut parts = [[0f32; GROUP]; PARTS];
        for (q, keys) in q.chunks(PARTS).zip(keys.chunks(PARTS * GROUP)) {
            for ((part, q), k) in parts.iter_mut().zip(q).zip(keys.chunks_exact(GROUP)) {
                for lane in 0..GROUP {
                    part[lane] = q.mul_add(k[lane], part[lane]);
                }
            }
        }
        let [a, b, c, d] = parts;
        for lane in 0..GROUP {
            scores[lane] = ((a[lane] + b[lane]) + (c[lane] + d[lane])) * scale;
        }
    }
    let scores = &mut scores[..n];
    let top = lanes::max(scores);
    let norm = 1.0 / lanes::exp_sum(scores, top);
    for x in scores.iter_mut() {
        *x *= norm;
    }
    let mut column = 0;
    while column < h {
        column += match h - column {
            64.. => weighted_sum::<4>(out, values, column, scores),
            32.. => weighted_sum::<2>(out, values, column, scores),
            16.. => weighted_sum::<1>(out, values, column, scores),
            _ => {
                let out = &mut out[column..];
                out.fill(0.0);
                for (weight, v) in scores.iter().zip(values.chunks_exact(h)) {
                    lanes::add_scaled(out, *weight, &v[column..]);
                }
                h - column
            }
        };
    }
}

/// `16 N` columns, from `column` on, of the sum of values weighted by scores: even and odd tokens apart, in order.
#[inline(always)]
fn weighted_sum<const N: usize>(out: &mut [f32], values: &[f32], column: usize, scores: &[f32]) -> usize {
    let h = out.len();
    let (mut even, mut odd) = ([[0f32; GROUP]; N], [[0f32; GROUP]; N]);
    let pairs = scores.chunks_exact(2);
    if let [last] = pairs.remainder() {
        add_weighted(&mut even, *last, column, &values[(scores.len() - 1) * h..][..h]);
    }
    for (pair, v) in pairs.zip(values.chunks_exact(2 * h)) {
        add_weighted(&mut even, pair[0], column, &v[..h]);
        add_weighted(&mut odd, pair[1], column, &v[h..]);
    }
    for ((out, even), odd) in out[column..].chunks_exact_mut(GROUP).zip(even).zip(odd) {
        for lane in 0..GROUP {
            out[lane] = even[lane] + odd[lane];
        }
    }
    N * GROUP
}

#[inline(always)]
fn add_weighted<const N: usize>(sums: &mut [[f32; GROUP]; N], weight: f32, column: usize, v: &[f32]) {
    for (sum, v) in sums.iter_mut().zip(v[column..].chunks_exact(GROUP)) {
        for lane in 0..GROUP {
            sum[lane] = weight.mul_add(v[lane], sum[lane]);
        }
    }
}

/// Where the columns of a padded cache come from: prompts of a batch are padded on the right to `prompt_columns`;
/// generated tokens follow, in the same column for every row. A query at column c of a row with prompt length n sees the
/// columns j <= c with j < n or j >= `prompt_columns`, so padding is never seen.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// Prompt length of each row (at least 1).
    pub prompt_lens: &'a [usize],
    /// Columns that hold prompts: the longest prompt of the batch.
    pub prompt_columns: usize,
    /// Column of the first query; the cache must be filled up to the last query's column.
    pub first: usize,
}

impl Columns<'_> {
    fn sees(&self, row: usize, query: usize, key: usize) -> bool {
        key <= query && (key < self.prompt_lens[row] || key >= self.prompt_columns)
    }

    /// The additive mask `[B, 1, queries, first + queries]` for the slow twin, [`crate::attention::reference`], which is
    /// also what runs on other devices.
    pub fn mask(&self, queries: usize, device: &Device) -> Result<Tensor> {
        let (rows, keys) = (self.prompt_lens.len(), self.first + queries);
        let mut mask = Vec::with_capacity(rows * queries * keys);
        for row in 0..rows {
            for query in self.first..keys {
                mask.extend((0..keys).map(|key| if self.sees(row, query, key) { 0f32 } else { f32::MIN }));
            }
        }
        Tensor::from_vec(mask, (rows, 1, queries, keys), device)
    }
}
