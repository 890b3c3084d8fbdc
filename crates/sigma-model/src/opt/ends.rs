//! The tokens that end a text, as config.json has them: a number, or a list.

use serde::{Deserialize, Serialize};

/// Any of them ends a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ends {
    One(u32),
    More(Vec<u32>),
}

impl Ends {
    pub fn ids(&self) -> &[u32] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::More(ids) => ids,
        }
    }
}

impl FromIterator<u32> for Ends {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        let ids: Vec<u32> = ids.into_iter().collect();
        match ids[..] {
            [id] => Self::One(id),
            _ => Self::More(ids),
        }
    }
}
