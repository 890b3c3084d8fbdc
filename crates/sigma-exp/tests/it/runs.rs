//! Whole runs: what they leave, and what their results may not depend on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::tempdir;

use crate::{SMALL, assert_same_results, fails, read, results, root, run_small, succeeds};

fn record(run: &Path, generation: u32) -> Value {
    serde_json::from_str(&read(&run.join(format!("gen-{generation:03}/record.json")))).unwrap()
}

/// A column of metrics.csv.
fn column(run: &Path, name: &str) -> Vec<String> {
    let text = read(&run.join("metrics.csv"));
    let mut lines = text.lines();
    let place = lines.next().unwrap().split(',').position(|c| c == name).unwrap_or_else(|| panic!("no column {name}"));
    lines.map(|line| line.split(',').nth(place).unwrap().to_string()).collect()
}

#[test]
fn s1_restarts_from_the_base_and_s2_carries_the_weights() {
    let dir = tempdir().unwrap();
    let (s1, s2) = (dir.path().join("s1"), dir.path().join("s2"));
    run_small("configs/demo_s1.yaml", &s1, &[]);
    run_small("configs/demo_s2.yaml", &s2, &[]);
    let base = record(&s1, 0)["weights"].clone();
    assert_eq!(record(&s2, 0)["weights"], base);
    for generation in 1..=2 {
        assert_eq!(record(&s1, generation)["starting_weights"], base);
        assert_eq!(record(&s1, generation)["starting_from"], "base");
        assert_ne!(record(&s1, generation)["weights"], base);
    }
    assert_eq!(record(&s2, 1)["starting_weights"], base);
    assert_eq!(record(&s2, 2)["starting_weights"], record(&s2, 1)["weights"]);
    assert_eq!(record(&s2, 2)["starting_from"], "gen-001");
    // the first generation is the same in both settings: same pool, same start
    assert_eq!(record(&s1, 1)["weights"], record(&s2, 1)["weights"]);
    assert_ne!(record(&s1, 2)["weights"], record(&s2, 2)["weights"]);
}

#[test]
fn a_run_folder_holds_what_the_design_says() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    let table = run_small("configs/demo_s2.yaml", &run, &[]);
    assert!(table.contains("ΔU") && table.contains("ΔG"), "{table}");
    for name in ["config.yaml", "manifest.json", "metrics.csv", "buckets.csv", "log.jsonl", "report"] {
        assert!(run.join(name).exists(), "{name}");
    }
    let synthetic = read(&run.join("gen-001/synthetic.jsonl"));
    assert_eq!(synthetic.lines().count(), 24);
    for line in synthetic.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let tokens = line["tokens"].as_array().unwrap();
        assert_eq!(tokens.len(), 64, "exactly as many tokens as a context");
        assert!(tokens.iter().all(|t| t != 2), "eos is suppressed");
        assert!(!line["text"].as_str().unwrap().is_empty());
    }
    let responses = read(&run.join("gen-002/responses.jsonl"));
    assert_eq!(responses.lines().count(), 20, "ten prompts, two responses each");
    let answer: Value = serde_json::from_str(responses.lines().next().unwrap()).unwrap();
    for field in ["id", "bucket", "response", "text", "tokens", "finish_reason", "seed"] {
        assert!(!answer[field].is_null(), "{field}");
    }
    // only the last generation keeps its weights, and generation 0 is the base itself
    assert!(!run.join("gen-000/model").exists() && !run.join("gen-001/model").exists());
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(run.join("gen-002/model").join(name).exists(), "{name}");
    }
    let first = record(&run, 1);
    let files = first["files"].as_object().unwrap();
    // the weights may be gone by now
    for (name, entry) in files.iter().filter(|(name, _)| !name.starts_with("model/")) {
        let bytes = fs::read(run.join("gen-001").join(name)).unwrap();
        assert_eq!(entry["bytes"], bytes.len());
        assert_eq!(entry["blake3"], sigma_data::hash_bytes(&bytes), "{name}");
    }
    for name in ["synthetic.jsonl", "embeddings.npy", "model/model.safetensors", "model/tokenizer.json"] {
        assert!(files.contains_key(name), "{name}");
    }
    for line in read(&run.join("log.jsonl")).lines() {
        let event: Value = serde_json::from_str(line).expect("every line of log.jsonl is JSON");
        assert!(event["timestamp"].is_string());
    }
    assert_eq!(column(&run, "generation"), ["0", "1", "2"]);
    assert_eq!(column(&run, "du_cov")[0], "0");
    assert_eq!(read(&run.join("buckets.csv")).lines().count(), 1 + 3 * 5);
}

