//! all-MiniLM-L6-v2 against sentence-transformers (`scripts/goldens/minilm.py`), and embedding files.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use sigma_data::Shard;
use sigma_embed::{embed, npy};
use sigma_model::{Device, Encoder};

#[derive(serde::Deserialize)]
struct Golden {
    text: String,
    ids: Vec<u32>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The weights, fetched (and checked by hash) where they are not there yet.
fn minilm() -> Option<Encoder> {
    let folder = root().join("data/models/all-MiniLM-L6-v2");
    if !folder.join("model.safetensors").exists() {
        let fetched = Command::new("bash").arg(root().join("scripts/fetch_minilm.sh")).arg(&folder).status();
        if !fetched.is_ok_and(|status| status.success()) {
            eprintln!("NOT COMPARED: scripts/fetch_minilm.sh could not fetch all-MiniLM-L6-v2");
            return None;
        }
    }
    Some(Encoder::load(&folder, None, &Device::Cpu).unwrap())
}

fn rows(encoder: &Encoder, texts: &[&str], batch_size: usize) -> Vec<f32> {
    embed(encoder, texts, batch_size, |_| ControlFlow::Continue(())).unwrap()
}

/// A file of embeddings: the number of rows, their width, and all values.
fn read(path: &Path) -> (usize, usize, Vec<f32>) {
    let mut shard = Shard::open(path, None).unwrap();
    let (count, mut rows) = (usize::try_from(shard.rows()).unwrap(), Vec::new());
    shard.read(count, &mut rows).unwrap();
    (count, shard.width(), rows)
}

#[test]
fn embeddings_equal_sentence_transformers_for_every_batch_size() {
    let Some(encoder) = minilm() else { return };
    let goldens = root().join("crates/sigma-embed/tests/goldens");
    let golden: Vec<Golden> =
        serde_json::from_str(&std::fs::read_to_string(goldens.join("minilm.json")).unwrap()).unwrap();
    let (n, dim, reference) = read(&goldens.join("minilm.npy"));
    assert_eq!((n, golden.len(), dim), (200, 200, encoder.dim()));
    let texts: Vec<&str> = golden.iter().map(|g| g.text.as_str()).collect();
    assert!(golden.iter().any(|g| g.ids.len() == 256), "a text that is cut at 256 tokens is among them");
    let tokens = encoder.tokenize(&texts).unwrap();
    for (tokens, golden) in tokens.iter().zip(&golden) {
        assert_eq!(*tokens, golden.ids, "{:?}", golden.text);
    }
    let alone = rows(&encoder, &texts, 1);
    for batch_size in [1, 7, 64, 1000] {
        let rows = rows(&encoder, &texts, batch_size);
        assert!(rows == alone, "the same bits in every batch, {batch_size}");
        for ((row, reference), golden) in rows.chunks(dim).zip(reference.chunks(dim)).zip(&golden) {
            let pairs = || row.iter().zip(reference);
            let cosine: f64 = pairs().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let worst = pairs().map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(cosine > 0.999_999 && worst < 1e-5, "batch {batch_size}, {:?}: {cosine} {worst}", golden.text);
            let norm: f64 = row.iter().map(|x| f64::from(*x).powi(2)).sum();
            assert!((norm - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn a_mean_pooled_opt_gives_unit_rows_that_do_not_depend_on_the_batch() {
    let encoder = Encoder::load(&root().join("data/models/opt-tiny"), None, &Device::Cpu).unwrap();
    let texts = ["The bank raised its rate.", "", "Shares fell.", "A long sentence about bonds and what they yield."];
    let alone = rows(&encoder, &texts, 1);
    assert_eq!(alone.len(), 4 * encoder.dim());
    for row in alone.chunks(encoder.dim()) {
        assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert!(alone[..encoder.dim()] != alone[2 * encoder.dim()..3 * encoder.dim()]);
    let reversed: Vec<&str> = texts.iter().rev().copied().collect();
    let reversed = rows(&encoder, &reversed, 3);
    assert!(rows(&encoder, &texts, 4) == alone);
    assert!(alone.chunks(encoder.dim()).eq(reversed.chunks(encoder.dim()).rev()));
}

#[test]
fn embedding_files_come_back_as_written() {
    let file = tempfile::tempdir().unwrap().keep().join("rows.npy");
    let values: Vec<f32> = (0..12).map(|i| i as f32 / 7.0).collect();
    npy::write(&file, &values, 4).unwrap();
    assert_eq!(read(&file), (3, 4, values));
}
