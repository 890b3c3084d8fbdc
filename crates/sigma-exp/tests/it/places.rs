//! Where a run's folder may lie, what else may lie in it, and how early a run can be killed.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::{SMALL, assert_same_results, read, root, run_small, sigma, succeeds};

#[test]
fn a_path_with_spaces_and_any_letters_and_a_moved_folder_change_nothing() {
    let dir = tempdir().unwrap();
    let (plain, odd) = (dir.path().join("plain"), dir.path().join("a b/ñandú 模型 'x' $HOME"));
    let moved = dir.path().join("moved");
    run_small("configs/demo_s2.yaml", &plain, &[]);
    run_small("configs/demo_s2.yaml", &odd, &["--set", "generations=1"]);
    fs::rename(&odd, &moved).unwrap();
    succeeds(&["status", moved.to_str().unwrap(), "--verify"]);
    // from another working directory too, with the config's paths made absolute
    let config = dir.path().join("config.yaml");
    let absolute = |from: &str| format!("{}/{from}", root().display());
    fs::write(&config, read(&root().join("configs/demo_s2.yaml"))).unwrap();
    run_small(config.to_str().unwrap(), &moved, &[]);
    assert_same_results(&plain, &moved);
    succeeds(&["status", moved.to_str().unwrap(), "--verify"]);
    let elsewhere = dir.path().join("elsewhere");
    let sets = ["model.source", "encoder.source"].map(|key| format!("{key}={}", absolute("data/models/opt-tiny")));
    let status = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
        .args(["run", config.to_str().unwrap(), "--out", "elsewhere"])
        .args(SMALL)
        .args(["--set", &sets[0], "--set", &sets[1]])
        .args(["--set", &format!("corpus.path={}", absolute("data/fin/corpus.jsonl"))])
        .args(["--set", &format!("prompts.path={}", absolute("data/fin/prompts.jsonl"))])
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert_same_results(&plain, &elsewhere);
}

#[test]
fn what_a_run_did_not_write_it_does_not_remove() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=0"]);
    let theirs = ["notes.txt", "thesis.partial/chapter.tex", "gen-1.partial/x", "gen-001.backup/x", "data.partial"];
    for name in theirs {
        let path = run.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "years of work").unwrap();
    }
    // left over by a process that was killed before it had anything to go on from
    fs::create_dir(run.join("gen-001.partial")).unwrap();
    fs::write(run.join("gen-001.partial/synthetic.jsonl"), "{").unwrap();
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=1"]);
    assert!(!run.join("gen-001.partial").exists() && run.join("gen-001/record.json").exists());
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=1", "--set", "seed=7", "--fresh"]);
    assert!(theirs.iter().all(|name| read(&run.join(name)) == "years of work"));
    succeeds(&["status", run.to_str().unwrap(), "--verify"]);
}

#[test]
fn a_refusal_leaves_what_another_run_can_go_on_from() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=0"]);
    fs::create_dir(run.join("gen-001.partial")).unwrap();
    fs::write(run.join("gen-001.partial/synthetic.jsonl"), "{").unwrap();
    let other = ["run", "configs/demo_s2.yaml", "--out", run.to_str().unwrap(), "--set", "seed=7"];
    assert_eq!(sigma(&[&other[..], &SMALL].concat()).status.code(), Some(2));
    assert!(run.join("gen-001.partial/synthetic.jsonl").exists());
}

#[test]
fn a_start_that_was_killed_before_its_manifest_goes_on() {
    let dir = tempdir().unwrap();
    let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
    run_small("configs/demo_s2.yaml", &whole, &["--set", "generations=1"]);
    // what such a start leaves, in the order in which it writes
    for left in [
        &["lock"][..],
        &["lock", ".config.yaml.sigma-exp.tmp"],
        &["lock", "config.yaml"],
        &["lock", "config.yaml", ".manifest.json.sigma-exp.tmp"],
    ] {
        fs::create_dir(&run).unwrap();
        for name in left {
            let content = if *name == "lock" { read(&whole.join("lock")) } else { "name: demo_s".to_string() };
            fs::write(run.join(name), content).unwrap();
        }
        run_small("configs/demo_s2.yaml", &run, &["--set", "generations=1"]);
        assert_same_results(&whole, &run);
        fs::remove_dir_all(&run).unwrap();
    }
    // the same names without a lock of this program are somebody else's
    fs::create_dir(&run).unwrap();
    fs::write(run.join("lock"), "").unwrap();
    fs::write(run.join("config.yaml"), "mine").unwrap();
    let arguments = ["run", "configs/demo_s2.yaml", "--out", run.to_str().unwrap()];
    assert_eq!(sigma(&arguments).status.code(), Some(2));
    assert_eq!(read(&run.join("config.yaml")), "mine");
}
