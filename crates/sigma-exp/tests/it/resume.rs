//! A run that is stopped at any instant goes on in the middle of its generation and ends with the bytes of one that
//! never stopped. `SIGMA_EXP_KILLS=60 cargo test --release` kills so many times instead of a few.
#![allow(clippy::print_stderr)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::tempdir;

use crate::{SMALL, assert_same_results, read, root, run_small};

const DEFAULT_KILLS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(300);

/// Saves after every step, so that every instant lies beside a savepoint.
pub(crate) const SAVE_ALWAYS: [&str; 2] = ["--set", "checkpoints.save_minutes=0"];

/// What a run can be at.
const STAGES: [&str; 6] = ["sampling", "training", "answering", "embedding", "writing", "reporting"];

fn start(out: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
        .args(["run", "configs/demo_s2.yaml", "--out", out.to_str().unwrap()])
        .args(SMALL)
        .args(more)
        .current_dir(root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the generation in the making has, from its savepoint.
fn stage(out: &Path) -> Option<&'static str> {
    let Some(partial) = partial(out) else {
        return out.join("gen-002/record.json").exists().then_some("reporting");
    };
    if partial.join("record.json").exists() || partial.join("spectrum.csv").exists() {
        return Some("writing");
    }
    if partial.join("responses.jsonl").exists() {
        return Some("embedding");
    }
    let state: Value = serde_json::from_str(&fs::read_to_string(partial.join("resume/state.json")).ok()?).ok()?;
    if partial.ends_with("gen-000.partial") || !state["trained"].is_null() {
        return Some("answering");
    }
    Some(if state["pool"].is_null() { "sampling" } else { "training" })
}

fn partial(out: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(out).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    entries.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "partial"))
}

