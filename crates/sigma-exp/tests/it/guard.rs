//! Going on is for the same experiment only: whatever changes a number is refused by name, and what changes none may
//! change.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::tempdir;

use crate::integrity::copy;
use crate::trouble::changed_model;
use crate::{SMALL, assert_same_results, fails, read, results, root, run_small};

/// A config whose corpus, prompts, model and encoder are copies that a test may change.
struct Own {
    config: PathBuf,
    run: PathBuf,
}

fn own(dir: &Path) -> Own {
    for name in ["corpus.jsonl", "prompts.jsonl"] {
        fs::copy(root().join("data/fin").join(name), dir.join(name)).unwrap();
    }
    changed_model(&dir.join("model"), |_, _| {});
    changed_model(&dir.join("encoder"), |_, _| {});
    let place = |name: &str| dir.join(name).display().to_string();
    let text = read(&root().join("configs/demo_s2.yaml"))
        .replace("model: { source: data/models/opt-tiny }", &format!("model: {{ source: {} }}", place("model")))
        .replace("encoder: { source: data/models/opt-tiny }", &format!("encoder: {{ source: {} }}", place("encoder")))
        .replace("data/fin/corpus.jsonl", &place("corpus.jsonl"))
        .replace("data/fin/prompts.jsonl", &place("prompts.jsonl"));
    fs::write(dir.join("config.yaml"), text).unwrap();
    Own { config: dir.join("config.yaml"), run: dir.join("run") }
}

fn edit(path: &Path, from: &str, to: &str) {
    let before = read(path);
    assert!(before.contains(from), "{} has {from:?}", path.display());
    fs::write(path, before.replacen(from, to, 1)).unwrap();
}

/// Exchanges the ids of two tokens.
fn swap(path: &Path, a: &str, b: &str) {
    let mut tokenizer: serde_json::Value = serde_json::from_str(&read(path)).unwrap();
    let vocabulary = &mut tokenizer["model"]["vocab"];
    (vocabulary[a], vocabulary[b]) = (vocabulary[b].clone(), vocabulary[a].clone());
    fs::write(path, tokenizer.to_string()).unwrap();
}

#[test]
fn other_content_behind_the_same_names_is_refused_with_what_it_is() {
    let dir = tempdir().unwrap();
    let Own { config, run } = own(dir.path());
    let config = config.to_str().unwrap();
    run_small(config, &run, &["--set", "generations=1"]);
    let before = results(&run);
    let weights = |folder: &Path| {
        let path = folder.join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&0.25f32.to_le_bytes());
        fs::write(path, bytes).unwrap();
    };
    let word = |path: &Path| edit(path, " the ", " this ");
    type Change<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);
    let changes: [Change<'_>; 8] = [
        ("corpus.jsonl", &word, "content of the corpus"),
        ("prompts.jsonl", &word, "content of the prompt bank"),
        ("prompts.jsonl", &|path| edit(path, "\"bucket\":\"neutral\"", "\"bucket\":\"creative\""), "prompt bank"),
        ("model", &weights, "content of the model"),
        (
            "model",
            &|model| edit(&model.join("config.json"), "\"dropout\": 0.1", "\"dropout\": 0.2"),
            "content of the model",
        ),
        ("model", &|model| swap(&model.join("tokenizer.json"), "A", "B"), "content of the model"),
        ("encoder", &weights, "content of the encoder"),
        ("encoder", &|model| edit(&model.join("config.json"), "{", "{ \"x\": 1,"), "content of the encoder"),
    ];
    for (i, (name, change, expected)) in changes.into_iter().enumerate() {
        let (place, kept) = (dir.path().join(name), dir.path().join("kept"));
        if place.is_dir() {
            copy(&place, &kept)
        } else {
            assert!(fs::copy(&place, &kept).is_ok())
        }
        change(&place);
        let arguments = [&["run", config, "--out", run.to_str().unwrap()][..], &SMALL].concat();
        let message = fails(&arguments);
        assert!(message.contains(expected) && message.contains("--fresh"), "{i} {name}: {message}");
        assert!(results(&run) == before, "{i} {name}: a refusal changes nothing");
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap()
        } else {
            fs::remove_file(&place).unwrap()
        }
        fs::rename(&kept, &place).unwrap();
    }
    run_small(config, &run, &[]);
}

