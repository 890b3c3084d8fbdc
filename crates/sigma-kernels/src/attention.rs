//! Causal multi-head attention for training: whole sequences without padding, differentiable in q, k and v. Decoding
//! with a cache, and batches whose rows differ in length, are the business of [`mod@crate::cached_attention`].
//!
//! Legend: B batch, T time, H heads, h head width; tensors are `[B, T, H * h]`.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::cpu::{self, Shared};
use crate::lanes;

/// softmax(q k^T / sqrt(h) + causal mask) v per head; q, k, v and the result are `[B, T, H * h]`.
pub fn causal_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (q, k, v) = (&q.contiguous()?, &k.contiguous()?, &v.contiguous()?);
    if cpu::fused(&[q, k, v]) {
        return q.apply_op3(k, v, Attention { heads });
    }
    reference(q, k, v, heads)
}

/// The same by matmul, an additive mask and candle's composed softmax (in f32, as transformers does).
pub fn reference(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (b, t, d) = q.dims3()?;
    let mask: Vec<f32> = (0..t * t).map(|i| if i % t > i / t { f32::MIN } else { 0.0 }).collect();
    let mask = Tensor::from_vec(mask, (1, 1, t, t), q.device())?;
    let split = |x: &Tensor| x.reshape((b, t, heads, d / heads))?.transpose(1, 2)?.contiguous();
    let scale = 1.0 / ((d / heads) as f64).sqrt();
    let scores = (split(q)? * scale)?.matmul(&split(k)?.t()?)?.to_dtype(DType::F32)?.broadcast_add(&mask)?;
    let probabilities = candle_nn::ops::softmax(&scores, 3)?.to_dtype(v.dtype())?;
    probabilities.matmul(&split(v)?)?.transpose(1, 2)?.contiguous()?.reshape((b, t, d))
}

struct Attention {
    heads: usize,
}

/// Sizes of one attention call.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    time: usize,
    width: usize,
    heads: usize,
}

impl Sizes {
    fn new(shape: &Shape, heads: usize) -> Result<Self> {
        let (batch, time, width) = shape.dims3()?;
        if heads == 0 || width % heads != 0 {
            candle_core::bail!("attention: width {width} is not a multiple of {heads} heads");
        }
        Ok(Self { batch, time, width, heads })
    }

    fn head(self) -> usize {
        self.width / self.heads
    }

    fn scale(self) -> f32 {
        1.0 / (self.head() as f32).sqrt()
    }

    /// Where the block of one (row, head) pair begins.
    fn offset(self, task: usize) -> usize {
        (task / self.heads) * self.time * self.width + (task % self.heads) * self.head()
    }
}

