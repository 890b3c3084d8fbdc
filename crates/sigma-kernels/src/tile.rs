//! The inner part of the products of [`mod@crate::linear`] and [`crate::packed`]: blocks of rows times panels of 32
//! columns, whose sums stay in vector registers. Every sum runs over the inner dimension in its order, in pieces of
//! `INNER` that are added one after another, so it depends neither on the other rows and columns nor on how the work is
//! cut. It knows nothing of threads.

use pulp::{Simd, WithSimd};

/// Up to this inner dimension a sum is not cut. (It is also where gemm cuts none.)
pub(crate) const INNER: usize = 512;
/// Columns that lie side by side in a panel: two vectors of the widest kind.
pub(crate) const PANEL: usize = 32;
/// Rows of an interleaved block of a left matrix. With AVX-512 the sums of 8 rows over a panel fill half the vector
/// registers.
pub(crate) const ROWS: usize = 8;
/// Rows that meet a slice of a panel one block after another.
pub(crate) const GROUP: usize = 64;
/// Inner elements of a panel that all rows of a group meet before the next ones: 8 KB, so that they and those that
/// follow lie in the first-level cache. The sums wait meanwhile.
const SLICE: usize = 64;
/// Numbers of a line of the cache.
const LINE: usize = 16;

/// What becomes of y = x W^T before it is stored.
#[derive(Debug, Clone, Copy)]
pub enum Then<'a> {
    Nothing,
    /// y + bias.
    Bias(&'a [f32]),
    /// max(y + bias, 0), where NaN stays NaN.
    BiasRelu(&'a [f32]),
}

impl<'a> Then<'a> {
    /// The same for the columns from `first` on.
    pub(crate) fn from(self, first: usize) -> Self {
        match self {
            Then::Nothing => Then::Nothing,
            Then::Bias(bias) => Then::Bias(&bias[first..]),
            Then::BiasRelu(bias) => Then::BiasRelu(&bias[first..]),
        }
    }

    pub(crate) fn check(self, columns: usize) {
        match self {
            Then::Nothing => {}
            Then::Bias(bias) | Then::BiasRelu(bias) => assert!(bias.len() == columns),
        }
    }
}

/// How the rows of the left matrix lie in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Left {
    /// One row after another, this many elements apart.
    Rows(usize),
    /// In blocks of eight, this many elements apart: element after element the numbers of the eight rows side by side.
    /// The last block is filled up.
    Blocks(usize),
    /// Element after element the numbers of all rows side by side, elements this far apart.
    Columns(usize),
}

impl Left {
    /// Where an inner element of a row lies.
    pub(crate) fn offset(self, row: usize, inner: usize) -> usize {
        match self {
            Left::Rows(stride) => row * stride + inner,
            Left::Blocks(stride) => row / ROWS * stride + inner * ROWS + row % ROWS,
            Left::Columns(stride) => row + inner * stride,
        }
    }
}

/// A piece of a product: out (+)= left times panels, over at most `INNER` elements of the inner dimension.
pub(crate) struct Piece<'a> {
    /// The left matrix from the piece's first inner element on.
    pub(crate) left: *const f32,
    pub(crate) layout: Left,
    pub(crate) rows: usize,
    /// Length of the piece.
    pub(crate) inner: usize,
    /// Panels from the piece's first inner element on: the 32 numbers of each inner element side by side.
    pub(crate) panels: &'a [f32],
    /// From one panel to the next.
    pub(crate) panel_stride: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    /// Columns of the result; what the last panel has more is not stored.
    pub(crate) columns: usize,
    /// Whether to add to what is in `out`.
    pub(crate) add: bool,
    pub(crate) then: Then<'a>,
    /// Whether the panels come from memory one after another, so that what lies behind a part of them should be on its
    /// way meanwhile.
    pub(crate) streamed: bool,
}

impl Piece<'_> {
    /// # Safety
    /// The rows of the left matrix must be readable and those of `out` writable, for `columns` columns, and nobody else
    /// may use these elements of `out` meanwhile.
    pub(crate) unsafe fn run(self) {
        assert!(self.inner > 0 && self.inner <= INNER && self.rows > 0 && self.columns > 0);
        let last = (self.columns - 1) / PANEL * self.panel_stride;
        assert!(self.panels.len() >= last + self.inner * PANEL);
        pulp::Arch::new().dispatch(self);
    }
}

