//! Everything that can be wrong with an input of this crate, with the values that explain it. Messages say what is
//! wrong with the numbers; which file or which generation they came from is for the caller to add.

use std::path::PathBuf;

/// What [`crate::sigma_ub()`] and its neighbours refuse.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// A setting lies outside its range.
    #[error("`{field}` is {value:?}, but must be {expected}")]
    Config { field: &'static str, value: f64, expected: &'static str },

    /// Text that should be an [`crate::Observed`] is not one.
    #[error("`{text}` is not a number of observed rows: expected a positive integer or `all`")]
    ParseObserved { text: String },

    /// The values do not fill an n x d matrix.
    #[error("{n} rows of width {d} need n * d values, but {values} were given")]
    Shape { n: usize, d: usize, values: usize },

    /// Embeddings of width zero.
    #[error("embeddings have width d = 0")]
    ZeroWidth,

    /// NaN or infinity among the embeddings.
    #[error("row {row} holds {value} in column {column}: embeddings must be finite")]
    NonFinite { row: usize, column: usize, value: f32 },

    /// A row breaks the energy cap ||v||^2 <= rho that the tail budget (3.15) rests on.
    #[error("row {row} has norm {norm}, above the energy cap sqrt(rho) = {cap}: L2-normalise the embeddings")]
    Energy { row: usize, norm: f64, cap: f64 },

    /// The observed set is empty, so there is no G_A.
    #[error("no row is observed: n_A = 0 of {n} rows")]
    NothingObserved { n: usize },

    /// An observed index is no row.
    #[error("observed row {row} does not exist: there are {n} rows")]
    ObservedOutOfRange { row: usize, n: usize },

    /// Observed indices repeat or are out of order.
    #[error("observed rows must ascend without repetition, but row {row} follows row {previous}")]
    ObservedOrder { previous: usize, row: usize },

    /// A stated total that is smaller than what was observed.
    #[error("the total number of blocks n = {total} is less than the n_A = {n_a} observed ones")]
    Total { total: usize, n_a: usize },

    /// Cholesky met a pivot that is not positive: the ridge drowns in rounding.
    #[error("G_A + {shift} I is not positive definite in float64 (pivot {pivot}): raise delta")]
    NotPositiveDefinite { pivot: usize, shift: f64 },

    /// The eigenvalue iteration gave up.
    #[error("the eigenvalues of the {d} x {d} Gram matrix did not converge")]
    NoConvergence { d: usize },

    /// The eigenvalues given are not those of a d x d matrix.
    #[error(
        "{values} eigenvalues were given for embeddings of width d = {d}: pass the spectrum as measured, it is not stored in files"
    )]
    SpectrumLength { values: usize, d: usize },

    /// An eigenvalue that no Gram matrix has.
    #[error("eigenvalue {index} is {value}: those of a Gram matrix are finite and not negative")]
    Eigenvalue { index: usize, value: f64 },

    /// Embeddings too wide for a d x d matrix in memory.
    #[error("embeddings of width d = {d} are not supported: a Gram matrix is made for at most {limit}")]
    TooWide { d: usize, limit: usize },

    /// Rows without a prompt each.
    #[error("{prompts} prompts were named for {rows} rows: name the prompt of every row")]
    Prompts { prompts: usize, rows: usize },

    /// A row whose products overflow float32.
    #[error("row {row} has norm {norm}, whose products overflow float32: L2-normalise the embeddings")]
    Overflow { row: usize, norm: f64 },

    /// The longest of rows that are no longer at hand breaks the energy cap.
    #[error("the longest row has norm {norm}, above the energy cap sqrt(rho) = {cap}: L2-normalise the embeddings")]
    LargestEnergy { norm: f64, cap: f64 },

    /// Two Gram matrices, or a matrix and rows, of different width.
    #[error("a Gram matrix of width {left} cannot take in one of width {right}: were they made by the same encoder?")]
    Width { left: usize, right: usize },

    /// A count of observed rows where only the sum over all of them is kept.
    #[error(
        "a Gram matrix holds all of its rows, {count} of them cannot be observed: observe `all`, or make a Gram matrix of the observed \
         rows and state the total"
    )]
    ObservedOfGram { count: usize },

    /// A second pass that saw other rows than the first.
    #[error("the second pass saw {found} rows, but the Gram matrix is of {expected}: pass over the same shards")]
    SecondPass { expected: u64, found: u64 },

    /// A file of a partial Gram matrix that cannot be read or written.
    #[error("{}: {reason}", path.display())]
    GramFile { path: PathBuf, reason: String },

    /// Two series that should run over the same generations do not.
    #[error("series of {left} and of {right} generations cannot be compared")]
    SeriesLength { left: usize, right: usize },
}