/// dst (m x n) = alpha * lhs (m x k) rhs (k x n) on one thread; strides are (row, column) in elements.
///
/// # Safety
/// The pointers and strides must describe matrices inside live allocations, dst disjoint from all others.
#[allow(clippy::too_many_arguments)]
unsafe fn product(
    (m, n, k): (usize, usize, usize),
    dst: *mut f32,
    dst_strides: (usize, usize),
    lhs: *const f32,
    lhs_strides: (usize, usize),
    rhs: *const f32,
    rhs_strides: (usize, usize),
    alpha: f32,
) {
    // SAFETY: the caller's promise
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst,
            dst_strides.1 as isize,
            dst_strides.0 as isize,
            false,
            lhs,
            lhs_strides.1 as isize,
            lhs_strides.0 as isize,
            rhs,
            rhs_strides.1 as isize,
            rhs_strides.0 as isize,
            0.0,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// The attention probabilities `[T, T]` of one (row, head) pair; `q` and `k` begin at that pair's block.
fn probabilities(sizes: Sizes, q: &[f32], k: &[f32], p: &mut [f32]) {
    let (t, d) = (sizes.time, sizes.width);
    // SAFETY: blocks of T rows with stride d and h columns lie inside q and k; p has T * T elements
    unsafe {
        product((t, t, sizes.head()), p.as_mut_ptr(), (t, 1), q.as_ptr(), (d, 1), k.as_ptr(), (1, d), sizes.scale());
    }
    lanes::vectorized(
        #[inline(always)]
        || {
            for (i, row) in p.chunks_exact_mut(t).enumerate() {
                let (seen, later) = row.split_at_mut(i + 1);
                let top = lanes::max(seen);
                let norm = 1.0 / lanes::exp_sum(seen, top);
                seen.iter_mut().for_each(|x| *x *= norm);
                later.fill(0.0);
            }
        },
    );
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "causal-attention"
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
        let sizes = Sizes::new(ql.shape(), self.heads)?;
        if kl.shape() != ql.shape() || vl.shape() != ql.shape() {
            candle_core::bail!("attention: q {:?}, k {:?}, v {:?}", ql.shape(), kl.shape(), vl.shape());
        }
        let name = "causal-attention";
        let (q, k, v) = (cpu::slice(q, ql, name)?, cpu::slice(k, kl, name)?, cpu::slice(v, vl, name)?);
        let (t, d, h) = (sizes.time, sizes.width, sizes.head());
        let mut out = vec![0f32; q.len()];
        let shared = Shared::new(&mut out);
        (0..sizes.batch * sizes.heads).into_par_iter().for_each_init(
            || vec![0f32; t * t],
            |p, task| {
                let at = sizes.offset(task);
                probabilities(sizes, &q[at..], &k[at..], p);
                // SAFETY: each task writes only the h columns of its own head in its own batch row
                unsafe {
                    product((t, h, t), shared.at(at), (d, 1), p.as_ptr(), (t, 1), v[at..].as_ptr(), (d, 1), 1.0);
                }
            },
        );
        Ok((CpuStorage::F32(out), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::new(q.shape(), self.heads)?;
        let grad = grad.contiguous()?;
        let n = "causal-attention";
        let (dq, dk, dv) = cpu::with_slice(q, n, |q| {
            cpu::with_slice(k, n, |k| {
                cpu::with_slice(v, n, |v| cpu::with_slice(&grad, n, |g| gradients(sizes, q, k, v, g)))
            })
        })????;
        let tensor = |x| Tensor::from_vec(x, q.shape(), q.device()).map(Some);
        Ok((tensor(dq)?, tensor(dk)?, tensor(dv)?))
    }
}

type Gradients = (Vec<f32>, Vec<f32>, Vec<f32>);

/// dV = P^T dO, dP = dO V^T, dS = P * (dP - rowsum(P * dP)), dQ = dS K / sqrt(h), dK = dS^T Q / sqrt(h).
fn gradients(sizes: Sizes, q: &[f32], k: &[f32], v: &[f32], g: &[f32]) -> Gradients {
    let (t, d, h) = (sizes.time, sizes.width, sizes.head());
    let (mut dq, mut dk, mut dv) = (vec![0f32; q.len()], vec![0f32; q.len()], vec![0f32; q.len()]);
    let (dq_out, dk_out, dv_out) = (Shared::new(&mut dq), Shared::new(&mut dk), Shared::new(&mut dv));
    (0..sizes.batch * sizes.heads).into_par_iter().for_each_init(
        || (vec![0f32; t * t], vec![0f32; t * t]),
        |(p, ds), task| {
            let at = sizes.offset(task);
            let (q, k, v, g) = (&q[at..], &k[at..], &v[at..], &g[at..]);
            probabilities(sizes, q, k, p);
            // SAFETY: reads stay in the task's block; writes go only to the task's own head columns
            unsafe {
                product((t, h, t), dv_out.at(at), (d, 1), p.as_ptr(), (1, t), g.as_ptr(), (d, 1), 1.0);
                product((t, t, h), ds.as_mut_ptr(), (t, 1), g.as_ptr(), (d, 1), v.as_ptr(), (1, d), 1.0);
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
            // SAFETY: as above
            unsafe {
                product((t, h, t), dq_out.at(at), (d, 1), ds.as_ptr(), (t, 1), k.as_ptr(), (d, 1), sizes.scale());
                product((t, h, t), dk_out.at(at), (d, 1), ds.as_ptr(), (1, t), q.as_ptr(), (d, 1), sizes.scale());
            }
        },
    );
    (dq, dk, dv)
}
