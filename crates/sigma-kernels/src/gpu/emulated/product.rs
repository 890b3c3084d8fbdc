//! Matrix products of the emulator: operands widened to f32, sums in f32, results rounded to their type.

use half::{bf16, f16};
use rayon::prelude::*;

use super::super::gemm::{extent, stored};
use super::super::{BatchedOperand, Dtype, Gemm, GemmBatched, Operand};
use crate::blocks::{Panels, Part};
use crate::panels::Right;
use crate::tile::Left;

pub(super) const ALIGNMENT: &str =
    "in f16 and bf16 matrices begin at multiples of 16 bytes where k is a multiple of 8, of 4 bytes where it is even";

/// A product with addresses of the host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    m: usize,
    n: usize,
    k: usize,
    a: Source,
    b: Source,
    c: u64,
    c_dtype: Dtype,
    c_stride: usize,
    scale: f32,
    accumulate: bool,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    address: u64,
    dtype: Dtype,
    stride: usize,
    transposed: bool,
}

impl Product {
    pub(super) fn of(g: &Gemm<'_>) -> Self {
        let source = |o: Operand<'_>| Source {
            address: o.view.address(),
            dtype: o.view.dtype(),
            stride: o.stride,
            transposed: o.transposed,
        };
        let Gemm { m, n, k, c_stride, scale, accumulate, .. } = *g;
        let (c, c_dtype) = (g.c.address(), g.c.dtype());
        Self { m, n, k, a: source(g.a), b: source(g.b), c, c_dtype, c_stride, scale, accumulate }
    }

    /// The arrays of addresses must be live memory.
    pub(super) fn of_batch(g: &GemmBatched<'_>) -> Vec<Self> {
        // SAFETY: live memory with at least `count` addresses, as the caller and `GemmBatched::check` have seen to
        let at = |array: u64, i: usize| unsafe { (array as *const u64).add(i).read() };
        let source = |o: BatchedOperand<'_>, i: usize| Source {
            address: at(o.addresses.address(), i),
            dtype: o.dtype,
            stride: o.stride,
            transposed: o.transposed,
        };
        let GemmBatched { m, n, k, c_dtype, c_stride, scale, accumulate, .. } = *g;
        let product = |i: usize| {
            let c = at(g.c.address(), i);
            Self { m, n, k, a: source(g.a, i), b: source(g.b, i), c, c_dtype, c_stride, scale, accumulate }
        };
        (0..g.count).map(product).collect()
    }

    /// Addresses and bytes of a, b and c.
    pub(super) fn memory(&self) -> [(u64, usize); 3] {
        let bytes = |source: Source, rows, columns| {
            let (rows, columns) = stored(rows, columns, source.transposed);
            (source.address, extent(rows, columns, source.stride) * source.dtype.size())
        };
        let c = (self.c, extent(self.m, self.n, self.c_stride) * self.c_dtype.size());
        [bytes(self.a, self.m, self.k), bytes(self.b, self.k, self.n), c]
    }

    /// What cuBLAS asks of matrices in a batch with operands of 16 bits: it does not look at their addresses, and reads
    /// in pieces of up to 16 bytes where the inner dimension suggests it.
    pub(super) fn is_aligned(&self) -> bool {
        let bytes = match (self.a.dtype.size(), self.k) {
            (2, k) if k % 8 == 0 => 16,
            (2, k) if k % 2 == 0 => 4,
            _ => 1,
        };
        [self.a.address, self.b.address, self.c].iter().all(|address| address % bytes == 0)
    }

    fn run(&self) {
        let (a, b) = (values(self.a, self.m, self.k), values(self.b, self.k, self.n));
        let stride = |source: Source, rows, columns| stored(rows, columns, source.transposed).1;
        let (a_stride, b_stride) = (stride(self.a, self.m, self.k), stride(self.b, self.k, self.n));
        let layout = if self.a.transposed { Left::Columns(a_stride) } else { Left::Rows(a_stride) };
        let b = if self.b.transposed { Right::Transposed(&b, b_stride) } else { Right::AsIs(&b, b_stride) };
        let mut c = vec![0f32; self.m * self.n];
        let mut space = Vec::new();
        let part = Part { rows: self.m, inner: 0..self.k, columns: self.n };
        // SAFETY: c has m rows of n columns
        unsafe { Panels::pack(&mut space, b, (self.k, self.n)).multiply((c.as_mut_ptr(), self.n), (&a, layout), part) };
        c.iter_mut().for_each(|c| *c *= self.scale);
        for (row, values) in c.chunks_exact(self.n).enumerate() {
            for (column, &value) in values.iter().enumerate() {
                let index = row * self.c_stride + column;
                let before = if self.accumulate { load(self.c, self.c_dtype, index) } else { 0.0 };
                store(self.c, self.c_dtype, index, value + before);
            }
        }
    }
}

/// All at once, in no order. What they read and write must be live memory.
pub(super) fn run_all(products: &[Product]) {
    products.par_iter().for_each(Product::run);
}

/// A matrix as stored, without gaps between its rows.
fn values(source: Source, rows: usize, columns: usize) -> Vec<f32> {
    let (rows, columns) = stored(rows, columns, source.transposed);
    let index = |i: usize| i / columns * source.stride + i % columns;
    (0..rows * columns).map(|i| load(source.address, source.dtype, index(i))).collect()
}

fn load(address: u64, dtype: Dtype, index: usize) -> f32 {
    // SAFETY: `Product::memory` was found live, and the index lies inside
    unsafe {
        match dtype {
            Dtype::F16 => (address as *const f16).add(index).read().to_f32(),
            Dtype::Bf16 => (address as *const bf16).add(index).read().to_f32(),
            _ => (address as *const f32).add(index).read(),
        }
    }
}

fn store(address: u64, dtype: Dtype, index: usize, value: f32) {
    // SAFETY: as in `load`
    unsafe {
        match dtype {
            Dtype::F16 => (address as *mut f16).add(index).write(f16::from_f32(value)),
            Dtype::Bf16 => (address as *mut bf16).add(index).write(bf16::from_f32(value)),
            _ => (address as *mut f32).add(index).write(value),
        }
    }
}
