//! .parquet: a column of lists of float or double, read by row groups through the column API, no Arrow.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Repetition, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::Type;

use super::wrong;
use crate::documents::parquet::{check, check_footer, guarded, open};
use crate::error::{DataError, NamedWith};
use crate::limits::Budget;
use crate::place::{At, Place};

const EXPECTED: &str = "lists of float or double";

/// Rows decoded at a time: their levels take as much memory as their values.
const BATCH: usize = 4096;

/// Bytes that a value takes with its levels: a single list may hold all values of a row group.
const VALUE: u64 = 12;

/// A column of lists, each of `width` values.
pub(super) struct ListColumn {
    path: Arc<Path>,
    file: SerializedFileReader<File>,
    name: String,
    leaf: usize,
    /// Definition level of a value that is there.
    present: i16,
    rows: u64,
    width: usize,
    /// Rows read.
    read: u64,
    next_group: usize,
    group: Option<ColumnReader>,
    levels: Levels,
}

#[derive(Default)]
struct Levels {
    definition: Vec<i16>,
    repetition: Vec<i16>,
    doubles: Vec<f64>,
}

impl ListColumn {
    /// The column of that name, or the only one of lists.
    pub(super) fn open(path: &Path, name: Option<&str>) -> Result<Self, DataError> {
        guarded(path, || Self::open_unguarded(path, name))
    }

    fn open_unguarded(path: &Path, name: Option<&str>) -> Result<Self, DataError> {
        let damaged = |source: ParquetError| DataError::Parquet { path: path.to_path_buf(), source };
        let file = open(path)?;
        let memory = Budget::of(path, &file)?;
        check_footer(path, &file)?;
        let file = SerializedFileReader::new(file).map_err(damaged)?;
        let schema = file.metadata().file_metadata().schema_descr();
        let lists: Vec<(usize, &str)> = (0..schema.num_columns())
            .filter(|&leaf| {
                let column = schema.column(leaf);
                // the leaves of a map or of lists of structs lie side by side
                let alone = only_leaf(schema.get_column_root(leaf)).is_some();
                alone
                    && column.max_rep_level() == 1
                    && matches!(column.physical_type(), Physical::FLOAT | Physical::DOUBLE)
            })
            .map(|leaf| (leaf, schema.get_column_root(leaf).name()))
            .collect();
        let (leaf, name) = match (name, &lists[..]) {
            (None, [only]) => *only,
            (None, []) => {
                let there: Vec<String> =
                    schema.root_schema().get_fields().iter().map(|field| described(field)).collect();
                return Err(wrong(path, format!("no column holds {EXPECTED}; there are {}", there.join(", "))));
            }
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|(_, name)| *name).collect();
                return Err(wrong(path, format!("several columns hold {EXPECTED}: {}; name one", names.join(", "))));
            }
            (Some(name), _) => match lists.iter().find(|(_, list)| *list == name) {
                Some(found) => *found,
                None => {
                    let fields = schema.root_schema().get_fields();
                    if let Some(field) = fields.iter().find(|field| field.name() == name) {
                        let (column, found) = (name.to_string(), content(field));
                        return Err(DataError::ColumnType {
                            path: path.to_path_buf(),
                            column,
                            expected: EXPECTED,
                            found,
                        });
                    }
                    let columns = fields.iter().map(|field| field.name().to_string()).collect();
                    return Err(DataError::MissingColumn {
                        path: path.to_path_buf(),
                        column: name.to_string(),
                        columns,
                        named: NamedWith::ROWS,
                    });
                }
            },
        };
        let rows = u64::try_from(file.metadata().file_metadata().num_rows());
        let rows = rows.map_err(|_| wrong(path, "its number of rows is negative; it is damaged"))?;
        check(path, &file, &[leaf], VALUE, &memory)?;
        let (present, name) = (schema.column(leaf).max_def_level(), name.to_string());
        let mut column = Self {
            path: Arc::from(path),
            file,
            name,
            leaf,
            present,
            rows,
            width: 0,
            read: 0,
            next_group: 0,
            group: None,
            levels: Levels::default(),
        };
        if rows > 0 {
            column.width = column.first_width()?;
        }
        if column.width == 0 && rows > 0 {
            let (place, problem) = (Place::new(&column.path, At::Row(1)), "is null or empty".to_string());
            return Err(DataError::ShardRow { place, column: column.name, problem });
        }
        if column.width == 0 {
            return Err(wrong(path, format!("`{}` has no values", column.name)));
        }
        Ok(column)
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The next `count` rows, which must be there.
    pub(super) fn read(&mut self, count: usize, block: &mut Vec<f32>) -> Result<(), DataError> {
        let path = Arc::clone(&self.path);
        guarded(&path, || {
            block.clear();
            let mut left = count;
            while left > 0 {
                left -= self.batch(left.min(BATCH), block)?;
            }
            Ok(())
        })
    }

    /// The length of the first list; the column is then at its beginning again.
    fn first_width(&mut self) -> Result<usize, DataError> {
        let mut values = Vec::new();
        self.decode(1, &mut values)?;
        (self.next_group, self.group) = (0, None);
        Ok(values.len())
    }

    /// Up to `count` further rows of one row group, checked.
    fn batch(&mut self, count: usize, block: &mut Vec<f32>) -> Result<usize, DataError> {
        let rows = self.decode(count, block)?;
        let Levels { definition, repetition, .. } = &self.levels;
        let whole = |row: usize| {
            let levels = row * self.width..(row + 1) * self.width;
            let (Some(definition), Some(repetition)) = (definition.get(levels.clone()), repetition.get(levels)) else {
                return false;
            };
            repetition[0] == 0
                && repetition[1..].iter().all(|&level| level != 0)
                && definition.iter().all(|&level| level == self.present)
        };
        if definition.len() != rows * self.width || !(0..rows).all(whole) {
            return Err(self.bad_row());
        }
        self.read += rows as u64;
        Ok(rows)
    }

    /// What is wrong with the first bad row of the levels just decoded.
    fn bad_row(&self) -> DataError {
        let Levels { definition, repetition, .. } = &self.levels;
        let mut row = 0;
        let mut start = 0;
        while start < repetition.len() {
            let length = 1 + repetition[start + 1..].iter().take_while(|&&level| level != 0).count();
            let list = &definition[start..start + length];
            let present = list.iter().filter(|&&level| level == self.present).count();
            if present != self.width || length != self.width {
                let problem = match (present, length) {
                    (0, 1) => "is null or empty".to_string(),
                    (present, length) if present < length => "holds null".to_string(),
                    (present, _) => format!("has {present} values where the first row has {}", self.width),
                };
                let number = usize::try_from(self.read).unwrap_or(usize::MAX).saturating_add(row + 1);
                let place = Place::new(&self.path, At::Row(number));
                return DataError::ShardRow { place, column: self.name.clone(), problem };
            }
            (row, start) = (row + 1, start + length);
        }
        wrong(&self.path, format!("`{}` is damaged", self.name))
    }

    /// Appends the values of up to `count` rows of one row group and keeps their levels; the number of rows, at least
    /// one.
    fn decode(&mut self, count: usize, values: &mut Vec<f32>) -> Result<usize, DataError> {
        let path = Arc::clone(&self.path);
        let damaged = |source: ParquetError| DataError::Parquet { path: path.to_path_buf(), source };
        loop {
            if self.group.is_none() {
                if self.next_group == self.file.num_row_groups() {
                    return Err(wrong(&path, format!("it has fewer rows than the {} it promises", self.rows)));
                }
                let group = self.file.get_row_group(self.next_group).map_err(damaged)?;
                self.group = Some(group.get_column_reader(self.leaf).map_err(damaged)?);
                self.next_group += 1;
            }
            let levels = &mut self.levels;
            let rows = match &mut self.group {
                Some(ColumnReader::FloatColumnReader(reader)) => {
                    records(reader, count, &mut levels.definition, &mut levels.repetition, values).map_err(damaged)?
                }
                Some(ColumnReader::DoubleColumnReader(reader)) => {
                    levels.doubles.clear();
                    let rows =
                        records(reader, count, &mut levels.definition, &mut levels.repetition, &mut levels.doubles)
                            .map_err(damaged)?;
                    values.extend(levels.doubles.iter().map(|&value| value as f32));
                    rows
                }
                _ => return Err(wrong(&path, format!("`{}` is damaged", self.name))),
            };
            if rows > 0 {
                return Ok(rows);
            }
            self.group = None;
        }
    }
}

