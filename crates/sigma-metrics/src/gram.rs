//! Gram matrices: G = sum_i v_i v_i^T (2.1), d x d, in float64. Rows are added block by block in the order given and on
//! one thread, because float addition does not associate: a fixed order is what makes the result independent of the
//! thread count.

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Mat, Par};

use crate::Embeddings;
use crate::cholesky::Cholesky;
use crate::spectrum::rank_tolerance;

/// Rows per matrix product: enough for the product to run at full speed, few enough that the float64 copy stays in
/// cache.
const BLOCK: usize = 256;

/// A symmetric positive semidefinite d x d matrix of which only the lower triangle is stored; the upper one is zero.
#[derive(Clone, Debug)]
pub(crate) struct Gram {
    lower: Mat<f64>,
}

impl Gram {
    /// The Gram matrix of the named rows; zero if none is named.
    pub(crate) fn of(rows: &Embeddings, indices: &[usize]) -> Self {
        let mut lower = Mat::zeros(rows.d(), rows.d());
        for block in indices.chunks(BLOCK) {
            let columns = rows.columns(block);
            matmul(
                lower.as_mut(),
                BlockStructure::TriangularLower,
                Accum::Add,
                columns.as_ref(),
                BlockStructure::Rectangular,
                columns.transpose(),
                BlockStructure::Rectangular,
                1.0,
                Par::Seq,
            );
        }
        Self { lower }
    }

    /// The matrix with this lower triangle. What is above the diagonal is ignored.
    pub(crate) fn from_lower(d: usize, entry: impl Fn(usize, usize) -> f64) -> Self {
        Self { lower: Mat::from_fn(d, d, |i, j| if j <= i { entry(i, j) } else { 0.0 }) }
    }

    /// G_A + G_B, the Gram matrix of both sets of rows (3.3).
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self { lower: &self.lower + &other.lower }
    }

    /// G - G_out, the Gram matrix of the rows that are left.
    pub(crate) fn minus(&self, out: &Self) -> Self {
        Self { lower: &self.lower - &out.lower }
    }

    /// The lower triangle of G + shift I.
    pub(crate) fn shifted(&self, shift: f64) -> Mat<f64> {
        let mut lower = self.lower.clone();
        for i in 0..self.d() {
            lower[(i, i)] += shift;
        }
        lower
    }

    /// The lower triangle of G.
    pub(crate) fn lower(&self) -> &Mat<f64> {
        &self.lower
    }

    /// Whether a matrix of `rows` rows that was found by subtraction is regular by more than its rounding. Looks at the
    /// pivots of a Cholesky factor: a dimension without rows leaves one at the rounding of the trace.
    pub(crate) fn is_regular(&self, rows: usize) -> bool {
        let trace: f64 = (0..self.d()).map(|i| self.lower[(i, i)]).sum();
        let rounding = 16.0 * rank_tolerance(rows, self.d(), trace);
        Cholesky::of(self, 0.0).is_ok_and(|cholesky| cholesky.smallest_pivot() > rounding)
    }

    pub(crate) fn d(&self) -> usize {
        self.lower.nrows()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    /// Pseudo-random rows with entries in [-0.5, 0.5), for the unit tests of this crate.
    pub(crate) fn rows(n: usize, d: usize, seed: u64) -> Embeddings {
        let mut state = seed;
        let values = (0..n * d).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        });
        Embeddings::new(n, d, values.collect()).unwrap()
    }

    #[test]
    fn equals_the_sum_of_outer_products_beyond_one_block() {
        for (n, d) in [(1, 1), (3, 5), (255, 4), (256, 7), (257, 33), (700, 3)] {
            let rows = rows(n, d, 11);
            let indices: Vec<usize> = (0..n).filter(|i| i % 3 != 1).collect();
            let gram = Gram::of(&rows, &indices);
            for i in 0..d {
                for j in 0..d {
                    let slow: f64 =
                        indices.iter().map(|&r| f64::from(rows.row(r)[i]) * f64::from(rows.row(r)[j])).sum();
                    let expected = if j <= i { slow } else { 0.0 };
                    let found = gram.lower()[(i, j)];
                    assert!((found - expected).abs() <= 1e-12, "n {n} d {d} ({i}, {j}): {found} vs {expected}");
                }
            }
        }
    }

    #[test]
    fn splits_into_observed_and_unobserved() {
        let rows = rows(300, 6, 5);
        let (a, b): (Vec<usize>, Vec<usize>) = (0..300).partition(|i| i % 4 == 0);
        let whole = Gram::of(&rows, &(0..300).collect::<Vec<_>>());
        let sum = Gram::of(&rows, &a).plus(&Gram::of(&rows, &b));
        assert!((whole.lower() - sum.lower()).norm_max() < 1e-12);
    }
}
