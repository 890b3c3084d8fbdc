//! A file of embeddings that fits into memory, read whole. What is computed from the rows is not known here.

use std::path::Path;

use anyhow::{Context, Error, Result, anyhow};
use sigma_data::{Limits, Shard};
use sigma_metrics::{Embeddings, MetricsError, check_width};

/// All rows of a shard; `column` chooses the tensor or column. A width of which no Gram matrix is made, or one that is
/// out of proportion to the file, is refused before any row is read.
pub fn read(path: &Path, column: Option<&str>) -> Result<Embeddings> {
    let mut shard = Shard::open(path, column)?;
    check_width(shard.width()).with_context(|| path.display().to_string())?;
    Limits::in_force().check_gram(path, std::fs::metadata(path)?.len(), shard.width())?;
    let too_many = || format!("{}: {} rows are more than this machine can hold", path.display(), shard.rows());
    let count = usize::try_from(shard.rows()).with_context(too_many)?;
    let (mut rows, width) = (Vec::new(), shard.width());
    shard.read(count, &mut rows)?;
    Embeddings::new(count, width, rows)
        .map_err(|error| at(&|row| format!("{}, row {}", path.display(), row + 1), error))
}

/// The error of a row, with the `place` of that row in it; rows and columns are counted from 1.
pub fn at(place: &dyn Fn(usize) -> String, error: MetricsError) -> Error {
    match error {
        MetricsError::NonFinite { row, column, value } => {
            anyhow!("{}, column {}: {value}; embeddings must be finite", place(row), column + 1)
        }
        MetricsError::Overflow { row, norm } => {
            anyhow!("{}: norm {norm}, whose products overflow float32; L2-normalise the embeddings", place(row))
        }
        other => other.into(),
    }
}
