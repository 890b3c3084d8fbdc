//! ReLU whose gradient at exactly 0 is 0, as in PyTorch (candle's is 1).

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::cpu;

const CHUNK: usize = 16_384;

/// max(x, 0), differentiable.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    let x = &x.contiguous()?;
    if cpu::fused(&[x]) { x.apply_op1(Relu) } else { reference(x) }
}

/// The same as x times the indicator of x > 0.
pub fn reference(x: &Tensor) -> Result<Tensor> {
    x.mul(&x.detach().gt(0f64)?.to_dtype(x.dtype())?)
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = cpu::slice(x, layout, "relu")?;
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
            for (y, x) in y.iter_mut().zip(x) {
                // written so that NaN stays NaN
                *y = if *x < 0.0 { 0.0 } else { *x };
            }
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let dx = cpu::with_slice(y, "relu", |y| {
            cpu::with_slice(&grad, "relu", |g| {
                let mut dx = vec![0f32; g.len()];
                dx.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).zip(g.par_chunks(CHUNK)).for_each(|((dx, y), g)| {
                    for ((dx, y), g) in dx.iter_mut().zip(y).zip(g) {
                        *dx = if *y > 0.0 { *g } else { 0.0 };
                    }
                });
                dx
            })
        })??;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}
