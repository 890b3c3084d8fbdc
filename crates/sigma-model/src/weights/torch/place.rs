//! Where a tensor lies in the data beside a pickle, and how it becomes one. What the data are in is not known here.

use candle_core::{DType, Device, Tensor};

use super::super::pickle::{Id, Pickle, Value};

/// Where a tensor lies.
pub(super) struct Place {
    pub(super) storage: Storage,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// Data that one or several tensors are views of.
pub(super) struct Storage {
    /// Its name in the file.
    pub(super) key: String,
    pub(super) dtype: DType,
    /// Numbers in it.
    pub(super) count: usize,
}

impl Place {
    /// Bytes of the tensor.
    pub(super) fn bytes(&self) -> Option<usize> {
        let count = self.shape.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
        count?.checked_mul(self.storage.dtype.size_in_bytes())
    }
}

/// What a persistent id says: `("storage", type, key, device, count)`, and in old files a sixth part that must be none.
pub(super) fn storage(pickle: &Pickle, id: Id) -> Result<Storage, String> {
    let unknown = || "it is not described as torch.save does".to_string();
    let [_, kind, key, _, count, view @ ..] = pickle.tuple(id).ok_or_else(unknown)? else { return Err(unknown()) };
    let Value::Name(kind) = pickle.value(*kind) else { return Err(unknown()) };
    if view.iter().any(|view| *pickle.value(*view) != Value::Other) {
        return Err("it is a view of another storage, which is not supported".to_string());
    }
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
    let key = pickle.text(*key).ok_or_else(unknown)?.to_string();
    Ok(Storage { key, dtype, count: pickle.size(*count).ok_or_else(unknown)? })
}

/// The arguments of `_rebuild_tensor_v2(storage, offset, size, stride, ...)`, also within a parameter or a subclass of
/// tensors.
pub(super) fn place(pickle: &Pickle, id: Id) -> Result<Place, String> {
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
    let Value::Persistent(described) = pickle.value(*storage) else { return Err(unknown()) };
    Ok(Place {
        storage: self::storage(pickle, *described)?,
        offset: pickle.size(*offset).ok_or_else(unknown)?,
        shape: sizes(*shape).ok_or_else(unknown)?,
        strides: sizes(*strides).ok_or_else(unknown)?,
    })
}

pub(super) fn tensor(place: &Place, data: &[u8]) -> Result<Tensor, String> {
    let Place { storage: Storage { dtype, .. }, offset, shape, strides } = place;
    let width = dtype.size_in_bytes();
    let bytes = place.bytes();
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
