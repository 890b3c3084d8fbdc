//! Matrix products of a linear map y = x W^T with PyTorch's weight layout (`[outputs, inputs]`), forward and backward.
//! Biases are added by whatever follows: [`crate::bias`], [`mod@crate::relu`] or [`crate::residual`].
//!
//! The forward product gives each row of y the same bits whatever the number of rows: gemm picks other kernels, and other
//! splits of the inner dimension, for small or narrow products. So the inner dimension is cut into pieces of at most
//! 512, and products that are too small for gemm's main kernel are padded.

use std::borrow::Cow;

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use crate::lanes;

/// Up to this inner dimension gemm never splits a sum in a way that depends on the other dimensions.
pub(crate) const INNER: usize = 512;
/// At or below this many results gemm uses kernels with another order of summation.
const SMALL: usize = 256;

/// How many threads a product may use. The result is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling one, because its siblings have work of their own.
    One,
    /// All of rayon's current pool.
    All,
}

impl Threads {
    fn parallelism(self) -> gemm::Parallelism {
        match self {
            Threads::One => gemm::Parallelism::None,
            Threads::All => gemm::Parallelism::Rayon(0),
        }
    }
}

/// y = x W^T: x `[rows, inputs]`, W `[outputs, inputs]`, y `[rows, outputs]`.
pub fn forward(y: &mut [f32], x: &[f32], weight: &[f32], inputs: usize, threads: Threads) {
    let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
    assert!(x.len() == rows * inputs && weight.len() == outputs * inputs && y.len() == rows * outputs);
    if rows == 0 || outputs == 0 {
        return;
    }
    if rows == 1 || outputs == 1 || rows * outputs <= SMALL {
        let (more_rows, more_outputs) = (2.max(SMALL / outputs.max(2) + 1).max(rows), outputs.max(2));
        let (x, weight) = (padded(x, more_rows * inputs), padded(weight, more_outputs * inputs));
        let mut larger = vec![0f32; more_rows * more_outputs];
        large_product(&mut larger, &x, &weight, (more_rows, inputs, more_outputs), threads);
        for r in 0..rows {
            y[r * outputs..][..outputs].copy_from_slice(&larger[r * more_outputs..][..outputs]);
        }
        return;
    }
    large_product(y, x, weight, (rows, inputs, outputs), threads);
}

fn padded(source: &[f32], len: usize) -> Cow<'_, [f32]> {
    if source.len() >= len {
        return Cow::Borrowed(source);
    }
    let mut longer = source.to_vec();
    longer.resize(len, 0.0);
    Cow::Owned(longer)
}

fn large_product(
    y: &mut [f32],
    x: &[f32],
    weight: &[f32],
    (rows, inputs, outputs): (usize, usize, usize),
    threads: Threads,
) {
    for from in (0..inputs).step_by(INNER) {
        let piece = INNER.min(inputs - from);
        let (x, weight) = (Matrix::new(&x[from..], inputs), Matrix::new(&weight[from..], inputs).transposed());
        // SAFETY: columns from..from + piece of row-major matrices whose sizes `forward` has checked
        unsafe { product((rows, outputs, piece), y.as_mut_ptr(), outputs, from > 0, x, weight, 1.0, threads) };
    }
}

/// dx = dy W: dy `[rows, outputs]`, W `[outputs, inputs]`, dx `[rows, inputs]`.
pub fn backward_input(dx: &mut [f32], dy: &[f32], weight: &[f32], inputs: usize) {
    let (rows, outputs) = (dx.len() / inputs, weight.len() / inputs);
    assert!(dx.len() == rows * inputs && weight.len() == outputs * inputs && dy.len() == rows * outputs);
    let (dy, weight) = (Matrix::new(dy, outputs), Matrix::new(weight, inputs));
    // SAFETY: row-major matrices of the sizes just checked
    unsafe { product((rows, inputs, outputs), dx.as_mut_ptr(), inputs, false, dy, weight, 1.0, Threads::All) };
}

/// dW += dy^T x: dy `[rows, outputs]`, x `[rows, inputs]`, dW `[outputs, inputs]`.
pub fn backward_weight(dw: &mut [f32], dy: &[f32], x: &[f32], inputs: usize) {
    let (rows, outputs) = (x.len() / inputs, dw.len() / inputs);
    assert!(x.len() == rows * inputs && dw.len() == outputs * inputs && dy.len() == rows * outputs);
    let (dy, x) = (Matrix::new(dy, outputs).transposed(), Matrix::new(x, inputs));
    // SAFETY: row-major matrices of the sizes just checked
    unsafe { product((outputs, inputs, rows), dw.as_mut_ptr(), inputs, true, dy, x, 1.0, Threads::All) };
}

/// Where a matrix begins, and its strides in elements.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    start: *const f32,
    row_stride: usize,
    column_stride: usize,
}

impl Matrix {
    /// Row-major, rows `row_stride` elements apart.
    pub(crate) fn new(values: &[f32], row_stride: usize) -> Self {
        Self { start: values.as_ptr(), row_stride, column_stride: 1 }
    }

    pub(crate) fn transposed(self) -> Self {
        Self { row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }
}

/// dst (m x n, row-major, rows `dst_stride` apart) = scale * lhs (m x k) rhs (k x n), or += where `accumulate`.
///
/// # Safety
/// The matrices must lie inside live allocations, and dst must be writable and disjoint from lhs and rhs.
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn product(
    (m, n, k): (usize, usize, usize),
    dst: *mut f32,
    dst_stride: usize,
    accumulate: bool,
    lhs: Matrix,
    rhs: Matrix,
    scale: f32,
    threads: Threads,
) {
    // SAFETY: the caller's promise
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst,
            1,
            dst_stride as isize,
            accumulate,
            lhs.start,
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.start,
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            threads.parallelism(),
        );
    }
}

/// total += column sums of a row-major matrix with `total.len()` columns, each added from the first row to the last.
pub fn add_column_sums(total: &mut [f32], matrix: &[f32]) {
    const WIDTH: usize = 64;
    let columns = total.len();
    total.par_chunks_mut(WIDTH).enumerate().for_each(|(chunk, total)| {
        lanes::vectorized(
            #[inline(always)]
            || {
                let from = chunk * WIDTH;
                for row in matrix.chunks_exact(columns) {
                    lanes::add_scaled(total, 1.0, &row[from..from + total.len()]);
                }
            },
        );
    });
}

/// y = x W^T + b by candle's matmul and broadcast addition, for x `[..., inputs]`; weight and bias are cast to x's dtype.
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
