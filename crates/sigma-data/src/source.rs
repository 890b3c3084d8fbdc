//! Where a model, a tokenizer or an encoder comes from: a folder on this machine or a repository of the Hugging Face
//! hub. A source is one line of text in a config and prints as that same line. It knows neither what the place holds
//! nor whether the hub has it: [`crate::hub::resolve`] finds out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A place to load from, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// A path: it exists, or it can only be one (`./x`, `../x`, `/x`, or more than one slash).
    Folder(PathBuf),
    /// `org/name[@revision]` on the hub. The revision is a branch, a tag or a commit; none means `main`.
    Hub { repo: String, revision: Option<String> },
}

/// Why a text names no place.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceError {
    #[error("the source is empty: write a folder (`./my-model`) or a hub id (`org/name`, `org/name@revision`)")]
    Empty,
    #[error(
        "`{text}` is neither an existing folder nor a hub id: for a folder check the path or write `./{text}`, for the hub \
         write `org/name` or `org/name@revision`, as in `facebook/opt-125m`"
    )]
    NeitherFolderNorHub { text: String },
    #[error(
        "`{text}` is no existing folder, and as a hub id its revision `{revision}` cannot be: a revision is a branch, a \
         tag or a commit (letters, digits, `.`, `_`, `-` and single `/`)"
    )]
    Revision { text: String, revision: String },
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if text.trim().is_empty() {
            return Err(SourceError::Empty);
        }
        let (repo, revision) = match text.split_once('@') {
            Some((repo, revision)) => (repo, Some(revision)),
            None => (text, None),
        };
        // What is on the disk wins, so that a run never goes to the network for something the user has at hand.
        if can_only_be_path(text) || repo.matches('/').count() > 1 || Path::new(text).exists() {
            return Ok(Source::Folder(PathBuf::from(text)));
        }
        if !is_repo_id(repo) {
            return Err(SourceError::NeitherFolderNorHub { text: text.to_owned() });
        }
        match revision {
            Some(revision) if !is_revision(revision) => {
                Err(SourceError::Revision { text: text.to_owned(), revision: revision.to_owned() })
            }
            revision => Ok(Source::Hub { repo: repo.to_owned(), revision: revision.map(str::to_owned) }),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = SourceError;

    fn try_from(text: String) -> Result<Self, SourceError> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Folder(path) => write!(f, "{}", path.display()),
            Source::Hub { repo, revision: None } => f.write_str(repo),
            Source::Hub { repo, revision: Some(revision) } => write!(f, "{repo}@{revision}"),
        }
    }
}

fn can_only_be_path(text: &str) -> bool {
    text == "."
        || text == ".."
        || ["./", "../", "/"].iter().any(|start| text.starts_with(start))
        || Path::new(text).is_absolute()
}

/// `org/name` by the hub's own rules. They matter here because both parts become folder names in the cache, where `--`
/// separates them.
pub(crate) fn is_repo_id(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            && !part.starts_with(['.', '-'])
            && !part.ends_with(['.', '-'])
            && !part.contains("..")
            && !part.contains("--")
    };
    text.split_once('/').is_some_and(|(org, name)| part(org) && part(name))
}

/// A revision becomes a path under the cache's `refs`, so no part of it may climb out.
pub(crate) fn is_revision(text: &str) -> bool {
    text.split('/').all(|part| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    })
}

#[cfg(test)]
mod tests;
