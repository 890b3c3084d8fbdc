//! Descriptions of matrix products on a GPU, and what must hold of them. All matrices are row-major.

use super::{Dtype, View};

/// c `[m, n]` = scale * op(a) `[m, k]` op(b) `[k, n]`, plus c where `accumulate`. Sums are made in f32, never in TF32.
/// a and b are of one type (f32, f16 or bf16), c is f32 or of that type.
#[derive(Debug, Clone, Copy)]
pub struct Gemm<'a> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Operand<'a>,
    pub b: Operand<'a>,
    pub c: View<'a>,
    /// Elements from one row of c to the next.
    pub c_stride: usize,
    pub scale: f32,
    pub accumulate: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    pub view: View<'a>,
    /// Elements from one row to the next, as stored.
    pub stride: usize,
    /// Whether what is stored is the transpose of op().
    pub transposed: bool,
}

/// `count` such products; the matrices begin at the addresses in device arrays of u64, which must hold when the product
/// is made. With operands of 16 bits every matrix, c too, must begin at a multiple of 16 bytes if k is a multiple of 8,
/// and at a multiple of 4 bytes if k is even: cuBLAS does not look at the addresses before it chooses how to read.
#[derive(Debug, Clone, Copy)]
pub struct GemmBatched<'a> {
    pub count: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: BatchedOperand<'a>,
    pub b: BatchedOperand<'a>,
    /// Addresses of the results.
    pub c: View<'a>,
    pub c_dtype: Dtype,
    pub c_stride: usize,
    pub scale: f32,
    pub accumulate: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct BatchedOperand<'a> {
    pub addresses: View<'a>,
    pub dtype: Dtype,
    pub stride: usize,
    pub transposed: bool,
}

/// Elements from the first to the last of a `rows` x `columns` matrix as stored.
pub(super) fn extent(rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * stride + columns }
}

/// Rows and columns as stored.
pub(super) fn stored(rows: usize, columns: usize, transposed: bool) -> (usize, usize) {
    if transposed { (columns, rows) } else { (rows, columns) }
}

fn check_types(a: Dtype, b: Dtype, c: Dtype) {
    let floating = matches!(a, Dtype::F32 | Dtype::F16 | Dtype::Bf16);
    assert!(floating && a == b && (c == Dtype::F32 || c == a), "a product of {a} and {b} into {c}");
}

fn check_matrix(name: &str, (rows, columns): (usize, usize), stride: usize) {
    assert!(columns <= stride, "{name} has rows of {columns} that are {stride} apart");
    assert!(rows.max(stride) <= i32::MAX as usize, "{name} has {rows} rows that are {stride} apart: too large");
}

fn check_view(name: &str, (rows, columns): (usize, usize), stride: usize, view: View<'_>) {
    check_matrix(name, (rows, columns), stride);
    let needed = extent(rows, columns, stride);
    assert!(
        needed <= view.len(),
        "{name}, {rows} x {columns} with stride {stride}, needs {needed} of {} elements",
        view.len()
    );
}

impl Gemm<'_> {
    pub(super) fn check(&self) {
        let Gemm { m, n, k, a, b, c, .. } = *self;
        assert!(k > 0, "a product with an inner dimension of 0");
        check_types(a.view.dtype(), b.view.dtype(), c.dtype());
        check_view("a", stored(m, k, a.transposed), a.stride, a.view);
        check_view("b", stored(k, n, b.transposed), b.stride, b.view);
        check_view("c", (m, n), self.c_stride, c);
    }
}

impl GemmBatched<'_> {
    pub(super) fn check(&self) {
        let GemmBatched { count, m, n, k, a, b, c, .. } = *self;
        assert!(k > 0, "a product with an inner dimension of 0");
        check_types(a.dtype, b.dtype, self.c_dtype);
        check_matrix("a", stored(m, k, a.transposed), a.stride);
        check_matrix("b", stored(k, n, b.transposed), b.stride);
        check_matrix("c", (m, n), self.c_stride);
        assert!(count <= i32::MAX as usize);
        for (name, addresses) in [("a", a.addresses), ("b", b.addresses), ("c", c)] {
            assert!(addresses.dtype() == Dtype::U64, "addresses of {name} are {}", addresses.dtype());
            assert!(count <= addresses.len(), "{count} products, and {} addresses of {name}", addresses.len());
        }
    }
}
