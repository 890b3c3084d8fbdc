//! Documents from Parquet, through the record API: columns at the top level, no Arrow.

mod delta;
mod pages;
mod thrift;

use std::any::Any;
use std::fs::File;
use std::io::{Read, Seek};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;

use super::{Columns, RawDocument};
use crate::error::{DataError, NamedWith};
use crate::foreign;
use crate::limits::Budget;
use crate::place::{At, Place};
use crate::regular_file;

pub(crate) use pages::{Pages, check, check_footer};

/// Texts that the library makes at a time, and bytes that each value of a page takes while it does.
const BATCH: u64 = 1024;
const VALUE: u64 = 16;

const TEXT: &str = "a string";
const ID: &str = "a string or an integer";

pub(crate) fn read(path: &Arc<Path>, columns: &Columns<'_>) -> Result<Vec<RawDocument>, DataError> {
    guarded(path, || read_columns(path, columns))
}

/// Runs `read`, a panic in it being an error. What `read` has changed must not be used after an error.
pub(crate) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, DataError>) -> Result<T, DataError> {
    // parquet 60 answers some damaged files with a panic, such as negative offsets in the footer
    panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let source = ParquetError::General(message(panic.as_ref()));
        Err(DataError::Parquet { path: path.to_path_buf(), source })
    })
}

/// A file that begins as Parquet does.
pub(crate) fn open(path: &Path) -> Result<File, DataError> {
    let mut file = regular_file::open(path).map_err(DataError::read(path))?;
    if !file.metadata().map_err(DataError::read(path))?.is_file() {
        let problem = "not a regular file; Parquet is read from its end, so a pipe cannot give it".to_string();
        return Err(DataError::Shard { path: path.to_path_buf(), problem });
    }
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(foreign::LOOK as u64).read_to_end(&mut start).map_err(DataError::read(path))?;
    foreign::refuse(path, &start)?;
    if start.starts_with(b"PARE") {
        let (kind, advice) = ("a Parquet file with an encrypted footer", "write it without encryption");
        return Err(DataError::Foreign { path: path.to_path_buf(), kind, advice });
    }
    if !start.starts_with(foreign::PARQUET) {
        let advice = "give a file of another kind its own extension";
        return Err(DataError::Foreign { path: path.to_path_buf(), kind: "not a Parquet file", advice });
    }
    file.rewind().map_err(DataError::read(path))?;
    Ok(file)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let fixed = panic.downcast_ref::<&str>().map(ToString::to_string);
    fixed.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn read_columns(path: &Arc<Path>, columns: &Columns<'_>) -> Result<Vec<RawDocument>, DataError> {
    let damaged = |source: ParquetError| DataError::Parquet { path: path.to_path_buf(), source };
    let file = open(path)?;
    let mut memory = Budget::of(path, &file)?;
    check_footer(path, &file)?;
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let schema = reader.metadata().file_metadata().schema();

    let text = column(path, schema, columns.text, TEXT)?
        .ok_or_else(|| missing(path, columns.text, NamedWith::TEXT, schema))?;
    let id = column(path, schema, columns.id, ID)?;
    if id.is_none() && columns.id_required {
        return Err(missing(path, columns.id, NamedWith::ID, schema));
    }
    let bucket_name = columns.bucket.map(|(name, _)| name);
    let bucket = match columns.bucket {
        Some((name, required)) => match column(path, schema, name, TEXT)? {
            None if required => return Err(missing(path, name, NamedWith::BUCKET, schema)),
            found => found,
        },
        None => None,
    };
    // one column may serve as several, and a projection must not name it twice
    let mut fields = vec![text];
    for field in [id, bucket].into_iter().flatten() {
        if fields.iter().all(|other| other.name() != field.name()) {
            fields.push(field);
        }
    }
    let described = reader.metadata().file_metadata().schema_descr();
    let is_read = |leaf: &usize| fields.iter().any(|field| field.name() == described.get_column_root(*leaf).name());
    let leaves: Vec<usize> = (0..described.num_columns()).filter(is_read).collect();
    let Pages { largest, shared } = check(path, &reader, &leaves, VALUE, &memory)?;
    let batch = if shared { (memory.left() / largest.max(1)).clamp(1, BATCH) } else { BATCH };

    let projection = Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(damaged)?;

    let mut documents = Vec::new();
    let rows = reader.get_row_iter(Some(projection)).map_err(damaged)?.with_batch_size(batch as usize);
    for (row, number) in rows.zip(1..) {
        let place = Place::new(path, At::Row(number));
        let (mut id, mut bucket, mut text) = (None, None, None);
        for (name, field) in row.map_err(damaged)?.into_columns() {
            if name == columns.id {
                id = Some(value(&place, columns.id, &field, ID)?);
            }
            if Some(name.as_str()) == bucket_name {
                bucket = match (&field, columns.bucket) {
                    (Field::Null, Some((_, false))) => None,
                    _ => Some(value(&place, &name, &field, TEXT)?),
                };
            }
            if name == columns.text {
                text = Some(value(&place, columns.text, &field, TEXT)?);
            }
        }
        let document = RawDocument { place, id, bucket, response: None, text: text.unwrap_or_default() };
        document.pay(&mut memory)?;
        documents.push(document);
    }
    Ok(documents)
}

/// The column of that name, if there is one, of a type that can be read.
fn column(path: &Path, schema: &Type, name: &str, expected: &'static str) -> Result<Option<Arc<Type>>, DataError> {
    let Some(column) = schema.get_fields().iter().find(|column| column.name() == name) else { return Ok(None) };
    let info = column.get_basic_info();
    let repeated = info.has_repetition() && info.repetition() == Repetition::REPEATED;
    let readable = column.is_primitive()
        && !repeated
        && match column.get_physical_type() {
            Physical::BYTE_ARRAY => true,
            Physical::INT32 | Physical::INT64 => expected == ID,
            _ => false,
        };
    if !readable {
        let found = if repeated {
            "a list".to_string()
        } else if column.is_primitive() {
            column.get_physical_type().to_string()
        } else {
            "a group".to_string()
        };
        return Err(DataError::ColumnType { path: path.to_path_buf(), column: name.to_string(), expected, found });
    }
    Ok(Some(Arc::clone(column)))
}

fn value(place: &Place, column: &str, field: &Field, expected: &'static str) -> Result<String, DataError> {
    let found = match field {
        Field::Str(text) => return Ok(text.clone()),
        Field::Byte(id) => return Ok(id.to_string()),
        Field::Short(id) => return Ok(id.to_string()),
        Field::Int(id) => return Ok(id.to_string()),
        Field::Long(id) => return Ok(id.to_string()),
        Field::UByte(id) => return Ok(id.to_string()),
        Field::UShort(id) => return Ok(id.to_string()),
        Field::UInt(id) => return Ok(id.to_string()),
        Field::ULong(id) => return Ok(id.to_string()),
        Field::Null => "null",
        Field::Bytes(_) => "bytes that are not marked as text",
        _ => "a value of another type",
    };
    Err(DataError::FieldType { place: place.clone(), field: column.to_string(), expected, found })
}

fn missing(path: &Path, column: &str, named: NamedWith, schema: &Type) -> DataError {
    let columns = schema.get_fields().iter().map(|column| column.name().to_string()).collect();
    DataError::MissingColumn { path: path.to_path_buf(), column: column.to_string(), columns, named }
}
