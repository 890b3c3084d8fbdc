//! One walk over everything before the tensors' data, which keeps only what the data's places need. It refuses what
//! candle would panic on, allocate for, or pass over in silence: counts and lengths that the file cannot hold, names
//! that occur twice, text that is no UTF-8, tensors that overlap or lie outside. What the values mean it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use sigma_data::{DataError, Limits};

use super::types::{self, TensorType};
use super::{FETCH_AGAIN, OTHER_TYPE, TAKE_FOLDER, refuse};
use crate::ModelError;

/// Elements of all arrays together: a vocabulary of 262,144 tokens and its merges are about a million.
const MOST_ELEMENTS: u64 = 1 << 24;

/// What candle keeps of an element, with the room that a growing list takes for more; and of a key or a tensor.
const ELEMENT_MEMORY: u64 = 64;
const ENTRY_MEMORY: u64 = 512;

/// Of a key by GGUF's specification, and of a tensor's name by ggml.
const LONGEST_KEY: u64 = 65_535;
const LONGEST_NAME: u64 = 63;

/// Dimensions of a tensor in ggml.
const MOST_DIMENSIONS: u32 = 4;

const ALIGNMENT_KEY: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;
const MOST_ALIGNMENT: u32 = 1 << 20;

/// Numbers of the value types that this walk looks at.
const UINT32: u32 = 4;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// A tensor as the header describes it; shapes are in PyTorch's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorEntry {
    pub(super) shape: Vec<u64>,
    pub(super) kind: TensorType,
    /// From the start of the data.
    start: u64,
    bytes: u64,
}

/// The tensors of a file, all of which it really holds.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) tensors: BTreeMap<String, TensorEntry>,
}

impl Header {
    pub(super) fn read(path: &Path, file: &File) -> Result<Self, ModelError> {
        let io = |source| ModelError::Io { path: path.to_path_buf(), source };
        let size = file.metadata().map_err(io)?.len();
        let mut walk = Walk { path, input: BufReader::new(file), size, position: 0, elements: 0, alignment: None };
        let (tensor_count, key_count) = walk.counts()?;
        let mut keys = BTreeSet::new();
        for _ in 0..key_count {
            let key = walk.name("a key", LONGEST_KEY)?;
            walk.value(&key)?;
            if let Some(key) = keys.replace(key) {
                return Err(refuse(path, &key, "occurs twice", FETCH_AGAIN));
            }
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..tensor_count {
            let name = walk.name("a tensor's name", LONGEST_NAME)?;
            let entry = walk.tensor(&name)?;
            if tensors.insert(name.clone(), entry).is_some() {
                return Err(refuse(path, &name, "occurs twice", FETCH_AGAIN));
            }
        }
        walk.check_memory(key_count.saturating_add(tensor_count))?;
        let start = walk.position.next_multiple_of(walk.alignment.unwrap_or(DEFAULT_ALIGNMENT));
        check_places(path, &tensors, size.saturating_sub(start))?;
        Ok(Self { tensors })
    }

    /// How many tensors have which type.
    pub(super) fn types(&self) -> Vec<(&'static str, usize)> {
        let mut counts = BTreeMap::new();
        for entry in self.tensors.values() {
            *counts.entry(entry.kind.name).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }
}

/// No tensor reaches beyond the data, and no two share a byte of it.
fn check_places(path: &Path, tensors: &BTreeMap<String, TensorEntry>, data: u64) -> Result<(), ModelError> {
    let mut places: Vec<(&String, &TensorEntry)> = tensors.iter().collect();
    places.sort_by_key(|(_, entry)| entry.start);
    let mut end = 0;
    for (name, TensorEntry { start, bytes, .. }) in places {
        if *start < end {
            let problem = format!("begins at byte {start} of the data, inside the tensor before it");
            return Err(refuse(path, name, problem, FETCH_AGAIN));
        }
        end = start.saturating_add(*bytes);
        if end > data {
            let problem = format!("needs {bytes} bytes from byte {start} of the data, but there are only {data}");
            return Err(refuse(path, name, problem, FETCH_AGAIN));
        }
    }
    Ok(())
}

struct Walk<'a> {
    path: &'a Path,
    input: BufReader<&'a File>,
    size: u64,
    position: u64,
    elements: u64,
    alignment: Option<u64>,
}

impl Walk<'_> {
    fn left(&self) -> u64 {
        self.size.saturating_sub(self.position)
    }

