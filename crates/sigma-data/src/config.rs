//! The `corpus` and `prompts` sections of a config, as users write them. Where a file comes from other than a path is
//! the business of `source`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::prompts::DEFAULT_BUCKETS;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusConfig {
    pub path: PathBuf,
    /// Field or column of the text; `text` if not given. Plain text files have none.
    #[serde(default)]
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
    pub path: PathBuf,
    /// The buckets that prompts may be in.
    #[serde(default = "default_buckets")]
    pub buckets: Vec<String>,
    /// The first this many prompts of each bucket are used; all of them if not given.
    #[serde(default)]
    pub max_per_bucket: Option<usize>,
}

fn default_context_tokens() -> usize {
    64
}

fn default_buckets() -> Vec<String> {
    DEFAULT_BUCKETS.iter().map(ToString::to_string).collect()
}
