//! Embedding matrices as NumPy .npy files.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use npyz::{NpyFile, Order, WriterBuilder};

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
    file.into_inner().map_err(|e| io(e.into_error()))?.sync_all().map_err(io)
}

/// NumPy's own headers of matrices have some hundred bytes.
const HEADER_LIMIT: u64 = 1 << 16;
/// Brackets within brackets; the header of a matrix has two, that of a structured array three.
const DEEPEST: usize = 4;

/// Whether the header is long or nested like no matrix's. npyz tries every bracket in several ways, and all that is within it again in
/// each, so that some dozen brackets in each other would take for ever.
fn is_nested(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.take(12).read_to_end(&mut start)?;
    let length = match start[..] {
        [_, _, _, _, _, _, 1, _, a, b, ..] => u64::from(u16::from_le_bytes([a, b])),
        [_, _, _, _, _, _, _, _, a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        _ => 0,
    };
    file.rewind()?;
    let mut header = Vec::new();
    file.take(12 + length.min(HEADER_LIMIT)).read_to_end(&mut header)?;
    file.rewind()?;
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in header.iter().skip(8) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    Ok(length > HEADER_LIMIT || deepest > DEEPEST)
}

/// Reads a float32 or float64 matrix as (n, dim, rows in row-major f32).
pub fn read(path: &Path) -> Result<(usize, usize, Vec<f32>), EmbedError> {
    let wrong = |reason: String| EmbedError::Npy { path: path.to_path_buf(), reason };
    let io = |source| EmbedError::Io { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if is_nested(&mut file).map_err(io)? {
        return Err(wrong("its header is not that of a matrix of numbers".to_string()));
    }
    let npy = NpyFile::new(BufReader::new(file)).map_err(|e| wrong(e.to_string()))?;
    let shape = npy.shape().to_vec();
    let [n, dim] = shape[..] else { return Err(wrong(format!("it has shape {shape:?}"))) };
    let order = npy.order();
    // of rows without width there may be any number, and nothing of them is in the file
    if dim == 0 {
        return Err(wrong(format!("its shape is {n} x 0: its rows hold no values")));
    }
    // a header may promise more than the file holds: check before anything is allocated for it
    if n.checked_mul(dim).and_then(|count| count.checked_mul(4)).is_none_or(|bytes| bytes > length) {
        return Err(wrong(format!("its header promises {n} x {dim} values, but the file has {length} bytes")));
    }
    let (n, dim) = (n as usize, dim as usize);
    let values: Vec<f32> = match npy.try_data::<f32>() {
        Ok(data) => data.collect::<Result<_, _>>().map_err(|e| wrong(e.to_string()))?,
        Err(npy) => match npy.try_data::<f64>() {
            Ok(data) => {
                data.map(|x| x.map(|x| x as f32)).collect::<Result<_, _>>().map_err(|e| wrong(e.to_string()))?
            }
            Err(npy) => return Err(wrong(format!("its dtype is {}", npy.dtype().descr()))),
        },
    };
    let rows = match order {
        Order::C => values,
        Order::Fortran => (0..n * dim).map(|i| values[(i % dim) * n + i / dim]).collect(),
    };
    Ok((n, dim, rows))
}
