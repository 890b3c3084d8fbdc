//! What stands before texts and what ends them, by the files of a model's folder.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{SMALL, fails, read, root, run_small, succeeds};

/// A copy of the bundled model in which a JSON file is changed, or made.
fn model(file: &str, change: impl FnOnce(&mut Value)) -> (TempDir, PathBuf) {
    let place = tempdir().unwrap();
    let folder = place.path().join("model");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(root().join("data/models/opt-tiny")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.join(file);
    let mut json = fs::read(&path).map_or(json!({}), |bytes| serde_json::from_slice(&bytes).unwrap());
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
    (place, folder)
}

fn rows(encoder: &Path) -> Vec<u8> {
    let place = tempdir().unwrap();
    let (texts, out) = (place.path().join("texts.jsonl"), place.path().join("rows.npy"));
    fs::write(&texts, "{\"id\":\"a\",\"text\":\"a bank\"}\n{\"id\":\"b\",\"text\":\"a bond and its yield\"}\n")
        .unwrap();
    let source = format!("encoder.source={}", encoder.display());
    let (texts, name) = (texts.to_str().unwrap(), out.to_str().unwrap());
    succeeds(&["embed", "configs/demo_s2.yaml", "--set", &source, "--texts", texts, "--out", name]);
    fs::read(out).unwrap()
}

/// Tokens and reasons of the answers of `model`.
fn answers(model: &Path) -> Vec<(Vec<u64>, String)> {
    let place = tempdir().unwrap();
    let out = place.path().join("answers.jsonl");
    let (model, name) = (model.to_str().unwrap(), out.to_str().unwrap());
    let words =
        ["generate", "configs/demo_s2.yaml", "--model", model, "--prompts", "data/fin/prompts.jsonl", "--out", name];
    succeeds(&[&words[..], &SMALL].concat());
    let text = fs::read_to_string(out).unwrap();
    let answer = |line: &str| {
        let answer: Value = serde_json::from_str(line).unwrap();
        let reason = answer["finish_reason"].as_str().unwrap().to_string();
        (serde_json::from_value(answer["tokens"].clone()).unwrap(), reason)
    };
    text.lines().map(answer).collect()
}

#[test]
fn an_encoder_reads_texts_behind_the_bos_of_its_tokenizer_whatever_config_json_says() {
    let (_place, other) = model("config.json", |json| json["bos_token_id"] = json!(0));
    assert_eq!(rows(&other), rows(&root().join("data/models/opt-tiny")));
}

/// The bundled model with a tokenizer that puts nothing before a text, as SmolLM2's and Qwen's.
fn without_bos() -> (TempDir, PathBuf) {
    let (place, folder) = model("tokenizer.json", |json| json["post_processor"] = Value::Null);
    let config = folder.join("tokenizer_config.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["add_bos_token"] = json!(false);
    fs::write(config, json.to_string()).unwrap();
    (place, folder)
}

#[test]
fn an_encoder_without_bos_before_its_texts_is_refused_by_name() {
    let (_place, folder) = without_bos();
    let source = format!("encoder.source={}", folder.display());
    let said = fails(&["check", "configs/demo_s2.yaml", "--set", &source]);
    assert!(said.contains("add_bos_token") && said.contains("post_processor"), "{said}");
}

#[test]
fn a_model_without_bos_before_its_texts_goes_through_the_loop_and_does_not_learn_the_first_token() {
    let (place, folder) = without_bos();
    let (run, bundled) = (place.path().join("run"), place.path().join("bundled"));
    run_small("configs/demo_s2.yaml", &run, &["--set", &format!("model.source={}", folder.display())]);
    run_small("configs/demo_s2.yaml", &bundled, &[]);
    let tokens = |run: &Path| {
        let record: Value = serde_json::from_str(&read(&run.join("gen-001/record.json"))).unwrap();
        record["training"]["tokens"].as_u64().unwrap()
    };
    // a block of 64 tokens has 63 targets, or 64 where BOS predicts the first
    assert_eq!(tokens(&run) * 64, tokens(&bundled) * 63);
    let first = |run: &Path| read(&run.join("gen-000/responses.jsonl"));
    assert_ne!(first(&run), first(&bundled), "prompts are given without BOS");
}

#[test]
fn a_bos_id_in_config_json_changes_no_answer() {
    let (_place, other) = model("config.json", |json| json["bos_token_id"] = json!(3));
    assert_eq!(answers(&other), answers(&root().join("data/models/opt-tiny")));
}

#[test]
fn answers_end_at_every_token_that_generation_config_names() {
    let bundled = answers(&root().join("data/models/opt-tiny"));
    let end = bundled.iter().find(|(tokens, _)| tokens.len() > 9).unwrap().0[7];
    let (_place, folder) = model("generation_config.json", |json| json["eos_token_id"] = json!([2, end]));
    let mut cut = 0;
    for ((before, reason), (after, later)) in bundled.iter().zip(answers(&folder)) {
        let place = before.iter().position(|token| *token == end);
        let expected = place.map_or((&before[..], reason.as_str()), |at| (&before[..at], "eos"));
        assert_eq!((&after[..], later.as_str()), expected);
        cut += usize::from(place.is_some());
    }
    assert!(cut > 0);
}
