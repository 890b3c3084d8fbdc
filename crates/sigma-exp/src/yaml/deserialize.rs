//! From a tree of YAML to a value of Rust: the type that is wanted decides what a scalar means, so that a spelling has
//! one meaning whatever way it came. A key without a value is as though it were left out. Errors carry the place and
//! the path of the key.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::node::{At, Entry, Kind, Node};
use super::scalar;

/// What is wrong, where it stands, and the keys that lead there.
#[derive(Debug)]
pub struct Error {
    message: String,
    at: Option<At>,
    /// From the inside to the outside.
    path: Vec<String>,
}

impl Error {
    fn new(message: impl Into<String>, at: &At) -> Self {
        Self { message: message.into(), at: Some(at.clone()), path: Vec::new() }
    }

    fn placed(mut self, at: &At) -> Self {
        self.at.get_or_insert_with(|| at.clone());
        self
    }

    fn below(mut self, key: String) -> Self {
        self.path.push(key);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        if !self.path.is_empty() {
            let mut path = String::new();
            for key in self.path.iter().rev() {
                if !path.is_empty() && !key.starts_with('[') {
                    path.push('.');
                }
                path.push_str(key);
            }
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), at: None, path: Vec::new() }
    }
}

impl Node {
    fn plain(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, quoted: false } => Some(text),
            _ => None,
        }
    }

    fn refuse(&self, expected: &str) -> Error {
        Error::new(format!("expected {expected}, found {}", self.describe()), &self.at)
    }

    fn integer(&self, least: i128, most: i128) -> Result<i128, Error> {
        let range = least..=most;
        let text = match (&self.kind, self.plain()) {
            (_, Some(text)) if !self.is_null() => text,
            (Kind::Scalar { text, quoted: true }, _) if scalar::integer(text).is_some() => {
                let message = format!("{text:?} is text, because it is quoted; write {text} for the number");
                return Err(Error::new(message, &self.at));
            }
            _ => return Err(self.refuse("a whole number")),
        };
        match scalar::integer(text) {
            Some(value) if range.contains(&value) => Ok(value),
            _ => Err(Error::new(scalar::no_integer(text, &range), &self.at)),
        }
    }

    fn number(&self) -> Result<f64, Error> {
        match (&self.kind, self.plain()) {
            (_, Some(text)) if !self.is_null() => {
                scalar::number(text).ok_or_else(|| Error::new(scalar::no_number(text), &self.at))
            }
            (Kind::Scalar { text, quoted: true }, _) if scalar::number(text).is_some() => {
                let message = format!("{text:?} is text, because it is quoted; write {text} for the number");
                Err(Error::new(message, &self.at))
            }
            _ => Err(self.refuse("a number")),
        }
    }

    fn truth(&self) -> Result<bool, Error> {
        let Some(text) = self.plain().filter(|_| !self.is_null()) else { return Err(self.refuse("true or false")) };
        let refuse = || Error::new(format!("`{text}` is neither `true` nor `false`"), &self.at);
        scalar::truth(text).ok_or_else(refuse)
    }
}

/// Integers of every width, by one rule.
macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let value = self.integer(<$type>::MIN.into(), <$type>::MAX.into())?;
            visitor.$visit(value as $type).map_err(|error: Error| error.placed(&self.at))
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    /// For types that take several kinds of values: the core schema decides.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = match &self.kind {
            Kind::List(nodes) => visitor.visit_seq(Items { nodes: nodes.iter(), next: 0 }),
            Kind::Map(entries) => visitor.visit_map(Entries::of(entries, &[])),
            Kind::Scalar { text, quoted: true } => visitor.visit_str(text),
            Kind::Scalar { .. } if self.is_null() => visitor.visit_unit(),
            Kind::Scalar { text, .. } => match (scalar::truth(text), scalar::integer(text), scalar::number(text)) {
                (Some(truth), ..) => visitor.visit_bool(truth),
                (_, Some(integer), _) => match (u64::try_from(integer), i64::try_from(integer)) {
                    (Ok(integer), _) => visitor.visit_u64(integer),
                    (_, Ok(integer)) => visitor.visit_i64(integer),
                    _ => visitor.visit_f64(integer as f64),
                },
                (.., Some(number)) => visitor.visit_f64(number),
                _ => visitor.visit_str(text),
            },
        };
        value.map_err(|error: Error| error.placed(&self.at))
    }

    integers! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(self.number()?).map_err(|error: Error| error.placed(&self.at))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.truth()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_null() => {
                visitor.visit_str(text).map_err(|error: Error| error.placed(&self.at))
            }
            Kind::Scalar { text, .. } if !text.is_empty() => {
                Err(Error::new(format!("`{text}` stands for no value; quote it where it is text"), &self.at))
            }
            _ => Err(self.refuse("text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::List(_) => self.deserialize_any(visitor),
            _ => Err(self.refuse("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Map(_) => self.deserialize_any(visitor),
            _ => Err(self.refuse("a section of keys with values")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let value = match &self.kind {
            Kind::Map(entries) => visitor.visit_map(Entries::of(entries, fields)),
            // a list entry that is there but empty
            _ if self.is_null() => visitor.visit_map(Entries::of(&[], fields)),
            _ => return Err(self.refuse("a section of keys with values")),
        };
        value.map_err(|error: Error| error.placed(&self.at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let value = match &self.kind {
            Kind::Scalar { text, .. } if !self.is_null() => visitor.visit_enum(StrDeserializer::<Error>::new(text)),
            Kind::Map(entries) => visitor.visit_enum(MapAccessDeserializer::new(Entries::of(entries, &[]))),
            _ => return Err(self.refuse(&format!("one of {}", variants.join(", ")))),
        };
        value.map_err(|error: Error| error.placed(&self.at))
    }

    forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any i128 u128
    }
}

struct Items<'de> {
    nodes: std::slice::Iter<'de, Node>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(node) = self.nodes.next() else { return Ok(None) };
        self.next += 1;
        let place = format!("[{}]", self.next - 1);
        seed.deserialize(node).map(Some).map_err(|error| error.placed(&node.at).below(place))
    }
}

struct Entries<'de> {
    entries: Vec<&'de Entry>,
    value: Option<&'de Entry>,
}

impl<'de> Entries<'de> {
    /// All but those of `fields` that have no value: these are as though left out. Others stay, to be refused by name.
    fn of(entries: &'de [Entry], fields: &[&str]) -> Self {
        let there = |entry: &&Entry| !(entry.value.is_null() && fields.contains(&entry.key.as_str()));
        let mut entries: Vec<&Entry> = entries.iter().filter(there).collect();
        entries.reverse();
        Self { entries, value: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(entry) = self.entries.pop() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'de, Error> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|error| error.placed(&entry.at))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let Some(entry) = self.value.take() else { return Err(de::Error::custom("a value without a key")) };
        seed.deserialize(&entry.value).map_err(|error| error.placed(&entry.value.at).below(entry.key.clone()))
    }
}
