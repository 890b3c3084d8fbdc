//! Affine map y = x W^T + b with PyTorch's weight layout (`[out, in]`).
//!
//! The fused path gives each row of y the same bits whatever the number of rows, which candle's own matmul does not:
//! gemm picks other kernels, and other splits of the inner dimension, for small or narrow products. Here the inner
//! dimension is cut into pieces of at most 512, and products that are too small for gemm's main kernel are padded.

use std::borrow::Cow;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::{cpu, lanes};

/// Up to this inner dimension gemm never splits a sum in a way that depends on the other dimensions.
const INNER: usize = 512;
/// At or below this many results gemm uses kernels with another order of summation.
const SMALL: usize = 256;

/// y = x W^T + b for x of shape `[..., in]`, W `[out, in]`, b `[out]`; differentiable in all three. `weight` and `bias`
/// are cast to x's dtype where they differ.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let fused = cpu::fused(&[x, weight]);
    match bias {
        Some(bias) if fused && cpu::fused(&[bias]) => x.apply_op3(weight, bias, Linear),
        None if fused => x.apply_op2(weight, Linear),
        bias => reference(x, weight, bias),
    }
}

/// The same by candle's matmul and broadcast addition.
pub fn reference(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let dtype = x.dtype();
    let (rows, inner) = rows_of(x.shape())?;
    let y = x.reshape((rows, inner))?.matmul(&cast(weight, dtype)?.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(&cast(bias, dtype)?)?,
        None => y,
    };
    y.reshape(output_shape(x.shape(), weight.dim(0)?))
}

fn cast(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if t.dtype() == dtype { Ok(t.clone()) } else { t.to_dtype(dtype) }
}

fn rows_of(shape: &Shape) -> Result<(usize, usize)> {
    match shape.dims().split_last() {
        Some((inner, rows)) => Ok((rows.iter().product(), *inner)),
        None => candle_core::bail!("linear: the input is a scalar"),
    }
}

fn output_shape(input: &Shape, out: usize) -> Shape {
    let mut dims = input.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = out;
    }
    Shape::from(dims)
}

/// Number of threads that rayon's current pool gives to a product.
fn parallelism() -> gemm::Parallelism {
    gemm::Parallelism::Rayon(0)
}

/// y (rows x out) += x (rows x inner) W^T (W: out x inner), all row-major, each row alone (see the module's text).
pub(crate) fn add_product(y: &mut [f32], x: &[f32], weight: &[f32], rows: usize, inner: usize, out: usize) {
    assert!(y.len() == rows * out && x.len() == rows * inner && weight.len() == out * inner);
    if rows == 0 || out == 0 {
        return;
    }
    if rows == 1 || out == 1 || rows * out <= SMALL {
        let (more_rows, more_out) = (2.max(SMALL / out.max(2) + 1).max(rows), out.max(2));
        let (x, weight) = (padded(x, more_rows * inner), padded(weight, more_out * inner));
        let mut larger = vec![0f32; more_rows * more_out];
        for r in 0..rows {
            larger[r * more_out..][..out].copy_from_slice(&y[r * out..][..out]);
        }
        add_large_product(&mut larger, &x, &weight, more_rows, inner, more_out);
        for r in 0..rows {
            y[r * out..][..out].copy_from_slice(&larger[r * more_out..][..out]);
        }
        return;
    }
    add_large_product(y, x, weight, rows, inner, out);
}

fn padded(source: &[f32], len: usize) -> Cow<'_, [f32]> {
    if source.len() >= len {
        return Cow::Borrowed(source);
    }
    let mut longer = source.to_vec();
    longer.resize(len, 0.0);
    Cow::Owned(longer)
}

fn add_large_product(y: &mut [f32], x: &[f32], weight: &[f32], rows: usize, inner: usize, out: usize) {
    for from in (0..inner).step_by(INNER) {
        let depth = INNER.min(inner - from);
        // SAFETY: the strides describe row-major matrices whose sizes `add_product` has checked
        unsafe {
            gemm::gemm(
                rows,
                out,
                depth,
                y.as_mut_ptr(),
                1,
                out as isize,
                true,
                x.as_ptr().add(from),
                1,
                inner as isize,
                weight.as_ptr().add(from),
                inner as isize,
                1,
                1.0,
                1.0,
                false,
                false,
                false,
                parallelism(),
            );
        }
    }
}

/// Column sums of a row-major `rows x columns` matrix, each column added from the first row to the last.
pub(crate) fn column_sum(g: &[f32], columns: usize) -> Vec<f32> {
    const WIDTH: usize = 64;
    let mut total = vec![0f32; columns];
    total.par_chunks_mut(WIDTH).enumerate().for_each(|(chunk, total)| {
        lanes::vectorized(
            #[inline(always)]
            || {
                let from = chunk * WIDTH;
                for row in g.chunks_exact(columns) {
                    lanes::add_scaled(total, 1.0, &row[from..from + total.len()]);
                }
            },
        );
    });
    total
}

struct Linear;

impl Linear {
    fn forward(x: &[f32], xl: &Layout, w: &[f32], wl: &Layout, bias: Option<&[f32]>) -> Result<(CpuStorage, Shape)> {
        let (rows, inner) = rows_of(xl.shape())?;
        let (out, weight_inner) = wl.shape().dims2()?;
        if weight_inner != inner || bias.is_some_and(|b| b.len() != out) {
            candle_core::bail!(
                "linear: input {:?}, weight {:?}, bias {:?}",
                xl.shape(),
                wl.shape(),
                bias.map(<[_]>::len)
            );
        }
        let mut y = match bias {
            Some(bias) => bias.repeat(rows),
            None => vec![0f32; rows * out],
        };
        add_product(&mut y, x, w, rows, inner, out);
        Ok((CpuStorage::F32(y), output_shape(xl.shape(), out)))
    }

    fn backward(x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let (rows, inner) = rows_of(x.shape())?;
        let grad = grad.contiguous()?.reshape((rows, weight.dim(0)?))?;
        let dx = grad.matmul(weight)?.reshape(x.shape())?;
        let dw = grad.t()?.matmul(&x.reshape((rows, inner))?)?;
        Ok((dx, dw, grad))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        Linear::forward(cpu::slice(x, xl, "linear")?, xl, cpu::slice(w, wl, "linear")?, wl, None)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = Linear::backward(x, w, grad)?;
        Ok((Some(dx), Some(dw)))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
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
        let bias = cpu::slice(b, bl, "linear")?;
        Linear::forward(cpu::slice(x, xl, "linear")?, xl, cpu::slice(w, wl, "linear")?, wl, Some(bias))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, grad) = Linear::backward(x, w, grad)?;
        let db = cpu::with_slice(&grad, "linear", |g| column_sum(g, b.elem_count()))?;
        Ok((Some(dx), Some(dw), Some(Tensor::from_vec(db, b.shape(), b.device())?)))
    }
}
