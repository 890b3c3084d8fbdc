//! Weights as `torch.save` writes them since PyTorch 1.6: a zip file with a pickle that says which tensors there are,
//! and an entry for the data of each. Every size is held against the file before memory is taken for it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use sigma_data::regular_file;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Id, Pickle, Problem, Value};
use crate::ModelError;

type Archive = ZipArchive<BufReader<File>>;

/// Where a tensor lies in the data beside the pickle.
struct Place {
    /// Of the entry.
    key: String,
    dtype: DType,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

pub(super) fn read(path: &Path) -> Result<Vec<(String, Tensor)>, ModelError> {
    let damaged = |reason: String| ModelError::Damaged { path: path.to_path_buf(), reason };
    let io = |source| ModelError::Io { path: path.to_path_buf(), source };
    let file = regular_file::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(e.to_string()))?;
    let Some(name) = index(&mut archive) else {
        return Err(damaged("no tensors in it (files of PyTorch before 1.6 are not supported)".to_string()));
    };
    let bytes = entry(&mut archive, &name, length).map_err(damaged)?;
    let pickle = Pickle::read(&bytes).map_err(|problem| match problem {
        Problem::Damaged(reason) => damaged(format!("{name}: {reason}")),
        Problem::Forbidden(function) => ModelError::Forbidden { path: path.to_path_buf(), function },
    })?;
    let Value::Dict(entries) = pickle.value(pickle.root) else {
        return Err(damaged("it holds no dictionary of tensors".to_string()));
    };
    let folder = name.trim_end_matches("data.pkl");
    let (mut tensors, mut budget) = (Vec::new(), length.saturating_mul(2));
    for (key, value) in entries {
        let Some(name) = pickle.text(*key) else { continue };
        if !matches!(pickle.value(*value), Value::Call { .. }) {
            continue;
        }
        let of = |reason: String| damaged(format!("tensor `{name}`: {reason}"));
        let place = place(&pickle, *value).map_err(&of)?;
        let data = entry(&mut archive, &format!("{folder}data/{}", place.key), budget).map_err(&of)?;
        // tensors may share their data, but only so often
        budget = budget.saturating_sub(data.len() as u64);
        tensors.push((name.to_string(), tensor(&place, &data).map_err(&of)?));
    }
    if tensors.is_empty() {
        return Err(damaged("no tensors in it".to_string()));
    }
    Ok(tensors)
}

/// The name of the pickle.
fn index(archive: &mut Archive) -> Option<String> {
    (0..archive.len()).find_map(|number| {
        let entry = archive.by_index(number).ok()?;
        let name = entry.name().ok()?.to_string();
        (name == "data.pkl" || name.ends_with("/data.pkl")).then_some(name)
    })
}

/// An entry's bytes, of which there may be `most`. PyTorch compresses nothing; a file that does could be as small as it
/// likes.
fn entry(archive: &mut Archive, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let file = archive.by_name(name).map_err(|e| format!("{name}: {e}"))?;
    if file.compression() != CompressionMethod::Stored {
        return Err(format!("{name} is compressed, which torch.save does not do"));
    }
    let size = file.size();
    if size > most {
        return Err(format!("{name} is said to have {size} bytes, which is more than the file can hold"));
    }
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes).map_err(|e| format!("{name}: {e}"))?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(format!("{name} ends early")) }
}

/// The arguments of `_rebuild_tensor_v2(storage, offset, size, stride, ...)`, also within a parameter or a subclass of
/// tensors.
fn place(pickle: &Pickle, id: Id) -> Result<Place, String> {
    let unknown = || "it is not described as torch.save does".to_string();
    let Value::Call { name, arguments } = pickle.value(id) else { return Err(unknown()) };
    let mut arguments = pickle.tuple(*arguments).ok_or_else(unknown)?;
    match (name.as_str(), arguments) {
        ("torch._utils._rebuild_tensor_v2", _) => {}
        ("torch._utils._rebuild_parameter", [inner, ..]) => match pickle.value(*inner) {
            Value::Call { name, arguments: inner } if name == "torch._utils._rebuild_tensor_v2" => {
                arguments = pickle.tuple(*inner).ok_or_else(unknown)?;
            }
            _ => return Err(unknown()),
        },
        ("torch._tensor._rebuild_from_type_v2", [function, _, inner, ..])
            if *pickle.value(*function) == Value::Name("torch._utils._rebuild_tensor_v2".to_string()) =>
        {
            arguments = pickle.tuple(*inner).ok_or_else(unknown)?;
        }
        _ => return Err(unknown()),
    }
    let [storage, offset, shape, strides, ..] = arguments else { return Err(unknown()) };
    let sizes = |id: Id| pickle.tuple(id)?.iter().map(|size| pickle.size(*size)).collect::<Option<Vec<usize>>>();
    let Value::Persistent(storage) = pickle.value(*storage) else { return Err(unknown()) };
    let Some([_, kind, key, ..]) = pickle.tuple(*storage) else { return Err(unknown()) };
    let Value::Name(kind) = pickle.value(*kind) else { return Err(unknown()) };
    let dtype = match kind.strip_prefix("torch.").unwrap_or(kind) {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ByteStorage" | "BoolStorage" => DType::U8,
        other => return Err(format!("its numbers are of the type {other}, which is not supported")),
    };
    Ok(Place {
        key: pickle.text(*key).ok_or_else(unknown)?.to_string(),
        dtype,
        offset: pickle.size(*offset).ok_or_else(unknown)?,
        shape: sizes(*shape).ok_or_else(unknown)?,
        strides: sizes(*strides).ok_or_else(unknown)?,
    })
}

fn tensor(place: &Place, data: &[u8]) -> Result<Tensor, String> {
    let Place { dtype, offset, shape, strides, .. } = place;
    let width = dtype.size_in_bytes();
    let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
    let bytes = product(shape).and_then(|count| count.checked_mul(width));
    let start = offset.checked_mul(width);
    let end = bytes.zip(start).and_then(|(bytes, start)| start.checked_add(bytes));
    let inside = start.zip(end).and_then(|(start, end)| data.get(start..end));
    let Some(inside) = inside else {
        return Err(format!("the shape {shape:?} needs more data than the {} bytes that there are", data.len()));
    };
    let error = |e: candle_core::Error| e.to_string().lines().next().unwrap_or_default().to_string();
    let rows = |shape: &[usize]| Tensor::from_raw_buffer(inside, *dtype, shape, &Device::Cpu).map_err(error);
    if is_row_major(shape, strides) {
        return rows(shape);
    }
    // a transposed tensor: the same numbers in the opposite order of axes
    let (backwards, back): (Vec<usize>, Vec<usize>) =
        (shape.iter().rev().copied().collect(), strides.iter().rev().copied().collect());
    if is_row_major(&backwards, &back) {
        let axes: Vec<usize> = (0..shape.len()).rev().collect();
        return rows(&backwards)?.permute(axes).map_err(error);
    }
    Err(format!(
        "the strides {strides:?} of the shape {shape:?} are not supported; save the model with contiguous tensors"
    ))
}

/// Whether the last axis is the fastest and there are no gaps; the stride of an axis of length 1 is of no account.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    shape.len() == strides.len()
        && shape.iter().zip(strides).rev().all(|(size, stride)| {
            let fits = *size <= 1 || *stride == expected;
            expected = expected.saturating_mul(*size);
            fits
        })
}
