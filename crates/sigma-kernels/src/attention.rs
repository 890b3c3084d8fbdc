//! Causal multi-head attention for training: whole sequences of one length, forward and backward. The probabilities are
//! made again in the backward pass, so memory does not grow with the square of the length. Decoding with a cache is the
//! business of [`mod@crate::cached_attention`].
//!
//! Legend: B batch, T time, H heads, h head width, D = H h. Queries, keys and values of a token lie side by side in one
//! row of `qkv` `[B * T, 3 D]`; results are `[B * T, D]`.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use crate::blocks::{Panels, Part, QUERIES, VECTOR};
use crate::lanes;
use crate::panels::Right;
use crate::shared::Shared;
use crate::tile::Left;

/// Sizes of one attention call.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    pub time: usize,
    /// D.
    pub width: usize,
    /// H, which divides D.
    pub heads: usize,
}

impl Sizes {
    fn head(self) -> usize {
        self.width / self.heads
    }

    fn scale(self) -> f32 {
        1.0 / (self.head() as f32).sqrt()
    }

    /// Where the block of one (row, head) pair begins in a buffer whose rows are `stride` apart.
    fn offset(self, pair: usize, stride: usize) -> usize {
        (pair / self.heads) * self.time * stride + (pair % self.heads) * self.head()
    }

    fn check(self, qkv: &[f32], out: &[f32]) {
        let tokens = self.batch * self.time;
        assert!(self.heads > 0 && self.width.is_multiple_of(self.heads));
        assert!(qkv.len() == tokens * 3 * self.width && out.len() == tokens * self.width);
    }
}

/// Tokens that are treated together: as queries, with all that the last of them sees.
fn blocks(time: usize) -> impl Iterator<Item = Range<usize>> {
    (0..time).step_by(QUERIES).map(move |first| first..time.min(first + QUERIES))
}

/// What a thread computes a (row, head) pair in.
#[derive(Default)]
struct Space {
    /// Probabilities, and the gradient of the scores.
    p: Vec<f32>,
    ds: Vec<f32>,
    panels: [Vec<f32>; 2],
}

/// The probabilities of the queries `rows` of one (row, head) pair, for the keys up to the last of these rows. Rows of
/// `p` are `wide` apart, whole vectors; `queries` begins at the first of the rows.
fn probabilities(p: &mut [f32], wide: usize, queries: &[f32], keys: &Panels<'_>, rows: Range<usize>, sizes: Sizes) {
    let (left, seen) = ((queries, Left::Rows(3 * sizes.width)), rows.end.next_multiple_of(VECTOR));
    assert!(seen <= wide && p.len() >= rows.len() * wide);
    let part = Part { rows: rows.len(), inner: 0..sizes.head(), columns: rows.end };
    // SAFETY: p has these rows by the assertion, and is borrowed
    unsafe { keys.multiply((p.as_mut_ptr(), wide), left, part) };
    lanes::vectorized(
        #[inline(always)]
        || {
            for (row, i) in p.chunks_exact_mut(wide).zip(rows) {
                let row = &mut row[..seen];
                row[i + 1..].fill(f32::NEG_INFINITY);
                lanes::scale(row, sizes.scale());
                lanes::softmax(row);
            }
        },
    );
}

/// out = softmax(q k^T / sqrt(h) + causal mask) v per head.
pub fn forward(out: &mut [f32], qkv: &[f32], sizes: Sizes) {
    sizes.check(qkv, out);
    let (t, d, h, wide) = (sizes.time, sizes.width, sizes.head(), sizes.time.next_multiple_of(VECTOR));
    let shared = Shared::new(out);
    (0..sizes.batch * sizes.heads).into_par_iter().for_each_init(Space::default, |space, pair| {
        let qkv = &qkv[sizes.offset(pair, 3 * d)..];
        let [keys, values] = &mut space.panels;
        let keys = Panels::pack(keys, Right::Transposed(&qkv[d..], 3 * d), (h, t));
        let values = Panels::pack(values, Right::AsIs(&qkv[2 * d..], 3 * d), (t, h));
        space.p.resize(QUERIES * wide, 0.0);
        for rows in blocks(t) {
            probabilities(&mut space.p, wide, &qkv[rows.start * 3 * d..], &keys, rows.clone(), sizes);
            let part = Part { rows: rows.len(), inner: 0..rows.end, columns: h };
            // SAFETY: each task writes only the h columns of its own head in its own rows
            unsafe {
                let out = shared.at(sizes.offset(pair, d) + rows.start * d);
                values.multiply((out, d), (&space.p, Left::Rows(wide)), part);
            }
        }
    });
}

