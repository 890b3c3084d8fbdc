//! Causal multi-head attention for training: whole sequences of one length, forward and backward. The probabilities are
//! made again in the backward pass, so memory does not grow with the square of the length. Decoding with a cache is the
//! business of [`mod@crate::cached_attention`].
//!
//! Legend: B batch, T time, H heads, h head width, D = H h. Queries, keys and values of a token lie side by side in one
//! row of `qkv` `[B * T, 3 D]`; results are `[B * T, D]`.

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use crate::blocks::{Matrix, product};
use crate::lanes;
use crate::shared::Shared;

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

/// The attention probabilities `[T, T]` of one (row, head) pair; `qkv` begins at that pair's queries.
fn probabilities(sizes: Sizes, qkv: &[f32], p: &mut [f32]) {
    let (t, stride) = (sizes.time, 3 * sizes.width);
    let (q, k) = (Matrix::new(qkv, stride), Matrix::new(&qkv[sizes.width..], stride));
    // SAFETY: blocks of T rows and h columns lie inside qkv; p has T * T elements
    unsafe {
        let dims = (t, t, sizes.head());
        product(dims, p.as_mut_ptr(), t, false, q, k.transposed(), sizes.scale());
    }
    lanes::vectorized(
        #[inline(always)]
        || {
            for (i, row) in p.chunks_exact_mut(t).enumerate() {
                let (seen, later) = row.split_at_mut(i + 1);
                let top = lanes::max(seen);
                let norm = 1.0 / lanes::exp_sum(seen, top);
                for x in seen {
                    *x *= norm;
                }
                later.fill(0.0);
            }
        },
    );
}

/// out = softmax(q k^T / sqrt(h) + causal mask) v per head.
pub fn forward(out: &mut [f32], qkv: &[f32], sizes: Sizes) {
    sizes.check(qkv, out);
    let (t, d, h) = (sizes.time, sizes.width, sizes.head());
    let shared = Shared::new(out);
    (0..sizes.batch * sizes.heads).into_par_iter().for_each_init(
        || vec![0f32; t * t],
        |p, pair| {
            let qkv = &qkv[sizes.offset(pair, 3 * d)..];
            probabilities(sizes, qkv, p);
            let v = Matrix::new(&qkv[2 * d..], 3 * d);
            // SAFETY: each task writes only the h columns of its own head in its own rows
            unsafe {
                let out = shared.at(sizes.offset(pair, d));
                product((t, h, t), out, d, false, Matrix::new(p, t), v, 1.0);
            }
        },
    );
}

/// The gradient of `qkv` from that of the result: dV = P^T dO, dP = dO V^T, dS = P * (dP - rowsum(P * dP)),
/// dQ = dS K / sqrt(h), dK = dS^T Q / sqrt(h).
pub fn backward(dqkv: &mut [f32], dout: &[f32], qkv: &[f32], sizes: Sizes) {
    sizes.check(qkv, dout);
    assert!(dqkv.len() == qkv.len());
    let (t, d, h) = (sizes.time, sizes.width, sizes.head());
    let shared = Shared::new(dqkv);
    (0..sizes.batch * sizes.heads).into_par_iter().for_each_init(
        || (vec![0f32; t * t], vec![0f32; t * t]),
        |(p, ds), pair| {
            let at = sizes.offset(pair, 3 * d);
            let qkv = &qkv[at..];
            probabilities(sizes, qkv, p);
            let g = Matrix::new(&dout[sizes.offset(pair, d)..], d);
            let (q, k, v) = (Matrix::new(qkv, 3 * d), Matrix::new(&qkv[d..], 3 * d), Matrix::new(&qkv[2 * d..], 3 * d));
            // SAFETY: reads stay in the pair's rows; writes go only to the h columns of its own head
            unsafe {
                let dv = shared.at(at + 2 * d);
                product((t, h, t), dv, 3 * d, false, Matrix::new(p, t).transposed(), g, 1.0);
                product((t, t, h), ds.as_mut_ptr(), t, false, g, v.transposed(), 1.0);
            }
            lanes::vectorized(
                #[inline(always)]
                || {
                    for (p, ds) in p.chunks_exact(t).zip(ds.chunks_exact_mut(t)) {
                        let inner = lanes::dot(p, ds);
                        for (ds, p) in ds.iter_mut().zip(p) {
                            *ds = p * (*ds - inner);
                        }
                    }
                },
            );
            let ds = Matrix::new(ds, t);
            // SAFETY: as above
            unsafe {
                let (dq, dk) = (shared.at(at), shared.at(at + d));
                product((t, h, t), dq, 3 * d, false, ds, k, sizes.scale());
                product((t, h, t), dk, 3 * d, false, ds.transposed(), q, sizes.scale());
            }
        },
    );
}

/// The additive mask of whole sequences, `[1, 1, T, T]`: nothing for what a query sees, the lowest f32 for what comes later.
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
