//! A disk that is full: what is said, what stays, and that a run goes on once there is room. The disk is a small tmpfs
//! in a mount namespace of its own; where the system does not allow one, the tests say so and compare nothing.
#![allow(clippy::print_stderr)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::fake::FakeHub;
use crate::{SMALL, read, results, root, run_small};

/// Runs `script` with a tmpfs of `size` mounted at `$DISK`, and the program as `$SIGMA`; none where that is not
/// allowed.
fn on_a_small_disk(disk: &Path, size: &str, script: &str, environment: &[(&str, String)]) -> Option<Output> {
    let mount = "mount -t tmpfs -o size=$SIZE tmpfs \"$DISK\" || exit 77\n";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &format!("{mount}{script}")])
        .env("DISK", disk)
        .env("SIZE", size)
        .env("SIGMA", env!("CARGO_BIN_EXE_sigma-exp"))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(root())
        .output();
    match output {
        Ok(output) if output.status.code() != Some(77) && !output.stderr.starts_with(b"unshare:") => Some(output),
        _ => {
            eprintln!("NOT TESTED: a full disk; this system allows no mount namespaces");
            None
        }
    }
}

#[test]
fn a_run_on_a_full_disk_keeps_what_is_finished_and_ends_the_same_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, out) = (folder.path().join("disk"), folder.path().join("copy"));
    fs::create_dir(&disk).unwrap();
    // room for one checkpoint of 4.2 MB, not for two
    let run = format!("\"$SIGMA\" run configs/demo_s2.yaml --out \"$DISK/run\" {}", SMALL.join(" "));
    let script = format!(
        "{run} 2> \"$OUT.err\"; echo $? > \"$OUT.code\"; ls \"$DISK/run\" > \"$OUT.left\"
         mount -o remount,size=60m \"$DISK\" && {run} && cp -r \"$DISK/run\" \"$OUT\""
    );
    let Some(output) = on_a_small_disk(&disk, "7m", &script, &[("OUT", out.display().to_string())]) else { return };
    let beside = |end: &str| read(&folder.path().join(format!("copy.{end}")));
    let message = beside("err");
    assert_eq!(beside("code").trim(), "2", "{message}");
    assert!(message.contains("the disk is full") && message.contains("run the same command again"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    assert!(message.contains("warning: ") && message.contains("has only"), "said before it starts: {message}");
    let left = beside("left");
    assert!(left.contains("gen-001\n") && !left.contains("gen-002\n"), "{left}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let whole = folder.path().join("whole");
    run_small("configs/demo_s2.yaml", &whole, &[]);
    assert_eq!(results(&out), results(&whole));
}

#[test]
fn a_download_that_does_not_fit_names_the_disk_and_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let hub = FakeHub::with(&[("vocab.json", "{}"), ("merges.txt", "")]);
    hub.put("config.json", &fs::read(root().join("data/models/opt-tiny/config.json")).unwrap(), false);
    hub.put("model.safetensors", &vec![7; 3_000_000], true);
    let script = "\"$SIGMA\" check configs/demo_s2.yaml --set model.source=org/tiny";
    let environment = [("HF_ENDPOINT", hub.url()), ("HF_HOME", disk.display().to_string())];
    let Some(output) = on_a_small_disk(&disk, "1m", script, &environment) else { return };
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    for expected in ["the disk is full", "model.safetensors", "HF_HOME"] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
}
