//! Products of two pieces of rows in float32, added to sums in float64: for each pair of a panel and a block of eight
//! coordinates the sums over the rows, in their order, stay in vector registers until the last row. Every sum is a
//! chain of fused multiply-adds, so the bits are the same for every width of vector.

use pulp::{Simd, WithSimd};

use super::panels::{PANEL, Panels};

/// Coordinates whose sums over a panel are made together.
const BLOCK: usize = 8;
/// Elements of the widest vector. Parts of a panel above the diagonal are left out by so many.
const WIDEST: usize = 16;

/// sum += rows^T columns, where `sum` is column-major, `rows.width()` high.
pub(super) struct Product<'a, const PIECE: usize> {
    pub(super) rows: &'a Panels<PIECE>,
    pub(super) columns: &'a Panels<PIECE>,
    /// Only on and below the diagonal.
    pub(super) lower: bool,
    pub(super) sum: &'a mut [f64],
}

impl<const PIECE: usize> WithSimd for Product<'_, PIECE> {
    type Output = ();

    /// Vectors of a panel, and coordinates of a block whose sums fit into registers beside them, by the width of a
    /// vector.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.all::<S, 3, 8>(simd),
            8 => self.all::<S, 6, 2>(simd),
            4 => self.all::<S, 12, 1>(simd),
            _ => self.all::<S, PANEL, 1>(simd),
        }
    }
}

impl<const PIECE: usize> Product<'_, PIECE> {
    #[inline(always)]
    fn all<S: Simd, const W: usize, const R: usize>(self, simd: S) {
        let Self { rows, columns, lower, sum } = self;
        let (height, width) = (rows.width(), columns.width());
        for (panel, right) in rows.panels().enumerate() {
            let right = S::as_simd_f32s(right).0.as_chunks::<W>().0;
            let first = panel * PANEL;
            let present = (height - first).min(PANEL);
            let end = if lower { width.min(first + present) } else { width };
            for block in (0..end).step_by(BLOCK) {
                let left = columns.panel(block / PANEL).as_chunks::<BLOCK>().0;
                let left = left.iter().skip(block % PANEL / BLOCK).step_by(PANEL / BLOCK);
                let mut out = [[0f32; PANEL]; BLOCK];
                let skipped = if lower { block.saturating_sub(first) / WIDEST } else { 0 };
                for part in (0..BLOCK).step_by(R) {
                    let (left, out) = (left.clone(), &mut out);
                    match (S::F32_LANES == WIDEST, skipped, present.div_ceil(WIDEST)) {
                        (true, 0, 1) => tile::<S, W, 0, 1, R>(simd, left, part, right, out),
                        (true, 0, 2) => tile::<S, W, 0, 2, R>(simd, left, part, right, out),
                        (true, 1, 2) => tile::<S, W, 1, 1, R>(simd, left, part, right, out),
                        (true, 1, 3) => tile::<S, W, 1, 2, R>(simd, left, part, right, out),
                        (true, 2, 3) => tile::<S, W, 2, 1, R>(simd, left, part, right, out),
                        _ => tile::<S, W, 0, W, R>(simd, left, part, right, out),
                    }
                }
                for (column, out) in (block..width).zip(&out) {
                    let from = if lower { column.max(first) } else { first };
                    let sum = &mut sum[column * height..][from..first + present];
                    add(sum, &out[from - first..present]);
                }
            }
        }
    }
}

/// `R` coordinates of a block, from `part` on, times `N` of a panel's `W` vectors, from `FROM` on.
#[inline(always)]
fn tile<'a, S: Simd, const W: usize, const FROM: usize, const N: usize, const R: usize>(
    simd: S,
    left: impl Iterator<Item = &'a [f32; BLOCK]>,
    part: usize,
    right: &[[S::f32s; W]],
    out: &mut [[f32; PANEL]; BLOCK],
) {
    let mut sums = [[simd.splat_f32s(0.0); N]; R];
    for (left, right) in left.zip(right) {
        for r in 0..R {
            let value = simd.splat_f32s(left[part + r]);
            for n in 0..N {
                sums[r][n] = simd.mul_add_e_f32s(value, right[FROM + n], sums[r][n]);
            }
        }
    }
    for r in 0..R {
        let row = S::as_mut_simd_f32s(&mut out[part + r]).0;
        row[FROM..FROM + N].copy_from_slice(&sums[r]);
    }
}

#[inline(always)]
fn add(sum: &mut [f64], values: &[f32]) {
    // nearly all columns of a panel are whole, and then the compiler knows how many vectors there are
    if let (Some(sum), Some(values)) = (sum.first_chunk_mut::<PANEL>(), values.first_chunk::<PANEL>()) {
        for i in 0..PANEL {
            sum[i] += f64::from(values[i]);
        }
        return;
    }
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += f64::from(*value);
    }
}
