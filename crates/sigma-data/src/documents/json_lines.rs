//! Documents from JSON Lines: one object a line, of which a few fields matter. The others are read over without being
//! kept.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Columns, RawDocument};
use crate::error::{DataError, NamedWith};
use crate::jsonl;
use crate::place::Place;

pub(crate) fn read(path: &Path, columns: &Columns<'_>) -> Result<Vec<RawDocument>, DataError> {
    let mut documents = Vec::new();
    jsonl::for_each_line(path, &mut |place, line, memory| {
        let record = Record { place, line, fields: jsonl::parse_line_as(place, line, Wanted { columns })? };
        let document = record.document(columns)?;
        document.pay(memory)?;
        documents.push(document);
        Ok(())
    })?;
    Ok(documents)
}

/// Which of the answers to one prompt it is; see [`crate::Answer`].
const RESPONSE: &str = "response";

/// A line, and what its fields of interest hold.
struct Record<'a> {
    place: &'a Place,
    line: &'a str,
    fields: Fields,
}

#[derive(Default)]
struct Fields {
    text: Option<Found>,
    id: Option<Found>,
    bucket: Option<Found>,
    response: Option<Found>,
}

/// What a field holds. Only texts and integers are of use, so that of other values only the kind is kept.
enum Found {
    Text(String),
    Integer(String),
    Other(&'static str),
}

impl Record<'_> {
    fn document(self, columns: &Columns<'_>) -> Result<RawDocument, DataError> {
        let Self { place, line, fields } = self;
        let missing = |field: &str, named| {
            let found = jsonl::parse_line::<Names>(place, line)?.0.into_iter().collect();
            Err(DataError::MissingField { place: place.clone(), field: field.to_string(), found, named })
        };
        let wrong = |field: &str, expected, found: Found| {
            let found = found.kind();
            Err(DataError::FieldType { place: place.clone(), field: field.to_string(), expected, found })
        };
        let id = match fields.id {
            Some(Found::Text(id) | Found::Integer(id)) => Some(id),
            Some(other) => return wrong(columns.id, "a string or an integer", other),
            None if columns.id_required => return missing(columns.id, NamedWith::ID),
            None => None,
        };
        let bucket = match (columns.bucket, fields.bucket) {
            (None, _) | (Some((_, false)), None | Some(Found::Other("null"))) => None,
            (Some(_), Some(Found::Text(bucket))) => Some(bucket),
            (Some((name, _)), Some(other)) => return wrong(name, "a string", other),
            (Some((name, true)), None) => return missing(name, NamedWith::BUCKET),
        };
        let text = match fields.text {
            Some(Found::Text(text)) => text,
            Some(other) => return wrong(columns.text, "a string", other),
            None => return missing(columns.text, NamedWith::TEXT),
        };
        let response = match fields.response {
            Some(Found::Integer(number)) => number.parse().ok(),
            _ => None,
        };
        Ok(RawDocument { place: place.clone(), id, bucket, response, text })
    }
}

impl Found {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads the fields that `columns` names; of a field given twice the last one counts.
struct Wanted<'a> {
    columns: &'a Columns<'a>,
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Fields;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let Columns { text, id, bucket, .. } = self.columns;
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<String>()? {
            // one field may serve as several
            let wanted = [
                (name == *text, &mut fields.text),
                (name == *id, &mut fields.id),
                (bucket.is_some_and(|(bucket, _)| name == bucket), &mut fields.bucket),
                (name == RESPONSE, &mut fields.response),
            ];
            let mut found = Some(map.next_value::<Found>()?);
            let mut places = wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, place)| place).peekable();
            while let Some(place) = places.next() {
                *place = if places.peek().is_some() { found.as_ref().map(Found::copy) } else { found.take() };
            }
        }
        Ok(fields)
    }
}

impl Found {
    fn copy(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.clone()),
            Self::Integer(integer) => Self::Integer(integer.clone()),
            Self::Other(kind) => Self::Other(kind),
        }
    }
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Found;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E: Error>(self) -> Result<Found, E> {
                Ok(Found::Other("null"))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Found, E> {
                Ok(Found::Other("a boolean"))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Found, E> {
                Ok(Found::Integer(number.to_string()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Found, E> {
                Ok(Found::Integer(number.to_string()))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Found, E> {
                Ok(Found::Other("a number"))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Found, E> {
                Ok(Found::Text(text.to_string()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Found, E> {
                Ok(Found::Text(text))
            }

            // each value within is read as such, so that the parser counts how deep they are nested
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found, A::Error> {
                while seq.next_element::<Found>()?.is_some() {}
                Ok(Found::Other("an array"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
                while map.next_entry::<IgnoredAny, Found>()?.is_some() {}
                Ok(Found::Other("an object"))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// The names of all fields, for messages.
struct Names(BTreeSet<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = BTreeSet::new();
                while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                    names.insert(name);
                    if names.len() > MOST_NAMES {
                        names.pop_last();
                    }
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

/// Names that a message lists.
const MOST_NAMES: usize = 20;
