//! Corpora and prompt banks: JSON Lines, plain text and Parquet, chosen by the first byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigma_data::{PromptsConfig, read_answers, read_documents, read_prompts};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let name = ["texts.jsonl", "texts.txt", "texts.parquet"][usize::from(*kind) % 3];
    let path = sigma_fuzz::file(name, content);
    let _ = read_documents(&path, None, None);
    let config: PromptsConfig = serde_yaml::from_str("{ path: x, bucket: neutral }").expect("valid");
    let _ = read_prompts(&path, &config);
    let _ = read_answers(&path);
});
