//! How much memory a file or a text may ask for, so that a small file stays small whatever it claims or unpacks to.
//! What a reader does with its file is not known here.
//!
//! The limits are the only state of the whole process: every reader of every crate needs them, and handing them through
//! would touch all of their callers. The program sets them when it starts ([`Limits::from_environment`]) and once more
//! when a config states its own.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::place::Place;

/// What any file may ask for without a word.
const LEAST_MEMORY: u64 = 1 << 30;

/// Bytes of memory per byte of a file, where that is more.
const MEMORY_PER_BYTE: u64 = 64;

/// Matrices of the size of a Gram matrix that are there at once as it is made and measured.
const GRAM_COPIES: u64 = 4;

/// Bytes of one text, unless the user says otherwise.
const TEXT_BYTES: u64 = 64 << 20;

/// Of the environment, with the keys of a config that go before them.
const MEMORY_VARIABLE: &str = "SIGMA_EXP_MAX_FILE_MEMORY";
const TEXT_VARIABLE: &str = "SIGMA_EXP_MAX_TEXT_BYTES";

static IN_FORCE: RwLock<Limits> = RwLock::new(Limits { max_file_memory: None, max_text_bytes: None });

/// The section `limits` of a config; what is not stated is what the program does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory that one file may take up as it is read; 64 times its size, and at least 1 GiB, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_file_memory: Option<u64>,
    /// Bytes of one text and of one line of JSON Lines, and four times what a tokenizer may make of a short text; 64
    /// MiB if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_text_bytes: Option<u64>,
}

/// A limit that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    #[error("the environment variable {name} is {value:?}; it must be a number of bytes, at least 1")]
    Variable { name: &'static str, value: OsString },
    #[error("limits.{key} is 0; it must be at least 1 (leave it out for the default)")]
    Zero { key: &'static str },
}

impl Limits {
    /// What SIGMA_EXP_MAX_FILE_MEMORY and SIGMA_EXP_MAX_TEXT_BYTES state.
    pub fn from_environment() -> Result<Self, LimitsError> {
        let max_file_memory = number(MEMORY_VARIABLE, env::var_os(MEMORY_VARIABLE))?;
        let max_text_bytes = number(TEXT_VARIABLE, env::var_os(TEXT_VARIABLE))?;
        Ok(Self { max_file_memory, max_text_bytes })
    }

    /// These, and `other` where they say nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            max_file_memory: self.max_file_memory.or(other.max_file_memory),
            max_text_bytes: self.max_text_bytes.or(other.max_text_bytes),
        }
    }

    /// Refuses a limit of nothing.
    pub fn validate(&self) -> Result<(), LimitsError> {
        for (key, value) in [("max_file_memory", self.max_file_memory), ("max_text_bytes", self.max_text_bytes)] {
            if value == Some(0) {
                return Err(LimitsError::Zero { key });
            }
        }
        Ok(())
    }

    /// Whether nothing is stated.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Makes them those of every reader of this process.
    pub fn enforce(self) {
        *IN_FORCE.write().unwrap_or_else(PoisonError::into_inner) = self;
    }

    /// Those of every reader of this process.
    pub fn in_force() -> Self {
        *IN_FORCE.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that a file of `size` bytes may take up.
    pub fn file_memory(&self, size: u64) -> u64 {
        self.max_file_memory.unwrap_or_else(|| size.saturating_mul(MEMORY_PER_BYTE).max(LEAST_MEMORY))
    }

    /// Bytes that one text may have.
    pub fn text_bytes(&self) -> u64 {
        self.max_text_bytes.unwrap_or(TEXT_BYTES)
    }

    /// Refuses files of rows, `size` bytes together, whose Gram matrix takes more than they may take up. `path` is the
    /// first of them.
    pub fn check_gram(&self, path: &Path, size: u64, width: usize) -> Result<(), DataError> {
        let matrix = (width as u64).saturating_mul(width as u64).saturating_mul(size_of::<f64>() as u64);
        let (needed, limit) = (matrix.saturating_mul(GRAM_COPIES), self.file_memory(size));
        if needed <= limit {
            return Ok(());
        }
        let what = format!("the Gram matrix of rows of width {width}");
        Err(DataError::FileMemory { path: path.to_path_buf(), what, needed, size, limit })
    }

    /// Refuses a text by its length.
    pub(crate) fn check_text(&self, length: usize, place: &Place) -> Result<(), DataError> {
        let limit = self.text_bytes();
        if length as u64 <= limit {
            return Ok(());
        }
        Err(DataError::TextTooLong { place: place.clone(), length: length as u64, limit })
    }
}

fn number(name: &'static str, value: Option<OsString>) -> Result<Option<u64>, LimitsError> {
    let Some(value) = value else { return Ok(None) };
    match value.to_str().and_then(|text| text.trim().parse().ok()) {
        Some(0) | None => Err(LimitsError::Variable { name, value }),
        number => Ok(number),
    }
}

/// What is left of the memory that one file may take up.
pub(crate) struct Budget<'a> {
    path: &'a Path,
    size: u64,
    limit: u64,
    used: u64,
}

impl<'a> Budget<'a> {
    /// The whole of it, of a file that is open. A pipe counts as nothing, so that it has what any file may ask for.
    pub(crate) fn of(path: &'a Path, file: &File) -> Result<Self, DataError> {
        let size = file.metadata().map_err(DataError::read(path))?.len();
        Ok(Self { path, size, limit: Limits::in_force().file_memory(size), used: 0 })
    }

    /// Bytes that may still be asked for.
    pub(crate) fn left(&self) -> u64 {
        self.limit - self.used
    }

    /// Takes `bytes` for good; `what` is what needs them.
    pub(crate) fn take(&mut self, bytes: u64, what: &'static str) -> Result<(), DataError> {
        self.check(bytes, what)?;
        self.used += bytes;
        Ok(())
    }

    /// Refuses what would not fit beside what is taken.
    pub(crate) fn check(&self, bytes: u64, what: &'static str) -> Result<(), DataError> {
        if bytes <= self.left() {
            return Ok(());
        }
        let (needed, limit, size) = (self.used.saturating_add(bytes), self.limit, self.size);
        let what = what.to_string();
        Err(DataError::FileMemory { path: self.path.to_path_buf(), what, needed, size, limit })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_no_number_of_bytes_is_refused_by_name() {
        for value in ["", "lots", "-1", "0", "1e9", "1 GB", "18446744073709551616"] {
            let error = number(MEMORY_VARIABLE, Some(value.into())).unwrap_err().to_string();
            assert!(error.contains(MEMORY_VARIABLE) && error.contains(&format!("{value:?}")), "{error}");
        }
        assert_eq!(number(TEXT_VARIABLE, Some(" 4096 ".into())), Ok(Some(4096)));
        assert_eq!(number(TEXT_VARIABLE, None), Ok(None));
    }

    #[test]
    fn a_config_goes_before_the_environment_and_both_before_the_size_of_the_file() {
        let config = Limits { max_file_memory: Some(5), max_text_bytes: None };
        let environment = Limits { max_file_memory: Some(6), max_text_bytes: Some(7) };
        let both = config.or(environment);
        assert_eq!((both.file_memory(1 << 40), both.text_bytes()), (5, 7));
        let none = Limits::default();
        assert_eq!((none.file_memory(0), none.file_memory(1 << 30)), (1 << 30, 1 << 36));
        assert_eq!((none.file_memory(u64::MAX), none.text_bytes()), (u64::MAX, 64 << 20));
    }
}
