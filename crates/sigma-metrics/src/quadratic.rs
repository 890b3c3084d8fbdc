//! The second pass over rows that do not fit into memory: the variance of v^T (G + delta I)^-1 v, which Theorem 3 rests
//! on. It needs the finished Gram matrix and every row once more, in float64; it takes several times as long as the
//! first pass.

use rayon::prelude::*;

use crate::cholesky::Cholesky;
use crate::config::positive;
use crate::{Embeddings, GramAccumulator, MetricsError};

/// Rows per piece, each with mean and squared deviations of its own.
const PIECE: usize = 1024;

/// Count, mean and sum of squared deviations of the quadratic forms of the rows pushed.
#[derive(Debug)]
pub struct QuadraticMoments {
    d: usize,
    cholesky: Cholesky,
    moments: Moments,
}

#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    n: u64,
    mean: f64,
    squares: f64,
}

impl QuadraticMoments {
    /// For the rows of `gram`, with the ridge `delta` of the measurement.
    ///
    /// # Errors
    /// [`MetricsError::Config`] for a ridge that is not positive, [`MetricsError::NotPositiveDefinite`] where it drowns
    /// in rounding.
    pub fn new(gram: &GramAccumulator, delta: f64) -> Result<Self, MetricsError> {
        positive("delta", delta)?;
        let gram = gram.complete()?;
        Ok(Self { d: gram.d(), cholesky: Cholesky::of(&gram.gram(), delta)?, moments: Moments::default() })
    }

    /// Rows pushed.
    pub fn n(&self) -> u64 {
        self.moments.n
    }

    /// Takes in a block of rows, row-major. The result does not depend on the number of threads, and on the cut into
    /// blocks only by rounding.
    ///
    /// # Errors
    /// [`MetricsError::Shape`], or [`MetricsError::NonFinite`] with the row counted within its piece of the block.
    pub fn push(&mut self, rows: &[f32]) -> Result<(), MetricsError> {
        let d = self.d;
        if !rows.len().is_multiple_of(d) {
            return Err(MetricsError::Shape { n: rows.len() / d, d, values: rows.len() });
        }
        let cholesky = &self.cholesky;
        let pieces = rows.par_chunks(PIECE * d).map(|piece| {
            let n = piece.len() / d;
            let piece = Embeddings::new(n, d, piece.to_vec())?;
            Ok(Moments::of(&cholesky.quadratic_forms(&piece, &(0..n).collect::<Vec<_>>())))
        });
        let pieces: Vec<Result<Moments, MetricsError>> = pieces.collect();
        for piece in pieces {
            self.moments.merge(piece?);
        }
        Ok(())
    }

    /// Sample standard deviation; None for fewer than two rows.
    pub(crate) fn std(&self) -> Option<f64> {
        let Moments { n, squares, .. } = self.moments;
        (n > 1).then(|| (squares / (n - 1) as f64).sqrt())
    }
}

impl Moments {
    fn of(values: &[f64]) -> Self {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Self { n: values.len() as u64, mean, squares: values.iter().map(|x| (x - mean).powi(2)).sum() }
    }

    /// Chan, Golub and LeVeque (1983): no cancellation, unlike the sum of squares.
    fn merge(&mut self, other: Self) {
        let (a, b) = (self.n as f64, other.n as f64);
        if other.n == 0 {
            return;
        }
        let (difference, n) = (other.mean - self.mean, a + b);
        self.mean += difference * b / n;
        self.squares += other.squares + difference * difference * a * b / n;
        self.n += other.n;
    }
}
