//! Texts of a user's own for `metrics --texts` and `embed`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::{fails, read, run_small, sigma};

const ENCODER: &str = "data/models/opt-tiny";

/// What `metrics` measures, and what it says on stderr.
fn metrics(texts: &Path, more: &[&str]) -> (Value, String) {
    let arguments = ["metrics", "--texts", texts.to_str().unwrap(), "--encoder", ENCODER, "--json"];
    let output = sigma(&[&arguments[..], more].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (serde_json::from_slice(&output.stdout).unwrap(), said)
}

/// The file of rows that `embed` writes, and what it says.
fn embed(texts: &Path, out: &Path, more: &[&str]) -> (Vec<u8>, String) {
    let (texts, out_name) = (texts.to_str().unwrap(), out.to_str().unwrap());
    let output =
        sigma(&[&["embed", "configs/demo_s2.yaml", "--texts", texts, "--out", out_name, "--force"], more].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (fs::read(out).unwrap(), said)
}

#[test]
fn texts_without_a_word_are_left_out_and_said_to_be() {
    let dir = tempdir().unwrap();
    let (all, kept, out) = (dir.path().join("all.jsonl"), dir.path().join("kept.jsonl"), dir.path().join("rows.npy"));
    let line = |id: &str, text: &str| format!("{}\n", serde_json::json!({ "id": id, "text": text }));
    let good = [line("a", "A bank lends."), line("c", "Bonds fell."), line("e", "...")];
    let blank = [line("b", ""), line("d", " \n\t")];
    fs::write(&kept, good.concat()).unwrap();
    fs::write(&all, [&*good[0], &blank[0], &good[1], &blank[1], &good[2]].concat()).unwrap();
    let (mut measured, said) = metrics(&all, &[]);
    assert!(said.contains("all.jsonl: 2 of 5 texts") && said.contains("`b`, `d`"), "{said}");
    let (mut expected, silent) = metrics(&kept, &[]);
    assert!(!silent.contains("left out"), "{silent}");
    for object in [&mut measured, &mut expected] {
        object.as_object_mut().unwrap().remove("file");
    }
    assert_eq!(measured, expected);
    assert_eq!(measured["n"], 3);
    let (rows, said) = embed(&all, &out, &[]);
    assert!(said.contains("2 of 5 texts") && said.contains("`b`, `d`"), "{said}");
    assert!(rows == embed(&kept, &out, &[]).0);
    fs::write(&all, blank.concat()).unwrap();
    let said = fails(&["metrics", "--texts", all.to_str().unwrap(), "--encoder", ENCODER]);
    assert!(said.contains("all.jsonl") && said.contains("no texts with a word"), "{said}");
}

#[test]
fn several_answers_to_one_prompt_are_several_texts() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=0"]);
    let responses = run.join("gen-000/responses.jsonl");
    let lines = read(&responses);
    let parsed: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(parsed[0]["id"] == parsed[1]["id"] && parsed[0]["response"] != parsed[1]["response"], "two per prompt");
    let words = parsed.iter().filter(|answer| !answer["text"].as_str().unwrap().trim().is_empty()).count();
    assert_eq!(metrics(&responses, &[]).0["n"], words);
    // the same texts under ids of their own
    let renamed = dir.path().join("renamed.jsonl");
    let rename = |(number, answer): (usize, &Value)| {
        format!("{}\n", serde_json::json!({ "id": number, "text": answer["text"] }))
    };
    fs::write(&renamed, parsed.iter().enumerate().map(rename).collect::<String>()).unwrap();
    let out = dir.path().join("rows.npy");
    assert!(embed(&responses, &out, &[]).0 == embed(&renamed, &out, &[]).0);
    // the same answer twice is still refused
    let twice = dir.path().join("twice.jsonl");
    let first = lines.lines().next().unwrap();
    fs::write(&twice, format!("{first}\n{first}\n")).unwrap();
    let said = fails(&["metrics", "--texts", twice.to_str().unwrap(), "--encoder", ENCODER]);
    assert!(said.contains("twice.jsonl:2") && said.contains("response 0"), "{said}");
}

#[test]
fn a_field_of_another_name_is_named_by_an_option_of_every_command() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let file = |name: &str| path(name).to_str().unwrap().to_string();
    fs::write(path("a.jsonl"), "{\"id\":\"x\",\"text\":\"A bank lends.\"}\n{\"id\":\"y\",\"text\":\"Bonds fell.\"}\n")
        .unwrap();
    fs::write(
        path("b.jsonl"),
        "{\"id\":\"x\",\"answer\":\"A bank lends.\"}\n{\"id\":\"y\",\"answer\":\"Bonds fell.\"}\n",
    )
    .unwrap();
    fs::write(path("b.csv"), "id,answer\nx,A bank lends.\ny,Bonds fell.\n").unwrap();
    let expected = metrics(&path("a.jsonl"), &[]).0["u_cov"].clone();
    let rows = embed(&path("a.jsonl"), &path("a.npy"), &[]).0;
    let column = ["--text-column", "answer"];
    for name in ["b.jsonl", "b.csv"] {
        assert_eq!(metrics(&path(name), &column).0["u_cov"], expected, "{name}");
        assert!(embed(&path(name), &path("b.npy"), &column).0 == rows, "{name}");
        for command in [
            &["metrics", "--encoder", ENCODER, "--texts", &file(name)][..],
            &["embed", "configs/demo_s2.yaml", "--out", &file("x"), "--texts", &file(name)],
            &["data", "slice", "--tokenizer", ENCODER, "--out", &file("x"), &file(name)],
        ] {
            let said = fails(command);
            assert!(said.contains(name) && said.contains("answer") && said.contains("--text-column"), "{said}");
            assert!(!said.contains("config"), "{said}");
        }
    }
    let config = format!("corpus.path={}", file("b.jsonl"));
    let said = fails(&["check", "configs/demo_s2.yaml", "--set", &config]);
    assert!(said.contains("`text_column` in the config") && !said.contains("--text-column"), "{said}");
}
