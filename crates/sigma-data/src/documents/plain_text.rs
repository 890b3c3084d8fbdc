//! Documents from plain text: one file is one document, named by its file stem; and prompts, one a line.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{RawDocument, extension, stem, unknown_format};
use crate::error::DataError;
use crate::foreign;
use crate::place::{At, Place};
use crate::regular_file;

pub(crate) fn read_file(path: &Path) -> Result<RawDocument, DataError> {
    let place = Place::new(&path.into(), At::File);
    Ok(RawDocument { place, id: Some(stem(path)), bucket: None, response: None, text: read_text(path)? })
}

/// Every line that is not blank, without an id.
pub(crate) fn read_lines(path: &Path) -> Result<Vec<RawDocument>, DataError> {
    let (shared, text) = (Arc::from(path), read_text(path)?);
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let document = |(line, number): (&str, usize)| {
        let place = Place::new(&shared, At::Line(number));
        RawDocument { place, id: None, bucket: None, response: None, text: line.to_string() }
    };
    Ok(lines.map(document).collect())
}

pub(crate) fn read_text(path: &Path) -> Result<String, DataError> {
    let bytes = regular_file::read(path).map_err(DataError::read(path))?;
    foreign::refuse_for_text(path, &bytes[..bytes.len().min(foreign::LOOK)])?;
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        DataError::NotUtf8 { place: Place::new(&path.into(), At::Line(line)) }
    })?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

/// Every file of the folder must be text: skipping what is not known could drop half a corpus without a word. Hidden
/// files are left by editors and file managers, so they are not part of it.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<RawDocument>, DataError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::read(folder))? {
        let entry = entry.map_err(DataError::read(folder))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    paths
        .iter()
        .map(|path| match extension(path).as_str() {
            "txt" | "md" => read_file(path),
            other => Err(unknown_format(path, other, "only .txt and .md files in a folder of documents")),
        })
        .collect()
}
