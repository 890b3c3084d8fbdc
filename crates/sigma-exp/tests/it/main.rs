//! The program as its users meet it: whole runs on the bundled model, single commands, and what they say when something
//! is wrong.
#![allow(clippy::unwrap_used)]

mod arithmetic;
mod bad_input;
mod beginnings;
mod chain;
mod commands;
mod disk;
mod emulated;
mod errors;
mod escapes;
// the hub that sigma-data's tests use
#[allow(dead_code)]
#[path = "../../../sigma-data/tests/hub/fake.rs"]
mod fake;
mod families;
mod formats;
mod gguf;
mod gram;
mod guard;
mod hints;
mod hub;
mod integrity;
mod interrupts;
mod limits;
mod nulls;
mod outputs;
mod own_texts;
mod ownership;
mod places;
mod protocol;
mod resume;
mod runs;
mod slurm;
mod sweeps;
mod trouble;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Runs the program from the repository's root.
fn sigma(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sigma-exp")).args(arguments).current_dir(root()).output().unwrap()
}

/// Runs the program, which must succeed; what it wrote to stdout.
fn succeeds(arguments: &[&str]) -> String {
    let output = sigma(arguments);
    assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program, which must fail with exit code 2, one error message and no panic; the message.
fn fails(arguments: &[&str]) -> String {
    let output = sigma(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{stderr}");
    assert!(stderr.contains("error: ") && !stderr.contains("panicked"), "{arguments:?}\n{stderr}");
    stderr
}

/// A run of two generations that takes a second or two: `--set` arguments on top of a demo config.
const SMALL: [&str; 16] = [
    "--set",
    "generations=2",
    "--set",
    "corpus.max_contexts=24",
    "--set",
    "prompts.max_per_bucket=2",
    "--set",
    "evaluation.responses_per_prompt=2",
    "--set",
    "evaluation.max_new_tokens=40",
    "--set",
    "training.epochs=1",
    "--set",
    "sigma.observed=12",
    "--set",
    "evaluation.noise_replicates=2",
];

/// Runs `config` in small into `out` with further arguments.
fn run_small(config: &str, out: &Path, more: &[&str]) -> String {
    let mut arguments = vec!["run", config, "--out", out.to_str().unwrap()];
    arguments.extend(SMALL);
    arguments.extend(more);
    succeeds(&arguments)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files of a run that must not depend on how the run was made, by name.
fn results(run: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for name in ["metrics.csv", "buckets.csv"] {
        files.push((name.to_string(), fs::read(run.join(name)).unwrap()));
    }
    for entry in fs::read_dir(run).unwrap() {
        let folder = entry.unwrap().path();
        if folder.is_dir() && folder.file_name().unwrap().to_string_lossy().starts_with("gen-") {
            for name in [
                "synthetic.jsonl",
                "responses.jsonl",
                "embeddings.npy",
                "rows.csv",
                "spectrum.csv",
                "training.csv",
                "model/model.safetensors",
                "model/tokenizer.json",
            ] {
                let path = folder.join(name);
                if path.exists() {
                    let key = path.strip_prefix(run).unwrap().display().to_string();
                    files.push((key, fs::read(path).unwrap()));
                }
            }
        }
    }
    files.sort();
    files
}

fn assert_same_results(a: &Path, b: &Path) {
    let (a, b) = (results(a), results(b));
    assert_eq!(a.iter().map(|f| &f.0).collect::<Vec<_>>(), b.iter().map(|f| &f.0).collect::<Vec<_>>());
    for ((name, left), (_, right)) in a.iter().zip(&b) {
        assert!(left == right, "{name} differs");
    }
}
