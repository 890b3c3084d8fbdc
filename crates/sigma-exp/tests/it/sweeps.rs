//! Sweeps on this machine: their runs equal runs made alone, work is shared provably, and neither a failure nor a stop
//! costs anything that was finished.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::tempdir;

use crate::{assert_same_results, fails, read, root, sigma, succeeds};

/// What makes a demo run take a second.
pub(crate) const SMALL_SET: &str = "generations: 2, corpus.max_contexts: 24, prompts.max_per_bucket: 2, evaluation.responses_per_prompt: 2, \
                             evaluation.max_new_tokens: 40, training.epochs: 1, sigma.observed: 12, evaluation.noise_replicates: 2";

/// A sweep file in `dir` on top of the small demo.
pub(crate) fn sweep_file(dir: &Path, more: &str) -> PathBuf {
    let base = root().join("configs/demo_s2.yaml");
    let path = dir.join("sweep.yaml");
    fs::write(&path, format!("name: small\nbase: {}\nset: {{ {SMALL_SET} }}\n{more}\n", base.display())).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The measured part of generation 0's record.
fn measured(run: &Path) -> Vec<Value> {
    let record: Value = serde_json::from_str(&read(&run.join("gen-000/record.json"))).unwrap();
    ["sigma", "buckets", "surface", "flags", "files", "weights"].iter().map(|key| record[key].clone()).collect()
}

#[test]
fn every_run_of_a_sweep_has_the_bytes_of_a_run_alone_and_the_base_is_evaluated_once() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("out");
    let file = sweep_file(dir.path(), "grid: { setting: [s1, s2], alpha: [0, 1] }\njobs: 2");
    let table = succeeds(&["sweep", text(&file), "--out", text(&out)]);
    assert!(table.contains("4 runs: 4 complete, 0 running, 0 failed, 0 waiting"), "{table}");
    let evaluations = fs::read_dir(out.join("base")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(evaluations.count(), 1, "two runs at a time, and still one evaluation");
    let taken = ["s1_a0", "s1_a1", "s2_a0", "s2_a1"]
        .iter()
        .filter(|run| read(&out.join(format!("logs/{run}.log"))).contains("generation 0: taken from"))
        .count();
    assert_eq!(taken, 3);

    let alone = dir.path().join("alone");
    let config = out.join("configs/s1_a1.yaml");
    succeeds(&["run", text(&config), "--out", text(&alone)]);
    assert_same_results(&alone, &out.join("runs/s1_a1"));
    for run in ["s1_a0", "s1_a1", "s2_a0", "s2_a1"] {
        assert_eq!(measured(&alone), measured(&out.join("runs").join(run)), "{run}");
    }
    assert!(out.join("report/index.html").exists());
    // S2 beside S1, and alpha = 1 beside alpha = 0, in one table
    let summary = read(&out.join("report/tables/tab_small_s1s2_summary.csv"));
    assert_eq!(summary.lines().count(), 5, "{summary}");
    // the same command once more has nothing to do
    let again = sigma(&["sweep", text(&file), "--out", text(&out)]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("0 of 4 runs to do"));
    // a report by hand is the same report
    let printed = succeeds(&["report", text(&out)]);
    assert!(printed.lines().last().unwrap().ends_with("index.html"), "{printed}");
    assert_eq!(read(&out.join("report/tables/tab_small_s1s2_summary.csv")), summary);
}

#[test]
fn another_seed_or_a_damaged_evaluation_is_never_shared() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("out");
    let file = sweep_file(dir.path(), "grid: { seed: [1, 2] }");
    succeeds(&["sweep", text(&file), "--out", text(&out)]);
    let folders = || -> Vec<PathBuf> {
        let entries = fs::read_dir(out.join("base")).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    assert_eq!(folders().len(), 2);
    assert_ne!(measured(&out.join("runs/seed1")), measured(&out.join("runs/seed2")));

    for folder in folders() {
        fs::write(folder.join("responses.jsonl"), "{}\n").unwrap();
    }
    let before = measured(&out.join("runs/seed1"));
    fs::remove_dir_all(out.join("runs/seed1")).unwrap();
    succeeds(&["sweep", text(&file), "--out", text(&out)]);
    assert_eq!(measured(&out.join("runs/seed1")), before);
    assert!(read(&out.join("logs/seed1.log")).contains("responses.jsonl is damaged"));
}

#[test]
fn a_failing_run_stops_no_other_and_is_tried_again_only_on_request() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("out");
    let corpus = dir.path().join("corpus.jsonl");
    let good = root().join("data/fin/corpus.jsonl");
    let file = sweep_file(
        dir.path(),
        &format!("runs: [{{ corpus.path: {} }}, {{ corpus.path: {}, seed: 7 }}]", corpus.display(), good.display()),
    );
    let sweep = ["sweep", text(&file), "--out", text(&out)];
    let message = fails(&sweep);
    assert!(message.contains("1 of 2 runs failed") && message.contains("--retry-failed"), "{message}");
    assert!(message.contains("corpus.jsonl"), "the reason is said at once: {message}");
    let status = succeeds(&["status", text(&out)]);
    assert!(status.contains("1 complete, 0 running, 1 failed") && status.contains("corpus.jsonl"), "{status}");

    fs::copy(good, &corpus).unwrap();
    let message = fails(&sweep);
    assert!(message.contains("0 of 2 runs to do"), "{message}");
    succeeds(&[&sweep[..], &["--retry-failed"]].concat());
    assert!(succeeds(&["status", text(&out)]).contains("2 complete, 0 running, 0 failed"));
}

