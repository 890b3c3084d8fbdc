//! What the system refuses a run: the right to write, a larger file, more memory. Each is said or survived, and nothing
//! that is finished is lost. A file system is made read-only in a mount namespace; where the system does not allow one,
//! the tests say so.
#![allow(clippy::print_stderr)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::tempdir;

use crate::bad_input::content;
use crate::resume::SAVE_ALWAYS;
use crate::{SMALL, assert_same_results, run_small};

/// Runs `script` with `folder` mounted read-only, and the program as `$SIGMA`; none where that is not allowed.
fn read_only(folder: &Path, script: &str) -> Option<Output> {
    let mount = "mount --bind \"$PLACE\" \"$PLACE\" && mount -o remount,ro,bind \"$PLACE\" || exit 77\n";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &format!("{mount}{script}")])
        .env("PLACE", folder)
        .env("SIGMA", env!("CARGO_BIN_EXE_sigma-exp"))
        .env("RUST_BACKTRACE", "1")
        .current_dir(crate::root())
        .output();
    match output {
        Ok(output) if output.status.code() != Some(77) && !output.stderr.starts_with(b"unshare:") => Some(output),
        _ => {
            eprintln!("NOT TESTED: a read-only folder; this system allows no mount namespaces");
            None
        }
    }
}

#[test]
fn a_folder_that_must_not_be_written_is_refused_by_every_command_that_would_and_read_by_the_others() {
    let dir = tempdir().unwrap();
    let place = dir.path().join("read only");
    fs::create_dir(&place).unwrap();
    run_small("configs/demo_s2.yaml", &place.join("done"), &["--set", "generations=1"]);
    let file = crate::sweeps::sweep_file(dir.path(), "grid: { seed: [1] }");
    let before = content(&place);
    let small = SMALL.join(" ");
    let go_on = format!("run configs/demo_s2.yaml {small} --out \"$PLACE/done\"");
    let stage = |rest: &str| format!("{rest} configs/demo_s2.yaml --model data/models/opt-tiny");
    for (arguments, words) in [
        (go_on.clone(), ["done", "cannot be written to", "choose another --out"]),
        (format!("{go_on} --set generations=1"), ["done", "cannot be written to", "choose another --out"]),
        (format!("{go_on} --fresh"), ["done", "cannot be written to", "choose another --out"]),
        (format!("run configs/demo_s2.yaml {small} --out \"$PLACE/new\""), ["new", "cannot be made", "--out"]),
        (format!("sweep {} --out \"$PLACE/sweep\"", file.display()), ["sweep", "cannot write", "another place"]),
        ("report \"$PLACE/done\"".to_string(), ["done/report", "cannot write", "another place"]),
        (
            format!("{} --prompts data/fin/prompts.jsonl --out \"$PLACE/x.jsonl\"", stage("generate")),
            ["x.jsonl", "Read-only", "another place"],
        ),
        (
            "data slice data/fin/corpus.jsonl --tokenizer data/models/opt-tiny --out \"$PLACE/b.jsonl\"".to_string(),
            ["b.jsonl", "Read-only", "another place"],
        ),
    ] {
        let Some(output) = read_only(&place, &format!("\"$SIGMA\" {arguments}")) else { return };
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}\n{said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{arguments}\n{said}");
        assert!(!said.contains("panicked") && !said.contains("   0: "), "{arguments}\n{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{arguments}: {words:?}\n{said}");
        assert!(content(&place) == before, "{arguments}: nothing is changed");
    }
    for arguments in [
        "status \"$PLACE/done\"".to_string(),
        "status \"$PLACE/done\" --verify".to_string(),
        format!("report \"$PLACE/done\" --out {}", dir.path().join("report").display()),
    ] {
        let Some(output) = read_only(&place, &format!("\"$SIGMA\" {arguments}")) else { return };
        assert!(output.status.success(), "{arguments}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_file_that_must_not_grow_any_more_stops_the_run_and_it_ends_the_same_later() {
    let dir = tempdir().unwrap();
    let (out, whole) = (dir.path().join("out"), dir.path().join("whole"));
    // 512-byte units: the weights of 4.4 MB do not fit. Ignored, the signal is an error of the write; otherwise it ends
    // the program
    for (ignored, code) in [(true, Some(2)), (false, None)] {
        let trap = if ignored { "trap '' XFSZ; " } else { "" };
        let limited = format!("{trap}ulimit -c 0; ulimit -f 4000; exec \"$0\" \"$@\"");
        let output = Command::new("sh")
            .args(["-c", &limited, env!("CARGO_BIN_EXE_sigma-exp"), "run", "configs/demo_s2.yaml", "--out"])
            .arg(&out)
            .args(SMALL)
            .current_dir(crate::root())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), code, "{said}");
        assert!(!ignored || (said.contains("model.safetensors") && said.contains("File too large")), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        assert!(out.join("gen-000/record.json").exists() && !out.join("gen-001").exists());
    }
    run_small("configs/demo_s2.yaml", &out, &[]);
    run_small("configs/demo_s2.yaml", &whole, &[]);
    assert_same_results(&whole, &out);
}

#[test]
fn a_run_that_runs_out_of_memory_ends_the_same_later() {
    let dir = tempdir().unwrap();
    let (out, whole) = (dir.path().join("out"), dir.path().join("whole"));
    let more = [&SAVE_ALWAYS[..], &["--set", "training.epochs=3"]].concat();
    let mut begun = 0;
    // of address space, in MB: from too little for a start to enough, and a little more each time
    let mut megabytes = 100;
    loop {
        let limited = format!("ulimit -c 0; ulimit -v {megabytes}000; exec \"$0\" \"$@\"");
        let status = Command::new("sh")
            .args(["-c", &limited, env!("CARGO_BIN_EXE_sigma-exp"), "run", "configs/demo_s2.yaml", "--out"])
            .arg(&out)
            .args(SMALL)
            .args(&more)
            .env("RAYON_NUM_THREADS", "2")
            .current_dir(crate::root())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        if status.success() {
            break;
        }
        assert!(megabytes < 16_000, "it does not start at all");
        begun += usize::from(out.join("manifest.json").exists());
        megabytes += megabytes / 10;
    }
    assert!(begun > 0, "a run of which nothing was cut off shows nothing");
    run_small("configs/demo_s2.yaml", &out, &more);
    run_small("configs/demo_s2.yaml", &whole, &more);
    assert_same_results(&whole, &out);
}