#[test]
fn the_manifest_says_what_made_the_run_and_from_what() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=0"]);
    let manifest: Value = serde_json::from_str(&read(&run.join("manifest.json"))).unwrap();
    let start = &manifest["starts"][0];
    let (program, machine, sources) = (&start["program"], &start["machine"], &manifest["sources"]);
    assert_eq!(program["version"], env!("CARGO_PKG_VERSION"));
    assert!(program["compiler"].as_str().unwrap().starts_with("rustc "));
    for name in ["candle-core", "faer", "gemm", "pulp", "tokenizers"] {
        let lock = read(&root().join("Cargo.lock"));
        let version = program["libraries"][name].as_str().unwrap();
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")), "{name} {version}");
    }
    // outside of a checkout there is no commit
    assert!(program["commit"].as_str().is_none_or(|commit| commit.len() == 40) && program["dirty"].is_boolean());
    let machine_has = |key: &str| machine.as_object().unwrap().contains_key(key);
    assert!(["os", "arch", "cpu", "cpu_features", "threads", "gpu"].iter().all(|key| machine_has(key)));
    assert_eq!((&start["resolved"]["device"], &start["resolved"]["precision"]), (&"cpu".into(), &"f32".into()));
    for hash in ["condition_hash", "experiment_hash", "family_hash"] {
        assert_eq!(manifest[hash].as_str().unwrap().len(), 64, "{hash}");
    }
    for source in ["model", "encoder", "corpus", "prompts"] {
        assert_eq!(sources[source]["hash"].as_str().unwrap().len(), 64, "{source}");
    }
    assert_eq!(manifest["config_hash"], sigma_data::hash_bytes(read(&run.join("config.yaml")).as_bytes()));
}

#[test]
fn the_same_config_gives_the_same_bytes_for_any_threads_batch_size_and_folder() {
    let dir = tempdir().unwrap();
    for precision in ["fp32", "bf16"] {
        let precise = ["--set", &format!("training.precision={precision}")];
        let plain = dir.path().join(precision);
        run_small("configs/demo_s2.yaml", &plain, &precise);
        for (name, batch, threads) in [("one", "1", "1"), ("seven", "7", "2"), ("sixty-four", "64", "3")] {
            let other = dir.path().join(format!("{precision}-{name}"));
            let status = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
                .args(["run", "configs/demo_s2.yaml", "--out", other.to_str().unwrap()])
                .args(SMALL)
                .args(precise)
                .args(["--set", &format!("regeneration.batch_size={batch}")])
                .args(["--set", &format!("evaluation.batch_size={batch}")])
                .env("RAYON_NUM_THREADS", threads)
                .current_dir(root())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(status.success());
            assert_same_results(&plain, &other);
        }
    }
    let metrics = |precision: &str| read(&dir.path().join(precision).join("metrics.csv"));
    assert_ne!(metrics("fp32"), metrics("bf16"));
}

