//! Experiment configs, `--set`, and sweep files.

use std::fs;

use super::{Case, case, check_with, demo, refused, text, words};
use crate::root;

/// A config of these bytes.
fn bytes(name: &'static str, content: Vec<u8>, expected: &'static [&'static str]) -> Case {
    let make = move |dir: &std::path::Path| {
        fs::write(dir.join("broken.yaml"), &content).unwrap();
        words(&["check", &text(&dir.join("broken.yaml"))])
    };
    case(name, make, expected)
}

/// The demo config with one piece of text replaced.
fn replaced(name: &'static str, from: &'static str, to: &'static str, expected: &'static [&'static str]) -> Case {
    let demo = demo();
    assert!(demo.contains(from), "the demo config has {from:?}");
    bytes(name, demo.replacen(from, to, 1).into_bytes(), expected)
}

fn set(name: &'static str, set: &'static str, expected: &'static [&'static str]) -> Case {
    case(name, move |_| check_with(&[set]), expected)
}

/// A sweep file over the demo.
fn sweep(name: &'static str, more: String, expected: &'static [&'static str]) -> Case {
    let make = move |dir: &std::path::Path| {
        let base = root().join("configs/demo_s2.yaml");
        let more = more.replace("BASE", &text(&base));
        fs::write(dir.join("sweep.yaml"), &more).unwrap();
        words(&["sweep", &text(&dir.join("sweep.yaml")), "--out", &text(&dir.join("out"))])
    };
    case(name, make, expected)
}

#[test]
fn broken_config_files_are_refused_by_line_and_key() {
    let bomb = {
        let mut lines = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_string();
        for (outer, inner) in "bcdefghij".chars().zip("abcdefghi".chars()) {
            let nine = vec![format!("*{inner}"); 9].join(", ");
            lines.push_str(&format!("{outer}: &{outer} [{nine}]\n"));
        }
        format!("{lines}name: *j\n")
    };
    let make_bomb = {
        let bomb = bomb.clone();
        move |dir: &std::path::Path| {
            fs::write(dir.join("bomb.yaml"), &bomb).unwrap();
            words(&["check", &text(&dir.join("bomb.yaml")), "--set", "seed=1"])
        }
    };
    refused(vec![
        replaced("unknown key", "generations: 10", "generation: 10", &["broken.yaml", "did you mean `generations`"]),
        replaced("unknown nested key", "epochs: 1", "epoch: 1", &["training", "line 11", "did you mean `epochs`"]),
        replaced("wrong type", "epochs: 1", "epochs: many", &["training.epochs", "line 11"]),
        replaced("negative epochs", "epochs: 1", "epochs: -1", &["training.epochs", "-1"]),
        replaced("negative generations", "generations: 10", "generations: -3", &["generations", "-3"]),
        replaced("alpha above one", "real_fraction: 0.0", "real_fraction: 1.2", &["1.2", "[0, 1]"]),
        replaced("alpha is no number", "real_fraction: 0.0", "real_fraction: .nan", &["NaN", "[0, 1]"]),
        replaced("not a number", "learning_rate: 4e-4", "learning_rate: .nan", &["training.learning_rate"]),
        replaced("infinity", "learning_rate: 4e-4", "learning_rate: .inf", &["training.learning_rate"]),
        replaced("huge integer", "seed: 42", "seed: 99999999999999999999999", &["seed"]),
        replaced("generations beyond 32 bits", "generations: 10", "generations: 4294967296", &["generations"]),
        replaced("slash in the name", "name: demo_s2", "name: a/b", &["name is `a/b`", "use letters"]),
        replaced("name above the folder", "name: demo_s2", "name: ..", &["name is `..`", "use letters"]),
        replaced("empty name", "name: demo_s2", "name: ''", &["name is ``", "use letters"]),
        replaced("duplicate key", "seed: 42", "seed: 42\nseed: 43", &["duplicate field `seed`", "broken.yaml"]),
        replaced("unknown anchor", "name: demo_s2", "name: *nothing", &["anchor", "line 2"]),
        replaced("a tab", "seed: 42", "\tseed: 42", &["broken.yaml", "line 5", "tab"]),
        replaced("two documents", "device: cpu", "device: cpu\n---\nseed: 42", &["broken.yaml", "document"]),
        replaced("missing corpus", "fin/corpus.jsonl", "fin/corpse.jsonl", &["corpse.jsonl", "No such file"]),
        replaced("missing model", "model: { source: data/models/opt-tiny", "model: { source: ./no", &["`./no`"]),
        replaced("unknown device", "device: cpu", "device: gpu", &["`gpu` is not a device"]),
        bytes("empty", Vec::new(), &["broken.yaml", "empty"]),
        bytes("comments only", b"# later\n".to_vec(), &["broken.yaml", "empty"]),
        bytes("a list", b"- name\n- domain\n".to_vec(), &["broken.yaml", "sequence"]),
        bytes("not UTF-8", b"name: x\ndomain: \xff\n".to_vec(), &["broken.yaml", "line 2 is not UTF-8"]),
        bytes("NUL bytes", b"name: \0\n".to_vec(), &["broken.yaml"]),
        bytes("deep nesting", [b"name: ".to_vec(), vec![b'['; 10_000]].concat(), &["broken.yaml", "name"]),
        bytes("anchors of anchors", bomb.into_bytes(), &["broken.yaml"]),
        case("anchors of anchors behind --set", make_bomb, &["bomb.yaml", "repetition"]),
        case("a folder", |_| words(&["check", "configs"]), &["configs", "directory"]),
        case("no such file", |_| words(&["check", "configs/none.yaml"]), &["configs/none.yaml", "No such file"]),
    ]);
}

#[test]
fn broken_settings_are_refused_by_key() {
    refused(vec![
        set("no value", "training.epochs", &["--set training.epochs", "path=value"]),
        set("no YAML", "training.epochs=[", &["--set training.epochs=[", "YAML"]),
        case(
            "deep nesting in a setting",
            |_| check_with(&[&format!("name={}", "[".repeat(10_000))]),
            &["--set name=[[", "recursion"],
        ),
        set("below a value", "name.x=1", &["name.x=1", "not a section"]),
        set("unknown key", "training.epoch=1", &["did you mean `epochs`"]),
        set("no epochs", "training.epochs=0", &["training.epochs is 0", "at least 1"]),
        set("absurdly many epochs", "training.epochs=10000000000000000", &["training.epochs", "at most"]),
        set("an absurd batch", "training.batch_size=10000000000000000", &["training.batch_size", "at most"]),
        set("no contexts", "corpus.max_contexts=0", &["corpus.max_contexts is 0"]),
        set("contexts without tokens", "corpus.context_tokens=0", &["corpus.context_tokens is 0"]),
        set("contexts of 2^63 tokens", "corpus.context_tokens=9223372036854775808", &["context_tokens", "lower"]),
        set("answers of 2^64 - 1 tokens", "evaluation.max_new_tokens=18446744073709551615", &["positions", "512"]),
        set("nothing of the probability", "evaluation.top_p=0", &["evaluation.top_p"]),
        set("negative temperature", "evaluation.temperature=-1", &["evaluation.temperature"]),
        set("no observed rows", "sigma.observed=0", &["sigma", "observed"]),
        set("negative ridge", "sigma.delta=-1e-3", &["delta"]),
        set("no buckets", "prompts.buckets=[]", &["prompts.buckets"]),
        set("kept every zero", "checkpoints.keep={every: 0}", &["checkpoints.keep", "at least 1"]),
        set("path and hub", "corpus.hub=org/data", &["corpus", "`path` stands alone"]),
    ]);
}

#[test]
fn broken_sweeps_are_refused_before_a_folder_is_made() {
    let explosion = || {
        let keys = ["seed", "alpha", "training.epochs", "training.batch_size", "corpus.max_contexts", "sigma.observed"];
        let values: Vec<String> = (1..=200).map(|value| value.to_string()).collect();
        let grid: Vec<String> = keys.iter().map(|key| format!("{key}: [{}]", values.join(", "))).collect();
        format!("name: many\nbase: BASE\ngrid: {{ {} }}\n", grid.join(", "))
    };
    let of = |more: &str| format!("name: small\nbase: BASE\n{more}\n");
    refused(vec![
        sweep("nothing is varied", of(""), &["sweep.yaml", "varies nothing"]),
        sweep("a value for a list", of("grid: { seed: 1 }"), &["`seed` must be a list"]),
        sweep("an empty list", of("grid: { seed: [] }"), &["`seed` is empty"]),
        sweep("the same value twice", of("grid: { seed: [1, 1] }"), &["listed twice"]),
        sweep("unknown key", of("grid: { sed: [1] }"), &["did you mean `seed`"]),
        sweep("64 million million runs", explosion(), &["runs", "at most"]),
        sweep("no base", "name: small\nbase: ./none.yaml\ngrid: { seed: [1] }".to_string(), &["none.yaml"]),
        sweep("a name that is a path", "name: a/b\nbase: BASE\ngrid: { seed: [1] }".to_string(), &["name is `a/b`"]),
        sweep("a shell line in a word", of("grid: { seed: [1] }\nslurm: { partition: \"a\\nrm\" }"), &["one word"]),
    ]);
}
