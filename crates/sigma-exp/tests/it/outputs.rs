//! What single commands write: nothing of the user's is overwritten unasked, and a result is there whole or not at all.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::{TempDir, tempdir};

use crate::{SMALL, fails, root, succeeds};

const MODEL: &str = "data/models/opt-tiny";

/// A folder with an input for every command.
struct Inputs(TempDir);

impl Inputs {
    fn new() -> Self {
        let inputs = Self(tempdir().unwrap());
        let slice = ["data", "slice", "data/fin/corpus.jsonl", "--tokenizer", MODEL, "--max-contexts", "16", "--out"];
        succeeds(&[&slice[..], &[&inputs.name("blocks.jsonl")]].concat());
        fs::write(inputs.path("few.jsonl"), "{\"id\":\"a\",\"text\":\"a bank\"}\n{\"id\":\"b\",\"text\":\"a bond\"}\n")
            .unwrap();
        succeeds(&[
            "embed",
            "configs/demo_s2.yaml",
            "--texts",
            &inputs.name("few.jsonl"),
            "--out",
            &inputs.name("rows.npy"),
        ]);
        inputs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_string()
    }

    /// Every command that writes one file, without its `--out`.
    fn commands(&self) -> Vec<Vec<String>> {
        let of = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let generate =
            |more: &[&str]| of(&[&["generate", "configs/demo_s2.yaml", "--model", MODEL][..], &SMALL, more].concat());
        vec![
            of(&["data", "slice", &self.name("few.jsonl"), "--tokenizer", MODEL, "--context-tokens", "1"]),
            generate(&["--prompts", "data/fin/prompts.jsonl", "--set", "prompts.max_per_bucket=1"]),
            generate(&["--prompts", &self.name("blocks.jsonl"), "--as", "regeneration"]),
            of(&["embed", "configs/demo_s2.yaml", "--texts", &self.name("few.jsonl")]),
            of(&["gram", &self.name("rows.npy")]),
        ]
    }

    fn names(&self) -> Vec<String> {
        names(self.0.path())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn words<'a>(command: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    command.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn a_file_that_is_there_is_kept_unless_force_says_otherwise() {
    let inputs = Inputs::new();
    let (out, fresh) = (inputs.name("out"), inputs.name("fresh"));
    for command in inputs.commands() {
        fs::write(&out, "mine").unwrap();
        fs::set_permissions(&out, fs::Permissions::from_mode(0o600)).unwrap();
        let before = inputs.names();
        let said = fails(&words(&command, &["--out", &out]));
        assert!(said.contains("out exists already") && said.contains("--force"), "{said}");
        assert_eq!(fs::read(&out).unwrap(), b"mine", "{command:?}");
        succeeds(&words(&command, &["--out", &out, "--force"]));
        assert_eq!(inputs.names(), before, "{command:?}: nothing else is left");
        assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600, "who may read it stays");
        succeeds(&words(&command, &["--out", &fresh]));
        assert!(fs::read(&out).unwrap() == fs::read(&fresh).unwrap(), "{command:?}");
        fs::remove_file(&fresh).unwrap();
    }
}

