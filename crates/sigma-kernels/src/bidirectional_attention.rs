//! Multi-head attention in which all tokens of a row see each other, for rows that each have their own length and lie
//! one after another without padding, so there is no mask. Forward only, on the calling thread: who has many rows gives
//! each thread some. A row's result depends on nothing but that row.

use candle_core::{D, Result, Tensor};

use crate::blocks::{Panels, Part, QUERIES, VECTOR};
use crate::lanes;
use crate::panels::Right;
use crate::tile::Left;

/// Space that can be used again.
#[derive(Debug, Default)]
pub struct Space {
    /// Probabilities of a few queries.
    p: Vec<f32>,
    panels: [Vec<f32>; 2],
}

/// What is added to the score of two tokens, by head and distance.
#[derive(Debug, Clone, Copy)]
pub struct ByDistance<'a> {
    /// `[heads, 2 * longest - 1]`: the place of the key less that of the query, from `1 - longest` on.
    pub bias: &'a [f32],
    pub longest: usize,
}

/// out = softmax(q k^T / sqrt(h)) v per row and head of width h = D / heads. Queries, keys and values of a token lie
/// side by side in `qkv` `[sum of lens, 3 D]`, to which `bias` `[3 D]` is added first; `out` is `[sum of lens, D]`.
pub fn forward(out: &mut [f32], qkv: &mut [f32], bias: &[f32], lens: &[usize], heads: usize, space: &mut Space) {
    forward_with((out, qkv), bias, lens, heads, None, space);
}

/// The same, with something added to each score that depends on the distance of the two tokens.
pub fn forward_with(
    (out, qkv): (&mut [f32], &mut [f32]),
    bias: &[f32],
    lens: &[usize],
    heads: usize,
    by_distance: Option<ByDistance<'_>>,
    space: &mut Space,
) {
    let d = bias.len() / 3;
    let tokens = lens.iter().sum::<usize>();
    assert!(by_distance.is_none_or(|by| {
        lens.iter().all(|len| *len <= by.longest) && by.bias.len() == heads * (2 * by.longest.max(1) - 1)
    }));
    assert!(heads > 0 && d.is_multiple_of(heads) && bias.len() == 3 * d);
    assert!(qkv.len() == tokens * 3 * d && out.len() == tokens * d);
    let (mut out, mut qkv) = (out, qkv);
    for len in lens {
        let (row, other_rows) = qkv.split_at_mut(len * 3 * d);
        let (out_row, other_outs) = out.split_at_mut(len * d);
        if *len > 0 {
            attend((out_row, row), bias, heads, by_distance, space);
        }
        (qkv, out) = (other_rows, other_outs);
    }
}

/// One row of `t` tokens.
fn attend(
    (out, qkv): (&mut [f32], &mut [f32]),
    bias: &[f32],
    heads: usize,
    by_distance: Option<ByDistance<'_>>,
    space: &mut Space,
) {
    let d = bias.len() / 3;
    let (t, h) = (out.len() / d, d / heads);
    lanes::vectorized(
        #[inline(always)]
        || {
            for qkv in qkv.chunks_exact_mut(3 * d) {
                lanes::add_scaled(qkv, 1.0, bias);
            }
        },
    );
    let wide = t.next_multiple_of(VECTOR);
    for at in (0..d).step_by(h) {
        let [q, k, v] = [at, d + at, 2 * d + at].map(|at| &qkv[at..]);
        let [keys, values] = &mut space.panels;
        let keys = Panels::pack(keys, Right::Transposed(k, 3 * d), (h, t));
        let values = Panels::pack(values, Right::AsIs(v, 3 * d), (t, h));
        space.p.resize(QUERIES.min(t) * wide, 0.0);
        for first in (0..t).step_by(QUERIES) {
            let rows = QUERIES.min(t - first);
            let (p, out) = (&mut space.p[..rows * wide], &mut out[first * d + at..]);
            let scores = Part { rows, inner: 0..h, columns: t };
            let means = Part { rows, inner: 0..t, columns: h };
            // SAFETY: p has these rows, and is borrowed
            unsafe { keys.multiply((p.as_mut_ptr(), wide), (&q[first * 3 * d..], Left::Rows(3 * d)), scores) };
            lanes::vectorized(
                #[inline(always)]
                || {
                    for (query, p) in (first..).zip(p.chunks_exact_mut(wide)) {
                        p[t..].fill(f32::NEG_INFINITY);
                        lanes::scale(p, 1.0 / (h as f32).sqrt());
                        if let Some(ByDistance { bias, longest }) = by_distance {
                            let start = at / h * (2 * longest - 1) + longest - 1 - query;
                            lanes::add_scaled(&mut p[..t], 1.0, &bias[start..start + t]);
                        }
                        lanes::softmax(p);
                    }
                },
            );
            // SAFETY: these rows and the h columns of this head lie inside out, which is borrowed
            unsafe { values.multiply((out.as_mut_ptr(), d), (p, Left::Rows(wide)), means) };
        }
    }
}

/// The same for one row by candle's composed operations: q, k and v `[T, D]`, bias included.
pub fn reference(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (t, d) = q.dims2()?;
    let split = |x: &Tensor| x.reshape((t, heads, d / heads))?.transpose(0, 1)?.contiguous();
    let (q, k, v) = (split(q)?, split(k)?, split(v)?);
    let scores = (q.matmul(&k.t()?)? / ((d / heads) as f64).sqrt())?;
    candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v)?.transpose(0, 1)?.reshape((t, d))
}