impl WithSimd for Piece<'_> {
    type Output = ();

    /// Vectors of a panel, and rows whose sums fit into registers beside it, by the width of a vector.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.groups::<S, 2, 8, 4>(simd),
            8 => self.groups::<S, 4, 2, 1>(simd),
            4 => self.groups::<S, 8, 2, 1>(simd),
            _ => self.groups::<S, 32, 1, 1>(simd),
        }
    }
}

impl Piece<'_> {
    /// `R` rows at a time, or `H` for what is left.
    #[inline(always)]
    fn groups<S: Simd, const N: usize, const R: usize, const H: usize>(&self, simd: S) {
        // of the rows of a group, between two slices
        let mut sums = [[simd.splat_f32s(0.0); N]; GROUP];
        for group in (0..self.rows).step_by(GROUP) {
            let end = self.rows.min(group + GROUP);
            for first in (0..self.columns).step_by(PANEL) {
                let panel = &self.panels[first / PANEL * self.panel_stride..][..self.inner * PANEL];
                let panel = S::as_simd_f32s(panel).0.as_chunks::<N>().0;
                for (slice, panel) in panel.chunks(SLICE).enumerate() {
                    let slice = (slice * SLICE, panel);
                    let mut row = group;
                    while row < end {
                        // a few rows are computed twice rather than slowly
                        if end - row > H {
                            self.tile::<S, N, R>(simd, slice, (row, end), first, &mut sums[row - group..]);
                            row += R;
                        } else {
                            self.tile::<S, N, H>(simd, slice, (row, end), first, &mut sums[row - group..]);
                            row += H;
                        }
                    }
                }
            }
        }
    }

    /// Rows from `row` to at most `end`, columns from `first` on, over the slice of the panel that begins at `from`.
    /// `begun` holds the rows' sums between slices.
    #[inline(always)]
    fn tile<S: Simd, const N: usize, const R: usize>(
        &self,
        simd: S,
        (from, panel): (usize, &[[S::f32s; N]]),
        (row, end): (usize, usize),
        first: usize,
        begun: &mut [[S::f32s; N]],
    ) {
        let last = from + panel.len() == self.inner;
        let begun = &mut begun.as_chunks_mut::<R>().0[0];
        let start = if from == 0 { [[simd.splat_f32s(0.0); N]; R] } else { *begun };
        // the places of the results are brought near while the last of the sums are made
        for row in row..if last { end.min(row + R) } else { row } {
            let out = self.out.wrapping_add(row * self.out_stride + first);
            for line in (0..PANEL).step_by(LINE) {
                prefetch::<1>(out.wrapping_add(line));
            }
        }
        // rows beyond the end stand for the last one, and are not stored
        let place = |r: usize| self.layout.offset((row + r).min(end - 1), from);
        // SAFETY: an element of the left matrix, by the promise of `run`
        let rows = std::array::from_fn(|r| unsafe { self.left.add(place(r)) });
        let sums = match self.layout {
            Left::Rows(_) => self.sums::<S, N, R>(simd, panel, start, rows, 1, row),
            Left::Blocks(_) => self.sums::<S, N, R>(simd, panel, start, rows, ROWS, row),
            Left::Columns(stride) => self.sums::<S, N, R>(simd, panel, start, rows, stride, row),
        };
        if !last {
            *begun = sums;
            return;
        }
        let (width, bias) = (PANEL.min(self.columns - first), self.biases::<S, N>(simd, first));
        for (r, sums) in sums.into_iter().enumerate() {
            if row + r < end {
                // SAFETY: `width` columns of a row of the result, which by the promise of `run` are ours alone
                let out =
                    unsafe { std::slice::from_raw_parts_mut(self.out.add((row + r) * self.out_stride + first), width) };
                if width == PANEL {
                    let out = &mut S::as_mut_simd_f32s(out).0.as_chunks_mut::<N>().0[0];
                    *out = self.finished(simd, sums, *out, &bias);
                } else {
                    let mut values = [0f32; PANEL];
                    values[..width].copy_from_slice(out);
                    let vectors = &mut S::as_mut_simd_f32s(&mut values).0.as_chunks_mut::<N>().0[0];
                    *vectors = self.finished(simd, sums, *vectors, &bias);
                    out.copy_from_slice(&values[..width]);
                }
            }
        }
    }

    /// The sums of `R` rows, whose elements lie `step` apart, continued over a slice.
    #[inline(always)]
    fn sums<S: Simd, const N: usize, const R: usize>(
        &self,
        simd: S,
        panel: &[[S::f32s; N]],
        start: [[S::f32s; N]; R],
        rows: [*const f32; R],
        step: usize,
        row: usize,
    ) -> [[S::f32s; N]; R] {
        let mut sums = start;
        // each block of rows asks for its share of the slice that follows, line by line
        let blocks = self.rows.min(GROUP).div_ceil(R);
        let spacing = PANEL >> blocks.ilog2().min(LINE.ilog2());
        let share = panel.as_ptr_range().end.cast::<f32>().wrapping_add(row % GROUP / R * panel.len() * spacing);
        for (i, weights) in panel.iter().enumerate() {
            if self.streamed && (i * spacing).is_multiple_of(LINE) {
                prefetch::<1>(share.wrapping_add(i * spacing));
                if spacing > LINE {
                    prefetch::<1>(share.wrapping_add(i * spacing + LINE));
                }
            }
            for r in 0..R {
                // SAFETY: element i of the piece of a row
                let value = simd.splat_f32s(unsafe { *rows[r].add(i * step) });
                for n in 0..N {
                    sums[r][n] = simd.mul_add_e_f32s(value, weights[n], sums[r][n]);
                }
            }
        }
        sums
    }

    /// The biases of a panel's columns; zeros beyond the last column.
    #[inline(always)]
    fn biases<S: Simd, const N: usize>(&self, simd: S, first: usize) -> [S::f32s; N] {
        let (Then::Bias(bias) | Then::BiasRelu(bias)) = self.then else { return [simd.splat_f32s(0.0); N] };
        let bias = &bias[first..];
        if let Some(bias) = bias.get(..PANEL) {
            return S::as_simd_f32s(bias).0.as_chunks::<N>().0[0];
        }
        let mut values = [0f32; PANEL];
        values[..bias.len()].copy_from_slice(bias);
        S::as_simd_f32s(&values).0.as_chunks::<N>().0[0]
    }

    #[inline(always)]
    fn finished<S: Simd, const N: usize>(
        &self,
        simd: S,
        sums: [S::f32s; N],
        before: [S::f32s; N],
        bias: &[S::f32s; N],
    ) -> [S::f32s; N] {
        let mut y = sums;
        if self.add {
            for n in 0..N {
                y[n] = simd.add_f32s(before[n], y[n]);
            }
        }
        if let Then::Nothing = self.then {
            return y;
        }
        for n in 0..N {
            y[n] = simd.add_f32s(y[n], bias[n]);
        }
        if let Then::BiasRelu(_) = self.then {
            let zero = simd.splat_f32s(0.0);
            for y in &mut y {
                *y = simd.select_f32s(simd.less_than_f32s(*y, zero), zero, *y);
            }
        }
        y
    }
}

