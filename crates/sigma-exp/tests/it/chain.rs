//! Numbers of a run that somebody changed are noticed by everything that reads them, and the run makes them again.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sigma_data::hash_bytes;
use tempfile::TempDir;

use crate::integrity::copy;
use crate::ownership::FINISHED;
use crate::{assert_same_results, fails, read, run_small, sigma, succeeds};

const ONE: [&str; 2] = ["--set", "generations=1"];

/// A copy of the finished run.
fn copied() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    copy(&FINISHED.1, &run);
    (dir, run)
}

fn edit(path: &Path, change: impl Fn(&mut Value)) {
    let mut value: Value = serde_json::from_str(&read(path)).unwrap();
    change(&mut value);
    fs::write(path, serde_json::to_string_pretty(&value).unwrap()).unwrap();
}

fn verify(run: &Path) -> (Option<i32>, String) {
    let output = sigma(&["status", run.to_str().unwrap(), "--verify"]);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_number_of_a_record_that_was_changed_is_named_and_nobody_takes_it_over() {
    type Edit = (&'static str, fn(&mut Value));
    let edits: [Edit; 9] = [
        ("sigma", |r| r["sigma"]["u_cov"] = json!(r["sigma"]["u_cov"].as_f64().unwrap() - 50.0)),
        ("drift", |r| r["drift"]["du_lower"] = json!(-999.0)),
        ("surface", |r| r["surface"]["distinct_2"] = json!(0.001)),
        ("buckets", |r| r["buckets"][0]["answers"] = json!(3)),
        ("training", |r| r["training"]["mean_loss_last_epoch"] = json!(0.5)),
        ("times", |r| r["seconds"] = json!(1.0)),
        ("weights", |r| r["weights"] = json!("ab")),
        ("files", |r| r["files"] = json!({})),
        ("a file", |r| drop(r["files"].as_object_mut().unwrap().remove("responses.jsonl"))),
    ];
    for (name, change) in edits {
        let (dir, run) = copied();
        edit(&run.join("gen-001/record.json"), change);
        let (code, said) = verify(&run);
        assert!(code == Some(1) && said.contains("generation 1"), "{name}: {said}");
        // the report says what it leaves out
        let out = dir.path().join("report");
        let output = sigma(&["report", run.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("generations from 1 on are left out"), "{name}: {said}");
        run_small("configs/demo_s2.yaml", &run, &ONE);
        assert_same_results(&FINISHED.1, &run);
        assert_eq!(verify(&run).0, Some(0), "{name}");
    }
}

#[test]
fn a_record_with_its_hash_changed_everywhere_still_does_not_follow_from_the_files() {
    let (_dir, run) = copied();
    let path = run.join("gen-001/record.json");
    edit(&path, |record| record["sigma"]["u_cov"] = json!(-1234.5));
    let hash = hash_bytes(&fs::read(&path).unwrap());
    edit(&run.join("manifest.json"), |manifest| manifest["records"]["1"] = json!(hash));
    let (code, said) = verify(&run);
    assert!(code == Some(1) && said.contains("generation 1") && said.contains("u_cov"), "{said}");
}

#[test]
fn a_file_beside_a_record_that_was_changed_together_with_its_hash_breaks_the_chain() {
    let (_dir, run) = copied();
    let answers = run.join("gen-001/responses.jsonl");
    fs::write(&answers, read(&answers).replacen(' ', "  ", 1)).unwrap();
    let bytes = fs::read(&answers).unwrap();
    edit(&run.join("gen-001/record.json"), |record| {
        record["files"]["responses.jsonl"] = json!({"bytes": bytes.len(), "blake3": hash_bytes(&bytes)});
    });
    let (code, said) = verify(&run);
    assert!(code == Some(1) && said.contains("generation 1"), "{said}");
}

#[test]
fn a_copied_run_with_another_seed_in_its_manifest_is_no_second_seed() {
    let (dir, run) = copied();
    edit(&run.join("manifest.json"), |manifest| manifest["seed"] = json!(7));
    let (code, said) = verify(&run);
    assert_eq!(code, Some(1), "{said}");
    let out = dir.path().join("report");
    let report = || {
        let runs = [&FINISHED.1, &run].map(|run| run.to_str().unwrap());
        let output = sigma(&["report", runs[0], runs[1], "--out", out.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        let page = read(&out.join("index.html"));
        assert!(said.contains("left out") && !page.contains("seed 7"), "{said}");
    };
    report();
    let config = run.join("config.yaml");
    fs::write(&config, read(&config).replace("seed: 42", "seed: 7")).unwrap();
    report();
}

#[test]
fn a_manifest_that_was_changed_is_named() {
    for (name, change) in [
        ("seed", (|m| m["seed"] = json!(9)) as fn(&mut Value)),
        ("condition_hash", |m| m["condition_hash"] = json!("00")),
        ("records", |m| m["records"] = json!({})),
        ("config_hash", |m| m["config_hash"] = json!("00")),
    ] {
        let (_dir, run) = copied();
        edit(&run.join("manifest.json"), change);
        let (code, said) = verify(&run);
        assert_eq!(code, Some(1), "{name}: {said}");
    }
}

#[test]
fn a_shared_evaluation_of_a_sweep_that_was_changed_moves_no_drift() {
    let dir = tempfile::tempdir().unwrap();
    let file = crate::sweeps::sweep_file(dir.path(), "grid: { seed: [1] }");
    let (whole, sweep) = (dir.path().join("whole"), dir.path().join("sweep"));
    for out in [&whole, &sweep] {
        succeeds(&["sweep", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    }
    let mut changed = 0;
    for path in files(&sweep.join("base")).into_iter().filter(|path| path.ends_with("evaluation.json")) {
        edit(&path, |evaluation| {
            if let Some(sigma) = evaluation.pointer_mut("/sigma/u_cov") {
                *sigma = json!(sigma.as_f64().unwrap() + 847.0);
            }
        });
        changed += 1;
    }
    // members made anew may not take it over
    let members =
        fs::read_dir(sweep.join("runs")).map(|entries| entries.map(|e| e.unwrap().path()).collect::<Vec<_>>());
    for member in members.unwrap_or_default() {
        fs::remove_dir_all(member).unwrap();
    }
    assert!(changed > 0, "{:?}", files(&sweep));
    succeeds(&["sweep", file.to_str().unwrap(), "--out", sweep.to_str().unwrap()]);
    let tables = |sweep: &Path| {
        let runs = fs::read_dir(sweep.join("runs")).unwrap().map(|e| e.unwrap().path());
        runs.map(|run| read(&run.join("metrics.csv"))).collect::<Vec<_>>()
    };
    assert_eq!(tables(&sweep), tables(&whole));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_manifest_that_lags_one_record_behind_after_a_kill_is_brought_up() {
    let (_dir, run) = copied();
    edit(&run.join("manifest.json"), |manifest| drop(manifest["records"].as_object_mut().unwrap().remove("1")));
    run_small("configs/demo_s2.yaml", &run, &ONE);
    assert_same_results(&FINISHED.1, &run);
    assert!(!run.join("set-aside").exists());
    assert_eq!(verify(&run).0, Some(0));
}

#[test]
fn verify_says_what_it_cannot_compute_again() {
    let (code, said) = verify(&FINISHED.1);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("perplexity") && said.contains("not recomputed"), "{said}");
}

#[test]
fn a_run_of_the_first_format_is_shown_as_not_chained_and_is_neither_resumed_nor_verified() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    copy(&crate::root().join("crates/sigma-report/tests/legacy"), &run);
    let before = files(&run);
    let (shown, out) = (run.to_str().unwrap(), dir.path().join("report"));
    assert!(succeeds(&["status", shown]).contains("not chained"));
    let output = sigma(&["report", shown, "--out", out.to_str().unwrap()]);
    assert!(output.status.success() && String::from_utf8(output.stderr).unwrap().contains("not chained"));
    assert!(fails(&["status", shown, "--verify"]).contains("not chained"));
    let said = fails(&["run", "configs/demo_s2.yaml", "--out", shown]);
    assert!(said.contains("manifest.json") && said.contains("schema 1"), "{said}");
    // a lock is taken to look
    let after: Vec<_> = files(&run).into_iter().filter(|path| !path.ends_with("lock")).collect();
    assert_eq!(after, before);
}
