//! GGUF files: `convert`, and files that are named where a model's folder could be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::tempdir;

use crate::{fails, read, root, run_small, succeeds};

const FILES: [&str; 5] =
    ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

fn golden(name: &str) -> PathBuf {
    root().join("crates/sigma-model/tests/goldens/gguf").join(name)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn convert_makes_a_folder_and_overwrites_a_model_only_when_told_to() {
    let place = tempdir().unwrap();
    let (file, out) = (golden("qwen3.gguf"), place.path().join("new/model"));
    let words = ["convert", file.to_str().unwrap(), "--out", out.to_str().unwrap()];
    succeeds(&words);
    assert_eq!(names(&out), FILES);
    let before = fs::read(out.join("model.safetensors")).unwrap();
    let refused = fails(&words);
    assert!(refused.contains("holds a model already") && refused.contains("--force"), "{refused}");
    succeeds(&[&words[..], &["--force"]].concat());
    assert_eq!(fs::read(out.join("model.safetensors")).unwrap(), before);
    assert_eq!(names(&out), FILES);
}

#[test]
fn a_folder_in_the_current_one_needs_no_path() {
    let place = tempdir().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
        .args(["convert", golden("qwen3.gguf").to_str().unwrap(), "--out", "model"])
        .current_dir(place.path())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(names(place.path()), ["model"]);
}

#[test]
fn a_file_that_cannot_be_converted_leaves_no_folder() {
    let place = tempdir().unwrap();
    let (file, out) = (place.path().join("cut.gguf"), place.path().join("model"));
    let bytes = fs::read(golden("qwen3.gguf")).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 64]).unwrap();
    let said = fails(&["convert", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert!(said.contains("cut.gguf") && said.contains("fetch it again"), "{said}");
    assert_eq!(names(place.path()), ["cut.gguf"]);
}

#[test]
fn a_gguf_file_named_as_a_source_is_converted_once() {
    let place = tempdir().unwrap();
    fs::write(place.path().join("text.jsonl"), "{\"id\": \"a\", \"text\": \"the banks 2024 and the deposits\"}\n")
        .unwrap();
    let slice = |tokenizer: &Path, out: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
            .args(["data", "slice", "text.jsonl", "--context-tokens", "2", "--out", out, "--tokenizer"])
            .arg(tokenizer)
            .env("HF_HOME", place.path().join("home"))
            .current_dir(place.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        (fs::read_to_string(place.path().join(out)).unwrap(), said)
    };
    let (first, said) = slice(&golden("llama_k.gguf"), "first.jsonl");
    assert!(said.contains("converting it"), "{said}");
    let (second, said) = slice(&golden("llama_k.gguf"), "second.jsonl");
    assert!(!said.contains("converting it"), "{said}");
    let cache = place.path().join("home/sigma-exp/gguf/1");
    let folder = cache.join(&names(&cache)[0]);
    assert_eq!((names(&cache).len(), names(&folder)), (1, FILES.map(String::from).to_vec()));
    assert_eq!((&first, &slice(&folder, "third.jsonl").0), (&second, &first));
}

#[test]
fn a_converted_llama_goes_through_the_loop() {
    let place = tempdir().unwrap();
    let (model, run) = (place.path().join("model"), place.path().join("run"));
    succeeds(&["convert", golden("llama_3.gguf").to_str().unwrap(), "--out", model.to_str().unwrap()]);
    let source = format!("model.source={}", model.display());
    run_small("configs/demo_s2.yaml", &run, &["--set", &source, "--set", "generations=1"]);
    let config = read(&run.join("gen-001/model/config.json"));
    assert!(config.contains("\"model_type\": \"llama\"") && config.contains("\"rope_type\": \"llama3\""), "{config}");
}
