//! JSON Lines: the one reader and the one writer behind every `.jsonl` file of the project. It knows lines, UTF-8 and
//! JSON, and nothing of what the records mean.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::DataError;
use crate::foreign;
use crate::place::{At, Place};
use crate::regular_file;

/// A longer line is refused: it is a file of another kind, and reading it whole could take all the memory there is.
pub const MAX_LINE_BYTES: usize = 64 << 20;

/// Reads one record a line, each with its place. Blank lines are skipped; a byte order mark is tolerated.
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<(Place, T)>, DataError> {
    let mut lines = Lines::open(path)?;
    let mut records = Vec::new();
    while let Some((place, line)) = lines.next_line()? {
        let record = parse_line(&place, &line)?;
        records.push((place, record));
    }
    Ok(records)
}

/// Writes one record a line and returns once the disk has them. A reader could see half a file meanwhile: callers that
/// mind write to another name and rename.
pub fn write_jsonl<T: Serialize>(path: &Path, records: &[T]) -> Result<(), DataError> {
    let mut writer = BufWriter::new(File::create(path).map_err(DataError::write(path))?);
    for record in records {
        serde_json::to_writer(&mut writer, record).map_err(|e| DataError::write(path)(e.into()))?;
        writer.write_all(b"\n").map_err(DataError::write(path))?;
    }
    let file = writer.into_inner().map_err(|e| DataError::write(path)(e.into_error()))?;
    // a pipe has no disk
    let flushed = file.metadata().and_then(|metadata| if metadata.is_file() { file.sync_all() } else { Ok(()) });
    flushed.map_err(DataError::write(path))
}

/// The lines of a file that are not blank.
struct Lines {
    path: Arc<Path>,
    reader: BufReader<File>,
    line: usize,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, DataError> {
        let file = regular_file::open(path).map_err(DataError::read(path))?;
        let mut reader = BufReader::new(file);
        // looked at without being taken out, because a pipe gives its bytes only once
        foreign::refuse_for_text(path, start(reader.fill_buf().map_err(DataError::read(path))?))?;
        Ok(Self { path: path.into(), reader, line: 0 })
    }

    fn next_line(&mut self) -> Result<Option<(Place, String)>, DataError> {
        loop {
            let mut bytes = Vec::new();
            // one byte more than allowed, and one for the line break
            let mut bounded = self.reader.by_ref().take(MAX_LINE_BYTES as u64 + 2);
            if bounded.read_until(b'\n', &mut bytes).map_err(DataError::read(&self.path))? == 0 {
                return Ok(None);
            }
            self.line += 1;
            let place = Place::new(&self.path, At::Line(self.line));
            if bytes.ends_with(b"\n") {
                bytes.pop();
            }
            if bytes.len() > MAX_LINE_BYTES {
                return Err(DataError::LineTooLong { place, limit: MAX_LINE_BYTES });
            }
            if self.line == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
                bytes.drain(..3);
            }
            let Ok(line) = String::from_utf8(bytes) else { return Err(DataError::NotUtf8 { place }) };
            if !line.trim().is_empty() {
                return Ok(Some((place, line)));
            }
        }
    }
}

fn start(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(foreign::LOOK)]
}

fn parse_line<T: DeserializeOwned>(place: &Place, line: &str) -> Result<T, DataError> {
    // serde would also take an array for a struct
    let indent = line.len() - line.trim_start().len();
    if !line[indent..].starts_with('{') {
        let array =
            if line[indent..].starts_with('[') { " but an array (jq -c '.[]' writes its entries so)" } else { "" };
        return Err(DataError::Json { place: place.clone(), column: indent + 1, reason: format!("no object{array}") });
    }
    serde_json::from_str(line).map_err(|e| {
        // the parser counts lines within what it was given, which is always line 1
        let reason = e.to_string();
        let position = format!(" at line {} column {}", e.line(), e.column());
        let reason = reason.strip_suffix(&position).unwrap_or(&reason).to_string();
        DataError::Json { place: place.clone(), column: e.column(), reason }
    })
}
