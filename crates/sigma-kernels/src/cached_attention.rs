//! Attention of new tokens over a key/value cache, for prompts of different lengths in one batch. Forward only.
//!
//! A cache is `[B, C, H * h]`, one column per token. Prompts are padded on the right to P columns; generated tokens
//! follow from column P on, in the same column for every row. A query at column c of a row with prompt length n sees
//! the columns j <= c with j < n or j >= P, so padding is never seen. On the CPU the visible keys are gathered in order
//! before anything is summed: the result for one row does not depend on the padding, nor on any other row.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::{cpu, lanes};

/// Where the columns of a cache come from.
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
}

/// Attention of q `[B, Q, H * h]`, whose columns begin at `columns.first`, over caches `[B, C, H * h]`.
pub fn cached_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, columns: Columns<'_>) -> Result<Tensor> {
    let q = &q.contiguous()?;
    if cpu::fused(&[q, k, v]) {
        return q.apply_op3_no_bwd(k, v, &Cached { heads, columns });
    }
    reference(q, k, v, heads, columns)
}

/// The same by matmul and an additive mask.
pub fn reference(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, columns: Columns<'_>) -> Result<Tensor> {
    let (b, queries, d) = q.dims3()?;
    let keys = columns.first + queries;
    let mut mask = Vec::with_capacity(b * queries * keys);
    for row in 0..b {
        for query in columns.first..keys {
            mask.extend((0..keys).map(|key| if columns.sees(row, query, key) { 0f32 } else { f32::MIN }));
        }
    }
    let mask = Tensor::from_vec(mask, (b, 1, queries, keys), q.device())?;
    let split = |x: &Tensor, n: usize| x.reshape((b, n, heads, d / heads))?.transpose(1, 2)?.contiguous();
    let (k, v) = (k.narrow(1, 0, keys)?.contiguous()?, v.narrow(1, 0, keys)?.contiguous()?);
    let scale = 1.0 / ((d / heads) as f64).sqrt();
    let scores = (split(q, queries)? * scale)?.matmul(&split(&k, keys)?.t()?)?;
    let scores = scores.to_dtype(DType::F32)?.broadcast_add(&mask)?;
    let probabilities = candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(v.dtype())?;
    probabilities.matmul(&split(&v, keys)?)?.transpose(1, 2)?.contiguous()?.reshape((b, queries, d))
}

struct Cached<'a> {
    heads: usize,
    columns: Columns<'a>,
}

impl CustomOp3 for Cached<'_> {
    fn name(&self) -> &'static str {
        "cached-attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let name = "cached-attention";
        let ((b, queries, d), (kb, cache, kd)) = (ql.shape().dims3()?, kl.shape().dims3()?);
        let fits = self.columns.first + queries <= cache && self.columns.prompt_lens.len() == b;
        if !fits || kb != b || kd != d || vl.shape() != kl.shape() || self.heads == 0 || d % self.heads != 0 {
            candle_core::bail!(
                "cached-attention: q {:?} from column {}, k {:?}, v {:?}, {} heads, {} prompt lengths",
                ql.shape(),
                self.columns.first,
                kl.shape(),
                vl.shape(),
                self.heads,
                self.columns.prompt_lens.len()
            );
        }
        let (q, k, v) = (cpu::slice(q, ql, name)?, cpu::slice(k, kl, name)?, cpu::slice(v, vl, name)?);
        let h = d / self.heads;
        let scale = 1.0 / (h as f32).sqrt();
        let mut out = vec![0f32; q.len()];
        // one task per row: a key's heads lie side by side, so keys and values are read once, from first to last
        out.par_chunks_mut(queries * d).enumerate().for_each_init(
            || vec![0f32; cache * self.heads],
            |scores, (row, out)| {
                let (k, v) = (&k[row * cache * d..][..cache * d], &v[row * cache * d..][..cache * d]);
                let q = &q[row * queries * d..][..queries * d];
                let prompt = self.columns.prompt_lens[row];
                for (i, (q, out)) in q.chunks_exact(d).zip(out.chunks_exact_mut(d)).enumerate() {
                    let column = self.columns.first + i;
                    // the columns that hold visible keys: of the prompt, and generated ones
                    let visible = [0..prompt.min(column + 1), self.columns.prompt_columns.max(prompt)..column + 1];
                    lanes::vectorized(
                        #[inline(always)]
                        || attend(q, k, v, h, scale, visible, scores, out),
                    );
                }
            },
        );
        Ok((CpuStorage::F32(out), ql.shape().clone()))
    }
}

/// One query, all its heads of width `h`: `k` and `v` are the row's caches, `out` is zero on entry.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn attend(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    h: usize,
    scale: f32,
    visible: [Range<usize>; 2],
    scores: &mut [f32],
    out: &mut [f32],
) {
    let d = q.len();
    let n = visible[0].len() + visible[1].len();
    let mut rank = 0;
    for keys in &visible {
        for k in k[keys.start * d..keys.end.max(keys.start) * d].chunks_exact(d) {
            for (head, (q, k)) in q.chunks_exact(h).zip(k.chunks_exact(h)).enumerate() {
                scores[head * n + rank] = lanes::dot(q, k) * scale;
            }
            rank += 1;
        }
    }
    for scores in scores[..n * (d / h)].chunks_exact_mut(n) {
        let top = lanes::max(scores);
        let norm = 1.0 / lanes::exp_sum(scores, top);
        scores.iter_mut().for_each(|x| *x *= norm);
    }
    let mut rank = 0;
    for keys in &visible {
        for v in v[keys.start * d..keys.end.max(keys.start) * d].chunks_exact(d) {
            for (head, (out, v)) in out.chunks_exact_mut(h).zip(v.chunks_exact(h)).enumerate() {
                lanes::add_scaled(out, scores[head * n + rank], v);
            }
            rank += 1;
        }
    }
}
