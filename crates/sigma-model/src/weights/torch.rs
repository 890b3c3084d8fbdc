//! Weights as `torch.save` writes them: a pickle that says which tensors there are, and the data of each beside it, in
//! a zip file since PyTorch 1.6, before that one after another. Every size is held against the file before memory is
//! taken for it.

mod archive;
mod legacy;
mod place;

use std::collections::HashMap;
use std::path::Path;

use candle_core::Tensor;

use self::place::{Place, place, tensor};
use super::pickle::{Id, Pickle, Problem, Value};
use crate::ModelError;

/// Tensors may be views of the same data, but all together have at most so many times the bytes of the file.
const MOST_VIEWS: usize = 4;

/// Where the data beside the pickle come from.
trait Storages {
    /// The bytes of the storage of this key.
    fn read(&mut self, storage: &place::Storage) -> Result<Vec<u8>, String>;
}

pub(super) fn read(path: &Path) -> Result<Vec<(String, Tensor)>, ModelError> {
    if legacy::is_legacy(path)? { legacy::read(path) } else { archive::read(path) }
}

/// The tensors of the dictionary `pickle`, from `storages` of a file of `length` bytes.
fn tensors(
    path: &Path,
    pickle: &Pickle,
    storages: &mut impl Storages,
    length: u64,
) -> Result<Vec<(String, Tensor)>, ModelError> {
    let damaged = |reason: String| ModelError::Damaged { path: path.to_path_buf(), reason };
    let mut places: Vec<(String, Place)> = Vec::new();
    let mut budget = usize::try_from(length).unwrap_or(usize::MAX).saturating_mul(MOST_VIEWS);
    for (name, value) in entries(pickle).ok_or_else(|| damaged("it holds no dictionary of tensors".to_string()))? {
        let of = |reason: String| damaged(format!("tensor `{name}`: {reason}"));
        let place = place(pickle, value).map_err(of)?;
        match place.bytes().and_then(|bytes| budget.checked_sub(bytes)) {
            Some(left) => budget = left,
            None => return Err(of("it and those before it need more data than the file holds".to_string())),
        }
        places.push((name.to_string(), place));
    }
    if places.is_empty() {
        return Err(damaged("no tensors in it".to_string()));
    }
    // each storage is read once, and kept as long as tensors that are views of it follow
    let mut uses: HashMap<String, usize> = HashMap::new();
    places.iter().for_each(|(_, place)| *uses.entry(place.storage.key.clone()).or_default() += 1);
    let mut data: HashMap<String, Vec<u8>> = HashMap::new();
    let (mut tensors, mut stored) = (Vec::with_capacity(places.len()), length);
    for (name, place) in places {
        let of = |reason: String| damaged(format!("tensor `{name}`: {reason}"));
        let key = &place.storage.key;
        if !data.contains_key(key) {
            let read = storages.read(&place.storage).map_err(&of)?;
            let Some(left) = stored.checked_sub(read.len() as u64) else {
                return Err(of("its storage and those before it have more bytes than the file".to_string()));
            };
            stored = left;
            data.insert(key.clone(), read);
        }
        let read = data.get(key).map(Vec::as_slice).unwrap_or_default();
        let made = tensor(&place, read).map_err(&of)?;
        let left = uses.get_mut(key).map_or(0, |uses| {
            *uses -= 1;
            *uses
        });
        if left == 0 {
            data.remove(key);
        }
        tensors.push((name, made));
    }
    Ok(tensors)
}

/// Name and description of each tensor of the dictionary.
fn entries(pickle: &Pickle) -> Option<impl Iterator<Item = (&str, Id)>> {
    let Value::Dict(entries) = pickle.value(pickle.root) else { return None };
    let of = |(key, value): &(Id, Id)| {
        let is_tensor = matches!(pickle.value(*value), Value::Call { .. });
        pickle.text(*key).filter(|_| is_tensor).map(|name| (name, *value))
    };
    Some(entries.iter().filter_map(of))
}

/// For `map_err`: what is wrong with a pickle of the file.
fn in_pickle<'a>(path: &'a Path, name: &'a str) -> impl Fn(Problem) -> ModelError + 'a {
    move |problem| match problem {
        Problem::Damaged(reason) => {
            ModelError::Damaged { path: path.to_path_buf(), reason: format!("{name}: {reason}") }
        }
        Problem::Forbidden(function) => ModelError::Forbidden { path: path.to_path_buf(), function },
    }
}
