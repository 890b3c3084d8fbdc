//! .safetensors: a JSON header that says where each tensor's bytes are. Only the header is parsed; the rows are
//! streamed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::dense::{Dense, Layout, Order};
use super::floats::{Endian, FloatType};
use super::wrong;
use crate::error::DataError;

/// The format's own limit.
const HEADER_LIMIT: u64 = 100_000_000;

/// The tensor of that name, or the only one of two dimensions.
pub(super) fn open(path: &Path, mut file: File, name: Option<&str>) -> Result<Dense, DataError> {
    let length = file.metadata().map_err(DataError::read(path))?.len();
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix).map_err(|_| wrong(path, "not a .safetensors file: it is shorter than 8 bytes"))?;
    let header_length = u64::from_le_bytes(prefix);
    if header_length > HEADER_LIMIT || header_length > length.saturating_sub(8) {
        let problem =
            format!("not a .safetensors file, or incomplete: a header of {header_length} bytes in a file of {length}");
        return Err(wrong(path, problem));
    }
    let mut header = Vec::new();
    Read::by_ref(&mut file).take(header_length).read_to_end(&mut header).map_err(DataError::read(path))?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|e| wrong(path, format!("not a .safetensors file: {e}")))?;
    let expected = (8 + header_length).saturating_add(header.data_len() as u64);
    if expected != length {
        return Err(wrong(
            path,
            format!("its header promises {expected} bytes, but the file has {length}; it is incomplete"),
        ));
    }

    let tensors = header.tensors();
    let mut matrices: Vec<&str> =
        tensors.iter().filter(|(_, info)| info.shape.len() == 2).map(|(name, _)| name.as_str()).collect();
    matrices.sort_unstable();
    let name = match (name, &matrices[..]) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, []) => return Err(wrong(path, "no tensor of two dimensions in it")),
        (None, several) => {
            return Err(wrong(path, format!("several tensors of two dimensions: {}; name one", several.join(", "))));
        }
    };
    let Some(info) = tensors.get(name) else {
        return Err(wrong(path, format!("no tensor `{name}`; there are {}", matrices.join(", "))));
    };
    let values = match info.dtype {
        Dtype::F16 => FloatType::F16,
        Dtype::BF16 => FloatType::Bf16,
        Dtype::F32 => FloatType::F32,
        Dtype::F64 => FloatType::F64,
        other => {
            return Err(wrong(path, format!("the tensor `{name}` is of type {other:?}; store F16, BF16, F32 or F64")));
        }
    };
    let shape: Vec<u64> = info.shape.iter().map(|&size| size as u64).collect();
    let layout = Layout { values, endian: Endian::Little, order: Order::C };
    Dense::new(path, file, 8 + header_length + info.data_offsets.0 as u64, &shape, layout)
}
