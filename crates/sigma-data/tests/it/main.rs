//! What users of the crate rely on, checked through its public functions: one module an area.

#![allow(clippy::unwrap_used)]

mod answers;
mod beginnings;
mod blocks;
mod bounds;
mod broken_bytes;
mod bundled;
mod config;
mod documents;
mod foreign;
mod hash;
mod jsonl;
mod mutations;
mod parquet;
mod pieces;
mod prompts;
mod regular_file;
mod shards;
mod smollm2;
mod tables;
mod tokenizer;
mod tokenizer_files;
mod training;
mod transformers;

use std::fs;
use std::path::{Path, PathBuf};

use sigma_data::Tokenizer;
use tempfile::TempDir;

/// A file with this content in a folder of its own, which lives as long as the first value.
fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn fin(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/fin").join(name)
}

/// The vocabulary of 2,048 entries that was trained on the bundled corpus.
fn tokenizer() -> Tokenizer {
    Tokenizer::load(&goldens().join("tokenizer")).unwrap()
}
