//! NumPy's .npy: a short header in Python's notation, then the values. Header format: numpy.lib.format, versions 1 to
//! 3.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::dense::{Dense, Layout, Order};
use super::floats::{Endian, FloatType};
use super::wrong;
use crate::error::DataError;

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// NumPy's own headers of arrays are some hundred bytes.
const HEADER_LIMIT: usize = 1 << 16;

pub(super) fn open(path: &Path, mut file: File) -> Result<Dense, DataError> {
    let foreign = || wrong(path, "not a .npy file; write it with numpy.save");
    let length = file.metadata().map_err(DataError::read(path))?.len();
    let mut start = [0; 8];
    file.read_exact(&mut start).map_err(|_| foreign())?;
    if !start.starts_with(MAGIC) {
        return Err(foreign());
    }
    let length_bytes = match start[6] {
        1 => 2,
        2 | 3 => 4,
        version => return Err(wrong(path, format!("version {version} of the .npy format; 1 to 3 are known"))),
    };
    let mut header_length = [0; 4];
    file.read_exact(&mut header_length[..length_bytes]).map_err(|_| foreign())?;
    let header_length = u32::from_le_bytes(header_length) as usize;
    let mut header = Vec::new();
    let limit = header_length.min(HEADER_LIMIT) as u64;
    Read::by_ref(&mut file).take(limit).read_to_end(&mut header).map_err(DataError::read(path))?;
    // version 1 and 2 are Latin-1; what matters is ASCII in all of them
    let text = String::from_utf8_lossy(&header);
    if header.len() < header_length || !is_dictionary(&text) {
        return Err(wrong(path, "its header is not that of a matrix of numbers, or is cut short"));
    }
    let header = text;

    let descr = value_of(&header, "descr").ok_or_else(foreign)?;
    let (endian, values) = float_type(descr).ok_or_else(|| {
        let kind = kind_of(descr);
        wrong(path, format!("its dtype is {descr}, {kind}; save it as float16, float32 or float64"))
    })?;
    let order = match value_of(&header, "fortran_order") {
        Some("False") => Order::C,
        Some("True") => Order::Fortran,
        _ => return Err(foreign()),
    };
    let shape = value_of(&header, "shape").and_then(|text| text.strip_prefix('(')?.strip_suffix(')'));
    let numbers = shape.ok_or_else(foreign)?.split(',').map(str::trim).filter(|number| !number.is_empty());
    // Python 2 wrote long integers with an L
    let numbers = numbers.map(|number| number.strip_suffix('L').unwrap_or(number).parse());
    let shape: Vec<u64> = numbers.collect::<Result<_, _>>().map_err(|_| foreign())?;
    let offset = (8 + length_bytes + header_length) as u64;
    let dense = Dense::new(path, file, offset, &shape, Layout { values, endian, order })?;
    // a second array behind the first would be dropped without a word
    let end = offset + dense.rows() * (dense.width() * values.size()) as u64;
    if end < length {
        let problem = format!("{} bytes follow its array of {shape:?}; save one array a file", length - end);
        return Err(wrong(path, problem));
    }
    Ok(dense)
}

/// Whether a text is one pair of braces in which all brackets have their other ends, outside of quotes.
fn is_dictionary(text: &str) -> bool {
    let text = text.trim();
    let (mut open, mut quote) = (Vec::new(), None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (_, Some(end)) if c == end => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            ('{', None) => open.push('}'),
            ('(', None) => open.push(')'),
            ('[', None) => open.push(']'),
            (')' | ']' | '}', None) if open.pop() != Some(c) => return false,
            _ => {}
        }
        if open.is_empty() && quote.is_none() && at + c.len_utf8() < text.len() {
            return false;
        }
    }
    text.starts_with('{') && open.is_empty() && quote.is_none()
}

/// `'<f4'`, `">f8"`: byte order and type.
fn float_type(descr: &str) -> Option<(Endian, FloatType)> {
    let text = descr.strip_prefix(['\'', '"'])?.strip_suffix(['\'', '"'])?;
    let (endian, kind) = match text.strip_prefix(['<', '>', '=', '|']) {
        Some(kind) if text.starts_with('>') => (Endian::Big, kind),
        Some(kind) => (Endian::Little, kind),
        None => (Endian::Little, text),
    };
    let values = match kind {
        "f2" => FloatType::F16,
        "f4" => FloatType::F32,
        "f8" => FloatType::F64,
        _ => return None,
    };
    Some((endian, values))
}

/// What NumPy calls a type that is refused.
fn kind_of(descr: &str) -> &'static str {
    match descr.trim_matches(['\'', '"', '<', '>', '=', '|']).chars().next() {
        Some('[') => "a structured array",
        Some('O') => "Python objects",
        Some('i' | 'u') => "integers",
        Some('b') => "booleans",
        Some('c') => "complex numbers",
        Some('f') => "floats of another size",
        Some('U' | 'S' | 'a') => "texts",
        Some('M' | 'm') => "times",
        _ => "no floats",
    }
}

/// The text of a value of the header's dictionary: up to the comma after it that is in no brackets.
fn value_of<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let after = ['\'', '"'].iter().find_map(|quote| header.split_once(&format!("{quote}{key}{quote}")))?.1;
    let value = after.trim_start().strip_prefix(':')?.trim_start();
    let mut depth = 0usize;
    let end = value.char_indices().find(|(_, c)| match c {
        '(' | '[' | '{' => {
            depth += 1;
            false
        }
        ')' | ']' | '}' if depth > 0 => {
            depth -= 1;
            false
        }
        ',' | '}' => depth == 0,
        _ => false,
    });
    Some(value[..end?.0].trim())
}
