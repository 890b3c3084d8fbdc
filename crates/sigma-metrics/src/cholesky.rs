//! Cholesky factors of shifted Gram matrices: the log-determinant (B.13) and the quadratic forms v^T (G + shift I)^-1 v
//! of Theorem 3. Which shift means what (delta, or beta + delta) is the caller's business.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltError, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, Par};

use crate::gram::Gram;
use crate::{Embeddings, MetricsError};

/// Rows per triangular solve.
const BLOCK: usize = 256;

/// L with L L^T = G + shift I.
#[derive(Debug)]
pub(crate) struct Cholesky {
    l: Mat<f64>,
}

impl Cholesky {
    /// # Errors
    /// [`MetricsError::NotPositiveDefinite`] where rounding leaves a pivot that is not positive.
    pub(crate) fn of(gram: &Gram, shift: f64) -> Result<Self, MetricsError> {
        let d = gram.d();
        let mut l = gram.shifted(shift);
        let mut scratch = MemBuffer::new(cholesky_in_place_scratch::<f64>(d, Par::Seq, Default::default()));
        let stack = MemStack::new(&mut scratch);
        match cholesky_in_place(l.as_mut(), Default::default(), Par::Seq, stack, Default::default()) {
            Ok(_) => Ok(Self { l }),
            Err(LltError::NonPositivePivot { index: pivot }) => Err(MetricsError::NotPositiveDefinite { pivot, shift }),
        }
    }

    /// log det(G + shift I) = 2 sum_i log L_ii.
    pub(crate) fn log_det(&self) -> f64 {
        2.0 * (0..self.l.nrows()).map(|i| self.l[(i, i)].ln()).sum::<f64>()
    }

    /// The smallest L_ii^2.
    pub(crate) fn smallest_pivot(&self) -> f64 {
        (0..self.l.nrows()).map(|i| self.l[(i, i)].powi(2)).fold(f64::INFINITY, f64::min)
    }

    /// v^T (G + shift I)^-1 v = ||L^-1 v||^2 for each named row, in the order given.
    pub(crate) fn quadratic_forms(&self, rows: &Embeddings, indices: &[usize]) -> Vec<f64> {
        let mut forms = Vec::with_capacity(indices.len());
        for block in indices.chunks(BLOCK) {
            let mut columns = rows.columns(block);
            solve_lower_triangular_in_place(self.l.as_ref(), columns.as_mut(), Par::Seq);
            forms.extend((0..block.len()).map(|j| columns.col(j).iter().map(|x| x * x).sum::<f64>()));
        }
        forms
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::gram::tests::rows;
    use crate::spectrum::Spectrum;

    #[test]
    fn log_det_equals_the_sum_of_log_eigenvalues() {
        for (n, d) in [(1, 1), (2, 9), (40, 9), (300, 40), (400, 150)] {
            let rows = rows(n, d, 3);
            let gram = Gram::of(&rows, &(0..n).collect::<Vec<_>>());
            let spectrum = Spectrum::of(&gram).unwrap();
            for shift in [1e-3, 0.5, 100.0] {
                let fast = Cholesky::of(&gram, shift).unwrap().log_det();
                let slow = spectrum.log_det(shift);
                assert!((fast - slow).abs() < 1e-9, "n {n} d {d} shift {shift}: {fast} vs {slow}");
            }
        }
    }

    #[test]
    fn quadratic_forms_solve_the_normal_equations_and_sum_to_the_effective_dimension() {
        let (n, d, shift) = (600, 17, 0.25);
        let rows = rows(n, d, 8);
        let all: Vec<usize> = (0..n).collect();
        let gram = Gram::of(&rows, &all);
        let forms = Cholesky::of(&gram, shift).unwrap().quadratic_forms(&rows, &all);
        // trace(G (G + shift I)^-1) = sum_i lambda_i / (lambda_i + shift)
        let expected: f64 =
            Spectrum::of(&gram).unwrap().descending().iter().map(|lambda| lambda / (lambda + shift)).sum();
        assert!((forms.iter().sum::<f64>() - expected).abs() < 1e-10);

        // One of them by the textbook inverse of a diagonal matrix.
        let rows = Embeddings::new(2, 2, vec![1.0, 0.0, 0.0, 0.5]).unwrap();
        let forms = Cholesky::of(&Gram::of(&rows, &[0, 1]), shift).unwrap().quadratic_forms(&rows, &[1]);
        assert!((forms[0] - 0.25 / 0.5).abs() < 1e-15);
    }

    #[test]
    fn a_singular_matrix_without_ridge_is_refused_by_pivot() {
        let rows = Embeddings::new(1, 2, vec![1.0, 0.0]).unwrap();
        let error = Cholesky::of(&Gram::of(&rows, &[0]), 0.0).unwrap_err();
        assert_eq!(error, MetricsError::NotPositiveDefinite { pivot: 1, shift: 0.0 });
    }
}
