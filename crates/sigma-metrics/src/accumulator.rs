//! The Gram matrix of embeddings that do not fit into memory: rows are pushed block by block and forgotten, and the
//! sums of shards computed anywhere are merged. What it keeps is d x d; where rows come from and how many are still to
//! come it does not know.
//!
//! Rows are taken in groups of `GROUP`. A group is multiplied in pieces of `product::PIECE` rows, each piece in float32
//! and the pieces added in float64 (`product`); groups are added in their order. The cut depends on the row's number
//! alone, so the result has the same bytes for every number of threads and however the rows are split into blocks.

mod file;
mod microkernel;
mod panels;
mod product;
mod row_sums;

use std::borrow::Cow;

use rayon::prelude::*;

use crate::MetricsError;
use crate::gram::Gram;
use product::{Part, Tile};
use row_sums::RowSums;

/// Rows of one unit of parallel work: enough that adding its d x d sum to the total costs little, few enough for many
/// units per block.
const GROUP: usize = 4096;

/// The widest embeddings that are taken: their matrix has 2 GiB.
pub const MAX_WIDTH: usize = 16_384;

/// Memory for the sums of groups that are multiplied side by side.
const WAVE_BYTES: usize = 128 << 20;

/// Spectral norm of the rounding of products in float32, over the trace: what no test has exceeded. Random rows stay
/// below 1e-6, rows that are all equal, whose errors add up instead of averaging out, come near 2e-6. What holds for
/// any rows is the bound of sums of 256 terms, 256 * 2^-24 = 1.5e-5.
const SINGLE_ERROR: f64 = 4e-6;

/// Refuses widths of which no d x d matrix is made.
///
/// # Errors
/// [`MetricsError::ZeroWidth`], or [`MetricsError::TooWide`] above [`MAX_WIDTH`].
pub fn check_width(d: usize) -> Result<(), MetricsError> {
    match d {
        0 => Err(MetricsError::ZeroWidth),
        1..=MAX_WIDTH => Ok(()),
        _ => Err(MetricsError::TooWide { d, limit: MAX_WIDTH }),
    }
}

/// In what arithmetic the products of a piece of rows are made. Sums over pieces are float64 in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// float32: fast. An eigenvalue is off by [`GramAccumulator::eigenvalue_error`].
    #[default]
    Single,
    /// float64: the exact twin, slower, for spectra with eigenvalues below that error.
    Double,
}

/// G = sum_i v_i v_i^T over rows of width d that were pushed, with what else must be known of them: how many there are,
/// the largest
/// ||v||^2 and the sum of v / ||v||. Memory is O(d^2) and does not grow with the number of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct GramAccumulator {
    d: usize,
    precision: Precision,
    /// Rows pushed, those that wait for their group to fill included.
    n: u64,
    /// Column-major d x d; only the lower triangle is meant.
    lower: Vec<f64>,
    sums: RowSums,
    /// Energy of the rows that were multiplied in float32, here or in what was merged.
    single_energy: f64,
    /// Rows of the group that is not full yet.
    pending: Vec<f32>,
}

impl GramAccumulator {
    /// No rows yet, of width d, products in float32.
    ///
    /// # Errors
    /// [`MetricsError::ZeroWidth`], or [`MetricsError::TooWide`] above [`MAX_WIDTH`].
    pub fn new(d: usize) -> Result<Self, MetricsError> {
        Self::with_precision(d, Precision::Single)
    }

