//! One step of AdamW with decoupled weight decay, as torch.optim.AdamW (amsgrad off):
//! theta -= lr * wd * theta; m, v are updated; theta -= lr * m_hat / (sqrt(v_hat) + eps).

use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;

use crate::bias::TASK;
use crate::lanes;

/// What a user chooses for a step.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub learning_rate: f64,
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// The largest L2 norm over all gradients that goes in unchanged; 0 for any.
    pub clip_norm: f64,
}

/// The numbers of one step, the same for all parameters.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub settings: Settings,
    /// 1 for the first step.
    pub number: usize,
    /// Factor on the gradient: clipping and the inverse of the loss scale.
    pub gradient_scale: f64,
}

/// A step's numbers as every element's update reads them.
#[derive(Debug, Clone, Copy)]
pub struct Factors {
    pub gradient_scale: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub one_minus_beta1: f32,
    pub one_minus_beta2: f32,
    /// 1 - lr * wd.
    pub keep: f32,
    /// lr over the bias correction of the first moment.
    pub rate: f32,
    /// The inverse root of the bias correction of the second moment.
    pub root_correction: f32,
    pub epsilon: f32,
}

impl Settings {
    /// Update number `number`, with gradients whose L2 norm is `norm` when the loss scale is taken out of them. They
    /// are clipped by min(1, clip_norm / (norm + 1e-6)), as torch's clip_grad_norm_ does it.
    pub fn step(self, number: usize, norm: f64, loss_scale: f64) -> Step {
        let clip = if self.clip_norm == 0.0 { 1.0 } else { (self.clip_norm / (norm + 1e-6)).min(1.0) };
        Step { settings: self, number, gradient_scale: clip / loss_scale }
    }
}

impl Step {
    pub fn factors(&self) -> Factors {
        let Settings { learning_rate, weight_decay, beta1, beta2, epsilon, .. } = self.settings;
        let t = self.number as i32;
        Factors {
            gradient_scale: self.gradient_scale as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            one_minus_beta1: (1.0 - beta1) as f32,
            one_minus_beta2: (1.0 - beta2) as f32,
            keep: (1.0 - learning_rate * weight_decay) as f32,
            rate: (learning_rate / (1.0 - beta1.powi(t))) as f32,
            root_correction: (1.0 / (1.0 - beta2.powi(t)).sqrt()) as f32,
            epsilon: epsilon as f32,
        }
    }
}

/// Updates parameters `theta` and their first and second moments in place; all four of the same length.
pub fn adamw(theta: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], s: &Step) {
    assert!(g.len() == theta.len() && m.len() == theta.len() && v.len() == theta.len());
    let f = s.factors();
    let (scale, b1, b2, c1, c2) = (f.gradient_scale, f.beta1, f.beta2, f.one_minus_beta1, f.one_minus_beta2);
    let (keep, rate, root_correction, eps) = (f.keep, f.rate, f.root_correction, f.epsilon);
    let moments = m.par_chunks_mut(TASK).zip(v.par_chunks_mut(TASK));
    theta.par_chunks_mut(TASK).zip(g.par_chunks(TASK)).zip(moments).for_each(|((theta, g), (m, v))| {
        lanes::vectorized(
            #[inline(always)]
            || {
                for (((theta, g), m), v) in theta.iter_mut().zip(g).zip(m).zip(v) {
                    let g = g * scale;
                    *m = b1 * *m + c1 * g;
                    *v = b2 * *v + c2 * g * g;
                    *theta = keep * *theta - rate * *m / (v.sqrt() * root_correction + eps);
                }
            },
        );
    });
}

/// The same by candle's operations, for tensors on any device.
pub fn reference(theta: &Var, g: &Tensor, m: &mut Tensor, v: &mut Tensor, s: &Step) -> Result<()> {
    let Settings { learning_rate, weight_decay, beta1, beta2, epsilon, .. } = s.settings;
    let t = s.number as f64;
    let g = (g * s.gradient_scale)?;
    *m = ((&*m * beta1)? + (&g * (1.0 - beta1))?)?;
    *v = ((&*v * beta2)? + (g.sqr()? * (1.0 - beta2))?)?;
    let m_hat = (&*m / (1.0 - beta1.powf(t)))?;
    let v_hat = (&*v / (1.0 - beta2.powf(t)))?;
    let decayed = (theta.as_tensor() * (1.0 - learning_rate * weight_decay))?;
    let update = (m_hat / (v_hat.sqrt()? + epsilon)?)?;
    theta.set(&(decayed - (update * learning_rate)?)?)
}
