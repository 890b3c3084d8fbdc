//! Products of small blocks that lie inside larger matrices, on the calling thread, by the `gemm` crate: attention's products of one head, and the products of the emulated GPU.

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
            gemm::Parallelism::None,
        );
    }
}
