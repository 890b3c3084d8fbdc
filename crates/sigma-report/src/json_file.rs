//! JSON files that carry a schema number: read with the path in every error, the version judged before the fields, written whole.
//! It does not know what the fields mean.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{ReportError, Result};

/// Reads `path`, which must hold `expected` (a noun for messages) in schema `schema`.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, expected: &'static str, schema: u32) -> Result<T> {
    /// A later version may have other fields, and then its number is what the user needs to hear about, not an unknown field.
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let text = fs::read_to_string(path).map_err(ReportError::read(path))?;
    let not_json = |source| ReportError::Json { path: path.to_path_buf(), expected, source };
    let version: Version = serde_json::from_str(&text).map_err(not_json)?;
    if version.schema != schema {
        return Err(ReportError::Schema { path: path.to_path_buf(), expected: schema, got: version.schema });
    }
    serde_json::from_str(&text).map_err(not_json)
}

/// Writes `value` as indented JSON with a final line break.
pub(crate) fn write<T: Serialize>(path: &Path, expected: &'static str, value: &T) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| ReportError::Json {
        path: path.to_path_buf(),
        expected,
        source,
    })?;
    text.push(b'\n');
    durable::replace(path, &text)
}