#[test]
fn a_link_is_not_followed_to_overwrite_what_it_points_to_unless_force_says_so() {
    let inputs = Inputs::new();
    let (out, mine) = (inputs.path("out"), inputs.path("mine"));
    symlink(&mine, &out).unwrap();
    for command in inputs.commands() {
        fs::write(&mine, "mine").unwrap();
        let said = fails(&words(&command, &["--out", out.to_str().unwrap()]));
        assert!(said.contains("symbolic link") && said.contains("mine") && said.contains("--force"), "{said}");
        assert_eq!(fs::read(&mine).unwrap(), b"mine", "{command:?}");
        succeeds(&words(&command, &["--out", out.to_str().unwrap(), "--force"]));
        assert_eq!(fs::read_link(&out).unwrap(), mine, "the link stays");
        assert_ne!(fs::read(&mine).unwrap(), b"mine", "{command:?}");
        // a link to nothing
        fs::remove_file(&mine).unwrap();
        for more in [&[][..], &["--force"]] {
            let said = fails(&words(&command, &[&["--out", out.to_str().unwrap()], more].concat()));
            assert!(said.contains("symbolic link") && !mine.exists(), "{said}");
        }
    }
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_anything_is_computed() {
    let inputs = Inputs::new();
    let nowhere = inputs.name("nowhere/out");
    for command in inputs.commands() {
        // a model or an input that is not there would be refused next
        let broken = command.iter().map(|word| if word == MODEL { "./no-model".to_string() } else { word.clone() });
        let broken: Vec<String> = broken.collect();
        let said = fails(&words(&broken, &["--out", &nowhere]));
        assert!(said.contains("nowhere/out cannot be written") && !said.contains("no-model"), "{said}");
        let said = fails(&words(&broken, &["--out", inputs.0.path().to_str().unwrap()]));
        assert!(said.contains("is a folder"), "{said}");
    }
}

#[test]
fn a_result_that_cannot_be_written_to_its_end_leaves_nothing() {
    let inputs = Inputs::new();
    let before = inputs.names();
    for command in inputs.commands() {
        // 512 bytes
        let limited = "trap '' XFSZ; ulimit -c 0; ulimit -f 1; exec \"$0\" \"$@\"";
        let output = Command::new("sh")
            .args(["-c", limited, env!("CARGO_BIN_EXE_sigma-exp")])
            .args(words(&command, &["--out", &inputs.name("out")]))
            .current_dir(root())
            .output()
            .unwrap();
        let small = output.status.success();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(small || said.contains("out cannot be written") && said.contains("File too large"), "{said}");
        // some results of so few texts fit
        assert_eq!(inputs.path("out").exists(), small, "{command:?}: {said}");
        let _ = fs::remove_file(inputs.path("out"));
        assert_eq!(inputs.names(), before, "{command:?}: {said}");
    }
}

#[test]
fn a_pipe_gets_the_bytes_that_a_file_would_hold() {
    let inputs = Inputs::new();
    for command in inputs.commands() {
        let file = inputs.name("out");
        succeeds(&words(&command, &["--out", &file]));
        let output = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
            .args(words(&command, &["--out", "/dev/stdout"]))
            .current_dir(root())
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == fs::read(&file).unwrap(), "{command:?}");
        fs::remove_file(&file).unwrap();
    }
    let said = fails(&words(&inputs.commands()[0], &["--out", "/dev/full"]));
    assert!(said.contains("/dev/full cannot be written"), "{said}");
}

#[test]
fn a_model_that_is_there_is_kept_unless_force_says_otherwise() {
    let inputs = Inputs::new();
    let out = inputs.path("model");
    let tune = |more: &[&str]| {
        let start = ["finetune", "configs/demo_s2.yaml", "--model", MODEL, "--set", "training.epochs=1", "--blocks"];
        let blocks = inputs.name("blocks.jsonl");
        let all = [&start[..], &[&blocks, "--out", out.to_str().unwrap()], more].concat();
        all.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    succeeds(&words(&tune(&[]), &[]));
    let whole = names(&out);
    assert!(whole.iter().any(|name| name == "training.csv") && whole.iter().any(|name| name == "tokenizer.json"));
    let weights = || fs::read(out.join("model.safetensors")).unwrap();
    let before = weights();
    let other = tune(&["--set", "seed=7"]);
    let said = fails(&words(&other, &[]));
    assert!(said.contains("holds a model already") && said.contains("--force"), "{said}");
    assert!(weights() == before);
    fs::write(out.join("notes.txt"), "mine").unwrap();
    succeeds(&words(&other, &["--force"]));
    assert!(weights() != before);
    assert_eq!(fs::read(out.join("notes.txt")).unwrap(), b"mine", "what is not the model's stays");
    fs::remove_file(out.join("notes.txt")).unwrap();
    assert_eq!(names(&out), whole, "nothing else is left");
    // a model that cannot be written to its end is not there
    let limited = "trap '' XFSZ; ulimit -c 0; ulimit -f 4000; exec \"$0\" \"$@\"";
    let again = tune(&["--set", "seed=8"]);
    let new = inputs.path("new");
    let again = again
        .iter()
        .map(|word| if *word == out.display().to_string() { new.display().to_string() } else { word.clone() });
    let output = Command::new("sh")
        .args(["-c", limited, env!("CARGO_BIN_EXE_sigma-exp")])
        .args(again)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("File too large"));
    assert!(!new.exists() && !inputs.names().iter().any(|name| name.ends_with(".partial")), "{:?}", inputs.names());
}
