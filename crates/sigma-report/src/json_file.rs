//! JSON files that carry a schema number: read with the path in every error, the version judged before the fields,
//! written whole. It does not know what the fields mean.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{ReportError, Result};
use crate::run_files;

/// Reads `path`, which must hold `expected` (a noun for messages) in schema `schema`.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, expected: &'static str, schema: u32) -> Result<T> {
    parse(&text(path)?, path, expected, schema)
}

/// What `path` holds.
pub(crate) fn text(path: &Path) -> Result<String> {
    run_files::read_to_string(path).map_err(ReportError::read(path))
}

/// The `expected` that `text`, the content of `path`, is.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, path: &Path, expected: &'static str, schema: u32) -> Result<T> {
    let got = self::schema(text, path, expected)?;
    if got != schema {
        return Err(ReportError::Schema { path: path.to_path_buf(), expected: schema, got });
    }
    serde_json::from_str(text).map_err(not_json(path, expected))
}

/// The schema that `text`, the content of `path`, says it has. A later version may have other fields, and then its
/// number is what the user needs to hear about, not an unknown field.
pub(crate) fn schema(text: &str, path: &Path, expected: &'static str) -> Result<u32> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let version: Version = serde_json::from_str(text).map_err(not_json(path, expected))?;
    Ok(version.schema)
}

fn not_json(path: &Path, expected: &'static str) -> impl FnOnce(serde_json::Error) -> ReportError {
    let path = path.to_path_buf();
    move |source| ReportError::Json { path, expected, source }
}

/// Makes `value`, an `expected`, the content of `path` as indented JSON with a final line break; see
/// [`run_files::replace`].
pub fn write<T: Serialize>(path: &Path, expected: &'static str, value: &T) -> Result<()> {
    run_files::replace(path, &bytes(path, expected, value)?)
}

/// What [`write`] writes.
pub(crate) fn bytes<T: Serialize>(path: &Path, expected: &'static str, value: &T) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| ReportError::Json {
        path: path.to_path_buf(),
        expected,
        source,
    })?;
    text.push(b'\n');
    Ok(text)
}
