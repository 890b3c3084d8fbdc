//! Damage to a finished run is found by name, and made good from the last generation that can be trusted.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use crate::{SMALL, assert_same_results, read, root, run_small, sigma, succeeds};

fn verify(run: &Path) -> (Option<i32>, String) {
    let output = sigma(&["status", run.to_str().unwrap(), "--verify"]);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// The generations that a repair has moved away.
fn set_aside(run: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(run.join("set-aside")) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_damage_is_named_and_made_good_with_the_same_bytes() {
    let dir = tempdir().unwrap();
    let whole = dir.path().join("whole");
    let keep = ["--set", "checkpoints.keep=all", "--set", "generations=3"];
    run_small("configs/demo_s2.yaml", &whole, &keep);
    assert_eq!(verify(&whole).0, Some(0));
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let cut = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 3]).unwrap();
    };
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path), &'a [&'a str]);
    let later: &[&str] = &["gen-002", "gen-003"];
    let remove = |path: &Path| {
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    };
    let cases: [Damage<'_>; 13] = [
        ("gen-002/responses.jsonl", &flip, later),
        ("gen-002/embeddings.npy", &cut, later),
        ("gen-002/synthetic.jsonl", &remove, later),
        ("gen-002/record.json", &cut, later),
        ("gen-002/record.json", &remove, later),
        ("gen-002", &remove, &["gen-003"]),
        // the evaluation of the base is a matter of its own
        ("gen-000/responses.jsonl", &flip, &["gen-000"]),
        ("gen-000/record.json", &remove, &["gen-000"]),
        ("metrics.csv", &flip, &[]),
        // weights that are kept are part of their generation, and so is what lies beside them
        ("gen-003/model/model.safetensors", &flip, &["gen-003"]),
        ("gen-002/model/tokenizer.json", &cut, later),
        ("gen-003/spectrum.csv", &flip, &["gen-003"]),
        ("gen-003/training.csv", &remove, &["gen-003"]),
    ];
    for (i, (file, damage, moved)) in cases.into_iter().enumerate() {
        let run = dir.path().join(format!("run-{i}"));
        copy(&whole, &run);
        damage(&run.join(file));
        let (code, said) = verify(&run);
        assert_eq!(code, Some(1), "{file}: {said}");
        let name = file.split('/').next_back().unwrap();
        let generation = format!("generation {}", file.trim_start_matches("gen-00").chars().next().unwrap());
        assert!(said.contains(name) || said.contains(&generation), "{file}: {said}");
        run_small("configs/demo_s2.yaml", &run, &keep);
        assert_same_results(&whole, &run);
        assert_eq!(set_aside(&run), moved, "{file}");
        assert_eq!(verify(&run).0, Some(0), "{file}");
    }
}

#[test]
fn every_file_beside_the_generations_is_looked_at_and_what_follows_from_records_is_written_anew() {
    let dir = tempdir().unwrap();
    let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
    run_small("configs/demo_s2.yaml", &whole, &[]);
    copy(&whole, &run);
    for name in ["metrics.csv", "buckets.csv", "timings.csv", "noise_floor.csv", "manifest.json", "config.yaml"] {
        let kept = fs::read(run.join(name)).unwrap();
        for damaged in [None, Some(&kept[..kept.len() / 2])] {
            match damaged {
                None => fs::remove_file(run.join(name)).unwrap(),
                Some(half) => fs::write(run.join(name), half).unwrap(),
            }
            let (code, said) = verify(&run);
            assert!(code == Some(1) && said.contains(name), "{name}: {said}");
        }
        fs::write(run.join(name), kept).unwrap();
        assert_eq!(verify(&run).0, Some(0));
    }
    // what nothing rests on is told, but no failure
    let first = read(&run.join("log.jsonl")).lines().next().unwrap().to_string();
    fs::write(run.join("log.jsonl"), format!("{first}\n{{\"half")).unwrap();
    fs::remove_dir_all(run.join("gen-002/model")).unwrap();
    let (code, said) = verify(&run);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("log.jsonl: line 2 holds no event") && said.contains("its weights are gone"), "{said}");
    for name in ["metrics.csv", "buckets.csv", "timings.csv", "noise_floor.csv"] {
        fs::write(run.join(name), "x").unwrap();
    }
    fs::remove_dir_all(run.join("report")).unwrap();
    run_small("configs/demo_s2.yaml", &run, &[]);
    for name in ["metrics.csv", "buckets.csv", "timings.csv", "noise_floor.csv"] {
        assert_eq!(read(&run.join(name)), read(&whole.join(name)), "{name}");
    }
    assert!(run.join("report/index.html").exists() && set_aside(&run).is_empty());
    let log = read(&run.join("log.jsonl"));
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
}

#[test]
fn weights_that_are_not_what_a_generation_ended_with_are_not_trained_on() {
    let dir = tempdir().unwrap();
    let (run, whole) = (dir.path().join("run"), dir.path().join("whole"));
    run_small("configs/demo_s2.yaml", &whole, &[]);
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=1"]);
    let weights = run.join("gen-001/model/model.safetensors");
    fs::copy(root().join("data/models/opt-tiny/model.safetensors"), &weights).unwrap();
    let (code, said) = verify(&run);
    assert_eq!(code, Some(1));
    assert!(said.contains("generation 1: model/model.safetensors has changed"), "{said}");
    // one more generation needs them, so they are made again
    run_small("configs/demo_s2.yaml", &run, &[]);
    assert_same_results(&whole, &run);
    assert_eq!(set_aside(&run), ["gen-001"]);
}

#[test]
fn a_run_goes_back_to_the_last_generation_that_kept_its_weights() {
    let dir = tempdir().unwrap();
    let (run, whole) = (dir.path().join("run"), dir.path().join("whole"));
    let keep = ["--set", "checkpoints.keep={every: 2}", "--set", "generations=4"];
    run_small("configs/demo_s2.yaml", &whole, &keep);
    copy(&whole, &run);
    fs::remove_file(run.join("gen-004/embeddings.npy")).unwrap();
    let output =
        sigma(&[&["run", "configs/demo_s2.yaml", "--out", run.to_str().unwrap()][..], &SMALL[..], &keep[..]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("going on from generation 2"), "generation 3 has no weights any more: {said}");
    assert_eq!(set_aside(&run), ["gen-003", "gen-004"]);
    assert_same_results(&whole, &run);
}

#[test]
fn status_verifies_every_run_of_a_sweep() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("out");
    let file = crate::sweeps::sweep_file(dir.path(), "grid: { alpha: [0, 1] }");
    succeeds(&["sweep", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(verify(&out).0, Some(0));
    fs::write(out.join("runs/a1/gen-001/responses.jsonl"), "").unwrap();
    let (code, said) = verify(&out);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("a1: generation 1: responses.jsonl has changed") && said.contains("a0: every file"),
        "{said}"
    );
    assert!(read(&out.join("sweep.json")).contains("a1"));
}
