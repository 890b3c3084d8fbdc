//! The keys of a GGUF file, taken by name and type. What a key is good for its callers know.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;

use super::{FETCH_AGAIN, TAKE_FOLDER, refuse};
use crate::ModelError;

pub(super) struct Metadata {
    path: PathBuf,
    values: HashMap<String, Value>,
}

impl Metadata {
    pub(super) fn new(path: &Path, values: HashMap<String, Value>) -> Self {
        Self { path: path.to_path_buf(), values }
    }

    /// All keys, in the order of the alphabet.
    pub(super) fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.values.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn refuse(&self, key: &str, problem: impl Into<String>, remedy: &'static str) -> ModelError {
        refuse(&self.path, key, problem, remedy)
    }

    fn missing(&self, key: &str) -> ModelError {
        self.refuse(key, "is missing", TAKE_FOLDER)
    }

    fn mistyped(&self, key: &str, expected: &str) -> ModelError {
        let found = self.values.get(key).map_or("nothing", |value| match value {
            Value::Array(_) => "an array",
            Value::String(_) => "a text",
            Value::Bool(_) => "a truth value",
            Value::F32(_) | Value::F64(_) => "a number with a fraction",
            _ => "a whole number that does not fit",
        });
        self.refuse(key, format!("should be {expected}, but is {found}"), TAKE_FOLDER)
    }

    /// A count or an id. Files disagree on the width and the sign of their type.
    pub(super) fn number(&self, key: &str) -> Result<Option<u32>, ModelError> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let number = match *value {
            Value::U8(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::U32(v) => Some(v),
            Value::U64(v) => u32::try_from(v).ok(),
            Value::I8(v) => u32::try_from(v).ok(),
            Value::I16(v) => u32::try_from(v).ok(),
            Value::I32(v) => u32::try_from(v).ok(),
            Value::I64(v) => u32::try_from(v).ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| self.mistyped(key, "a whole number from 0 to 4294967295"))
    }

    /// A size, which is at least 1.
    pub(super) fn size(&self, key: &str) -> Result<u32, ModelError> {
        match self.number(key)? {
            Some(0) => Err(self.refuse(key, "is 0", TAKE_FOLDER)),
            Some(size) => Ok(size),
            None => Err(self.missing(key)),
        }
    }

    /// A number with a fraction, finite and above 0.
    pub(super) fn positive(&self, key: &str) -> Result<Option<f32>, ModelError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::F32(value)) if value.is_finite() && *value > 0.0 => Ok(Some(*value)),
            Some(Value::F32(value)) => Err(self.refuse(key, format!("is {value}"), FETCH_AGAIN)),
            Some(_) => Err(self.mistyped(key, "a number of the type float32")),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, ModelError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(self.mistyped(key, "true or false")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, ModelError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.mistyped(key, "a text")),
        }
    }

    pub(super) fn needed_text(&self, key: &str) -> Result<&str, ModelError> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<&str>, ModelError> {
        let values = self.array(key, "an array of texts")?.iter();
        let texts = values.map(|value| match value {
            Value::String(text) => Ok(text.as_str()),
            _ => Err(self.mistyped(key, "an array of texts")),
        });
        texts.collect()
    }

    pub(super) fn whole_numbers(&self, key: &str) -> Result<Vec<i32>, ModelError> {
        let number = |value: &Value| match *value {
            Value::I32(value) => Ok(value),
            Value::U32(value) => i32::try_from(value).map_err(|_| self.mistyped(key, "an array of small numbers")),
            _ => Err(self.mistyped(key, "an array of whole numbers")),
        };
        self.array(key, "an array of whole numbers")?.iter().map(number).collect()
    }

    fn array(&self, key: &str, expected: &str) -> Result<&[Value], ModelError> {
        match self.values.get(key) {
            None => Err(self.missing(key)),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(self.mistyped(key, expected)),
        }
    }
}
