//! Broken input gives one message with place and remedy, exit code 2, and changes nothing.

use std::fs;

use tempfile::tempdir;

use crate::{SMALL, fails, read, root};

/// A demo config with one piece of text replaced.
fn config_with(from: &str, to: &str) -> String {
    let text = read(&root().join("configs/demo_s2.yaml"));
    assert!(text.contains(from), "the demo config has {from:?}");
    text.replacen(from, to, 1)
}

#[test]
fn broken_configs_name_file_place_and_remedy() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("broken.yaml");
    for (from, to, words) in [
        ("generations: 10", "generation: 10", &["unknown field `generation`", "did you mean `generations`"][..]),
        ("epochs: 1", "epoch: 1", &["training", "unknown field `epoch`", "line 11", "did you mean `epochs`"]),
        ("setting: s2 ", "setting: s3 ", &["setting", "unknown variant `s3`"]),
        ("mode: replace", "mode: replacing", &["mixture", "did you mean `replace`"]),
        ("epochs: 1", "epochs: many", &["training.epochs", "`many` is not a whole number", "line 11"]),
        ("epochs: 1", "epochs: -1", &["training.epochs", "-1"]),
        ("epochs: 1", "epochs: 0", &["training.epochs is 0", "at least 1"]),
        ("real_fraction: 0.0", "real_fraction: 1.2", &["mixture.real_fraction is 1.2", "[0, 1]"]),
        ("learning_rate: 4e-4", "learning_rate: .nan", &["training.learning_rate"]),
        ("observed: 250", "observed: some", &["sigma", "observed"]),
        ("name: demo_s2", "name: ../demo", &["name is `../demo`"]),
        ("name: demo_s2\n", "", &["missing field `name`"]),
        ("device: cpu", "device: gpu", &["`gpu` is not a device", "cuda:<index>"]),
        ("max_contexts: 400", "max_contexts: 0", &["corpus.max_contexts is 0"]),
        ("data/fin/corpus.jsonl", "data/fin/corpse.jsonl", &["corpse.jsonl"]),
        ("data/fin/prompts.jsonl", "nowhere/prompts.jsonl", &["nowhere/prompts.jsonl"]),
        ("model: { source: data/models/opt-tiny }", "model: { source: data/models/opt-big }", &["data/models/opt-big"]),
        ("name: demo_s2", "name: [", &["broken.yaml", "line"]),
    ] {
        fs::write(&path, config_with(from, to)).unwrap();
        let message = fails(&["check", path.to_str().unwrap()]);
        for word in words {
            assert!(message.contains(word), "{from:?} -> {to:?}: no {word:?} in\n{message}");
        }
        assert!(message.lines().count() <= 8, "{message}");
    }
    fs::write(&path, "").unwrap();
    assert!(fails(&["check", path.to_str().unwrap()]).contains("empty"));
    fs::write(&path, b"name: \xff").unwrap();
    assert!(fails(&["check", path.to_str().unwrap()]).contains("line 1 is not UTF-8"));
    assert!(fails(&["check", "configs/nothing.yaml"]).contains("configs/nothing.yaml"));
}

#[test]
fn broken_corpora_and_prompt_banks_name_file_and_line() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.jsonl");
    for (key, content, words) in [
        ("corpus.path", "{\"id\": \"a\", \"text\": \"x\"\n", &["data.jsonl", "1"][..]),
        ("corpus.path", "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"a\",\"text\":\"y\"}\n", &["data.jsonl", "2", "`a`"]),
        ("corpus.path", "{\"id\":\"a\",\"text\":\"  \"}\n", &["data.jsonl:1", "white space"]),
        ("corpus.path", "{\"id\":\"a\",\"text\":\"too short\"}\n", &["64"]),
        ("corpus.path", "", &["data.jsonl"]),
        ("prompts.path", "{\"id\":\"a\",\"bucket\":\"odd\",\"text\":\"x\"}\n", &["data.jsonl", "1", "odd", "what_if"]),
        ("prompts.path", "{\"id\":\"a\",\"text\":\"x\"}\n", &["data.jsonl", "1", "bucket"]),
    ] {
        fs::write(&path, content).unwrap();
        let set = format!("{key}={}", path.display());
        let message = fails(&["check", "configs/demo_s2.yaml", "--set", &set]);
        for word in words {
            assert!(message.contains(word), "{content:?}: no {word:?} in\n{message}");
        }
    }
}

#[test]
fn texts_that_do_not_fit_the_model_are_refused_before_the_run() {
    let message = fails(&["check", "configs/demo_s2.yaml", "--set", "evaluation.max_new_tokens=600"]);
    assert!(message.contains("fin-creative-001") && message.contains("512"), "{message}");
    let message = fails(&["check", "configs/demo_s2.yaml", "--set", "corpus.context_tokens=300"]);
    assert!(message.contains("corpus.context_tokens is 300"), "{message}");
}

#[test]
fn fresh_real_text_needs_a_corpus_that_is_large_enough() {
    let sets = ["--set", "mixture.real=fresh", "--set", "mixture.real_fraction=0.9"];
    let message = fails(&[&["check", "configs/demo_s2.yaml"][..], &sets[..]].concat());
    assert!(message.contains("3600 contexts") && message.contains("resample"), "{message}");
}

#[test]
fn a_folder_that_is_not_a_run_is_left_alone() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    let out = dir.path().to_str().unwrap();
    for fresh in [&[][..], &["--fresh"]] {
        let message = fails(&[&["run", "configs/demo_s2.yaml", "--out", out][..], &SMALL[..], fresh].concat());
        assert!(message.contains("is not a run folder"), "{message}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(read(&dir.path().join("thesis.tex")), "years of work");
    let file = dir.path().join("thesis.tex");
    let message = fails(&[&["run", "configs/demo_s2.yaml", "--out", file.to_str().unwrap()][..], &SMALL[..]].concat());
    assert!(message.contains("not a folder"), "{message}");
}

#[cfg(not(feature = "cuda"))]
#[test]
fn cuda_without_cuda_says_how_to_get_it() {
    let message = fails(&["run", "configs/demo_s2.yaml", "--device", "cuda:1"]);
    assert!(message.contains("--features cuda"), "{message}");
}

#[test]
fn metrics_refuses_what_is_no_embedding() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("rows.npy");
    fs::write(&file, "not numpy").unwrap();
    assert!(fails(&["metrics", "--embeddings", file.to_str().unwrap()]).contains("rows.npy"));
    // 2 x 2 float32 rows of norm 2
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n";
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend([2f32, 0.0, 0.0, 2.0].iter().flat_map(|x| x.to_le_bytes()));
    fs::write(&file, bytes).unwrap();
    let message = fails(&["metrics", "--embeddings", file.to_str().unwrap()]);
    assert!(message.contains("L2") && message.contains("row"), "{message}");
}
