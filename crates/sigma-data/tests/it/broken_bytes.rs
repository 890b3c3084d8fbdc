//! No damage to a file makes a reader panic or wait.

use std::fs;

use sigma_data::{PromptsConfig, Shard, Tokenizer, read_answers, read_blocks, read_documents, read_prompts};
use tempfile::TempDir;

use crate::mutations::survives;
use crate::{fin, goldens, tokenizer};

/// The first lines of a bundled file.
fn lines(name: &str, count: usize) -> Vec<u8> {
    let text = fs::read_to_string(fin(name)).unwrap();
    text.lines().take(count).map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

#[test]
fn damaged_corpora_and_prompt_banks_are_read_or_refused() {
    survives(&lines("corpus.jsonl", 2), "texts.jsonl", 2000, |path| drop(read_documents(path, None, None)));
    survives(&lines("corpus.jsonl", 2), "texts.txt", 500, |path| drop(read_documents(path, None, None)));
    let config: PromptsConfig = PromptsConfig { bucket: Some("neutral".to_string()), ..bundled_prompts() };
    survives(&lines("prompts.jsonl", 8), "prompts.jsonl", 2000, |path| drop(read_prompts(path, &config)));
}

fn bundled_prompts() -> PromptsConfig {
    PromptsConfig {
        path: Some(fin("prompts.jsonl")),
        hub: None,
        file: None,
        text_column: None,
        id_column: None,
        bucket_column: None,
        bucket: None,
        buckets: sigma_data::DEFAULT_BUCKETS.iter().map(ToString::to_string).collect(),
        max_per_bucket: None,
    }
}

#[test]
fn damaged_embeddings_are_read_or_refused() {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (16, 4), }\n";
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.as_bytes());
    npy.extend([0x3f; 256]);
    let header = r#"{"rows":{"dtype":"F32","shape":[16,4],"data_offsets":[0,256]}}"#;
    let tensors = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0x3f; 256]].concat();
    for (bytes, name) in [(npy, "rows.npy"), (tensors, "rows.safetensors")] {
        survives(&bytes, name, 2000, |path| {
            if let Ok(mut shard) = Shard::open(path, None) {
                drop(shard.read(usize::try_from(shard.rows()).unwrap(), &mut Vec::new()));
            }
        });
    }
}

#[test]
fn damaged_blocks_and_answers_are_read_or_refused() {
    let tokenizer = tokenizer();
    let blocks = b"{\"id\":\"a\",\"tokens\":[5,6,7]}\n{\"id\":\"b\",\"text\":\"Rates rose.\"}\n";
    survives(blocks, "blocks.jsonl", 2000, |path| drop(read_blocks(path, &tokenizer, 2048, None)));
    let answer = b"{\"id\":\"a\",\"bucket\":\"neutral\",\"text\":\"x\",\"tokens\":[5,6],\"finish\":\"eos\"}\n";
    survives(answer, "answers.jsonl", 2000, |path| drop(read_answers(path)));
}

#[test]
fn damaged_parquet_files_are_read_or_refused() {
    let valid = fs::read(goldens().join("parquet/pyarrow.parquet")).unwrap();
    survives(&valid, "texts.parquet", 2000, |path| drop(read_documents(path, Some("body"), Some("number"))));
}

#[test]
fn damaged_tokenizers_are_loaded_or_refused() {
    let bundled = fin("../models/opt-tiny");
    for (name, count) in
        [("tokenizer.json", 200), ("vocab.json", 300), ("merges.txt", 300), ("tokenizer_config.json", 400)]
    {
        let folder = TempDir::new().unwrap();
        for other in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
            fs::copy(bundled.join(other), folder.path().join(other)).unwrap();
        }
        let valid = fs::read(bundled.join(name)).unwrap();
        survives(&valid, name, count, |path| {
            fs::copy(path, folder.path().join(name)).unwrap();
            if let Ok(tokenizer) = Tokenizer::load(folder.path()) {
                let ids = tokenizer.encode("Rates rose.</s>\u{0}").unwrap_or_default();
                tokenizer.decode(&ids);
            }
        });
    }
}
