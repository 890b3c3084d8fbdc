//! What can go wrong between texts and an embedding file.

use std::path::PathBuf;

use sigma_model::ModelError;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    #[error("encoder.batch_size is 0; it must be at least 1")]
    BatchSize,
    #[error("embedding was interrupted after {finished} of {total} texts")]
    Interrupted { finished: usize, total: usize },
    #[error("{path}: cannot be written")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Model(#[from] ModelError),
}
