//! Embeddings on disk, a shard at a time and in blocks of rows, so that memory is bounded by the block and not by the
//! file. What the rows are added up to is not known here; values are not judged either, only their shape and type.

mod dense;
mod floats;
mod npy;
mod parquet;
mod safetensors;

use std::path::Path;

use crate::documents::extension;
use crate::error::DataError;
use crate::foreign;
use crate::regular_file;
use dense::Dense;
use parquet::ListColumn;

/// A file of embeddings, one row per text block, opened for one pass from first row to last.
pub struct Shard {
    rows: u64,
    width: usize,
    read: u64,
    source: Source,
}

enum Source {
    Dense(Dense),
    Lists(Box<ListColumn>),
}

impl Shard {
    /// Opens a shard by its first bytes and its extension: `.npy` (2-D, float16, float32 or float64, in either order
    /// and byte order), `.safetensors` (a 2-D tensor of F16, BF16, F32 or F64) or `.parquet` (a column of lists of
    /// float or double, all of one length). `name` chooses the tensor or the column; without it there must be one only.
    /// Only the header is read.
    ///
    /// # Errors
    /// Names the file: it cannot be read, is damaged or shorter than its header says, or holds no such rows.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self, DataError> {
        let mut file = regular_file::open(path).map_err(DataError::read(path))?;
        if !file.metadata().map_err(DataError::read(path))?.is_file() {
            return Err(wrong(
                path,
                "not a regular file; embeddings are read twice, so a folder or a pipe cannot give them",
            ));
        }
        let start = dense::start(path, &mut file, foreign::LOOK)?;
        let dense =
            |dense: Dense| Self { rows: dense.rows(), width: dense.width(), read: 0, source: Source::Dense(dense) };
        let lists = || {
            let lists = Box::new(ListColumn::open(path, name)?);
            Ok(Self { rows: lists.rows(), width: lists.width(), read: 0, source: Source::Lists(lists) })
        };
        // what a file begins with counts more than what it is called; a .safetensors file begins with a number
        match &*extension(path) {
            _ if start.starts_with(npy::MAGIC) => Ok(dense(npy::open(path, file)?)),
            _ if start.starts_with(foreign::PARQUET) => lists(),
            "safetensors" if start.get(8) == Some(&b'{') => Ok(dense(safetensors::open(path, file, name)?)),
            _ if let Err(error) = foreign::refuse(path, &start) => Err(error),
            "npy" => Ok(dense(npy::open(path, file)?)),
            "safetensors" => Ok(dense(safetensors::open(path, file, name)?)),
            "parquet" => lists(),
            other => Err(DataError::UnknownFormat {
                path: path.to_path_buf(),
                extension: other.to_string(),
                supported: "embeddings as .npy, .safetensors or .parquet",
            }),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Width of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Replaces `block` by the next rows, at most `rows` of them, row-major; the number of rows, 0 after the last one.
    /// float64 is rounded to float32.
    ///
    /// # Errors
    /// Names the file, and for Parquet the row whose list is null or of another length.
    pub fn read(&mut self, rows: usize, block: &mut Vec<f32>) -> Result<usize, DataError> {
        let left = usize::try_from(self.rows - self.read).unwrap_or(usize::MAX);
        let count = rows.min(left);
        match &mut self.source {
            Source::Dense(dense) => dense.read(count, block)?,
            Source::Lists(lists) => lists.read(count, block)?,
        }
        self.read += count as u64;
        Ok(count)
    }
}

fn wrong(path: &Path, problem: impl Into<String>) -> DataError {
    DataError::Shard { path: path.to_path_buf(), problem: problem.into() }
}