#[test]
fn every_key_of_science_is_refused_by_name_with_old_and_new_value() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=0"]);
    let before = results(&run);
    for (set, expected) in [
        ("name=other", "name: other was demo_s2"),
        ("domain=med", "domain: med was fin"),
        ("setting=s1", "setting: s1 was s2"),
        ("seed=7", "seed: 7 was 42"),
        ("corpus.context_tokens=32", "corpus.context_tokens: 32 was 64"),
        ("corpus.max_contexts=25", "corpus.max_contexts: 25 was 24"),
        ("prompts.max_per_bucket=3", "prompts.max_per_bucket: 3 was 2"),
        ("mixture.real_fraction=0.5", "mixture.real_fraction: 0.5 was 0.0"),
        ("mixture.mode=accumulate", "mixture.mode: accumulate was replace"),
        ("mixture.real=fixed", "mixture.real: fixed was resample"),
        ("training.epochs=2", "training.epochs: 2 was 1"),
        ("training.precision=bf16", "training.precision: bf16 was auto"),
        ("training.dropout=0.3", "training.dropout: 0.3 was null"),
        ("regeneration.temperature=0.9", "regeneration.temperature: 0.9 was 1.0"),
        ("evaluation.top_p=0.9", "evaluation.top_p: 0.9 was 0.95"),
        ("evaluation.responses_per_prompt=3", "evaluation.responses_per_prompt: 3 was 2"),
        ("evaluation.blocks=windows", "evaluation.blocks: windows was whole"),
        ("evaluation.blocks=windows", "evaluation.stride_tokens: 48 was null"),
        ("evaluation.empty=embed", "evaluation.empty: embed was drop"),
        ("evaluation.noise_replicates=3", "evaluation.noise_replicates: 3 was 2"),
        ("encoder.max_tokens=32", "encoder.max_tokens: 32 was null"),
        ("sigma.delta=1e-2", "sigma.delta: 0.01 was 0.001"),
        ("sigma.observed=all", "sigma.observed: all was 12"),
        ("surface.hhi_buckets=1024", "surface.hhi_buckets: 1024 was 16384"),
    ] {
        let arguments = ["run", "configs/demo_s2.yaml", "--out", run.to_str().unwrap()];
        let message = fails(&[&arguments[..], &SMALL[..], &["--set", set]].concat());
        assert!(message.contains(expected), "{set}: {message}");
    }
    assert!(results(&run) == before, "a refusal changes nothing");
}

#[test]
fn keys_that_change_no_number_may_change_and_more_generations_are_those_of_a_longer_run() {
    let dir = tempdir().unwrap();
    let (grown, whole) = (dir.path().join("grown"), dir.path().join("whole"));
    let harmless = [
        "device=auto",
        "evaluation_device=cpu",
        "checkpoints.save_minutes=0",
        "regeneration.batch_size=5",
        "evaluation.batch_size=3",
        "encoder.batch_size=9",
        "checkpoints.keep=all",
    ];
    run_small("configs/demo_s2.yaml", &grown, &[]);
    let sets: Vec<&str> = harmless.iter().flat_map(|set| ["--set", set]).collect();
    run_small("configs/demo_s2.yaml", &grown, &[&sets[..], &["--set", "generations=4"]].concat());
    run_small("configs/demo_s2.yaml", &whole, &["--set", "generations=4", "--set", "checkpoints.keep={every: 3}"]);
    // retention alone decides which weights are there
    fs::remove_dir_all(grown.join("gen-002/model")).unwrap_or_default();
    assert_same_results(&whole, &grown);
    let shorter = run_small("configs/demo_s2.yaml", &grown, &["--set", "generations=3"]);
    assert!(shorter.contains("ΔU"), "a run that has more generations than asked for is complete");
    assert_same_results(&whole, &grown);
}