/// The gradient of `qkv` from that of the result: dV = P^T dO, dP = dO V^T, dS = P * (dP - rowsum(P * dP)),
/// dQ = dS K / sqrt(h), dK = dS^T Q / sqrt(h).
pub fn backward(dqkv: &mut [f32], dout: &[f32], qkv: &[f32], sizes: Sizes) {
    sizes.check(qkv, dout);
    assert!(dqkv.len() == qkv.len());
    let (t, d, h, wide) = (sizes.time, sizes.width, sizes.head(), sizes.time.next_multiple_of(VECTOR));
    let shared = Shared::new(dqkv);
    (0..sizes.batch * sizes.heads).into_par_iter().for_each_init(Space::default, |space, pair| {
        let at = sizes.offset(pair, 3 * d);
        let (q, g) = (&qkv[at..], &dout[sizes.offset(pair, d)..]);
        let (k, v) = (&q[d..], &q[2 * d..]);
        let Space { p, ds, panels: [one, other] } = space;
        p.resize(t * wide, 0.0);
        ds.resize(t * wide, 0.0);
        let keys = Panels::pack(one, Right::Transposed(k, 3 * d), (h, t));
        let values = Panels::pack(other, Right::Transposed(v, 3 * d), (h, t));
        for rows in blocks(t) {
            let (p, ds) = (&mut p[rows.start * wide..], &mut ds[rows.start * wide..]);
            probabilities(p, wide, &q[rows.start * 3 * d..], &keys, rows.clone(), sizes);
            let part = Part { rows: rows.len(), inner: 0..h, columns: rows.end };
            // SAFETY: ds has t rows, and is borrowed
            unsafe { values.multiply((ds.as_mut_ptr(), wide), (&g[rows.start * d..], Left::Rows(d)), part) };
            score_gradients(ds, p, wide, rows, sizes.scale());
        }
        // what is right of a block on the diagonal is never read
        let by_query = |matrix: &[f32], panels: &Panels<'_>, to: usize| {
            for rows in blocks(t) {
                let part = Part { rows: rows.len(), inner: 0..rows.end, columns: h };
                let left = (&matrix[rows.start * wide..], Left::Rows(wide));
                // SAFETY: writes go only to the h columns of the pair's own head in its own rows
                unsafe { panels.multiply((shared.at(to + rows.start * 3 * d), 3 * d), left, part) };
            }
        };
        let by_key = |matrix: &[f32], panels: &Panels<'_>, to: usize| {
            for keys in blocks(t) {
                let part = Part { rows: keys.len(), inner: keys.start..t, columns: h };
                let left = (&matrix[keys.start * (wide + 1)..], Left::Columns(wide));
                // SAFETY: as above
                unsafe { panels.multiply((shared.at(to + keys.start * 3 * d), 3 * d), left, part) };
            }
        };
        by_key(p, &Panels::pack(one, Right::AsIs(g, d), (t, h)), at + 2 * d);
        by_query(ds, &Panels::pack(one, Right::AsIs(k, 3 * d), (t, h)), at);
        by_key(ds, &Panels::pack(one, Right::AsIs(q, 3 * d), (t, h)), at + d);
    });
}

/// dS / sqrt(h) of the queries `rows`, in the place of dP.
fn score_gradients(ds: &mut [f32], p: &[f32], wide: usize, rows: Range<usize>, scale: f32) {
    lanes::vectorized(
        #[inline(always)]
        || {
            for (p, ds) in p.chunks_exact(wide).zip(ds.chunks_exact_mut(wide)).take(rows.len()) {
                let (p, ds) = (&p[..rows.end], &mut ds[..rows.end]);
                let inner = lanes::dot(p, ds);
                for (ds, p) in ds.iter_mut().zip(p) {
                    *ds = p * (*ds - inner) * scale;
                }
            }
        },
    );
}

/// The additive mask of whole sequences, `[1, 1, T, T]`: nothing for what a query sees, the lowest f32 for what comes
/// later.
pub fn causal_mask(time: usize, device: &Device) -> Result<Tensor> {
    let mask: Vec<f32> = (0..time * time).map(|i| if i % time > i / time { f32::MIN } else { 0.0 }).collect();
    Tensor::from_vec(mask, (1, 1, time, time), device)
}

/// The same for q `[B, Q, D]` over k and v `[B, K, D]` by matmul, an additive mask `[1 or B, 1, Q, K]` and candle's
/// composed softmax (in f32, as transformers does), differentiable by candle.
pub fn reference(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, mask: &Tensor) -> Result<Tensor> {
    let (b, queries, d) = q.dims3()?;
    let split = |x: &Tensor| x.reshape((b, x.dim(1)?, heads, d / heads))?.transpose(1, 2)?.contiguous();
    let scale = 1.0 / ((d / heads) as f64).sqrt();
    let scores = (split(q)? * scale)?.matmul(&split(k)?.t()?)?.to_dtype(DType::F32)?.broadcast_add(mask)?;
    let probabilities = candle_nn::ops::softmax(&scores, 3)?.to_dtype(v.dtype())?;
    probabilities.matmul(&split(v)?)?.transpose(1, 2)?.contiguous()?.reshape((b, queries, d))
}