    fn damaged(&self, reason: String) -> ModelError {
        ModelError::Damaged { path: self.path.to_path_buf(), reason }
    }

    /// Refuses `bytes` of `what` that the file does not have.
    fn expect(&self, bytes: u64, what: &str) -> Result<(), ModelError> {
        let (left, position) = (self.left(), self.position);
        if bytes <= left {
            return Ok(());
        }
        Err(self.damaged(format!("{what} needs {bytes} bytes from byte {position} on, but only {left} are left")))
    }

    fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], ModelError> {
        self.expect(N as u64, what)?;
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|source| self.unreadable(source))?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn unreadable(&self, source: std::io::Error) -> ModelError {
        ModelError::Io { path: self.path.to_path_buf(), source }
    }

    fn u32(&mut self, what: &str) -> Result<u32, ModelError> {
        Ok(u32::from_le_bytes(self.bytes(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, ModelError> {
        Ok(u64::from_le_bytes(self.bytes(what)?))
    }

    /// How many tensors and keys there are.
    fn counts(&mut self) -> Result<(u64, u64), ModelError> {
        if self.bytes("the magic")? != *b"GGUF" {
            return Err(self.damaged("it does not begin with GGUF".to_string()));
        }
        match self.u32("the version")? {
            2 | 3 => {}
            version if version.swap_bytes() <= 3 => {
                return Err(refuse(self.path, "version", "belongs to a big-endian file", TAKE_FOLDER));
            }
            version => return Err(refuse(self.path, "version", format!("is {version}, not 2 or 3"), TAKE_FOLDER)),
        }
        let (tensors, keys) = (self.u64("the number of tensors")?, self.u64("the number of keys")?);
        // a length, a type and a byte at least; and a length, the number of dimensions, one of them, a type and a place
        let needed = keys.saturating_mul(13).saturating_add(tensors.saturating_mul(32));
        self.expect(needed, &format!("a header of {keys} keys and {tensors} tensors"))?;
        Ok((tensors, keys))
    }

    /// A text, which may have `longest` bytes.
    fn text(&mut self, what: &str, longest: u64) -> Result<String, ModelError> {
        let length = self.u64(what)?;
        self.expect(length, what)?;
        if length > longest {
            return Err(self.damaged(format!("{what} has {length} bytes, but at most {longest} are allowed")));
        }
        // no more than the file has
        let mut bytes = vec![0; length as usize];
        self.input.read_exact(&mut bytes).map_err(|source| self.unreadable(source))?;
        self.position += length;
        String::from_utf8(bytes).map_err(|_| self.damaged(format!("{what} is no UTF-8")))
    }

    fn name(&mut self, what: &str, longest: u64) -> Result<String, ModelError> {
        let name = self.text(what, longest)?;
        // candle cuts these off, and two names might become one
        if name.is_empty() || name.contains('\0') {
            return Err(self.damaged(format!("{what} is {name:?}")));
        }
        Ok(name)
    }

    fn value(&mut self, key: &str) -> Result<(), ModelError> {
        match self.u32(key)? {
            STRING => _ = self.text(key, u64::MAX)?,
            ARRAY => self.array(key)?,
            UINT32 if key == ALIGNMENT_KEY => {
                let alignment = self.u32(key)?;
                if !alignment.is_power_of_two() || alignment > MOST_ALIGNMENT {
                    let problem = format!("is {alignment}, which is no alignment of data");
                    return Err(refuse(self.path, key, problem, FETCH_AGAIN));
                }
                self.alignment = Some(alignment.into());
            }
            _ if key == ALIGNMENT_KEY => {
                return Err(refuse(self.path, key, "is not of the type uint32", FETCH_AGAIN));
            }
            kind => self.skip(self.width(key, kind)?, key)?,
        }
        Ok(())
    }

    fn array(&mut self, key: &str) -> Result<(), ModelError> {
        let kind = self.u32(key)?;
        let count = self.u64(key)?;
        if kind == ARRAY {
            return Err(refuse(self.path, key, "is an array of arrays, which no model has", TAKE_FOLDER));
        }
        let width = if kind == STRING { 8 } else { self.width(key, kind)? };
        self.expect(count.saturating_mul(width), &format!("the array `{key}` of {count} elements"))?;
        self.elements = self.elements.saturating_add(count);
        if self.elements > MOST_ELEMENTS {
            let problem = format!("brings the elements of arrays to {}, which no model has", self.elements);
            return Err(refuse(self.path, key, problem, TAKE_FOLDER));
        }
        if kind == STRING {
            for _ in 0..count {
                self.text(key, u64::MAX)?;
            }
            return Ok(());
        }
        self.skip(count.saturating_mul(width), key)
    }

    /// Bytes of a number of type `kind`.
    fn width(&self, key: &str, kind: u32) -> Result<u64, ModelError> {
        match kind {
            0 | 1 | 7 => Ok(1),
            2 | 3 => Ok(2),
            4..=6 => Ok(4),
            10..=12 => Ok(8),
            other => Err(refuse(self.path, key, format!("has the unknown value type {other}"), FETCH_AGAIN)),
        }
    }

    fn skip(&mut self, bytes: u64, what: &str) -> Result<(), ModelError> {
        self.expect(bytes, what)?;
        let skipped = std::io::copy(&mut self.input.by_ref().take(bytes), &mut std::io::sink());
        let skipped = skipped.map_err(|source| self.unreadable(source))?;
        self.position += skipped;
        if skipped < bytes {
            return Err(self.damaged(format!("the file ends within `{what}`")));
        }
        Ok(())
    }

    fn tensor(&mut self, name: &str) -> Result<TensorEntry, ModelError> {
        let dimensions = self.u32(name)?;
        if dimensions == 0 || dimensions > MOST_DIMENSIONS {
            return Err(refuse(self.path, name, format!("has {dimensions} dimensions"), FETCH_AGAIN));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(self.u64(name)?);
        }
        let row = shape[0];
        shape.reverse();
        let number = self.u32(name)?;
        let start = self.u64(name)?;
        let kind = types::of(number).map_err(|found| {
            refuse(self.path, name, format!("has the type {found}, which cannot be read"), OTHER_TYPE)
        })?;
        let elements = shape.iter().try_fold(1u64, |product, size| product.checked_mul(*size)).unwrap_or(0);
        if elements == 0 || elements.checked_mul(8).is_none() {
            return Err(refuse(self.path, name, format!("has the shape {shape:?}"), FETCH_AGAIN));
        }
        if !row.is_multiple_of(kind.block) {
            let problem = format!("has rows of {row} elements, which are no blocks of {} of {}", kind.block, kind.name);
            return Err(refuse(self.path, name, problem, FETCH_AGAIN));
        }
        let bytes = (elements / kind.block).saturating_mul(kind.bytes);
        if !start.is_multiple_of(self.alignment.unwrap_or(DEFAULT_ALIGNMENT)) {
            return Err(refuse(self.path, name, format!("begins at byte {start}, which is not aligned"), FETCH_AGAIN));
        }
        Ok(TensorEntry { shape, kind, start, bytes })
    }

    /// Refuses a header that takes more memory than the file may.
    fn check_memory(&self, entries: u64) -> Result<(), ModelError> {
        let limit = Limits::in_force().file_memory(self.size);
        let kept = self.elements.saturating_mul(ELEMENT_MEMORY).saturating_add(entries.saturating_mul(ENTRY_MEMORY));
        let needed = kept.saturating_add(self.position);
        if needed <= limit {
            return Ok(());
        }
        let (path, what, size) = (self.path.to_path_buf(), "its metadata".to_string(), self.size);
        Err(DataError::FileMemory { path, what, needed, size, limit }.into())
    }
}
