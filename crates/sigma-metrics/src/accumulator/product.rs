//! The product A^T A of one group of rows, tile by tile of the lower triangle: small pieces of rows, so that a piece
//! stays in cache and its sum in float32 is short, added in float64. It computes on one thread and always in the same
//! order.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{BlockStructure, matmul as triangular};
use faer::{Accum, MatMut, MatRef, Par};

use super::Precision;
use super::microkernel::Product;
use super::panels::Panels;
use super::row_sums::RowSums;
use crate::MetricsError;

/// Rows per product in float32. An entry's rounding grows with the number of terms, and 384 x 256 values fit the cache.
pub(super) const PIECE: usize = 256;

/// Rows that are read, checked and rearranged while they are in the nearest cache.
const NEAR: usize = 8;

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
        match precision {
            Precision::Single => {
                let mut left = Panels::<PIECE>::new(tile.columns.clone());
                let mut below = (!tile.on_diagonal()).then(|| Panels::<PIECE>::new(tile.rows.clone()));
                for (number, piece) in rows.chunks(PIECE * d).enumerate() {
                    left.clear();
                    below.iter_mut().for_each(Panels::clear);
                    for (near, rows) in piece.chunks(NEAR * d).enumerate() {
                        if let Some(sums) = &mut row_sums {
                            sums.add(rows, first + (number * PIECE + near * NEAR) as u64, precision)?;
                        }
                        left.push(rows, d);
                        below.iter_mut().for_each(|below| below.push(rows, d));
                    }
                    let (rows, lower) = (below.as_ref().unwrap_or(&left), below.is_none());
                    pulp::Arch::new().dispatch(Product { rows, columns: &left, lower, sum: &mut sum });
                }
            }
            Precision::Double => {
                let mut double = Vec::new();
                for (number, piece) in rows.chunks(PIECE * d).enumerate() {
                    if let Some(sums) = &mut row_sums {
                        sums.add(piece, first + (number * PIECE) as u64, precision)?;
                    }
                    double.clear();
                    double.extend(piece.iter().copied().map(f64::from));
                    let columns = MatRef::from_column_major_slice(&double, d, piece.len() / d);
                    multiply(MatMut::from_column_major_slice_mut(&mut sum, height, width), columns, tile);
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

/// into += the tile of `columns` times its transpose, where the rows are the columns of a d x count matrix.
fn multiply(into: MatMut<'_, f64>, columns: MatRef<'_, f64>, tile: &Tile) {
    let left = columns.subrows(tile.rows.start, tile.rows.len());
    let right = columns.subrows(tile.columns.start, tile.columns.len()).transpose();
    if tile.on_diagonal() {
        let full = BlockStructure::Rectangular;
        triangular(into, BlockStructure::TriangularLower, Accum::Add, left, full, right, full, 1.0, Par::Seq);
    } else {
        matmul(into, Accum::Add, left, right, 1.0, Par::Seq);
    }
}
