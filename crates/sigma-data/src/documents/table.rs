//! Documents and prompts from CSV and TSV: a line of column names, then records, with quotes as RFC 4180 has them. What
//! the columns mean is the caller's.

use std::path::Path;
use std::sync::Arc;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use super::plain_text::{self, Whole};
use super::{Columns, RawDocument};
use crate::error::{DataError, NamedWith};
use crate::place::{At, Place};

/// Reads a table whose columns `delimiter` separates.
pub(crate) fn read(path: &Path, delimiter: u8, columns: &Columns<'_>) -> Result<Vec<RawDocument>, DataError> {
    let Whole { text, mut memory } = plain_text::read_whole(path)?;
    let shared: Arc<Path> = path.into();
    let at = |line: usize| Place::new(&shared, At::Line(line));
    if let Some(line) = open_quote(&text, delimiter) {
        let problem = "a quote begins here that does not end".to_string();
        return Err(DataError::Table { place: at(line), problem });
    }
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let wrong = |error: &csv::Error| {
        let line = |position: &Option<csv::Position>| position.as_ref().map_or(1, |p| p.line() as usize);
        match error.kind() {
            ErrorKind::UnequalLengths { pos, expected_len, len } => {
                let problem = format!("{len} values where the first line names {expected_len} columns");
                DataError::Table { place: at(line(pos)), problem }
            }
            _ => DataError::Table { place: Place::new(&shared, At::File), problem: error.to_string() },
        }
    };
    let names: Vec<String> = reader.headers().map_err(|e| wrong(&e))?.iter().map(str::to_string).collect();
    if names.iter().all(String::is_empty) {
        return Ok(Vec::new());
    }
    let missing = |column: &str, named: NamedWith| DataError::MissingColumn {
        path: path.to_path_buf(),
        column: column.to_string(),
        columns: names.clone(),
        named,
    };
    let find = |name: &str| -> Result<Option<usize>, DataError> {
        let mut found = names.iter().enumerate().filter(|(_, column)| *column == name).map(|(index, _)| index);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(DataError::Table { place: at(1), problem: format!("two columns are called `{name}`") }),
            (first, None) => Ok(first),
        }
    };
    let text_column = find(columns.text)?.ok_or_else(|| missing(columns.text, NamedWith::TEXT))?;
    let id_column = find(columns.id)?;
    if id_column.is_none() && columns.id_required {
        return Err(missing(columns.id, NamedWith::ID));
    }
    let bucket_column = match columns.bucket {
        Some((name, required)) => match find(name)? {
            None if required => return Err(missing(name, NamedWith::BUCKET)),
            found => found,
        },
        None => None,
    };
    let bucket_required = columns.bucket.is_some_and(|(_, required)| required);

    let mut documents = Vec::new();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| wrong(&e))? {
        let cell = |column: usize| record.get(column).unwrap_or_default().to_string();
        let line = record.position().map_or(1, |position| position.line() as usize);
        let document = RawDocument {
            place: at(line),
            id: id_column.map(cell),
            // an empty cell is a bucket that is not given
            bucket: bucket_column.map(cell).filter(|bucket| bucket_required || !bucket.is_empty()),
            response: None,
            text: cell(text_column),
        };
        document.pay(&mut memory)?;
        documents.push(document);
    }
    Ok(documents)
}

/// The line of a quoted value that the text ends within; the parser would take all that follows for its content.
fn open_quote(text: &str, delimiter: u8) -> Option<usize> {
    let (mut line, mut opened, mut begins) = (1, None, true);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, opened) {
            (b'"', None) if begins => opened = Some(line),
            // two in a row stand for one
            (b'"', Some(_)) if bytes.peek() == Some(&b'"') => drop(bytes.next()),
            (b'"', Some(_)) => opened = None,
            _ => {}
        }
        begins = byte == delimiter || byte == b'\n' || byte == b'\r';
        line += usize::from(byte == b'\n');
    }
    opened
}
