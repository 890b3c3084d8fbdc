//! Embedding matrices written as NumPy .npy files; `sigma_data::Shard` reads them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use npyz::WriterBuilder;

use crate::EmbedError;

/// Writes `rows` (`n x dim`, row-major) as float32 and flushes it to the disk.
pub fn write(path: &Path, rows: &[f32], dim: usize) -> Result<(), EmbedError> {
    let io = |source| EmbedError::Io { path: path.to_path_buf(), source };
    let n = rows.len() / dim.max(1);
    let mut file = BufWriter::new(File::create(path).map_err(io)?);
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&[n as u64, dim as u64])
        .writer(&mut file)
        .begin_nd()
        .map_err(io)?;
    writer.extend(rows).map_err(io)?;
    writer.finish().map_err(io)?;
    file.flush().map_err(io)?;
    let file = file.into_inner().map_err(|e| io(e.into_error()))?;
    // a pipe has no disk
    let flushed = file.metadata().and_then(|metadata| if metadata.is_file() { file.sync_all() } else { Ok(()) });
    flushed.map_err(io)
}
