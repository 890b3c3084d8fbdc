//! Language-model head and mean cross-entropy in one operation: logits = hidden W^T are made a few rows at a time, turned
//! into their gradient in place, and multiplied back at once, so the full `[tokens, vocabulary]` matrix never exists.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::{cpu, lanes, linear::add_product};

/// Rows of logits that exist at a time.
const ROWS: usize = 256;

/// Mean over the rows of `-log softmax(hidden W^T)[label]`: hidden `[M, D]`, W `[V, D]`, M labels below V. A scalar in
/// f32, differentiable in hidden and W.
pub fn lm_head_loss(hidden: &Tensor, weight: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let hidden = &hidden.contiguous()?;
    let vocabulary = weight.dim(0)?;
    if labels.is_empty() || labels.len() != hidden.dim(0)? {
        candle_core::bail!("cross-entropy: {} labels for {:?}", labels.len(), hidden.shape());
    }
    if let Some(label) = labels.iter().find(|l| **l as usize >= vocabulary) {
        candle_core::bail!("cross-entropy: label {label} is outside the vocabulary of {vocabulary}");
    }
    if cpu::fused(&[hidden, weight]) {
        return hidden.apply_op2(weight, HeadLoss { labels: labels.to_vec(), gradients: Mutex::new(None) });
    }
    reference(hidden, weight, labels)
}

/// The same by a full matmul and candle's composed log-softmax in f32.
pub fn reference(hidden: &Tensor, weight: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let logits = hidden.matmul(&weight.to_dtype(hidden.dtype())?.t()?)?.to_dtype(DType::F32)?;
    let labels = Tensor::from_slice(labels, labels.len(), hidden.device())?;
    candle_nn::loss::cross_entropy(&logits, &labels)
}

struct HeadLoss {
    labels: Vec<u32>,
    /// d loss / d hidden and d loss / d weight, made in the forward pass and taken by the backward pass.
    gradients: Mutex<Option<(Vec<f32>, Vec<f32>)>>,
}

impl CustomOp2 for HeadLoss {
    fn name(&self) -> &'static str {
        "lm-head-loss"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((rows, d), (vocabulary, wd)) = (xl.shape().dims2()?, wl.shape().dims2()?);
        if d != wd {
            candle_core::bail!("cross-entropy: hidden {:?}, weight {:?}", xl.shape(), wl.shape());
        }
        let (x, w) = (cpu::slice(x, xl, "lm-head-loss")?, cpu::slice(w, wl, "lm-head-loss")?);
        let (mut dx, mut dw) = (vec![0f32; x.len()], vec![0f32; w.len()]);
        let mut logits = vec![0f32; ROWS.min(rows) * vocabulary];
        let mut loss = 0f64;
        let mean = 1.0 / rows as f32;
        for from in (0..rows).step_by(ROWS) {
            let n = ROWS.min(rows - from);
            let x = &x[from * d..][..n * d];
            let logits = &mut logits[..n * vocabulary];
            logits.fill(0.0);
            add_product(logits, x, w, n, d, vocabulary);
            let labels = &self.labels[from..][..n];
            let losses: Vec<f64> = logits
                .par_chunks_mut(vocabulary)
                .zip(labels)
                .map(|(row, label)| {
                    lanes::vectorized(
                        #[inline(always)]
                        || to_gradient(row, *label as usize, mean),
                    )
                })
                .collect();
            loss += losses.iter().sum::<f64>();
            // SAFETY: dense row-major matrices: dx rows (n x d) = g (n x V) W (V x d), dW (V x d) += g^T (V x n) x (n x d)
            unsafe {
                let (g, strides) = (logits.as_ptr(), (vocabulary, 1));
                product((n, d, vocabulary), dx[from * d..].as_mut_ptr(), g, strides, w.as_ptr(), d);
                product((vocabulary, d, n), dw.as_mut_ptr(), g, (1, vocabulary), x.as_ptr(), d);
            }
        }
        *self.gradients.lock().unwrap_or_else(PoisonError::into_inner) = Some((dx, dw));
        Ok((CpuStorage::F32(vec![(loss / rows as f64) as f32]), Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some((mut dx, mut dw)) = self.gradients.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            candle_core::bail!("lm-head-loss: its backward pass can run only once");
        };
        let scale = grad.to_scalar::<f32>()?;
        if scale != 1.0 {
            dx.par_iter_mut().chain(dw.par_iter_mut()).for_each(|g| *g *= scale);
        }
        let (dx, dw) = (Tensor::from_vec(dx, x.shape(), x.device())?, Tensor::from_vec(dw, w.shape(), w.device())?);
        Ok((Some(dx), Some(dw)))
    }
}

/// Turns a row of logits into (softmax - one_hot(label)) * mean, and returns the row's loss.
#[inline(always)]
fn to_gradient(row: &mut [f32], label: usize, mean: f32) -> f64 {
    let top = lanes::max(row);
    let at_label = f64::from(row[label]);
    let total = lanes::exp_sum(row, top);
    let scale = mean / total;
    row.iter_mut().for_each(|x| *x *= scale);
    row[label] -= mean;
    // a NaN logit may hide from `max` but not from the sum
    f64::from(top) + f64::from(total).ln() - at_label
}

/// dst (m x n, row-major, row stride n) += lhs (m x k) rhs (k x n, row-major).
///
/// # Safety
/// The pointers must cover the matrices described, dst disjoint from the others.
unsafe fn product(
    (m, n, k): (usize, usize, usize),
    dst: *mut f32,
    lhs: *const f32,
    lhs_strides: (usize, usize),
    rhs: *const f32,
    rhs_stride: usize,
) {
    // SAFETY: the caller's promise
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst,
            1,
            n as isize,
            true,
            lhs,
            lhs_strides.1 as isize,
            lhs_strides.0 as isize,
            rhs,
            1,
            rhs_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}
