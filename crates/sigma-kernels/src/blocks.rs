//! Products of small blocks that lie inside larger matrices, on the calling thread: attention's products of one head,
//! and the products of the emulated GPU. Sums are those of `crate::tile`.

use std::ops::Range;

use crate::panels::Right;
use crate::tile::{INNER, Left, PANEL, Piece, Then};

/// Queries that attention treats together.
pub(crate) const QUERIES: usize = 32;
/// Rows of attention's probabilities are as long as a multiple of this, and what they have more is 0.
pub(crate) const VECTOR: usize = 16;

/// A right matrix `[inner, columns]` in panels, for several products with parts of it.
pub(crate) struct Panels<'a> {
    values: &'a [f32],
    inner: usize,
}

/// The part of a product that is wanted.
pub(crate) struct Part {
    /// Rows of the left matrix and of the result.
    pub(crate) rows: usize,
    /// Rows of the right matrix; the left one begins with the column that belongs to the first of them.
    pub(crate) inner: Range<usize>,
    /// How many columns of the right matrix.
    pub(crate) columns: usize,
}

impl<'a> Panels<'a> {
    /// Packs a matrix into `space`, which can be used again afterwards.
    pub(crate) fn pack(space: &'a mut Vec<f32>, right: Right<'_>, (inner, columns): (usize, usize)) -> Self {
        let needed = columns.div_ceil(PANEL) * PANEL * inner;
        if space.len() < needed {
            space.resize(needed, 0.0);
        }
        right.pack(&mut space[..needed], (0, inner), (0, columns));
        Self { values: &space[..needed], inner }
    }

    /// out = left times the packed matrix, for a part of both; rows of `out` are `stride` apart.
    ///
    /// # Safety
    /// `out` must be writable for the part's rows and columns, and nobody else may use them meanwhile.
    pub(crate) unsafe fn multiply(
        &self,
        (out, stride): (*mut f32, usize),
        (left, layout): (&[f32], Left),
        Part { rows, inner, columns }: Part,
    ) {
        if rows == 0 || columns == 0 || inner.is_empty() {
            return;
        }
        assert!(inner.end <= self.inner && left.len() > layout.offset(rows - 1, inner.len() - 1));
        for from in inner.clone().step_by(INNER) {
            // SAFETY: the left matrix was checked above; of the rest the caller has promised
            unsafe {
                Piece {
                    left: left[layout.offset(0, from - inner.start)..].as_ptr(),
                    layout,
                    rows,
                    inner: INNER.min(inner.end - from),
                    panels: &self.values[from * PANEL..],
                    panel_stride: self.inner * PANEL,
                    out,
                    out_stride: stride,
                    columns,
                    add: from > inner.start,
                    then: Then::Nothing,
                    streamed: false,
                }
                .run();
            }
        }
    }
}
