//! Layer normalisation over the last dimension, y = (x - mean) / sqrt(var + eps) * weight + bias, with a backward pass:
//! candle's own fused layer norm has none and silently stops the gradient.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::{cpu, lanes, linear::column_sum};

/// Rows that one task handles; sums over rows are grouped by it, so it also fixes their order.
const ROWS: usize = 16;

/// Layer norm of x `[..., d]` with weight and bias `[d]`; differentiable in all three. Other dtypes are computed in f32.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let x = &x.contiguous()?;
    if cpu::fused(&[x, weight, bias]) {
        return x.apply_op3(weight, bias, LayerNorm { eps });
    }
    reference(x, weight, bias, eps)
}

/// The same by candle's composed, differentiable operations.
pub fn reference(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    candle_nn::ops::layer_norm_slow(x, weight, bias, eps as f32)
}

struct LayerNorm {
    eps: f64,
}

/// Mean and reciprocal standard deviation of one row.
#[inline(always)]
fn moments(x: &[f32], eps: f64) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = lanes::sum(x) / n;
    let mut centred = [0f32; 16];
    let chunks = x.chunks_exact(16);
    let tail: f32 = chunks.remainder().iter().map(|x| (x - mean) * (x - mean)).sum();
    for chunk in chunks {
        for i in 0..16 {
            centred[i] += (chunk[i] - mean) * (chunk[i] - mean);
        }
    }
    let variance = (lanes::sum(&centred) + tail) / n;
    (mean, (1.0 / (f64::from(variance) + eps).sqrt()) as f32)
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, b) = (cpu::slice(x, xl, "ln")?, cpu::slice(w, wl, "ln")?, cpu::slice(b, bl, "ln")?);
        let d = w.len();
        if d == 0 || xl.dims().last() != Some(&d) || b.len() != d {
            candle_core::bail!("layer-norm: input {:?}, weight {d}, bias {}", xl.shape(), b.len());
        }
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(ROWS * d).zip(x.par_chunks(ROWS * d)).for_each(|(y, x)| {
            lanes::vectorized(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                        let (mean, rstd) = moments(x, self.eps);
                        for i in 0..d {
                            y[i] = (x[i] - mean) * rstd * w[i] + b[i];
                        }
                    }
                },
            );
        });
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d = w.elem_count();
        let grad = grad.contiguous()?;
        let (dx, parts) = cpu::with_slice(x, "ln", |x| {
            cpu::with_slice(w, "ln", |w| cpu::with_slice(&grad, "ln", |g| self.gradients(x, w, g)))
        })???;
        // each part holds a task's sums for the weight, then for the bias
        let total = column_sum(&parts, 2 * d);
        let dw = Tensor::from_slice(&total[..d], w.shape(), w.device())?;
        let db = Tensor::from_slice(&total[d..], b.shape(), b.device())?;
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), Some(dw), Some(db)))
    }
}

impl LayerNorm {
    /// dx, and per task the sums of g * x_hat and of g over its rows.
    fn gradients(&self, x: &[f32], w: &[f32], g: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let d = w.len();
        let mut dx = vec![0f32; x.len()];
        let mut parts = vec![0f32; x.len().div_ceil(ROWS * d) * 2 * d];
        let rows = dx.par_chunks_mut(ROWS * d).zip(x.par_chunks(ROWS * d)).zip(g.par_chunks(ROWS * d));
        rows.zip(parts.par_chunks_mut(2 * d)).for_each(|(((dx, x), g), part)| {
            let (dw, db) = part.split_at_mut(d);
            let (mut x_hat, mut gw) = (vec![0f32; d], vec![0f32; d]);
            lanes::vectorized(
                #[inline(always)]
                || {
                    let rows = dx.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(g.chunks_exact(d));
                    for ((dx, x), g) in rows {
                        let (mean, rstd) = moments(x, self.eps);
                        for i in 0..d {
                            x_hat[i] = (x[i] - mean) * rstd;
                            gw[i] = g[i] * w[i];
                            dw[i] += g[i] * x_hat[i];
                            db[i] += g[i];
                        }
                        let mean_gw = lanes::sum(&gw) / d as f32;
                        let mean_gwx = lanes::dot(&gw, &x_hat) / d as f32;
                        for i in 0..d {
                            dx[i] = rstd * (gw[i] - mean_gw - x_hat[i] * mean_gwx);
                        }
                    }
                },
            );
        });
        (dx, parts)
    }
}
