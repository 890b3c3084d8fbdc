//! Values of a matrix that lie one after another in a range of a file, as in .npy and .safetensors.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::floats::{Endian, FloatType};
use super::wrong;
use crate::error::DataError;

/// How the values of a matrix are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) values: FloatType,
    pub(super) endian: Endian,
    pub(super) order: Order,
}

/// Which index runs fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The column: row by row.
    C,
    /// The row: column by column.
    Fortran,
}

/// `rows` x `width` values from `offset` on.
pub(super) struct Dense {
    path: PathBuf,
    file: File,
    offset: u64,
    rows: u64,
    width: usize,
    layout: Layout,
    /// The next row to be read.
    row: u64,
    column: Vec<f32>,
}

impl Dense {
    /// The matrix whose first value is at `offset`. Fails if the file is too short for it, so that nothing is allocated
    /// for rows that a header only claims.
    pub(super) fn new(path: &Path, file: File, offset: u64, shape: &[u64], layout: Layout) -> Result<Self, DataError> {
        let &[rows, width] = shape else {
            return Err(wrong(
                path,
                format!("its shape is {shape:?}, not [rows, width]; store a two-dimensional array"),
            ));
        };
        let bytes = rows.checked_mul(width).and_then(|count| count.checked_mul(layout.values.size() as u64));
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
        Ok(Self { path: path.to_path_buf(), file, offset, rows, width, layout, row: 0, column: Vec::new() })
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
        let Layout { values, endian, order } = self.layout;
        match order {
            Order::C => {
                self.seek(self.row * self.width as u64)?;
                values.read(endian, &mut self.file, block).map_err(DataError::read(&self.path))?;
            }
            Order::Fortran => {
                self.column.resize(count, 0.0);
                for column in 0..self.width {
                    self.seek(column as u64 * self.rows + self.row)?;
                    values.read(endian, &mut self.file, &mut self.column).map_err(DataError::read(&self.path))?;
                    for (row, &value) in self.column.iter().enumerate() {
                        block[row * self.width + column] = value;
                    }
                }
            }
        }
        self.row += count as u64;
        Ok(())
    }

    /// To a value by its number in the file.
    fn seek(&mut self, value: u64) -> Result<(), DataError> {
        let byte = self.offset + value * self.layout.values.size() as u64;
        self.file.seek(SeekFrom::Start(byte)).map(drop).map_err(DataError::read(&self.path))
    }
}

/// The first bytes of a file, which is then at its beginning again.
pub(super) fn start(path: &Path, file: &mut File, count: usize) -> Result<Vec<u8>, DataError> {
    let mut start = Vec::new();
    file.take(count as u64).read_to_end(&mut start).map_err(DataError::read(path))?;
    file.rewind().map_err(DataError::read(path))?;
    Ok(start)
}
