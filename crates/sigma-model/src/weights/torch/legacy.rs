//! The format of PyTorch before 1.6, which `torch.load` still reads: five pickles (a magic number, a version, facts of
//! the machine, the tensors, the keys of the storages), and the storages one after another, each behind its length.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use candle_core::Tensor;
use sigma_data::regular_file;

use super::super::pickle::{Pickle, Value};
use super::place::{Storage, storage};
use super::{Storages, in_pickle, tensors};
use crate::ModelError;

/// The first pickle: the number 0x1950a86a20f9469cfc6c.
const MAGIC: &[u8; 15] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// The only version that there has been.
const VERSION: i64 = 1001;

struct Places {
    bytes: Vec<u8>,
    by_key: HashMap<String, Range<usize>>,
}

impl Storages for Places {
    fn read(&mut self, storage: &Storage) -> Result<Vec<u8>, String> {
        let place = self.by_key.get(&storage.key).cloned();
        let bytes = place.and_then(|place| self.bytes.get(place));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| format!("its storage `{}` is not in the file", storage.key))
    }
}

pub(super) fn is_legacy(path: &Path) -> Result<bool, ModelError> {
    let io = |source| ModelError::Io { path: path.to_path_buf(), source };
    let mut first = Vec::new();
    regular_file::open(path).map_err(io)?.take(MAGIC.len() as u64).read_to_end(&mut first).map_err(io)?;
    Ok(first == MAGIC)
}

pub(super) fn read(path: &Path) -> Result<Vec<(String, Tensor)>, ModelError> {
    let damaged = |reason: &str| ModelError::Damaged { path: path.to_path_buf(), reason: reason.to_string() };
    let io = |source| ModelError::Io { path: path.to_path_buf(), source };
    let bytes = regular_file::read(path).map_err(io)?;
    let first = |bytes| Pickle::read_first(bytes).map_err(in_pickle(path, "PyTorch's old format"));
    let (version, rest) = first(bytes.get(MAGIC.len()..).unwrap_or_default())?;
    if *version.value(version.root) != Value::Integer(VERSION) {
        return Err(damaged("a version of PyTorch's old format that is not known"));
    }
    let (machine, rest) = first(rest)?;
    if has(&machine, "little_endian") == Some(&Value::Bool(false)) {
        return Err(damaged("its numbers are big-endian, which is not supported"));
    }
    let (pickle, rest) = first(rest)?;
    let (keys, rest) = first(rest)?;
    let Value::List(keys_in_order) = keys.value(keys.root) else { return Err(damaged("no list of its storages")) };
    let mut described = HashMap::new();
    for value in pickle.values() {
        if let Value::Persistent(id) = value {
            let storage = storage(&pickle, *id).map_err(|reason| damaged(&reason))?;
            described.insert(storage.key.clone(), storage);
        }
    }
    let mut by_key = HashMap::new();
    let mut at = bytes.len() - rest.len();
    for key in keys_in_order {
        let Some(storage) = keys.text(*key).and_then(|key| described.get(key)) else {
            return Err(damaged("a storage that no tensor uses"));
        };
        let count = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).map(|count| u64::from_le_bytes(*count));
        let size = storage.count.checked_mul(storage.dtype.size_in_bytes());
        let end = size.and_then(|size| (at + 8).checked_add(size)).filter(|end| *end <= bytes.len());
        match end {
            Some(end) if count == Some(storage.count as u64) => {
                by_key.insert(storage.key.clone(), at + 8..end);
                at = end;
            }
            _ => return Err(damaged("a storage is longer than the file")),
        }
    }
    let length = bytes.len() as u64;
    tensors(path, &pickle, &mut Places { bytes, by_key }, length)
}

/// What a dictionary has under a text.
fn has<'a>(pickle: &'a Pickle, key: &str) -> Option<&'a Value> {
    let Value::Dict(entries) = pickle.value(pickle.root) else { return None };
    entries.iter().find(|(name, _)| pickle.text(*name) == Some(key)).map(|(_, value)| pickle.value(*value))
}