/// A column's name and what it holds.
fn described(field: &Type) -> String {
    format!("`{}` ({})", field.name(), content(field))
}

/// What a column holds, in words.
fn content(field: &Type) -> String {
    match only_leaf(field) {
        Some((0, kind)) => kind,
        Some((1, kind)) => format!("lists of {kind}"),
        Some((_, kind)) => format!("lists of lists of {kind}"),
        None => "a group of several values".to_string(),
    }
}

/// How many lists are around the only leaf of a column, and the leaf's type. None where there are several leaves.
fn only_leaf(field: &Type) -> Option<(usize, String)> {
    let info = field.get_basic_info();
    let lists = usize::from(info.has_repetition() && info.repetition() == Repetition::REPEATED);
    if field.is_primitive() {
        return Some((lists, field.get_physical_type().to_string()));
    }
    let [inner] = field.get_fields() else { return None };
    only_leaf(inner).map(|(more, kind)| (lists + more, kind))
}

fn records<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    count: usize,
    definition: &mut Vec<i16>,
    repetition: &mut Vec<i16>,
    values: &mut Vec<T::T>,
) -> Result<usize, ParquetError> {
    definition.clear();
    repetition.clear();
    let (rows, _, _) = reader.read_records(count, Some(definition), Some(repetition), values)?;
    // a required list of required values has no definition levels
    if definition.is_empty() {
        definition.resize(repetition.len(), 0);
    }
    Ok(rows)
}
