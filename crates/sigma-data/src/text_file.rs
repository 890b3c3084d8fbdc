//! Where a file of texts is: a path on this machine, or a file of a data set on the hub. It knows neither what the file
//! holds nor how it is fetched.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::source::Source;

/// A corpus or a prompt bank, as a config names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextFile {
    Local(PathBuf),
    Hub {
        /// Always [`Source::Hub`].
        dataset: Source,
        /// Path of the file in the repository.
        file: String,
    },
}

impl TextFile {
    /// What the keys `path`, `hub` and `file` of a config's `section` say together.
    pub(crate) fn of(
        section: &'static str,
        path: Option<&Path>,
        hub: Option<&str>,
        file: Option<&str>,
    ) -> Result<Self, DataError> {
        let refuse = |problem: String| Err(DataError::TextFile { section, problem });
        match (path, hub, file) {
            (Some(path), None, None) => Ok(TextFile::Local(path.to_path_buf())),
            (None, Some(hub), Some(file)) => match hub.parse() {
                Ok(dataset @ Source::Hub { .. }) => Ok(TextFile::Hub { dataset, file: file.to_string() }),
                Ok(Source::Folder(_)) => refuse(format!("`hub: {hub}` is a path here; give it as `path`")),
                Err(problem) => refuse(format!("`hub: {hub}`: {problem}")),
            },
            (None, Some(hub), None) => {
                refuse(format!("`hub: {hub}` needs `file`, the path of one file of the data set"))
            }
            (None, None, _) => refuse("give `path`, or `hub` (org/dataset) with `file`".to_string()),
            (Some(_), _, _) => {
                refuse("`path` stands alone: leave out `hub` and `file`, or leave out `path`".to_string())
            }
        }
    }
}

impl fmt::Display for TextFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextFile::Local(path) => write!(f, "{}", path.display()),
            TextFile::Hub { dataset, file } => write!(f, "{dataset}/{file}"),
        }
    }
}
