//! Tokenizer folders: the bytes are a tokenizer.json, a vocab.json, a merges.txt, a tokenizer_config.json or a
//! special_tokens_map.json beside a small tokenizer of the 256 bytes, because the bundled one takes a hundred times as
//! long to load.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sigma_data::Tokenizer;

const TOKENIZER: &str = "tokenizer.json";

/// The good files. Without a tokenizer.json the vocabulary and the merges are read, so there is none.
static GOOD: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/models/opt-tiny");
    let read = |name: &str| fs::read(bundled.join(name)).expect("the bundled tokenizer is there");
    let mut vocabulary: BTreeMap<String, u32> = serde_json::from_slice(&read("vocab.json")).expect("a vocabulary");
    vocabulary.retain(|token, id| token.chars().count() == 1 || *id < 4);
    vec![
        ("vocab.json", serde_json::to_vec(&vocabulary).expect("a vocabulary")),
        ("merges.txt", b"#version: 0.2\n".to_vec()),
        ("tokenizer_config.json", read("tokenizer_config.json")),
        ("special_tokens_map.json", read("special_tokens_map.json")),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let kind = usize::from(*kind) % (GOOD.len() + 1);
    for (name, good) in GOOD.iter() {
        sigma_fuzz::file(name, good);
    }
    let broken = GOOD.get(kind).map_or(TOKENIZER, |(name, _)| name);
    let _ = fs::remove_file(sigma_fuzz::folder().join(TOKENIZER));
    let path = sigma_fuzz::file(broken, content);
    if let Ok(tokenizer) = Tokenizer::load(path.parent().expect("a folder"))
        && let Ok(ids) = tokenizer.encode("Rates rose.\u{0} \u{1f600}</s>")
    {
        let _ = tokenizer.decode(&ids);
    }
});
