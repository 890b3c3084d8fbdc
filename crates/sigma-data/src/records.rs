//! What every record must satisfy, whatever file it comes from: a plain id that no other record has, and a text that is
//! text.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

use crate::error::DataError;
use crate::place::Place;

/// An id that two records have.
pub(crate) struct Repeated {
    /// The first record that has an id which an earlier one has.
    pub(crate) again: usize,
    /// That earlier one.
    pub(crate) first: usize,
}

/// The first record whose key an earlier one has. Sorts numbers of records instead of keeping copies of the keys.
pub(crate) fn repeated<'a, T, K: Ord>(records: &'a [T], key: impl Fn(&'a T) -> K) -> Option<Repeated> {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_unstable_by(|&a, &b| key(&records[a]).cmp(&key(&records[b])).then(a.cmp(&b)));
    let same = order.chunk_by(|&a, &b| key(&records[a]) == key(&records[b])).filter(|group| group.len() > 1);
    same.map(|group| Repeated { again: group[1], first: group[0] }).min_by_key(|repeated| repeated.again)
}

pub(crate) fn check_id(id: &str, place: &Place) -> Result<(), DataError> {
    if !is_plain(id) {
        return Err(DataError::BadId { place: place.clone(), id: id.to_string() });
    }
    Ok(())
}

/// The bucket of the prompt `id`: tables and figures have it as a name.
pub(crate) fn check_bucket(bucket: &str, id: &str, place: &Place) -> Result<(), DataError> {
    if !is_plain(bucket) {
        return Err(DataError::BadBucket { place: place.clone(), id: id.to_string(), bucket: bucket.to_string() });
    }
    Ok(())
}

/// Whether it is a name: not blank, without control characters and code points that are no characters, which XML cannot
/// hold.
fn is_plain(name: &str) -> bool {
    let is_character = |c: char| !c.is_control() && u32::from(c) & 0xfffe != 0xfffe;
    !name.trim().is_empty() && name.chars().all(is_character)
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
