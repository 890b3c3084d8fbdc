//! Pipes, sockets and devices where a file is expected: each is refused at once, because opening a pipe would wait for
//! a writer.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::tempdir;

use super::{Case, case, check_with, refused, text, words};
use crate::{root, succeeds};

const PATIENCE: Duration = Duration::from_secs(60);

/// A named pipe that nobody writes to.
fn pipe(path: &Path) -> String {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    text(path)
}

/// A command whose word `INPUT` is a pipe of that name.
fn piped(command: &'static [&'static str], name: &'static str) -> Case {
    let make = move |dir: &Path| {
        let (input, output) = (pipe(&dir.join(name)), text(&dir.join("out")));
        command.iter().map(|word| word.replace("INPUT", &input).replace("OUTPUT", &output)).collect()
    };
    case(name, make, &["not a regular file", "pipe"])
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_at_once() {
    const MODEL: &str = "data/models/opt-tiny";
    const DEMO: &str = "configs/demo_s2.yaml";
    refused(vec![
        piped(&["gram", "INPUT", "--out", "OUTPUT"], "rows.npy"),
        piped(&["gram", "INPUT", "--out", "OUTPUT"], "rows.parquet"),
        piped(&["metrics", "--embeddings", "INPUT"], "rows.safetensors"),
        piped(&["metrics", "--gram", "INPUT"], "sums.gram"),
        piped(&["metrics", "--texts", "INPUT", "--encoder", MODEL], "texts.jsonl"),
        piped(&["data", "slice", "INPUT", "--tokenizer", MODEL, "--out", "OUTPUT"], "texts.txt"),
        piped(&["data", "slice", "INPUT", "--tokenizer", MODEL, "--out", "OUTPUT"], "texts.csv"),
        piped(&["embed", DEMO, "--texts", "INPUT", "--out", "OUTPUT"], "texts.parquet"),
        piped(&["embed", DEMO, "--texts", "INPUT", "--answers", "--out", "OUTPUT"], "answers.jsonl"),
        piped(&["finetune", DEMO, "--model", MODEL, "--blocks", "INPUT", "--out", "OUTPUT"], "blocks.jsonl"),
        piped(&["check", "INPUT"], "config.yaml"),
        case(
            "config.json of a model",
            |dir| {
                let model = dir.join("model");
                copy_model(&model);
                std::fs::remove_file(model.join("config.json")).unwrap();
                pipe(&model.join("config.json"));
                check_with(&[&format!("model.source={}", model.display())])
            },
            &["config.json"],
        ),
        case("a device", |_| words(&["check", "/dev/zero"]), &["/dev/zero", "not a regular file", "a device"]),
        case(
            "a socket",
            |dir| {
                UnixListener::bind(dir.join("rows.npy")).unwrap();
                words(&["metrics", "--embeddings", &text(&dir.join("rows.npy"))])
            },
            &["not a regular file", "a socket"],
        ),
    ]);
}

fn copy_model(to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(root().join("data/models/opt-tiny")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn what_the_program_was_started_with_is_read_though_it_is_a_pipe() {
    let dir = tempdir().unwrap();
    let blocks = dir.path().join("blocks.jsonl");
    let slice = ["data", "slice", "data/fin/corpus.jsonl", "--tokenizer", "data/models/opt-tiny"];
    succeeds(&[&slice[..], &["--max-contexts", "16", "--out", blocks.to_str().unwrap()]].concat());
    let fed = |arguments: &str, file: &str| {
        let line = format!("cat {file} | \"$0\" {arguments}");
        let output = Command::new("sh")
            .args(["-c", &line, env!("CARGO_BIN_EXE_sigma-exp")])
            .current_dir(root())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let of_file = succeeds(&["check", "configs/demo_s2.yaml"]);
    let config =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_string).collect::<Vec<_>>();
    assert_eq!(config(&fed("check /dev/stdin", "configs/demo_s2.yaml")), config(&of_file));
    let out = dir.path().join("model");
    let tune = format!(
        "finetune configs/demo_s2.yaml --set training.epochs=1 --model data/models/opt-tiny --out {}",
        out.display()
    );
    fed(&format!("{tune} --blocks /dev/fd/0"), blocks.to_str().unwrap());
    assert!(out.join("model.safetensors").exists());
    // a link with a name whose ending says what the pipe gives
    let texts = dir.path().join("texts.jsonl");
    std::os::unix::fs::symlink("/dev/stdin", &texts).unwrap();
    let rest = "--tokenizer data/models/opt-tiny --max-contexts 16 --out /dev/stdout";
    let cut = fed(&format!("data slice {} {rest}", texts.display()), "data/fin/corpus.jsonl");
    assert_eq!(cut, std::fs::read_to_string(&blocks).unwrap(), "what is written to a pipe is what a file would hold");
}

#[test]
fn a_pipe_in_the_place_of_a_file_of_a_run_is_no_wait_without_end() {
    let names = [
        "manifest.json",
        "config.yaml",
        "lock",
        "log.jsonl",
        "stopped.json",
        "metrics.csv",
        "gen-000/record.json",
        "gen-001/record.json",
        "gen-001/responses.jsonl",
        "gen-001/embeddings.npy",
        "gen-001/spectrum.csv",
        "report/files.json",
    ];
    for name in names {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        crate::integrity::copy(&crate::ownership::FINISHED.1, &run);
        let _ = std::fs::remove_file(run.join(name));
        assert!(Command::new("mkfifo").arg(run.join(name)).status().unwrap().success());
        let (run, out) = (run.to_str().unwrap(), dir.path().join("report"));
        for arguments in
            [&["status", run][..], &["status", run, "--verify"], &["report", run, "--out", out.to_str().unwrap()]]
        {
            let mut child = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
                .args(arguments)
                .current_dir(crate::root())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let begun = Instant::now();
            while child.try_wait().unwrap().is_none() {
                if begun.elapsed() > PATIENCE {
                    let _ = child.kill();
                    panic!("{name}: {arguments:?} waits for ever");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
