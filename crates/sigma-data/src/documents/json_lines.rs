//! Documents from JSON Lines: one object a line, of which two fields matter.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Columns, RawDocument};
use crate::error::{DataError, NamedWith};
use crate::jsonl;
use crate::place::Place;

pub(crate) fn read(path: &Path, columns: &Columns<'_>) -> Result<Vec<RawDocument>, DataError> {
    jsonl::read_lines::<Map<String, Value>>(path)?
        .into_iter()
        .map(|(place, mut object)| {
            // looked up before anything is taken out, so that a message can list all fields
            let id = id(&place, &object, columns)?;
            let bucket = bucket(&place, &object, columns)?;
            let response = object.get("response").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
            let text = match object.remove(columns.text) {
                Some(Value::String(text)) => text,
                Some(other) => return Err(wrong_type(place, columns.text, "a string", &other)),
                None => return Err(missing(place, columns.text, NamedWith::TEXT, &object)),
            };
            Ok(RawDocument { place, id, bucket, response, text })
        })
        .collect()
}

fn id(place: &Place, object: &Map<String, Value>, columns: &Columns<'_>) -> Result<Option<String>, DataError> {
    match object.get(columns.id) {
        Some(Value::String(id)) => Ok(Some(id.clone())),
        Some(Value::Number(id)) if !id.is_f64() => Ok(Some(id.to_string())),
        Some(other) => Err(wrong_type(place.clone(), columns.id, "a string or an integer", other)),
        None if columns.id_required => Err(missing(place.clone(), columns.id, NamedWith::ID, object)),
        None => Ok(None),
    }
}

fn bucket(place: &Place, object: &Map<String, Value>, columns: &Columns<'_>) -> Result<Option<String>, DataError> {
    let Some((name, required)) = columns.bucket else { return Ok(None) };
    match object.get(name) {
        Some(Value::String(bucket)) => Ok(Some(bucket.clone())),
        Some(Value::Null) | None if !required => Ok(None),
        Some(other) => Err(wrong_type(place.clone(), name, "a string", other)),
        None => Err(missing(place.clone(), name, NamedWith::BUCKET, object)),
    }
}

fn missing(place: Place, field: &str, named: NamedWith, object: &Map<String, Value>) -> DataError {
    DataError::MissingField { place, field: field.to_string(), found: object.keys().cloned().collect(), named }
}

fn wrong_type(place: Place, field: &str, expected: &'static str, value: &Value) -> DataError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    DataError::FieldType { place, field: field.to_string(), expected, found }
}
