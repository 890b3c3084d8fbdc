//! Attention of new tokens over the keys and values of their own row's earlier tokens, for rows that each have their
//! own length. Forward only. A row's result depends on nothing but that row.
//!
//! On the CPU a row keeps its tokens without gaps, head by head, so that a head's keys and values are each read from
//! front to back. Keys are stored in groups of 16 tokens, one vector of 16 for each dimension, so that the scores of 16
//! tokens grow side by side and nothing is added across a vector.

use candle_core::{Device, Result, Tensor};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::lanes;
use crate::tile::prefetch;

/// Tokens of a group of keys, and elements of a vector.
const GROUP: usize = 16;
/// Partial sums of one score, so that one addition need not wait for the last.
const PARTS: usize = 4;

/// The heads of a layer. Query head j reads head j * `kv` / `queries` of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    pub queries: usize,
    /// Divides `queries`.
    pub kv: usize,
    /// Width of a head.
    pub dim: usize,
}

impl Heads {
    /// As many heads of keys and values as of queries, over rows of `width`.
    pub fn equal(heads: usize, width: usize) -> Self {
        assert!(heads > 0 && width.is_multiple_of(heads));
        Self { queries: heads, kv: heads, dim: width / heads }
    }

    /// Elements of a token's queries.
    pub fn query_width(self) -> usize {
        self.queries * self.dim
    }

    /// Elements of a token's keys, and of its values.
    pub fn kv_width(self) -> usize {
        self.kv * self.dim
    }

    /// Elements of a token's queries, keys and values, side by side.
    pub fn row(self) -> usize {
        self.query_width() + 2 * self.kv_width()
    }

    /// Query heads that read one head of keys and values.
    pub fn group(self) -> usize {
        self.queries / self.kv
    }
}

/// Keys and values of one layer for a batch of rows: room for `capacity` tokens. With K heads of keys and values of
/// width h, a row's keys are `[K, capacity / 16, h, 16]`, its values `[K, capacity, h]`.
#[derive(Debug, Clone)]
pub struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
    lens: Vec<usize>,
    capacity: usize,
    heads: Heads,
}

impl Cache {
    pub fn new(rows: usize, capacity: usize, heads: Heads) -> Self {
        assert!(heads.kv > 0 && heads.dim > 0 && heads.queries.is_multiple_of(heads.kv));
        let capacity = capacity.next_multiple_of(GROUP);
        let size = rows * capacity * heads.kv_width();
        Self { keys: vec![0.0; size], values: vec![0.0; size], lens: vec![0; rows], capacity, heads }
    }

    /// Tokens that each row holds.
    pub fn lens(&self) -> &[usize] {
        &self.lens
    }

    /// Keeps only these rows (ascending numbers).
    pub fn keep_rows(&mut self, rows: &[usize]) {
        assert!(rows.is_sorted_by(|a, b| a < b));
        let size = self.capacity * self.heads.kv_width();
        for (to, from) in rows.iter().enumerate() {
            self.keys.copy_within(from * size..(from + 1) * size, to * size);
            self.values.copy_within(from * size..(from + 1) * size, to * size);
        }
        self.keys.truncate(rows.len() * size);
        self.values.truncate(rows.len() * size);
        self.lens = rows.iter().map(|r| self.lens[*r]).collect();
    }

    /// Appends the keys and values of new tokens to their rows, and writes to `out` what the new queries find: softmax
    /// of q k^T / sqrt(h) over the row's tokens up to the query's own, times v, per head. Row r has `new[r]` new tokens;
    /// `qkv` `[sum of new, D + 2 K h]` and `out` `[sum of new, D]` hold the rows one after another, D = H h.
    pub fn attend(&mut self, out: &mut [f32], qkv: &[f32], new: &[usize]) {
        let Heads { dim: h, .. } = self.heads;
        let (d, kv, row, group) =
            (self.heads.query_width(), self.heads.kv_width(), self.heads.row(), self.heads.group());
        let capacity = self.capacity;
        let tokens: usize = new.iter().sum();
        assert!(out.len() == tokens * d && qkv.len() == tokens * row && new.len() == self.lens.len());
        assert!(self.lens.iter().zip(new).all(|(len, new)| len + new <= capacity));
        let mut rest = out;
        let mut first = 0;
        let tasks: Vec<_> = self
            .keys
            .chunks_mut(capacity * kv)
            .zip(self.values.chunks_mut(capacity * kv))
            .zip(&mut self.lens)
            .zip(new)
            .map(|(((keys, values), len), new)| {
                let (out, others) = std::mem::take(&mut rest).split_at_mut(new * d);
                rest = others;
                let qkv = &qkv[first * row..][..new * row];
                first += new;
                (keys, values, len, out, qkv)
            })
            .collect();
        tasks.into_par_iter().for_each_init(
            || vec![0f32; capacity],
            |scores, (keys, values, len, out, qkv)| {
                for qkv in qkv.chunks_exact(row) {
                    let (k, v) = qkv[d..].split_at(kv);
                    for (head, (k, v)) in k.chunks_exact(h).zip(v.chunks_exact(h)).enumerate() {
                        let sixteen = &mut keys[head * capacity * h + *len / GROUP * GROUP * h..][..GROUP * h];
                        for (tokens, k) in sixteen.chunks_exact_mut(GROUP).zip(k) {
                            tokens[*len % GROUP] = *k;
                        }
                        values[head * capacity * h + *len * h..][..h].copy_from_slice(v);
                    }
                    *len += 1;
                }
                let before = *len - qkv.len() / row;
                let heads = keys.chunks_exact(capacity * h).zip(values.chunks_exact(capacity * h));
                for (kv_head, (keys, values)) in heads.enumerate() {
                    for (token, (out, qkv)) in out.chunks_exact_mut(d).zip(qkv.chunks_exact(row)).enumerate() {
                        let n = before + token + 1;
                        for head in kv_head * group..(kv_head + 1) * group {
                            let (out, q) = (&mut out[head * h..][..h], &qkv[head * h..][..h]);
                            pulp::Arch::new().dispatch(Query { out, q, keys, values, n, scores });
                        }
                    }
                }
            },
        );
    }
}

