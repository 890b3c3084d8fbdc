//! One step of AdamW with decoupled weight decay for one parameter, as torch.optim.AdamW (amsgrad off):
//! theta -= lr * wd * theta; m, v are updated; theta -= lr * m_hat / (sqrt(v_hat) + eps).

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, Device, InplaceOp2, Layout, Result, Tensor, Var};
use rayon::prelude::*;

use crate::cpu;

const CHUNK: usize = 16_384;

/// The numbers of one step, the same for all parameters.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub learning_rate: f64,
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// 1 for the first step.
    pub number: usize,
    /// Factor on the gradient: clipping and the inverse of the loss scale.
    pub gradient_scale: f64,
}

/// First and second moment of one parameter, in f32.
#[derive(Debug)]
pub enum Moments {
    /// On the CPU.
    Host { m: Vec<f32>, v: Vec<f32> },
    /// On another device.
    Device { m: Tensor, v: Tensor },
}

impl Moments {
    /// Zero moments for `parameter` (f32).
    pub fn zeros(parameter: &Var) -> Result<Self> {
        if matches!(parameter.device(), Device::Cpu) {
            let n = parameter.elem_count();
            return Ok(Moments::Host { m: vec![0.0; n], v: vec![0.0; n] });
        }
        Ok(Moments::Device { m: parameter.zeros_like()?, v: parameter.zeros_like()? })
    }
}

/// Updates `parameter` (f32) in place from `gradient` of the same shape.
pub fn adamw(parameter: &Var, gradient: &Tensor, moments: &mut Moments, step: &Step) -> Result<()> {
    let gradient = gradient.contiguous()?;
    match moments {
        Moments::Host { m, v } => parameter.inplace_op2(&gradient, &Fused { moments: Mutex::new((m, v)), step: *step }),
        Moments::Device { m, v } => reference(parameter, &gradient, m, v, step),
    }
}

/// The same by candle's operations.
pub fn reference(theta: &Var, g: &Tensor, m: &mut Tensor, v: &mut Tensor, s: &Step) -> Result<()> {
    let t = s.number as f64;
    let g = (g * s.gradient_scale)?;
    *m = ((&*m * s.beta1)? + (&g * (1.0 - s.beta1))?)?;
    *v = ((&*v * s.beta2)? + (g.sqr()? * (1.0 - s.beta2))?)?;
    let m_hat = (&*m / (1.0 - s.beta1.powf(t)))?;
    let v_hat = (&*v / (1.0 - s.beta2.powf(t)))?;
    let decayed = (theta.as_tensor() * (1.0 - s.learning_rate * s.weight_decay))?;
    let update = (m_hat / (v_hat.sqrt()? + s.epsilon)?)?;
    theta.set(&(decayed - (update * s.learning_rate)?)?)
}

struct Fused<'a> {
    moments: Mutex<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
    step: Step,
}

impl InplaceOp2 for Fused<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, theta: &mut CpuStorage, tl: &Layout, g: &CpuStorage, gl: &Layout) -> Result<()> {
        let g = cpu::slice(g, gl, "adamw")?;
        let Some((from, to)) = tl.contiguous_offsets() else {
            candle_core::bail!("adamw: the parameter is not contiguous")
        };
        let CpuStorage::F32(theta) = theta else { candle_core::bail!("adamw: the parameter is not f32") };
        let theta = &mut theta[from..to];
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let (m, v) = &mut *moments;
        if g.len() != theta.len() || m.len() != theta.len() {
            candle_core::bail!("adamw: parameter {}, gradient {}, moments {}", theta.len(), g.len(), m.len());
        }
        let s = &self.step;
        let t = s.number as i32;
        let scale = s.gradient_scale as f32;
        let (b1, b2) = (s.beta1 as f32, s.beta2 as f32);
        let (c1, c2) = ((1.0 - s.beta1) as f32, (1.0 - s.beta2) as f32);
        let root_correction = (1.0 / (1.0 - s.beta2.powi(t)).sqrt()) as f32;
        let rate = (s.learning_rate / (1.0 - s.beta1.powi(t))) as f32;
        let (keep, eps) = ((1.0 - s.learning_rate * s.weight_decay) as f32, s.epsilon as f32);
        let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        theta.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)).zip(moments).for_each(|((theta, g), (m, v))| {
            crate::lanes::vectorized(
                #[inline(always)]
                || {
                    for i in 0..theta.len() {
                        let g = g[i] * scale;
                        m[i] = b1 * m[i] + c1 * g;
                        v[i] = b2 * v[i] + c2 * g * g;
                        theta[i] = keep * theta[i] - rate * m[i] / (v[i].sqrt() * root_correction + eps);
                    }
                },
            );
        });
        Ok(())
    }
}
