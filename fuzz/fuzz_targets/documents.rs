//! Corpora, prompt banks, blocks and answers: JSON Lines, plain text and Parquet, chosen by the first byte.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sigma_data::{Tokenizer, PromptsConfig, read_answers, read_blocks, read_documents, read_prompts};

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/models/opt-tiny");
    Tokenizer::load(&bundled).expect("the bundled tokenizer is there")
});

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let name = ["texts.jsonl", "texts.txt", "texts.parquet"][usize::from(*kind) % 3];
    let path = sigma_fuzz::file(name, content);
    let _ = read_documents(&path, None, None);
    let config: PromptsConfig = serde_yaml::from_str("{ path: x, bucket: neutral }").expect("valid");
    let _ = read_prompts(&path, &config);
    let _ = read_answers(&path);
    let _ = read_blocks(&path, &TOKENIZER, TOKENIZER.vocab_size(), None);
});
