//! The `corpus` and `prompts` sections of a config, as users write them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::prompts::DEFAULT_BUCKETS;
use crate::text_file::TextFile;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Instead of `path`: a data set of the hub, `org/name[@revision]`, and which of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Field or column of the text; `text` if not given. Plain text files have none.
    #[serde(default, alias = "column")]
    pub text_column: Option<String>,
    /// Field or column of the id. If not given, `id` where there is one; otherwise documents are numbered.
    #[serde(default)]
    pub id_column: Option<String>,
    /// Tokens in one real context.
    #[serde(default = "default_context_tokens")]
    pub context_tokens: usize,
    /// An evenly spread subset of this many contexts is used; all of them if not given.
    #[serde(default)]
    pub max_contexts: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptsConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Instead of `path`: a data set of the hub, `org/name[@revision]`, and which of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Field or column of the text; `text` if not given.
    #[serde(default, alias = "column", skip_serializing_if = "Option::is_none")]
    pub text_column: Option<String>,
    /// Field or column of the id. If not given, `id` where there is one; otherwise prompts are numbered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_column: Option<String>,
    /// Field or column of the bucket; `bucket` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_column: Option<String>,
    /// The bucket of every prompt that names none. Without it such a prompt is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// The buckets that prompts may be in.
    #[serde(default = "default_buckets")]
    pub buckets: Vec<String>,
    /// The first this many prompts of each bucket are used; all of them if not given.
    #[serde(default)]
    pub max_per_bucket: Option<usize>,
}

impl CorpusConfig {
    /// Where the corpus is.
    pub fn text_file(&self) -> Result<TextFile, DataError> {
        TextFile::of("corpus", self.path.as_deref(), self.hub.as_deref(), self.file.as_deref())
    }
}

impl PromptsConfig {
    /// Where the prompt bank is.
    pub fn text_file(&self) -> Result<TextFile, DataError> {
        TextFile::of("prompts", self.path.as_deref(), self.hub.as_deref(), self.file.as_deref())
    }
}

fn default_context_tokens() -> usize {
    64
}

fn default_buckets() -> Vec<String> {
    DEFAULT_BUCKETS.iter().map(ToString::to_string).collect()
}
