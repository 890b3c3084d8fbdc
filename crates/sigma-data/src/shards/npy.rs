//! NumPy's .npy: a short header in Python's notation, then the values. Header format: numpy.lib.format, versions 1 to 3.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::dense::Dense;
use super::floats::FloatType;
use super::wrong;
use crate::error::DataError;

/// NumPy's own headers of arrays are some hundred bytes.
const HEADER_LIMIT: usize = 1 << 16;

pub(super) fn open(path: &Path) -> Result<Dense, DataError> {
    let mut file = File::open(path).map_err(DataError::read(path))?;
    let foreign = || wrong(path, "not a .npy file; write it with numpy.save");
    let mut start = [0; 8];
    file.read_exact(&mut start).map_err(|_| foreign())?;
    let length_bytes = match start {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => 2,
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => 4,
        _ => return Err(foreign()),
    };
    let mut length = [0; 4];
    file.read_exact(&mut length[..length_bytes]).map_err(|_| foreign())?;
    let length = u32::from_le_bytes(length) as usize;
    let mut header = Vec::new();
    Read::by_ref(&mut file)
        .take(length.min(HEADER_LIMIT) as u64)
        .read_to_end(&mut header)
        .map_err(DataError::read(path))?;
    let header = String::from_utf8(header).ok().filter(|header| header.len() == length).ok_or_else(foreign)?;

    let descr = value_of(&header, "descr").ok_or_else(foreign)?;
    let values = match descr.trim_matches(['\'', '"']) {
        "<f2" => FloatType::F16,
        "<f4" => FloatType::F32,
        "<f8" => FloatType::F64,
        _ => {
            let problem = format!("its dtype is {descr}; save it as float16, float32 or float64, little-endian");
            return Err(wrong(path, problem));
        }
    };
    match value_of(&header, "fortran_order") {
        Some("False") => {}
        Some("True") => {
            let problem = "it is in Fortran order (column by column), which cannot be streamed by rows; \
                           save numpy.ascontiguousarray(rows)";
            return Err(wrong(path, problem));
        }
        _ => return Err(foreign()),
    }
    let shape = value_of(&header, "shape").and_then(|text| text.strip_prefix('(')?.strip_suffix(')'));
    let numbers = shape.ok_or_else(foreign)?.split(',').map(str::trim).filter(|number| !number.is_empty());
    let shape: Vec<u64> = numbers.map(str::parse).collect::<Result<_, _>>().map_err(|_| foreign())?;
    let offset = (8 + length_bytes + length) as u64;
    Dense::new(path, file, offset, &shape, values)
}

/// The text of a value of the header's dictionary: up to the comma after it, or after its closing bracket.
fn value_of<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let after = ['\'', '"'].iter().find_map(|quote| header.split_once(&format!("{quote}{key}{quote}")))?.1;
    let value = after.trim_start().strip_prefix(':')?.trim_start();
    let end = if value.starts_with('(') { value.find(')')? + 1 } else { value.find([',', '}'])? };
    Some(value[..end].trim())
}
