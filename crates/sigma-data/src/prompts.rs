//! The prompt bank: the frozen questions that every generation answers, each in a bucket. Sampling the answers is not
//! done here.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::jsonl;
use crate::records::{Ids, check_text, string_or_integer};

/// The buckets of the paper's prompt banks.
pub const DEFAULT_BUCKETS: [&str; 5] = ["creative", "divergent", "analogy", "what_if", "neutral"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    #[serde(deserialize_with = "string_or_integer")]
    pub id: String,
    pub bucket: String,
    pub text: String,
}

/// Reads a prompt bank in file order. With `max_per_bucket`, only the first so many of each bucket are kept; the whole
/// file is checked all the same.
pub fn read_prompts(path: &Path, buckets: &[String], max_per_bucket: Option<usize>) -> Result<Vec<Prompt>, DataError> {
    if max_per_bucket == Some(0) {
        let setting = "prompts.max_per_bucket";
        return Err(DataError::Setting { setting, expected: "at least 1".to_string(), found: 0 });
    }
    let mut ids = Ids::default();
    let mut kept: HashMap<String, usize> = HashMap::new();
    let mut prompts = Vec::new();
    for (place, prompt) in jsonl::read_lines::<Prompt>(path)? {
        ids.take(&prompt.id, &place)?;
        check_text(&prompt.id, &prompt.text, &place)?;
        if !buckets.contains(&prompt.bucket) {
            let allowed = buckets.to_vec();
            return Err(DataError::UnknownBucket { place, id: prompt.id, bucket: prompt.bucket, allowed });
        }
        let count = kept.entry(prompt.bucket.clone()).or_default();
        if max_per_bucket.is_none_or(|max| *count < max) {
            *count += 1;
            prompts.push(prompt);
        }
    }
    if prompts.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf(), what: "prompts" });
    }
    Ok(prompts)
}