/// One query of one head over the first `n` tokens of its row.
struct Query<'a> {
    out: &'a mut [f32],
    q: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    n: usize,
    scores: &'a mut [f32],
}

impl WithSimd for Query<'_> {
    type Output = ();

    /// By the number of vectors that make 16 elements.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.attend::<S, 1>(simd),
            8 => self.attend::<S, 2>(simd),
            4 => self.attend::<S, 4>(simd),
            _ => self.attend::<S, 16>(simd),
        }
    }
}

impl Query<'_> {
    #[inline(always)]
    fn attend<S: Simd, const N: usize>(self, simd: S) {
        let Self { out, q, keys, values, n, scores } = self;
        let h = q.len();
        let scale = simd.splat_f32s(1.0 / (h as f32).sqrt());
        let groups = keys.chunks_exact(GROUP * h).zip(values.chunks(GROUP * h)).take(n.div_ceil(GROUP));
        for (scores, (keys, values)) in S::as_mut_simd_f32s(scores).0.as_chunks_mut::<N>().0.iter_mut().zip(groups) {
            let keys = S::as_simd_f32s(keys).0.as_chunks::<N>().0;
            let mut parts = [[simd.splat_f32s(0.0); N]; PARTS];
            for (i, (q, keys)) in q.chunks(PARTS).zip(keys.chunks(PARTS)).enumerate() {
                // as many values as keys: they are needed right after the scores
                for line in 0..PARTS {
                    prefetch::<2>(values.as_ptr().wrapping_add((i * PARTS + line) * GROUP));
                }
                for p in 0..PARTS {
                    if p < q.len() {
                        let q = simd.splat_f32s(q[p]);
                        for i in 0..N {
                            parts[p][i] = simd.mul_add_f32s(q, keys[p][i], parts[p][i]);
                        }
                    }
                }
            }
            let [a, b, c, d] = parts;
            for i in 0..N {
                let sum = simd.add_f32s(simd.add_f32s(a[i], b[i]), simd.add_f32s(c[i], d[i]));
                scores[i] = simd.mul_f32s(sum, scale);
            }
        }
        let scores = &mut scores[..n];
        lanes::softmax(scores);
        // four vectors of columns at a time leave registers enough; what does not fill 16 columns comes last
        let whole = h / GROUP * GROUP;
        let mut column = 0;
        while column < whole {
            column += match (whole - column) / S::F32_LANES {
                4.. => weighted_sum::<S, 4>(simd, out, values, column, scores),
                2..4 => weighted_sum::<S, 2>(simd, out, values, column, scores),
                _ => weighted_sum::<S, 1>(simd, out, values, column, scores),
            };
        }
        let out = &mut out[whole..];
        if !out.is_empty() {
            out.fill(0.0);
            for (weight, v) in scores.iter().zip(values.chunks_exact(h)) {
                lanes::add_scaled(out, *weight, &v[whole..]);
            }
        }
    }
}

/// `N` vectors of columns, from `column` on, of the sum of values weighted by scores: even and odd tokens apart, in
/// order.
#[inline(always)]
fn weighted_sum<S: Simd, const N: usize>(
    simd: S,
    out: &mut [f32],
    values: &[f32],
    column: usize,
    scores: &[f32],
) -> usize {
    let (h, width) = (out.len(), N * S::F32_LANES);
    let zero = [simd.splat_f32s(0.0); N];
    let add = |mut sums: [S::f32s; N], weight: f32, v: &[f32]| {
        let weight = simd.splat_f32s(weight);
        let v = S::as_simd_f32s(&v[column..column + width]).0;
        for i in 0..N {
            sums[i] = simd.mul_add_f32s(weight, v[i], sums[i]);
        }
        sums
    };
    let (mut even, mut odd) = (zero, zero);
    let pairs = scores.chunks_exact(2);
    if let [last] = pairs.remainder() {
        even = add(even, *last, &values[(scores.len() - 1) * h..][..h]);
    }
    for (pair, v) in pairs.zip(values.chunks_exact(2 * h)) {
        let (first, second) = v.split_at(h);
        even = add(even, pair[0], first);
        odd = add(odd, pair[1], second);
    }
    let out = S::as_mut_simd_f32s(&mut out[column..column + width]).0;
    for i in 0..N {
        out[i] = simd.add_f32s(even[i], odd[i]);
    }
    width
}

/// Where the columns of a padded cache come from: prompts of a batch are padded on the right to `prompt_columns`;
/// generated tokens follow, in the same column for every row. A query at column c of a row with prompt length n sees
/// the columns j <= c with j < n or j >= `prompt_columns`, so padding is never seen.
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

    /// The additive mask `[B, 1, queries, first + queries]` for the slow twin, [`crate::attention::reference`], which
    /// is also what runs on other devices.
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
