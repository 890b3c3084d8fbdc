//! The prompt bank: the frozen questions that every generation answers, each in a bucket. Sampling the answers is not
//! done here.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::PromptsConfig;
use crate::documents::{
    Columns, RawDocument, Taken, extension, json_lines, numbered, parquet, plain_text, table, unknown_format,
};
use crate::error::DataError;
use crate::records::{check_bucket, check_text};

/// The buckets of the paper's prompt banks.
pub const DEFAULT_BUCKETS: [&str; 5] = ["creative", "divergent", "analogy", "what_if", "neutral"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    pub id: String,
    pub bucket: String,
    pub text: String,
}

/// Reads a prompt bank in file order, from JSON Lines, CSV, Parquet, or plain text with one prompt a line; `config`
/// says which fields hold what, whatever its own `path` is. With `max_per_bucket`, only the first so many of each
/// bucket are kept; the whole file is checked all the same. Where no prompt has an id, and `id_column` names none, they
/// are numbered.
pub fn read_prompts(path: &Path, config: &PromptsConfig) -> Result<Vec<Prompt>, DataError> {
    if config.max_per_bucket == Some(0) {
        let setting = "prompts.max_per_bucket";
        return Err(DataError::Setting { setting, expected: "at least 1".to_string(), found: 0 });
    }
    let columns = Columns {
        text: config.text_column.as_deref().unwrap_or("text"),
        id: config.id_column.as_deref().unwrap_or("id"),
        id_required: config.id_column.is_some(),
        bucket: Some((config.bucket_column.as_deref().unwrap_or("bucket"), config.bucket.is_none())),
    };
    let raw = match extension(path).as_str() {
        "jsonl" | "json" => json_lines::read(path, &columns)?,
        "parquet" => parquet::read(&Arc::from(path), &columns)?,
        "csv" => table::read(path, b',', &columns)?,
        "tsv" => table::read(path, b'\t', &columns)?,
        "txt" | "md" if config.bucket.is_some() => plain_text::read_lines(path)?,
        "txt" | "md" => {
            let problem = format!("{} has no buckets: give `bucket`, the bucket of all its prompts", path.display());
            return Err(DataError::TextFile { section: "prompts", problem });
        }
        other => {
            return Err(unknown_format(
                path,
                other,
                ".jsonl, .json (one object a line), .csv, .tsv, .txt, .md (one prompt a line), .parquet",
            ));
        }
    };
    if raw.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf(), what: "prompts" });
    }
    keep(numbered(raw, path)?, config)
}

fn keep(raw: Vec<RawDocument>, config: &PromptsConfig) -> Result<Vec<Prompt>, DataError> {
    let taken = Taken::of(&raw);
    let mut kept: HashMap<String, usize> = HashMap::new();
    let mut prompts = Vec::new();
    for (number, RawDocument { place, id, bucket, text, .. }) in raw.into_iter().enumerate() {
        let id = id.unwrap_or_default();
        taken.check(number, &id, &place)?;
        check_text(&id, &text, &place)?;
        let bucket = bucket.or_else(|| config.bucket.clone()).unwrap_or_default();
        if !config.buckets.contains(&bucket) {
            return Err(DataError::UnknownBucket { place, id, bucket, allowed: config.buckets.clone() });
        }
        check_bucket(&bucket, &id, &place)?;
        let count = kept.entry(bucket.clone()).or_default();
        if config.max_per_bucket.is_none_or(|max| *count < max) {
            *count += 1;
            prompts.push(Prompt { id, bucket, text });
        }
    }
    Ok(prompts)
}
