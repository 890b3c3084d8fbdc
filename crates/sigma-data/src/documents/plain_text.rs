//! Documents from plain text: one file is one document, named by its file stem; and prompts, one a line.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{RawDocument, extension, stem, unknown_format};
use crate::error::DataError;
use crate::foreign;
use crate::limits::{Budget, Limits};
use crate::place::{At, Place};
use crate::regular_file;

pub(crate) fn read_file(path: &Path) -> Result<RawDocument, DataError> {
    let place = Place::new(&path.into(), At::File);
    let limit = Limits::in_force().text_bytes();
    let too_long = |length| Err(DataError::TextTooLong { place: place.clone(), length, limit });
    match read_text(path, limit)? {
        Read::Text { text, .. } => Ok(RawDocument { place, id: Some(stem(path)), bucket: None, response: None, text }),
        Read::TooLong { length } => too_long(length),
    }
}

/// Every line that is not blank, without an id.
pub(crate) fn read_lines(path: &Path) -> Result<Vec<RawDocument>, DataError> {
    let shared = Arc::from(path);
    let Whole { text, mut memory } = read_whole(path)?;
    let mut documents = Vec::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let place = Place::new(&shared, At::Line(number));
        let document = RawDocument { place, id: None, bucket: None, response: None, text: line.to_string() };
        document.pay(&mut memory)?;
        documents.push(document);
    }
    Ok(documents)
}

/// A file's text, and the memory that what is made of it may still take.
pub(crate) struct Whole<'a> {
    pub(crate) text: String,
    pub(crate) memory: Budget<'a>,
}

/// The text of a file of many records.
pub(crate) fn read_whole(path: &Path) -> Result<Whole<'_>, DataError> {
    let limit = Limits::in_force().file_memory(size(path)?);
    match read_text(path, limit)? {
        Read::Text { text, file } => {
            let mut memory = Budget::of(path, &file)?;
            memory.take(text.len() as u64, "its text")?;
            Ok(Whole { text, memory })
        }
        Read::TooLong { length } => Err(DataError::FileMemory {
            path: path.to_path_buf(),
            what: "its text".to_string(),
            needed: length,
            size: length,
            limit,
        }),
    }
}

fn size(path: &Path) -> Result<u64, DataError> {
    fs::metadata(path).map(|metadata| metadata.len()).map_err(DataError::read(path))
}

enum Read {
    Text {
        text: String,
        file: File,
    },
    /// Longer than asked for; a pipe may have more than that.
    TooLong {
        length: u64,
    },
}

fn read_text(path: &Path, limit: u64) -> Result<Read, DataError> {
    let file = regular_file::open(path).map_err(DataError::read(path))?;
    let length = file.metadata().map_err(DataError::read(path))?.len();
    let mut bytes = Vec::new();
    // a file of another kind is told by its first bytes, however long it is
    (&file).take(foreign::LOOK as u64).read_to_end(&mut bytes).map_err(DataError::read(path))?;
    foreign::refuse_for_text(path, &bytes)?;
    if length > limit {
        return Ok(Read::TooLong { length });
    }
    (&file).take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(DataError::read(path))?;
    if bytes.len() as u64 > limit {
        return Ok(Read::TooLong { length: bytes.len() as u64 });
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        DataError::NotUtf8 { place: Place::new(&path.into(), At::Line(line)) }
    })?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(Read::Text { text, file })
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
