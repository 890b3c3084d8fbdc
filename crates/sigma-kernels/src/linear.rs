//! Matrix products of a linear map y = x W^T with PyTorch's weight layout (`[outputs, inputs]`), forward and backward.
//! The forward product can add a bias, or a bias and ReLU, in the same pass.
//!
//! Every sum runs over its inner dimension in order, in pieces of one length that are added one after another. So a row
//! of y has the same bits whatever the number of rows and threads. Another CPU may have a matrix unit or none, which
//! changes last bits.

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use crate::lanes;
use crate::panels::Right;
use crate::product::{Arithmetic, Sizes, Target, multiply, multiply_transposed};
use crate::tile::INNER;
pub use crate::tile::Then;

/// How many threads a product may use. The result is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling one, because its siblings have work of their own.
    One,
    /// All of rayon's current pool.
    All,
}

impl Threads {
    pub(crate) fn count(self) -> usize {
        match self {
            Threads::One => 1,
            Threads::All => rayon::current_num_threads(),
        }
    }
}

/// What the factors of a product are rounded to. Sums are f32 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factors {
    /// To nothing shorter: a product is as exact as f32 allows.
    F32,
    /// To bf16, the nearest, ties to even.
    Bf16,
}

/// y = x W^T: x `[rows, inputs]`, W `[outputs, inputs]`, y `[rows, outputs]`.
pub fn forward(y: &mut [f32], x: &[f32], weight: &[f32], inputs: usize, how: (Factors, Threads)) {
    forward_then(y, x, weight, inputs, Then::Nothing, how);
}

/// The same with a bias, or a bias and ReLU, in the same pass.
pub fn forward_then(
    y: &mut [f32],
    x: &[f32],
    weight: &[f32],
    inputs: usize,
    then: Then<'_>,
    (factors, threads): (Factors, Threads),
) {
    let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
    assert!(x.len() == rows * inputs && weight.len() == outputs * inputs && y.len() == rows * outputs);
    let target = Target { values: y, stride: outputs, add: false };
    multiply(
        target,
        (x, inputs),
        Right::Transposed(weight, inputs),
        Sizes { rows, columns: outputs, inner: inputs },
        then,
        (Arithmetic::Best(factors), threads),
    );
}

/// dx = dy W: dy `[rows, outputs]`, W `[outputs, inputs]`, dx `[rows, inputs]`.
pub fn backward_input(dx: &mut [f32], dy: &[f32], weight: &[f32], inputs: usize, factors: Factors) {
    let (rows, outputs) = (dx.len() / inputs, weight.len() / inputs);
    assert!(dx.len() == rows * inputs && weight.len() == outputs * inputs && dy.len() == rows * outputs);
    let target = Target { values: dx, stride: inputs, add: false };
    let sizes = Sizes { rows, columns: inputs, inner: outputs };
    multiply(
        target,
        (dy, outputs),
        Right::AsIs(weight, inputs),
        sizes,
        Then::Nothing,
        (Arithmetic::Best(factors), Threads::All),
    );
}

/// dW += dy^T x: dy `[rows, outputs]`, x `[rows, inputs]`, dW `[outputs, inputs]`.
pub fn backward_weight(dw: &mut [f32], dy: &[f32], x: &[f32], inputs: usize, factors: Factors) {
    weight_gradient((dw, true), dy, x, inputs, factors);
}

/// dW = dy^T x, for the first (or only) product that contributes to dW.
pub fn backward_weight_first(dw: &mut [f32], dy: &[f32], x: &[f32], inputs: usize, factors: Factors) {
    weight_gradient((dw, false), dy, x, inputs, factors);
}

fn weight_gradient((dw, add): (&mut [f32], bool), dy: &[f32], x: &[f32], inputs: usize, factors: Factors) {
    let (rows, outputs) = (x.len() / inputs, dw.len() / inputs);
    assert!(x.len() == rows * inputs && dw.len() == outputs * inputs && dy.len() == rows * outputs);
    let target = Target { values: dw, stride: inputs, add };
    let sizes = Sizes { rows: outputs, columns: inputs, inner: rows };
    multiply_transposed(target, (dy, outputs), x, sizes, INNER, (factors, Threads::All));
}

/// total += column sums of a row-major matrix with `total.len()` columns, each added from the first row to the last.
pub fn add_column_sums(total: &mut [f32], matrix: &[f32]) {
    const WIDTH: usize = 64;
    // waking a thread takes longer than this
    const FEW: usize = 16_384;
    let columns = total.len();
    let sum = |(chunk, total): (usize, &mut [f32])| {
        lanes::vectorized(
            #[inline(always)]
            || {
                let from = chunk * WIDTH;
                for row in matrix.chunks_exact(columns) {
                    lanes::add_scaled(total, 1.0, &row[from..from + total.len()]);
                }
            },
        );
    };
    if matrix.len() <= FEW {
        total.chunks_mut(WIDTH).enumerate().for_each(sum);
    } else {
        total.par_chunks_mut(WIDTH).enumerate().for_each(sum);
    }
}

/// y = x W^T + b by candle's matmul and broadcast addition, for x `[..., inputs]`; weight and bias are cast to x's
/// dtype.
pub fn reference(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let dtype = x.dtype();
    let Some((inputs, rows)) = x.dims().split_last() else { candle_core::bail!("linear: the input is a scalar") };
    let y = x.reshape((rows.iter().product::<usize>(), *inputs))?.matmul(&cast(weight, dtype)?.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(&cast(bias, dtype)?)?,
        None => y,
    };
    let mut shape = rows.to_vec();
    shape.push(weight.dim(0)?);
    y.reshape(shape)
}

fn cast(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if t.dtype() == dtype { Ok(t.clone()) } else { t.to_dtype(dtype) }
}
