//! The embeddings of one generation: an n x d matrix whose row i is the vector v of text block i. The paper writes
//! blocks as columns of V (2.1); rows are how they are stored, and the Gram matrix is the same d x d. Which blocks are
//! observed is not known here.

use faer::Mat;

use crate::MetricsError;

/// n rows of width d, row-major, all finite. Norms are checked where the energy cap is known, in [`crate::sigma_ub()`].
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    n: usize,
    d: usize,
    values: Vec<f32>,
}

impl Embeddings {
    /// `values[i * d + j]` is coordinate j of block i. n may be zero, d may not.
    ///
    /// # Errors
    /// [`MetricsError::ZeroWidth`], [`MetricsError::Shape`], or [`MetricsError::NonFinite`] with the first bad row and
    /// column.
    pub fn new(n: usize, d: usize, values: Vec<f32>) -> Result<Self, MetricsError> {
        if d == 0 {
            return Err(MetricsError::ZeroWidth);
        }
        if n.checked_mul(d) != Some(values.len()) {
            return Err(MetricsError::Shape { n, d, values: values.len() });
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(MetricsError::NonFinite { row: at / d, column: at % d, value: values[at] });
        }
        Ok(Self { n, d, values })
    }

    /// Number of rows.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Width of a row.
    pub fn d(&self) -> usize {
        self.d
    }

    /// Row i, of length d.
    ///
    /// # Panics
    /// If `i >= n`, like a slice.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.d..][..self.d]
    }

    /// All rows, one after the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The rows named by `indices` as the columns of a d x len matrix in float64: the paper's orientation, and faer's.
    pub(crate) fn columns(&self, indices: &[usize]) -> Mat<f64> {
        Mat::from_fn(self.d, indices.len(), |coordinate, block| f64::from(self.row(indices[block])[coordinate]))
    }

    /// How many of the rows named by `indices` differ from each other.
    pub(crate) fn distinct(&self, indices: &[usize]) -> usize {
        let compare = |a: &usize, b: &usize| {
            let differing =
                self.row(*a).iter().zip(self.row(*b)).map(|(x, y)| x.total_cmp(y)).find(|order| order.is_ne());
            differing.unwrap_or(std::cmp::Ordering::Equal)
        };
        let mut sorted = indices.to_vec();
        sorted.sort_unstable_by(compare);
        sorted.dedup_by(|a, b| compare(a, b).is_eq());
        sorted.len()
    }

    /// ||v||^2 of row i.
    pub(crate) fn energy(&self, i: usize) -> f64 {
        self.row(i).iter().map(|&x| f64::from(x) * f64::from(x)).sum()
    }
}