/// Asks for a line of memory to be brought into the cache of `LEVEL` 1 or 2, on CPUs that can be asked.
#[inline(always)]
pub(crate) fn prefetch<const LEVEL: usize>(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, whatever the address
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        match LEVEL {
            2 => _mm_prefetch::<_MM_HINT_T1>(address.cast()),
            _ => _mm_prefetch::<_MM_HINT_T0>(address.cast()),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    fn values(n: usize) -> Vec<f32> {
        (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32 - 0.5).collect()
    }

    /// Both kinds of left matrix that lie as their owner stored them, and sums that are continued between slices.
    #[test]
    fn vectors_of_eight_and_of_sixteen_numbers_give_the_same_bits() {
        let (Some(eight), Some(sixteen)) = (pulp::x86::V3::try_new(), pulp::x86::V4::try_new()) else { return };
        let (rows, columns) = (77, 50);
        for inner in [1, 33, 200] {
            let (left, panels, bias) = (values(rows * inner), values(2 * PANEL * inner), values(columns));
            for layout in [Left::Rows(inner), Left::Columns(rows)] {
                let run = |wide: bool| {
                    let mut out = vec![0.25; rows * columns];
                    let piece = Piece {
                        left: left.as_ptr(),
                        layout,
                        rows,
                        inner,
                        panels: &panels,
                        panel_stride: inner * PANEL,
                        out: out.as_mut_ptr(),
                        out_stride: columns,
                        columns,
                        add: true,
                        then: Then::BiasRelu(&bias),
                        streamed: false,
                    };
                    if wide {
                        Simd::vectorize(sixteen, piece)
                    } else {
                        Simd::vectorize(eight, piece)
                    };
                    out
                };
                assert!(run(false) == run(true), "{inner} {layout:?}");
            }
        }
    }
}
