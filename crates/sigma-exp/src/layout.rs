//! What a run folder holds, by name.
//!
//! ```text
//! config.yaml  manifest.json  lock  log.jsonl  [stopped.json]
//! metrics.csv  buckets.csv  timings.csv  [noise_floor.csv]  report/  [set-aside/]
//! gen-NNN/           synthetic.jsonl  training.csv  model/  responses.jsonl  embeddings.npy  rows.csv  spectrum.csv  record.json
//! gen-NNN.partial/   the same while it is made, and resume/
//! ```

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sigma_report::generation_of_dir_name;
use sigma_report::record::RESPONSES_FILE_NAME;

pub const CONFIG: &str = "config.yaml";
pub const LOG: &str = "log.jsonl";
pub const LOCK: &str = "lock";
pub const REPORT: &str = "report";
pub const SET_ASIDE: &str = "set-aside";
/// Of the folder of a generation that is not finished.
pub const PARTIAL: &str = ".partial";

/// Of a generation: the pool that it is trained on, the loss curve, the weights' folder.
pub const SYNTHETIC: &str = "synthetic.jsonl";
pub const CURVE: &str = "training.csv";
pub const MODEL: &str = "model";
/// What is measured: answers, their embeddings, which answer each row is of, and the spectrum.
pub const RESPONSES: &str = RESPONSES_FILE_NAME;
pub const EMBEDDINGS: &str = "embeddings.npy";
pub const ROWS: &str = "rows.csv";
pub const SPECTRUM: &str = "spectrum.csv";
/// Of one that is not finished: what it goes on from.
pub const RESUME: &str = "resume";

/// Every file that [`MODEL`] can have.
pub const MODEL_FILES: [&str; 8] = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
];

/// The numbers of the generations that lie in the run folder `path`, ascending.
pub fn generations(path: &Path) -> Result<Vec<u32>> {
    let mut numbers: Vec<u32> = names(path)?.iter().filter_map(|name| generation_of_dir_name(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The names of everything in the folder `path`.
pub fn names(path: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
