//! Rows that lie one after another in a range of a file, as in .npy and .safetensors.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::floats::FloatType;
use super::wrong;
use crate::error::DataError;

/// `rows` x `width` values, of which the next to be read is where the file's cursor is.
pub(super) struct Dense {
    path: PathBuf,
    file: File,
    rows: u64,
    width: usize,
    values: FloatType,
}

impl Dense {
    /// The matrix whose first value is at `offset`. Fails if the file is too short for it, so that nothing is allocated for rows that a
    /// header only claims.
    pub(super) fn new(
        path: &Path,
        mut file: File,
        offset: u64,
        shape: &[u64],
        values: FloatType,
    ) -> Result<Self, DataError> {
        let &[rows, width] = shape else {
            return Err(wrong(path, format!("its shape is {shape:?}, not [rows, width]; store a 2-D array")));
        };
        let bytes = rows.checked_mul(width).and_then(|count| count.checked_mul(values.size() as u64));
        let end = bytes.and_then(|bytes| bytes.checked_add(offset));
        let length = file.metadata().map_err(DataError::read(path))?.len();
        if end.is_none_or(|end| end > length) {
            let problem = format!(
                "its header promises {rows} x {width} values, but the file has {length} bytes; it is incomplete"
            );
            return Err(wrong(path, problem));
        }
        let Some(width) = usize::try_from(width).ok().filter(|&width| width > 0) else {
            return Err(wrong(path, format!("its rows have width {width}")));
        };
        file.seek(SeekFrom::Start(offset)).map_err(DataError::read(path))?;
        Ok(Self { path: path.to_path_buf(), file, rows, width, values })
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The next `count` rows, which must be there.
    pub(super) fn read(&mut self, count: usize, block: &mut Vec<f32>) -> Result<(), DataError> {
        block.resize(count * self.width, 0.0);
        self.values.read(&mut self.file, block).map_err(DataError::read(&self.path))
    }
}
