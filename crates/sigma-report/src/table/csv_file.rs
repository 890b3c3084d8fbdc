//! A table as CSV: written whole, read back with typed columns and errors that name file, line and column.

use std::path::{Path, PathBuf};

use super::Table;
use crate::durable;
use crate::error::{ReportError, Result};

impl Table {
    /// Replaces `path` by this table.
    pub(crate) fn write_csv(&self, path: &Path) -> Result<()> {
        let not_written = |source| ReportError::Csv { path: path.to_path_buf(), source };
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|column| column.name)).map_err(not_written)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(|cell| cell.exact())).map_err(not_written)?;
        }
        let bytes = writer
            .into_inner()
            .map_err(|error| ReportError::Write { path: path.to_path_buf(), source: error.into_error() })?;
        durable::replace(path, &bytes)
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
        let mut reader = csv::Reader::from_path(path).map_err(not_read)?;
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
        let cells = self.texts(column)?;
        let parse = |(cell, row): (&str, &csv::StringRecord)| match cell {
            "" => Ok(None),
            cell => cell.parse().map(Some).map_err(|_| ReportError::CsvCell {
                path: self.path.clone(),
                line: row.position().map_or(0, csv::Position::line),
                column: column.to_owned(),
                expected: "number",
                got: cell.to_owned(),
            }),
        };
        cells.into_iter().zip(&self.rows).map(parse).collect()
    }

    fn index(&self, column: &str) -> Result<usize> {
        self.header.iter().position(|name| name == column).ok_or_else(|| ReportError::CsvColumn {
            path: self.path.clone(),
            column: column.to_owned(),
            got: self.header.join(", "),
        })
    }
}
