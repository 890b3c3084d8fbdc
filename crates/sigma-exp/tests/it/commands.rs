//! The other commands: each stage by itself gives what the loop gives, and metrics of one's own data.

use std::fs;

use serde_json::Value;
use tempfile::tempdir;

use crate::{SMALL, read, root, run_small, sigma, succeeds};

#[test]
fn the_stages_one_by_one_give_what_the_loop_gives() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let run = dir.path().join("run");
    run_small("configs/demo_s1.yaml", &run, &["--set", "generations=1"]);
    let with_small = |arguments: &[&str]| {
        let mut all: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        all.extend(SMALL.iter().map(ToString::to_string));
        succeeds(&all.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let tiny = "data/models/opt-tiny";
    let tokens = |file: &str| -> Vec<Value> {
        let lines = read(std::path::Path::new(file));
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["tokens"].clone()).collect()
    };
    // contexts -> pool
    let slice = ["data", "slice", "data/fin/corpus.jsonl", "--tokenizer", tiny, "--max-contexts", "24", "--out"];
    succeeds(&[&slice[..], &[&path("contexts.jsonl")]].concat());
    with_small(&[
        "generate",
        "configs/demo_s1.yaml",
        "--model",
        tiny,
        "--prompts",
        &path("contexts.jsonl"),
        "--as",
        "regeneration",
        "--generation",
        "1",
        "--out",
        &path("pool.jsonl"),
    ]);
    let looped = run.join("gen-001/synthetic.jsonl").to_str().unwrap().to_string();
    assert_eq!(tokens(&path("pool.jsonl")), tokens(&looped));
    // pool -> weights
    with_small(&[
        "finetune",
        "configs/demo_s1.yaml",
        "--model",
        tiny,
        "--blocks",
        &path("pool.jsonl"),
        "--generation",
        "1",
        "--out",
        &path("model"),
    ]);
    let weights = |folder: &str| fs::read(format!("{folder}/model.safetensors")).unwrap();
    assert!(weights(&path("model")) == weights(run.join("gen-001/model").to_str().unwrap()));
    // weights -> answers
    with_small(&[
        "generate",
        "configs/demo_s1.yaml",
        "--model",
        &path("model"),
        "--prompts",
        "data/fin/prompts.jsonl",
        "--out",
        &path("answers.jsonl"),
    ]);
    assert_eq!(read(&dir.path().join("answers.jsonl")), read(&run.join("gen-001/responses.jsonl")));
    // answers -> embeddings
    with_small(&[
        "embed",
        "configs/demo_s1.yaml",
        "--texts",
        &path("answers.jsonl"),
        "--answers",
        "--out",
        &path("rows.npy"),
    ]);
    assert!(fs::read(path("rows.npy")).unwrap() == fs::read(run.join("gen-001/embeddings.npy")).unwrap());
}

#[test]
fn metrics_prints_one_object_with_the_numbers_of_the_design() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    run_small("configs/demo_s1.yaml", &run, &["--set", "generations=1"]);
    let file = |g: u32| run.join(format!("gen-{g:03}/embeddings.npy")).to_str().unwrap().to_string();
    let text = succeeds(&["metrics", "--embeddings", &file(1), "--observed", "all", "--baseline", &file(0), "--json"]);
    let object: Value = serde_json::from_str(&text).unwrap();
    for field in
        ["n", "n_a", "d", "delta", "rho", "beta", "s", "u_cov", "g_kf", "theorem1", "theorem3", "du_cov", "dg_kf"]
    {
        assert!(object.get(field).is_some(), "{field}: {text}");
    }
    assert_eq!(object["d"], 128);
    assert_eq!(object["n"], object["n_a"]);
    // all rows observed is the full-sample Track II of the run's own record
    let record: Value = serde_json::from_str(&read(&run.join("gen-001/record.json"))).unwrap();
    let (ours, theirs) = (object["u_cov"].as_f64().unwrap(), record["sigma"]["u_cov_full"].as_f64().unwrap());
    assert!((ours / theirs - 1.0).abs() < 1e-13, "{ours} and {theirs}: sums in another order");
    let total = succeeds(&["metrics", "--embeddings", &file(1), "--total", "1000", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&total).unwrap()["n"], 1000);
}

#[test]
fn metrics_of_texts_adds_the_surface_proxies() {
    let arguments = ["metrics", "--texts", "data/fin/prompts.jsonl", "--encoder", "data/models/opt-tiny", "--json"];
    let object: Value = serde_json::from_str(&succeeds(&arguments)).unwrap();
    assert_eq!(object["n"], 200);
    assert!(object["distinct_2"].as_f64().unwrap() > 0.5);
}

#[test]
fn check_and_dry_run_print_the_plan_and_write_nothing() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("run");
    let plan = succeeds(&["check", "configs/demo_s2.yaml"]);
    for word in ["learning_rate: 0.0004", "steps", "memory", "disk", "time", "tokens/s"] {
        assert!(plan.contains(word), "{word}: {plan}");
    }
    let dry = succeeds(&["run", "configs/demo_s2.yaml", "--out", out.to_str().unwrap(), "--dry-run"]);
    assert!(dry.contains("time") && !out.exists());
}

#[test]
fn pretraining_is_reproducible_and_its_model_runs() {
    let dir = tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name);
    for name in ["a", "b"] {
        let sets =
            ["--set", "training.epochs=1", "--set", "training.batch_size=64", "--set", "tokenizer.vocab_size=512"];
        let out = folder(name);
        let start = ["pretrain", "configs/pretrain_tiny.yaml", "--out", out.to_str().unwrap()];
        succeeds(&[&start[..], &sets[..]].concat());
    }
    for file in ["model.safetensors", "tokenizer.json", "config.json"] {
        assert!(fs::read(folder("a").join(file)).unwrap() == fs::read(folder("b").join(file)).unwrap(), "{file}");
    }
    let model = format!("model.source={}", folder("a").display());
    run_small("configs/demo_s1.yaml", &folder("run"), &["--set", &model, "--set", "generations=1"]);
}

#[test]
fn help_names_every_command_and_needs_no_config() {
    let help = succeeds(&["--help"]);
    for command in
        ["run", "check", "status", "report", "metrics", "gram", "finetune", "generate", "embed", "data", "pretrain"]
    {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
        succeeds(&[command, "--help"]);
    }
    assert_eq!(sigma(&["no-such-command"]).status.code(), Some(2));
}

#[test]
fn every_committed_config_parses() {
    for entry in fs::read_dir(root().join("configs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("pretrain") {
            continue;
        }
        let sweep = [("_alpha.yaml", "s2_a0_seed42"), ("_control.yaml", "seed42")];
        if let Some((_, run)) = sweep.into_iter().find(|(ending, _)| name.ends_with(ending)) {
            let runs = succeeds(&["sweep", path.to_str().unwrap(), "--dry-run"]);
            assert!(runs.contains(run), "{name}: {runs}");
            continue;
        }
        // a config whose models are not here fails later than a config that does not parse
        let output = sigma(&["check", path.to_str().unwrap(), "--set", "model.source=./nowhere"]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("nowhere") && stderr.contains("model `./nowhere`"), "{name}: {stderr}");
    }
}
