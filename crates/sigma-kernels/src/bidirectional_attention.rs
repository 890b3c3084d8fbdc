//! Multi-head attention in which all tokens of a row see each other, for rows that each have their own length and lie one after
//! another without padding, so there is no mask. Forward only, on the calling thread: who has many rows gives each thread some.
//! A row's result depends on nothing but that row.

use candle_core::{D, Result, Tensor};

use crate::blocks::{Matrix, product};
use crate::lanes;
use crate::shared::Shared;

/// out = softmax(q k^T / sqrt(h)) v per row and head of width h = D / heads. Queries, keys and values of a token lie side by
/// side in `qkv` `[sum of lens, 3 D]`, to which `bias` `[3 D]` is added first; `out` is `[sum of lens, D]`. `scores` is space
/// that can be used again.
pub fn forward(out: &mut [f32], qkv: &mut [f32], bias: &[f32], lens: &[usize], heads: usize, scores: &mut Vec<f32>) {
    let d = bias.len() / 3;
    let (tokens, longest) = (lens.iter().sum::<usize>(), lens.iter().copied().max().unwrap_or(0));
    assert!(heads > 0 && d.is_multiple_of(heads) && bias.len() == 3 * d);
    assert!(qkv.len() == tokens * 3 * d && out.len() == tokens * d);
    scores.resize(longest * longest, 0.0);
    let (mut out, mut qkv) = (out, qkv);
    for len in lens {
        let (row, other_rows) = qkv.split_at_mut(len * 3 * d);
        let (out_row, other_outs) = out.split_at_mut(len * d);
        if *len > 0 {
            attend(out_row, row, bias, heads, &mut scores[..len * len]);
        }
        (qkv, out) = (other_rows, other_outs);
    }
}

/// One row of `t` tokens; `p` has room for the `t * t` probabilities of one head.
fn attend(out: &mut [f32], qkv: &mut [f32], bias: &[f32], heads: usize, p: &mut [f32]) {
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
    let out = Shared::new(out);
    for at in (0..d).step_by(h) {
        let [q, k, v] = [at, d + at, 2 * d + at].map(|at| Matrix::new(&qkv[at..], 3 * d));
        // SAFETY: blocks of t rows and h columns lie inside qkv; p has t * t elements
        unsafe {
            let scale = 1.0 / (h as f32).sqrt();
            product((t, t, h), p.as_mut_ptr(), t, false, q, k.transposed(), scale);
        }
        lanes::vectorized(
            #[inline(always)]
            || {
                for p in p.chunks_exact_mut(t) {
                    let top = lanes::max(p);
                    let norm = 1.0 / lanes::exp_sum(p, top);
                    for x in p {
                        *x *= norm;
                    }
                }
            },
        );
        // SAFETY: t rows and the h columns of this head lie inside out, and this is its only user
        unsafe { product((t, h, t), out.at(at), d, false, Matrix::new(p, t), v, 1.0) };
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
