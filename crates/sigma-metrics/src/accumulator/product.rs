//! The product A^T A of one group of rows, tile by tile of the lower triangle: small pieces of rows, so that a piece stays in cache and
//! its sum in float32 is short, added in float64. It computes on one thread and always in the same order.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{BlockStructure, matmul as triangular};
use faer::{Accum, MatMut, MatRef, Par};

use super::Precision;
use super::row_sums::RowSums;
use crate::MetricsError;

/// Rows per product in float32. An entry's rounding grows with the number of terms, and 384 x 256 values fit the cache.
pub(super) const PIECE: usize = 256;

/// Widest side of a tile: what is below is one tile, whose upper half is not computed.
const TILE: usize = 512;

/// A rectangle of the lower triangle of G; on the diagonal only its own lower triangle is meant.
pub(super) struct Tile {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Tile {
    /// The tiles of a d x d matrix, in an order that depends on d alone.
    pub(super) fn all(d: usize) -> Vec<Self> {
        let side = |i: usize| i * TILE..((i + 1) * TILE).min(d);
        let sides = d.div_ceil(TILE);
        (0..sides).flat_map(|i| (0..=i).map(move |j| Self { rows: side(i), columns: side(j) })).collect()
    }

    fn on_diagonal(&self) -> bool {
        self.rows == self.columns
    }
}

/// A tile of one group's Gram matrix.
pub(super) struct Part {
    rows: Range<usize>,
    columns: Range<usize>,
    /// Column-major.
    sum: Vec<f64>,
    /// What else is known of the group; in the part of the first tile only.
    pub(super) row_sums: Option<RowSums>,
}

impl Part {
    /// The tile of A^T A for `rows` (len / d rows of width d), of which the first has the number `first`.
    pub(super) fn of(
        rows: &[f32],
        first: u64,
        d: usize,
        tile: &Tile,
        precision: Precision,
    ) -> Result<Self, MetricsError> {
        let (height, width) = (tile.rows.len(), tile.columns.len());
        let mut sum = vec![0f64; height * width];
        let mut row_sums = (tile.rows.start == 0).then(|| RowSums::new(d));
        let (mut single, mut double) = (Vec::new(), Vec::new());
        for (number, piece) in rows.chunks(PIECE * d).enumerate() {
            if let Some(sums) = &mut row_sums {
                sums.add(piece, first + (number * PIECE) as u64, precision)?;
            }
            let count = piece.len() / d;
            match precision {
                Precision::Single => {
                    single.resize(height * width, 0f32);
                    let columns = MatRef::from_column_major_slice(piece, d, count);
                    let product = MatMut::from_column_major_slice_mut(&mut single, height, width);
                    multiply(product, Accum::Replace, columns, tile);
                    add(&mut sum, &single, height, tile.on_diagonal());
                }
                Precision::Double => {
                    double.clear();
                    double.extend(piece.iter().copied().map(f64::from));
                    let columns = MatRef::from_column_major_slice(&double, d, count);
                    multiply(MatMut::from_column_major_slice_mut(&mut sum, height, width), Accum::Add, columns, tile);
                }
            }
        }
        Ok(Self { rows: tile.rows.clone(), columns: tile.columns.clone(), sum, row_sums })
    }

    /// Adds what belongs to column j of the whole matrix, of which `column` has all d entries.
    pub(super) fn add_to_column(&self, j: usize, column: &mut [f64]) {
        if !self.columns.contains(&j) {
            return;
        }
        let (height, local) = (self.rows.len(), j - self.columns.start);
        let from = if self.rows == self.columns { local } else { 0 };
        let source = &self.sum[local * height..][from..height];
        for (sum, value) in column[self.rows.start + from..self.rows.end].iter_mut().zip(source) {
            *sum += value;
        }
    }
}

/// The tile of `columns` times its transpose, where the rows are the columns of a d x count matrix.
fn multiply<T: faer::traits::ComplexField>(into: MatMut<'_, T>, accum: Accum, columns: MatRef<'_, T>, tile: &Tile) {
    let left = columns.subrows(tile.rows.start, tile.rows.len());
    let right = columns.subrows(tile.columns.start, tile.columns.len()).transpose();
    let one = faer::traits::math_utils::one::<T>();
    if tile.on_diagonal() {
        let full = BlockStructure::Rectangular;
        triangular(into, BlockStructure::TriangularLower, accum, left, full, right, full, one, Par::Seq);
    } else {
        matmul(into, accum, left, right, one, Par::Seq);
    }
}

/// sum += single, below and on the diagonal only if asked.
fn add(sum: &mut [f64], single: &[f32], height: usize, lower: bool) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for (j, (sum, single)) in sum.chunks_exact_mut(height).zip(single.chunks_exact(height)).enumerate() {
                let from = if lower { j } else { 0 };
                for (sum, value) in sum[from..].iter_mut().zip(&single[from..]) {
                    *sum += f64::from(*value);
                }
            }
        },
    );
}