#[test]
fn interrupts_and_the_warnings_of_batch_systems_stop_cleanly_with_130_and_the_run_goes_on() {
    let dir = tempdir().unwrap();
    let whole = dir.path().join("whole");
    let longer = ["--set", "training.epochs=40", "--set", "generations=1"];
    run_small("configs/demo_s2.yaml", &whole, &longer);
    // the last one twice: the second signal leaves at once, in the middle of whatever is being done
    for signals in [&["-INT"][..], &["-TERM"], &["-USR1"], &["-INT", "-INT"]] {
        let run = dir.path().join(signals.concat());
        let mut child = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
            .args(["run", "configs/demo_s2.yaml", "--out", run.to_str().unwrap()])
            .args(SMALL)
            .args(longer)
            .current_dir(root())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !run.join("gen-000").exists() {
            assert!(child.try_wait().unwrap().is_none(), "the run ended before its first generation");
            std::thread::sleep(Duration::from_millis(5));
        }
        for signal in signals {
            Command::new("kill").args([signal, &child.id().to_string()[..]]).status().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{signals:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(signals.len() > 1 || stderr.contains("run the same command again"), "{stderr}");
        let status = succeeds(&["status", run.to_str().unwrap()]);
        assert!(status.contains("complete up to generation 0 of 1"), "{status}");
        run_small("configs/demo_s2.yaml", &run, &longer);
        assert_same_results(&whole, &run);
    }
}

#[test]
fn a_finished_run_does_nothing_again_and_can_be_extended() {
    let dir = tempdir().unwrap();
    let (short, long) = (dir.path().join("short"), dir.path().join("long"));
    run_small("configs/demo_s1.yaml", &short, &["--set", "generations=1"]);
    let before = results(&short);
    run_small("configs/demo_s1.yaml", &short, &["--set", "generations=1"]);
    assert!(results(&short) == before);
    run_small("configs/demo_s1.yaml", &short, &[]);
    run_small("configs/demo_s1.yaml", &long, &[]);
    assert_same_results(&short, &long);
}

#[test]
fn alpha_and_mode_decide_what_is_trained_on() {
    let dir = tempdir().unwrap();
    let mixture = |name: &str, sets: &[&str], generation| {
        let run = dir.path().join(name);
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        run_small("configs/demo_s2.yaml", &run, &sets);
        let m = record(&run, generation)["mixture"].clone();
        (m["blocks"].as_u64().unwrap(), m["real"].as_u64().unwrap(), run)
    };
    let (blocks, real, run) = mixture("half", &["mixture.real_fraction=0.5"], 2);
    assert_eq!((blocks, real), (24, 12));
    assert!(run.join("gen-002/synthetic.jsonl").exists());
    let (blocks, real, run) = mixture("real", &["mixture.real_fraction=1"], 2);
    assert_eq!((blocks, real), (24, 24));
    assert!(!run.join("gen-002/synthetic.jsonl").exists(), "no synthetic block is used, so none is written");
    assert_eq!(mixture("grow", &["mixture.mode=accumulate"], 2).0, 72);
    assert_eq!(mixture("sample", &["mixture.mode=accumulate_subsample"], 2).0, 24);
    let (blocks, real, _) = mixture("fresh", &["mixture.real_fraction=0.5", "mixture.real=fresh"], 2);
    assert_eq!((blocks, real), (24, 12));
}

#[test]
fn accumulating_goes_on_after_an_interruption_with_the_same_bytes() {
    let dir = tempdir().unwrap();
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let accumulate = ["--set", "mixture.mode=accumulate"];
    run_small("configs/demo_s1.yaml", &whole, &accumulate);
    run_small("configs/demo_s1.yaml", &parts, &["--set", "mixture.mode=accumulate", "--set", "generations=1"]);
    run_small("configs/demo_s1.yaml", &parts, &accumulate);
    assert_same_results(&whole, &parts);
}

#[test]
fn going_on_with_another_config_is_refused_by_name_and_fresh_starts_over() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=1"]);
    let before = results(&run);
    let mut changed = vec!["run", "configs/demo_s2.yaml", "--out", run.to_str().unwrap()];
    changed.extend(SMALL);
    changed.extend(["--set", "training.learning_rate=3e-4"]);
    let message = fails(&changed);
    assert!(message.contains("training.learning_rate: 0.0003 was 0.0004"), "{message}");
    assert!(results(&run) == before, "a refusal changes nothing");
    changed.push("--fresh");
    succeeds(&changed);
    assert!(results(&run) != before);
}

#[test]
fn a_second_process_on_the_same_folder_is_refused_with_the_pid_of_the_first() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    let mut first = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
        .args(["run", "configs/demo_s2.yaml", "--out", run.to_str().unwrap()])
        .args(SMALL)
        .args(["--set", "training.epochs=500"])
        .current_dir(root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !run.join("gen-000").exists() {
        assert!(first.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut second = vec!["run", "configs/demo_s2.yaml", "--out", run.to_str().unwrap()];
    second.extend(SMALL);
    let message = fails(&second);
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(message.contains(&format!("in use by process {}", first.id())), "{message}");
}

#[test]
fn retention_keeps_what_is_asked_for() {
    let dir = tempdir().unwrap();
    let (all, second) = (dir.path().join("all"), dir.path().join("second"));
    run_small("configs/demo_s1.yaml", &all, &["--set", "checkpoints.keep=all"]);
    assert!(all.join("gen-001/model").exists() && all.join("gen-002/model").exists());
    run_small("configs/demo_s1.yaml", &second, &["--set", "checkpoints.keep={every: 2}", "--set", "generations=3"]);
    let kept: Vec<bool> = (1..=3).map(|g| second.join(format!("gen-{g:03}/model")).exists()).collect();
    assert_eq!(kept, [false, true, true]);
}

#[test]
fn a_report_on_two_seeds_has_a_page_and_the_published_numbers_beside_the_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, out) = (folder.path().join("one"), folder.path().join("two"), folder.path().join("report"));
    run_small("configs/demo_s1.yaml", &one, &[]);
    run_small("configs/demo_s1.yaml", &two, &["--set", "seed=43"]);
    let path = |p: &Path| p.to_str().unwrap().to_string();
    let (one, two, to) = (path(&one), path(&two), path(&out));
    let printed = succeeds(&["report", &one, &two, "--out", &to, "--prefix", "x", "--paper"]);
    assert!(
        printed.contains("differs from the published S1 run in domain (fin; published: tech), corpus"),
        "{printed}"
    );
    for name in [
        "index.html",
        "figures/x_s1_published.pdf",
        "tables/tab_x_published.csv",
        "tables/tab_x_seeds.md",
        "figures/x_buckets.png",
    ] {
        assert!(out.join(name).exists(), "{name}");
    }
    assert!(printed.lines().last().unwrap().ends_with("index.html"), "one path, not seventy: {printed}");
    // the prompts of the bank are shown above the answers
    let first = read(&root().join("data/fin/prompts.jsonl"));
    let prompt: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    let text = prompt["text"].as_str().unwrap();
    assert!(read(&out.join("index.html")).contains(&text[..30]), "{text}");
    // a run's own page is there without being asked for
    assert!(Path::new(&one).join("report/index.html").exists());
}
