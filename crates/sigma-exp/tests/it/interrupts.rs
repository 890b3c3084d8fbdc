//! A command that has nothing to save ends at the first signal, even while it waits for an input that does not come.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::tempdir;

use crate::{read, root, run_small, succeeds};

/// Longer than any machine needs to end a process, and far shorter than for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends `signal` to a command that waits for what its standard input gives, which is nothing; its exit code.
fn interrupted(arguments: &[&str], signal: &str) -> Option<i32> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // long enough to begin to read
    std::thread::sleep(Duration::from_millis(1500));
    assert!(child.try_wait().unwrap().is_none(), "{arguments:?} waits for its input");
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    panic!("{arguments:?} still waits after {signal}");
}

/// A file's name for the standard input.
fn input(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    std::os::unix::fs::symlink("/dev/stdin", &path).unwrap();
    path.to_str().unwrap().to_string()
}

#[test]
fn a_command_that_waits_for_its_input_ends_at_the_first_signal() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("out").to_str().unwrap().to_string();
    let texts = input(dir.path(), "texts.jsonl");
    let model = "data/models/opt-tiny";
    let commands: [&[&str]; 4] = [
        &["data", "slice", "--tokenizer", model, "--out", &out, &texts],
        &["embed", "configs/demo_s2.yaml", "--texts", &texts, "--out", &out],
        &["check", "/dev/stdin"],
        &["metrics", "--texts", &texts, "--encoder", model],
    ];
    for (command, signal) in commands.into_iter().zip(["-TERM", "-INT", "-TERM", "-INT"]) {
        assert_eq!(interrupted(command, signal), Some(130), "{command:?}");
    }
    let corpus = format!("corpus.path={texts}");
    assert_eq!(interrupted(&["run", "configs/demo_s2.yaml", "--out", &out, "--set", &corpus], "-TERM"), Some(130));
    assert!(!Path::new(&out).exists(), "nothing was written");
}

#[test]
fn resume_is_taken_for_what_run_does_anyway() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=0"]);
    let before = read(&run.join("metrics.csv"));
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=0", "--resume"]);
    assert_eq!(read(&run.join("metrics.csv")), before);
}

#[test]
fn what_check_prints_is_a_config_that_can_be_given_back() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    let printed = succeeds(&["check", "configs/demo_s2.yaml", "--set", "seed=7"]);
    std::fs::write(&path, &printed).unwrap();
    let again = succeeds(&["check", path.to_str().unwrap()]);
    let config =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_string).collect::<Vec<_>>();
    assert_eq!(config(&printed), config(&again));
    assert!(printed.contains("\nseed: 7\n") && printed.contains("# "), "{printed}");
}