    /// No rows yet, of width d.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_precision(d: usize, precision: Precision) -> Result<Self, MetricsError> {
        check_width(d)?;
        let (lower, sums) = (vec![0.0; d * d], RowSums::new(d));
        Ok(Self { d, precision, n: 0, lower, sums, single_energy: 0.0, pending: Vec::new() })
    }

    /// Width of a row.
    pub fn d(&self) -> usize {
        self.d
    }

    /// Rows pushed and merged.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Adds rows: `rows[i * d + j]` is coordinate j of the i-th. Blocks of many thousand rows use all threads.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] if the values do not fill rows, [`MetricsError::NonFinite`], or
    /// [`MetricsError::Overflow`] for a row too long for float32. Rows are counted from the first one pushed. After the
    /// last two the accumulator holds a part of the rows only and is to be dropped.
    pub fn push(&mut self, rows: &[f32]) -> Result<(), MetricsError> {
        if !rows.len().is_multiple_of(self.d) {
            return Err(MetricsError::Shape { n: rows.len() / self.d, d: self.d, values: rows.len() });
        }
        let (full, mut rest) = (GROUP * self.d, rows);
        if !self.pending.is_empty() {
            let (head, tail) = rest.split_at(rest.len().min(full - self.pending.len()));
            self.hold(head)?;
            rest = tail;
            if self.pending.len() == full {
                let mut pending = std::mem::take(&mut self.pending);
                self.multiply(&pending)?;
                pending.clear();
                self.pending = pending;
            }
        }
        let (whole, tail) = rest.split_at(rest.len() / full * full);
        let wave = (WAVE_BYTES / (self.d * self.d * size_of::<f64>())).clamp(1, 64);
        for rows in whole.chunks(wave * full) {
            self.n += (rows.len() / self.d) as u64;
            self.multiply(rows)?;
        }
        self.hold(tail)
    }

    /// Adds the rows of another accumulator, such as that of another shard. float64 addition does not associate:
    /// another order of merging may differ in the last bits.
    ///
    /// # Errors
    /// [`MetricsError::Width`] if the widths differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), MetricsError> {
        if self.d != other.d {
            return Err(MetricsError::Width { left: self.d, right: other.d });
        }
        let other = other.complete()?;
        self.finish()?;
        for (sum, value) in self.lower.iter_mut().zip(&other.lower) {
            *sum += value;
        }
        self.sums.merge(&other.sums);
        self.n += other.n;
        self.single_energy += other.single_energy;
        Ok(())
    }

    /// By how much rounding may have moved an eigenvalue of G: zero if all products were made in float64, else 4e-6 of
    /// the energy multiplied in float32 (for rows of unit norm 4e-6 n). Measured on random, equal and rank-deficient
    /// rows, not proved; what is proved is 1.5e-5.
    pub fn eigenvalue_error(&self) -> f64 {
        let pending = match self.precision {
            Precision::Single => self.pending.iter().map(|&x| f64::from(x) * f64::from(x)).sum(),
            Precision::Double => 0.0,
        };
        SINGLE_ERROR * (self.single_energy + pending)
    }

    /// This accumulator with no row waiting.
    pub(crate) fn complete(&self) -> Result<Cow<'_, Self>, MetricsError> {
        if self.pending.is_empty() {
            return Ok(Cow::Borrowed(self));
        }
        let mut complete = self.clone();
        complete.finish()?;
        Ok(Cow::Owned(complete))
    }

    /// G. Only of one that is complete.
    pub(crate) fn gram(&self) -> Gram {
        Gram::from_lower(self.d, |i, j| self.lower[j * self.d + i])
    }

    /// The largest ||v||^2. Only of one that is complete.
    pub(crate) fn largest_energy(&self) -> f64 {
        self.sums.largest_energy
    }

    /// Mean cosine of two different rows that are not zero. Only of one that is complete.
    pub(crate) fn mean_cosine(&self) -> Option<f64> {
        self.sums.mean_cosine()
    }

    fn finish(&mut self) -> Result<(), MetricsError> {
        let pending = std::mem::take(&mut self.pending);
        self.multiply(&pending)
    }

    /// Keeps rows, fewer than fill a group, until it is full.
    fn hold(&mut self, rows: &[f32]) -> Result<(), MetricsError> {
        // checked now and not with the group, so that what a push accepts can be saved
        RowSums::new(self.d).add(rows, self.n, self.precision)?;
        self.pending.extend_from_slice(rows);
        self.n += (rows.len() / self.d) as u64;
        Ok(())
    }

    /// Adds G of these rows, which are the last of the n counted.
    fn multiply(&mut self, rows: &[f32]) -> Result<(), MetricsError> {
        let (d, precision) = (self.d, self.precision);
        let first = self.n - (rows.len() / d) as u64;
        let tiles = Tile::all(d);
        let groups: Vec<&[f32]> = rows.chunks(GROUP * d).collect();
        let parts = (0..groups.len() * tiles.len()).into_par_iter().map(|task| {
            let (group, tile) = (task / tiles.len(), &tiles[task % tiles.len()]);
            Part::of(groups[group], first + (group * GROUP) as u64, d, tile, precision)
        });
        let parts: Vec<Result<Part, MetricsError>> = parts.collect();
        let parts: Vec<Part> = parts.into_iter().collect::<Result<_, _>>()?;
        for sums in parts.iter().filter_map(|part| part.row_sums.as_ref()) {
            self.sums.merge(sums);
            if precision == Precision::Single {
                self.single_energy += sums.energy;
            }
        }
        self.lower.par_chunks_exact_mut(d).enumerate().for_each(|(j, column)| {
            for part in &parts {
                part.add_to_column(j, column);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
