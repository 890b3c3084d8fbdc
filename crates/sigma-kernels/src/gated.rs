//! The inside of a gated MLP, z = act(g) * u, forward and backward. g and u stand side by side in each row, as one
//! product with the stacked weights of gate and up gives them.

use candle_core::{D, Result, Tensor};
use rayon::prelude::*;

use crate::bias::task;
use crate::lanes;

/// The function on the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// g sigmoid(g).
    Silu,
    /// GELU's form with tanh, which Hugging Face calls `gelu_pytorch_tanh`.
    GeluTanh,
}

/// The two numbers of GELU's form with tanh: sqrt(2 / pi), and the share of the cube.
const SCALE: f32 = 0.797_884_6;
const CUBE: f32 = 0.044_715;

/// A gate's value and its derivative.
struct Opened {
    value: f32,
    slope: f32,
}

impl Gate {
    /// Both are g sigmoid(a) of a function a of g, for (1 + tanh(b)) / 2 is sigmoid(2 b); so the derivative is
    /// sigmoid(a) + g sigmoid'(a) a', where sigmoid'(a) = e / (1 + e)^2 with e = exp(-|a|): nothing cancels.
    #[inline(always)]
    fn open(self, g: f32) -> Opened {
        let (a, da) = match self {
            Self::Silu => (g, 1.0),
            Self::GeluTanh => {
                let square = g * g;
                let a = 2.0 * SCALE * g * CUBE.mul_add(square, 1.0);
                (a, 2.0 * SCALE * (3.0 * CUBE).mul_add(square, 1.0))
            }
        };
        let e = lanes::exp(-a.abs());
        let reciprocal = 1.0 / (1.0 + e);
        let sigmoid = if a < 0.0 { e * reciprocal } else { reciprocal };
        Opened { value: g * sigmoid, slope: (g * da).mul_add(e * reciprocal * reciprocal, sigmoid) }
    }
}

/// z = act(g) u; z `[rows, width]`, gate_up `[rows, 2 width]` with g in the first half of each row.
pub fn forward(z: &mut [f32], gate_up: &[f32], width: usize, gate: Gate) {
    assert!(gate_up.len() == 2 * z.len() && z.len().is_multiple_of(width));
    let task = task(width);
    z.par_chunks_mut(task).zip(gate_up.par_chunks(2 * task)).for_each(|(z, gate_up)| {
        lanes::vectorized(
            #[inline(always)]
            || {
                for (z, row) in z.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
                    let (g, u) = row.split_at(width);
                    for ((z, g), u) in z.iter_mut().zip(g).zip(u) {
                        *z = gate.open(*g).value * u;
                    }
                }
            },
        );
    });
}

/// The gradient of gate_up for the gradient `dz` of the result: du = dz act(g), dg = dz u act'(g).
pub fn backward(dgate_up: &mut [f32], dz: &[f32], gate_up: &[f32], width: usize, gate: Gate) {
    assert!(dgate_up.len() == gate_up.len() && gate_up.len() == 2 * dz.len() && dz.len().is_multiple_of(width));
    let task = task(width);
    let tasks = dgate_up.par_chunks_mut(2 * task).zip(dz.par_chunks(task)).zip(gate_up.par_chunks(2 * task));
    tasks.for_each(|((dgate_up, dz), gate_up)| {
        lanes::vectorized(
            #[inline(always)]
            || {
                let rows = dgate_up.chunks_exact_mut(2 * width).zip(dz.chunks_exact(width));
                for ((gradient, dz), row) in rows.zip(gate_up.chunks_exact(2 * width)) {
                    let ((dg, du), (g, u)) = (gradient.split_at_mut(width), row.split_at(width));
                    // slices of a length the compiler knows to be equal, so that it need not check each index
                    let (dg, du, g, u, dz) =
                        (&mut dg[..width], &mut du[..width], &g[..width], &u[..width], &dz[..width]);
                    for i in 0..width {
                        let Opened { value, slope } = gate.open(g[i]);
                        du[i] = dz[i] * value;
                        dg[i] = dz[i] * u[i] * slope;
                    }
                }
            },
        );
    });
}

/// The same by candle's differentiable operations, in the textbook's form.
pub fn reference(gate_up: &Tensor, gate: Gate) -> Result<Tensor> {
    let width = gate_up.dim(D::Minus1)? / 2;
    let (g, u) = (gate_up.narrow(D::Minus1, 0, width)?, gate_up.narrow(D::Minus1, width, width)?);
    let opened = match gate {
        Gate::Silu => (&g / (g.neg()?.exp()? + 1.0)?)?,
        Gate::GeluTanh => {
            let inner = ((&g + (g.powf(3.0)? * f64::from(CUBE))?)? * f64::from(SCALE))?;
            ((&g * (inner.tanh()? + 1.0)?)? * 0.5)?
        }
    };
    opened * u
}
