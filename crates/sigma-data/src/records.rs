//! What every record must satisfy, whatever file it comes from: a plain id that no other record has, and a text that is
//! text.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

use crate::error::DataError;
use crate::place::Place;

/// The ids seen so far in one data set, each with the place that took it.
#[derive(Default)]
pub(crate) struct Ids {
    taken: HashMap<(String, Option<u32>), Place>,
}

impl Ids {
    pub(crate) fn take(&mut self, id: &str, place: &Place) -> Result<(), DataError> {
        self.take_response(id, None, place)
    }

    /// The same of an answer, whose id is its prompt's: `response` tells it from the others to that prompt.
    pub(crate) fn take_response(&mut self, id: &str, response: Option<u32>, place: &Place) -> Result<(), DataError> {
        if id.trim().is_empty() || id.contains(char::is_control) {
            return Err(DataError::BadId { place: place.clone(), id: id.to_string() });
        }
        match self.taken.entry((id.to_string(), response)) {
            Entry::Vacant(free) => {
                free.insert(place.clone());
                Ok(())
            }
            Entry::Occupied(taken) => {
                let id = response.map_or_else(|| id.to_string(), |response| format!("{id}, response {response}"));
                Err(DataError::DuplicateId { place: place.clone(), id, first: taken.get().clone() })
            }
        }
    }
}

pub(crate) fn check_text(id: &str, text: &str, place: &Place) -> Result<(), DataError> {
    if text.contains('\0') {
        return Err(DataError::NulCharacter { place: place.clone(), id: id.to_string() });
    }
    if text.trim().is_empty() {
        return Err(DataError::EmptyText { place: place.clone(), id: id.to_string() });
    }
    Ok(())
}

/// For `#[serde(deserialize_with)]`: data sets number their records as often as they name them.
pub(crate) fn string_or_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Id;

    impl Visitor<'_> for Id {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or an integer")
        }

        fn visit_str<E: Error>(self, id: &str) -> Result<String, E> {
            Ok(id.to_string())
        }

        fn visit_i64<E: Error>(self, id: i64) -> Result<String, E> {
            Ok(id.to_string())
        }

        fn visit_u64<E: Error>(self, id: u64) -> Result<String, E> {
            Ok(id.to_string())
        }
    }

    deserializer.deserialize_any(Id)
}
