//! Where in a user's file a record stands, for messages that point at it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A file and, where there is one, a position in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Shared, because every record of a file keeps its place until all of them are checked.
    pub path: Arc<Path>,
    pub at: At,
}

/// A position in a file. Numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    File,
    Line(usize),
    /// Row of a table.
    Row(usize),
    /// Entry of the list of merges in a tokenizer.json.
    Merge(usize),
}

impl Place {
    pub(crate) fn new(path: &Arc<Path>, at: At) -> Self {
        Self { path: Arc::clone(path), at }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.at {
            At::File => write!(f, "{path}"),
            At::Line(line) => write!(f, "{path}:{line}"),
            At::Row(row) => write!(f, "{path}, row {row}"),
            At::Merge(merge) => write!(f, "{path}, merge {merge}"),
        }
    }
}
