//! The eigenvalues lambda_1 >= ... >= lambda_d of a Gram matrix, and what is a function of them alone: rank, condition,
//! the Ky Fan envelope (3.16). Eigenvalues carry an absolute error near eps * lambda_1, so S_k itself is taken from the
//! Cholesky factor instead.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, Par};

use crate::MetricsError;
use crate::gram::Gram;

/// Eigenvalues in descending order, all >= 0 and at least one.
#[derive(Clone, Debug)]
pub(crate) struct Spectrum {
    lambda: Vec<f64>,
}

impl Spectrum {
    /// # Errors
    /// [`MetricsError::NoConvergence`].
    pub(crate) fn of(gram: &Gram) -> Result<Self, MetricsError> {
        let d = gram.d();
        let mut ascending = Mat::zeros(d, 1);
        let scratch = self_adjoint_evd_scratch::<f64>(d, ComputeEigenvectors::No, Par::Seq, Default::default());
        let mut scratch = MemBuffer::new(scratch);
        let stack = MemStack::new(&mut scratch);
        let values = ascending.as_mut().col_mut(0).as_diagonal_mut();
        self_adjoint_evd(gram.lower().as_ref(), values, None, Par::Seq, stack, Default::default())
            .map_err(|_| MetricsError::NoConvergence { d })?;
        // A Gram matrix has no negative eigenvalue: one that is found is a zero with rounding on it.
        let lambda = (0..d).rev().map(|i| ascending[(i, 0)].max(0.0)).collect();
        Ok(Self { lambda })
    }

    pub(crate) fn descending(&self) -> &[f64] {
        &self.lambda
    }

    pub(crate) fn into_descending(self) -> Vec<f64> {
        self.lambda
    }

    pub(crate) fn largest(&self) -> f64 {
        self.lambda[0]
    }

    pub(crate) fn smallest(&self) -> f64 {
        self.lambda[self.lambda.len() - 1]
    }

    /// How many eigenvalues exceed [`rank_tolerance`].
    pub(crate) fn rank(&self, n_a: usize) -> usize {
        self.rank_above(rank_tolerance(n_a, self.lambda.len(), self.largest()))
    }

    /// How many eigenvalues exceed `tolerance`.
    pub(crate) fn rank_above(&self, tolerance: f64) -> usize {
        self.lambda.iter().filter(|&&lambda| lambda > tolerance).count()
    }

    /// (lambda_1 + delta) / (lambda_d + delta).
    pub(crate) fn condition(&self, delta: f64) -> f64 {
        (self.largest() + delta) / (self.smallest() + delta)
    }

    /// sum_i log(lambda_i + shift).
    pub(crate) fn log_det(&self, shift: f64) -> f64 {
        self.lambda.iter().map(|lambda| (lambda + shift).ln()).sum()
    }

    /// log det(G + delta I) - log det G = sum_i log(1 + delta / lambda_i), in nats; infinite for a singular G.
    pub(crate) fn ridge_shift(&self, delta: f64) -> f64 {
        self.lambda.iter().map(|lambda| (delta / lambda).ln_1p()).sum()
    }

    /// log det(G + shift I) - d log(shift) = sum_i log(1 + lambda_i / shift) >= 0: the Ky Fan envelope G_KF for shift =
    /// beta + delta. The sum has no cancellation, unlike the difference, where the budget is large against the
    /// spectrum.
    pub(crate) fn log_volume_over(&self, shift: f64) -> f64 {
        envelope(&self.lambda, shift, 0.0)
    }
}

/// Track I (3.16) from the eigenvalues of G_A: sum_i log(1 + lambda_i / (beta + delta)), in nats. With the tail budget
/// of t = 0 in place of a checkpoint's own it does not follow the number of rows.
pub fn envelope(spectrum: &[f64], beta: f64, delta: f64) -> f64 {
    spectrum.iter().map(|lambda| (lambda / (beta + delta)).ln_1p()).sum()
}

/// The rounding of the largest eigenvalue, below which another is as good as zero: NumPy's max(n_A, d) * eps *
/// lambda_1.
pub(crate) fn rank_tolerance(n_a: usize, d: usize, largest: f64) -> f64 {
    n_a.max(d) as f64 * f64::EPSILON * largest
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Embeddings;
    use crate::cholesky::Cholesky;
    use crate::gram::tests::rows;

    fn spectrum(rows: &Embeddings) -> (Gram, Spectrum) {
        let gram = Gram::of(rows, &(0..rows.n()).collect::<Vec<_>>());
        let spectrum = Spectrum::of(&gram).unwrap();
        (gram, spectrum)
    }

    #[test]
    fn eigenvalues_descend_and_keep_trace_and_frobenius_norm() {
        for (n, d) in [(1, 1), (1, 2), (5, 3), (4, 30), (500, 130)] {
            let rows = rows(n, d, 21);
            let (gram, spectrum) = spectrum(&rows);
            let lambda = spectrum.descending();
            assert_eq!(lambda.len(), d);
            assert!(lambda.windows(2).all(|pair| pair[0] >= pair[1]) && lambda.iter().all(|&x| x >= 0.0));

            let trace: f64 = (0..n).map(|i| rows.energy(i)).sum();
            assert!((lambda.iter().sum::<f64>() - trace).abs() < 1e-10 * trace, "n {n} d {d}");
            let squares: f64 = (0..d)
                .flat_map(|i| (0..=i).map(move |j| (i, j)))
                .map(|(i, j)| gram.lower()[(i, j)].powi(2) * if i == j { 1.0 } else { 2.0 })
                .sum();
            assert!((lambda.iter().map(|x| x * x).sum::<f64>() - squares).abs() < 1e-10 * squares, "n {n} d {d}");
        }
    }

    #[test]
    fn envelope_equals_the_difference_of_two_determinants() {
        for (n, d) in [(1, 1), (3, 8), (90, 24)] {
            let (gram, spectrum) = spectrum(&rows(n, d, 2));
            for shift in [1e-3, 1.0, 1e3] {
                let slow = Cholesky::of(&gram, shift).unwrap().log_det() - d as f64 * shift.ln();
                let fast = spectrum.log_volume_over(shift);
                assert!((fast - slow).abs() < 1e-9, "n {n} d {d} shift {shift}: {fast} vs {slow}");
            }
        }
    }

    #[test]
    fn rank_counts_independent_directions() {
        let basis = rows(3, 10, 4);
        for (n, expected) in [(1, 1), (2, 2), (3, 3), (50, 3)] {
            let repeated = (0..n).flat_map(|i| basis.row(i % 3).to_vec()).collect();
            let (_, spectrum) = spectrum(&Embeddings::new(n, 10, repeated).unwrap());
            assert_eq!(spectrum.rank(n), expected, "{n} rows");
        }
        let (_, zero) = spectrum(&Embeddings::new(2, 2, vec![0.0; 4]).unwrap());
        assert_eq!(zero.rank(2), 0);
        assert_eq!(zero.condition(1e-3), 1.0);
    }
}