#[test]
fn a_stopped_sweep_goes_on_and_ends_with_the_same_bytes() {
    let dir = tempdir().unwrap();
    let (out, whole) = (dir.path().join("out"), dir.path().join("whole"));
    let file = sweep_file(dir.path(), "grid: { alpha: [0, 0.5], training.epochs: [8] }");
    let mut child = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
        .args(["sweep", text(&file), "--out", text(&out)])
        .current_dir(root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !out.join("runs/a0_epochs8/gen-000/record.json").exists() {
        assert!(started.elapsed() < Duration::from_secs(300));
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let status = succeeds(&["status", text(&out)]);
    assert!(status.contains("0 running, 0 failed, 2 waiting"), "no run outlives its sweep, and none failed: {status}");
    assert!(status.contains("stopped"), "{status}");
    succeeds(&["sweep", text(&file), "--out", text(&out)]);
    succeeds(&["sweep", text(&file), "--out", text(&whole)]);
    for run in ["a0_epochs8", "a0.5_epochs8"] {
        assert_same_results(&out.join("runs").join(run), &whole.join("runs").join(run));
    }
}

#[test]
fn a_killed_run_is_told_from_one_that_went_wrong() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("out");
    let file = sweep_file(dir.path(), "grid: { training.epochs: [2000], seed: [1] }");
    let mut sweep = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
        .args(["sweep", text(&file), "--out", text(&out)])
        .current_dir(root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let run = out.join("runs/epochs2000_seed1");
    let started = Instant::now();
    while !run.join("gen-000/record.json").exists() {
        assert!(started.elapsed() < Duration::from_secs(300));
        std::thread::sleep(Duration::from_millis(20));
    }
    let holder = read(&run.join("lock"));
    let pid = holder.split(' ').nth(1).unwrap();
    assert!(succeeds(&["status", text(&out)]).contains("1 running"));
    assert!(succeeds(&["status", text(&run)]).contains(&format!("in use by process {pid}")));
    let lock = fails(&["sweep", text(&file), "--out", text(&out)]);
    assert!(lock.contains("is being run by another process"), "{lock}");
    Command::new("kill").args(["-KILL", pid]).status().unwrap();
    assert_eq!(sweep.wait().unwrap().code(), Some(2));
    let status = succeeds(&["status", text(&out)]);
    assert!(status.contains("ended by signal 9") && status.contains("memory"), "{status}");
}

#[test]
fn a_changed_sweep_is_refused_with_the_difference_and_a_longer_one_is_not() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("out");
    succeeds(&["sweep", text(&sweep_file(dir.path(), "grid: { alpha: [0] }")), "--out", text(&out)]);
    let longer = sweep_file(dir.path(), "grid: { alpha: [0, 1] }");
    let plan = succeeds(&["sweep", text(&longer), "--out", text(&out), "--dry-run"]);
    assert!(plan.contains("2 runs") && plan.contains("a1"), "{plan}");
    succeeds(&["sweep", text(&longer), "--out", text(&out)]);
    assert!(succeeds(&["status", text(&out)]).contains("2 runs: 2 complete"));
    let changed = sweep_file(dir.path(), "grid: { alpha: [0, 1] }\n").with_extension("yml");
    fs::write(&changed, read(&dir.path().join("sweep.yaml")).replace("observed: 12", "observed: 11")).unwrap();
    let message = fails(&["sweep", text(&changed), "--out", text(&out)]);
    assert!(message.contains("sigma.observed: 11 was 12"), "{message}");
}

#[test]
fn broken_sweep_files_and_folders_say_what_is_wrong() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("out");
    for (more, words) in [
        ("", &["varies nothing"][..]),
        ("gird: { seed: [1] }", &["gird", "did you mean `grid`"]),
        ("grid: { seed: [1] }\njobs: 0", &["jobs"]),
        ("grid: { seed: [one] }", &["seedone", "seed"]),
        ("grid: { sed: [1] }", &["sed1", "did you mean `seed`"]),
        ("grid: { seed: [1] }\nslurm: { time: 'one hour' }", &["slurm.time", "one word"]),
        ("grid: { seed: [1] }\nslurm: { extra: [n3] }", &["slurm.extra", "starts with"]),
        ("grid: { seed: [1] }\nslurm: { partitoin: x }", &["partitoin", "did you mean `partition`"]),
    ] {
        let file = sweep_file(dir.path(), more);
        let message = fails(&["sweep", text(&file), "--out", text(&out)]);
        assert!(words.iter().all(|word| message.contains(word)), "{more}: {message}");
        assert!(!out.exists(), "nothing is made of a broken sweep");
    }
    let file = sweep_file(dir.path(), "grid: { seed: [1] }");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("thesis.tex"), "mine").unwrap();
    let message = fails(&["sweep", text(&file), "--out", text(&out)]);
    assert!(message.contains("not a sweep's folder"), "{message}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}