/// Waits until the run is at `wanted` in a generation after the base.
fn wait_for(child: &mut Child, out: &Path, wanted: &str) {
    let begun = Instant::now();
    while !(out.join("gen-000").exists() && stage(out) == Some(wanted)) {
        if begun.elapsed() > PATIENCE || child.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Numbers that look random and are the same in every test run.
fn scrambled(i: usize) -> u64 {
    (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33
}

/// The page, tables and figures follow from the records alone.
fn assert_same_report(a: &Path, b: &Path) {
    let (a, b) = (a.join("report"), b.join("report"));
    let names =
        |folder: &Path| files(folder).iter().map(|f| f.strip_prefix(folder).unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    assert!(names(&a).contains(&PathBuf::from("index.html")));
    for name in names(&a) {
        assert!(fs::read(a.join(&name)).unwrap() == fs::read(b.join(&name)).unwrap(), "{} differs", name.display());
    }
}

#[test]
fn a_run_killed_at_many_instants_ends_with_the_same_bytes() {
    let kills: usize = std::env::var("SIGMA_EXP_KILLS").map_or(DEFAULT_KILLS, |text| text.parse().unwrap());
    let dir = tempdir().unwrap();
    let whole = dir.path().join("whole");
    let more = [&SAVE_ALWAYS[..], &["--set", "training.epochs=3"]].concat();
    run_small("configs/demo_s2.yaml", &whole, &more);
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut killed, mut runs, mut attempts) = (0, 0, 0);
    while killed < kills {
        runs += 1;
        let out = dir.path().join(format!("killed-{runs}"));
        loop {
            let mut child = start(&out, &more);
            let begun = Instant::now();
            // every stage in turn, and an instant within it; stages that are over in a moment are caught by asking
            // often
            let wanted = STAGES[attempts % STAGES.len()];
            attempts += 1;
            while stage(&out) != Some(wanted) && begun.elapsed() < PATIENCE && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_micros(500));
            }
            std::thread::sleep(Duration::from_micros(scrambled(attempts) % 20_000));
            let alive = child.try_wait().unwrap().is_none();
            // SIGKILL; it may have ended by itself just now
            let _ = child.kill();
            let status = child.wait().unwrap();
            if status.success() || killed == kills {
                break;
            }
            if alive {
                killed += 1;
                *reached.entry(stage(&out).unwrap_or("between generations")).or_default() += 1;
            }
        }
        run_small("configs/demo_s2.yaml", &out, &more);
        assert_same_results(&whole, &out);
        assert_same_report(&whole, &out);
        assert!(partial(&out).is_none(), "nothing is left over");
    }
    eprintln!("{killed} kills in {runs} runs, by what was being done: {reached:?}");
    if kills >= 50 {
        assert!(STAGES.iter().all(|stage| reached.contains_key(stage)), "{reached:?}");
    }
    assert!(reached.len() >= 2, "{reached:?}");
}

#[test]
fn a_run_stopped_in_training_goes_on_after_the_last_step_and_no_finished_text_is_written_twice() {
    let dir = tempdir().unwrap();
    let (out, whole) = (dir.path().join("out"), dir.path().join("whole"));
    let more = ["--set", "training.epochs=60", "--set", "generations=1"];
    let mut child = start(&out, &more);
    let begun = Instant::now();
    while stage(&out) != Some("training") {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(300));
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let state: Value = serde_json::from_str(&read(&out.join("gen-001.partial/resume/state.json"))).unwrap();
    let file = state["training"]["file"].as_str().unwrap().to_string();
    let step: usize = file.trim_start_matches("training-").trim_end_matches(".safetensors").parse().unwrap();
    assert!(step > 0 && step < 120, "{file}");
    run_small("configs/demo_s2.yaml", &out, &more);
    let log = read(&out.join("log.jsonl"));
    assert!(log.contains(&format!("going on after step {step}")), "{log}");
    assert_eq!(log.matches("\"stage\":\"regenerate\"").count(), 1, "the pool was there already");
    run_small("configs/demo_s2.yaml", &whole, &more);
    assert_same_results(&whole, &out);
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

fn cut(path: &Path, length: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

#[test]
fn whatever_a_power_loss_cuts_off_is_made_again() {
    let dir = tempdir().unwrap();
    let whole = dir.path().join("whole");
    let more = [&SAVE_ALWAYS[..], &["--set", "training.epochs=6"]].concat();
    run_small("configs/demo_s2.yaml", &whole, &more);
    for (i, wanted) in ["sampling", "training", "answering", "training", "answering"].into_iter().enumerate() {
        let out = dir.path().join(format!("{i}-{wanted}"));
        let mut child = start(&out, &more);
        wait_for(&mut child, &out, wanted);
        std::thread::sleep(Duration::from_millis(10));
        let _ = child.kill();
        child.wait().unwrap();
        // first all but the state, so that it is believed; then the state too; then each file or not, to any length
        let cut_off = |(number, path): &(usize, &PathBuf)| match i {
            0 | 1 => !path.ends_with("state.json"),
            2 => true,
            _ => scrambled(64 * i + number).is_multiple_of(2),
        };
        let unfinished = partial(&out).map_or_else(Vec::new, |partial| files(&partial));
        for (number, path) in unfinished.iter().enumerate().filter(cut_off) {
            let length = fs::metadata(path).unwrap().len();
            cut(path, if i < 3 { length / 2 } else { scrambled(number) % (length + 1) });
        }
        run_small("configs/demo_s2.yaml", &out, &more);
        assert_same_results(&whole, &out);
    }
}

#[test]
fn any_file_of_a_run_may_be_cut_to_any_length() {
    let dir = tempdir().unwrap();
    let (whole, out) = (dir.path().join("whole"), dir.path().join("out"));
    run_small("configs/demo_s2.yaml", &whole, &[]);
    run_small("configs/demo_s2.yaml", &out, &["--set", "generations=1"]);
    let mut cuts = 0;
    for (number, path) in files(&out).iter().enumerate() {
        // the manifest and the config are replaced as a whole; a run without them is no run
        let kept = ["lock", "manifest.json", "config.yaml"].iter().any(|name| path.ends_with(name));
        let length = fs::metadata(path).unwrap().len();
        if !kept && (path.starts_with(out.join("report")) || number % 3 == 0) {
            cut(path, scrambled(number) % length.max(1));
            cuts += 1;
        }
    }
    assert!(cuts > 5);
    run_small("configs/demo_s2.yaml", &out, &[]);
    assert_same_results(&whole, &out);
}
