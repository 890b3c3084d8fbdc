//! Every kind of broken input through the real program: one error that says what is wrong, where, and what to do; exit
//! code 2, in little time and memory, and nothing of the user's is changed.

mod configs;
mod embeddings;
mod folders;
mod models;
mod pipes;
mod texts;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tempfile::tempdir;

use crate::{read, root};

const TIME: Duration = Duration::from_secs(30);
/// Of address space, in KiB: the allocator and the threads' stacks reserve more than they use.
const MEMORY: u64 = 8_000_000;
const MOST_LINES: usize = 20;

/// Makes an input in an empty folder and gives the arguments that name it.
type Make = Box<dyn Fn(&Path) -> Vec<String>>;

/// A broken input: its name, what makes it in an empty folder and gives the arguments, and what the message must hold.
struct Case {
    name: &'static str,
    make: Make,
    words: &'static [&'static str],
}

fn case(name: &'static str, make: impl Fn(&Path) -> Vec<String> + 'static, words: &'static [&'static str]) -> Case {
    Case { name, make: Box::new(make), words }
}

/// Runs every case; all failures are told together.
fn refused(cases: Vec<Case>) {
    let failures: Vec<String> = cases.iter().filter_map(|case| failure(case).err()).collect();
    assert!(failures.is_empty(), "{} of {}:\n\n{}", failures.len(), cases.len(), failures.join("\n\n"));
}

fn failure(case: &Case) -> Result<(), String> {
    let dir = tempdir().unwrap();
    let arguments = (case.make)(dir.path());
    let before = content(dir.path());
    let started = Instant::now();
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -v {MEMORY} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_sigma-exp")])
        .args(&arguments)
        .current_dir(root())
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.path().with_extension("stderr")).unwrap())
        .spawn()
        .unwrap();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if started.elapsed() > TIME => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let path = dir.path().with_extension("stderr");
    let said = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    fs::remove_file(path).unwrap();
    let shown: String = said.chars().take(1500).collect();
    let wrong = |what: String| Err(format!("{}: {what}\n{arguments:?}\n{shown}", case.name));
    let Some(status) = status else { return wrong(format!("more than {TIME:?}")) };
    if status.code() != Some(2) {
        return wrong(format!("it ended with {status}"));
    }
    let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
    if errors != 1 {
        return wrong(format!("{errors} lines begin with `error: `"));
    }
    for word in ["panicked", "backtrace", "   0: ", "RUST_BACKTRACE"] {
        if said.contains(word) {
            return wrong(format!("{word:?} is no word for users"));
        }
    }
    if said.lines().count() > MOST_LINES || said.len() > 4000 {
        return wrong(format!("{} lines, {} bytes", said.lines().count(), said.len()));
    }
    if let Some(word) = case.words.iter().find(|word| !said.contains(**word)) {
        return wrong(format!("it does not say {word:?}"));
    }
    let after = content(dir.path());
    if before != after {
        let changed = after.iter().filter(|(name, hash)| before.get(*name) != Some(hash)).map(|(name, _)| name);
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        return wrong(format!("changed: {:?}", changed.chain(gone).collect::<Vec<_>>()));
    }
    Ok(())
}

/// The hash of everything below `folder` by name. The lock of a run is the program's own, and says who looked last.
pub(crate) fn content(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            files.insert(format!("{name}/"), String::new());
            files.extend(content(&path).into_iter().map(|(inner, hash)| (format!("{name}/{inner}"), hash)));
        } else if !path.is_file() {
            files.insert(name, "no file".to_string());
        } else if name != "lock" {
            files.insert(name, format!("{:x?}", Sha256::digest(fs::read(&path).unwrap())));
        }
    }
    files
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(ToString::to_string).collect()
}

/// `check` of the demo with settings.
fn check_with(sets: &[&str]) -> Vec<String> {
    let mut arguments = words(&["check", "configs/demo_s2.yaml"]);
    for set in sets {
        arguments.extend(["--set".to_string(), set.to_string()]);
    }
    arguments
}

/// The demo config.
fn demo() -> String {
    read(&root().join("configs/demo_s2.yaml"))
}

fn copy(from: &Path, to: &Path) {
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
