//! A table as CSV: written whole, read back with typed columns and errors that name file, line and column.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::Table;
use crate::error::{ReportError, Result};

impl Table {
    /// The table as a CSV file; `path` is for error messages.
    pub(crate) fn csv(&self, path: &Path) -> Result<Vec<u8>> {
        let not_written = |source| ReportError::Csv { path: path.to_path_buf(), source };
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|column| column.name.as_ref())).map_err(not_written)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(|cell| cell.exact())).map_err(not_written)?;
        }
        writer.into_inner().map_err(|error| ReportError::Write { path: path.to_path_buf(), source: error.into_error() })
    }
}

/// A CSV file that was read.
#[derive(Clone, Debug)]
pub struct CsvTable {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<csv::StringRecord>,
}

impl CsvTable {
    /// Reads `path`; every row must have as many cells as the header.
    pub fn read(path: &Path) -> Result<CsvTable> {
        let not_read = |source| ReportError::Csv { path: path.to_path_buf(), source };
        CsvTable::of(path, csv::Reader::from_path(path).map_err(not_read)?)
    }

    /// The same from bytes; `path` is for error messages.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<CsvTable> {
        CsvTable::of(path, csv::Reader::from_reader(bytes))
    }

    fn of<R: Read>(path: &Path, mut reader: csv::Reader<R>) -> Result<CsvTable> {
        let not_read = |source| ReportError::Csv { path: path.to_path_buf(), source };
        let header = reader.headers().map_err(not_read)?.iter().map(str::to_owned).collect();
        let rows = reader.records().collect::<Result<_, _>>().map_err(not_read)?;
        Ok(CsvTable { path: path.to_path_buf(), header, rows })
    }

    /// Refuses a file whose columns are not exactly these.
    pub(crate) fn expect_header<'a>(self, expected: impl IntoIterator<Item = &'a str>) -> Result<CsvTable> {
        let mut expected = expected.into_iter();
        let mut got = self.header.iter();
        for position in 1.. {
            match (expected.next(), got.next()) {
                (None, None) => break,
                (Some(expected), Some(got)) if expected == got => {}
                (expected, got) => {
                    let shown = |name: Option<&str>| name.map_or("absent".to_owned(), |name| format!("`{name}`"));
                    return Err(ReportError::CsvHeader {
                        path: self.path,
                        position,
                        expected: shown(expected),
                        got: shown(got.map(String::as_str)),
                    });
                }
            }
        }
        Ok(self)
    }

    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Number of rows, the header not counted.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A column as text.
    pub fn texts(&self, column: &str) -> Result<Vec<&str>> {
        let index = self.index(column)?;
        // The reader refuses rows of another length than the header's, so the cell exists.
        Ok(self.rows.iter().map(|row| row.get(index).unwrap_or_default()).collect())
    }

    /// A column as numbers; an empty cell is `None`.
    pub fn numbers(&self, column: &str) -> Result<Vec<Option<f64>>> {
        self.parsed(column, "number", |cell| match cell {
            "" => Some(None),
            cell => cell.parse().ok().map(Some),
        })
    }

    /// A column in which every cell is a number.
    pub(crate) fn all_numbers(&self, column: &str) -> Result<Vec<f64>> {
        self.parsed(column, "number", |cell| cell.parse().ok())
    }

    /// A column in which every cell counts generations.
    pub(crate) fn generations(&self, column: &str) -> Result<Vec<u32>> {
        self.parsed(column, "generation", |cell| cell.parse().ok())
    }

    /// A column read cell by cell; `expected` says in an error what `parse` takes.
    pub(crate) fn parsed<T>(
        &self,
        column: &str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>> {
        let parsed = |(cell, row): (&str, &csv::StringRecord)| {
            parse(cell).ok_or_else(|| ReportError::CsvCell {
                path: self.path.clone(),
                line: row.position().map_or(0, csv::Position::line),
                column: column.to_owned(),
                expected,
                got: cell.to_owned(),
            })
        };
        self.texts(column)?.into_iter().zip(&self.rows).map(parsed).collect()
    }

    fn index(&self, column: &str) -> Result<usize> {
        self.header.iter().position(|name| name == column).ok_or_else(|| ReportError::CsvColumn {
            path: self.path.clone(),
            column: column.to_owned(),
            got: self.header.join(", "),
        })
    }
}
