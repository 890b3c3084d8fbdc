//! What the program did not write stays: files of a run's names that are somebody else's, links, and names in a run's
//! own files that lead out of its folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::integrity::copy;
use crate::{SMALL, assert_same_results, fails, read, run_small, sigma};

const ONE: [&str; 2] = ["--set", "generations=1"];

/// A finished run of one generation.
pub(crate) static FINISHED: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    run_small("configs/demo_s2.yaml", &run, &ONE);
    (dir, run)
});

fn arguments<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["run", "configs/demo_s2.yaml", "--out", out];
    arguments.extend(SMALL);
    arguments.extend(ONE);
    arguments.extend(more);
    arguments
}

/// A run into `out`, which is refused.
fn refused(out: &Path, more: &[&str]) -> String {
    fails(&arguments(out.to_str().unwrap(), more))
}

/// Every file below `folder`, by its path, with what it holds; of a link, where it points to.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match fs::symlink_metadata(&path).unwrap().file_type() {
            kind if kind.is_dir() => found.extend(content(&path)),
            kind if kind.is_symlink() => {
                found.push((path.clone(), fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()));
            }
            _ => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

/// Writes files below `folder`, by name.
fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn fresh_deletes_nothing_where_the_manifest_is_not_that_of_a_run() {
    let real = read(&FINISHED.1.join("manifest.json"));
    let half = &real[..real.len() / 2];
    for manifest in [r#"{"name": "My web app", "icons": []}"#, "[]", "", "{", half, r#"{"schema": 2}"#] {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &[
                ("manifest.json", manifest),
                ("config.yaml", "theme: dark"),
                ("report/thesis.tex", "thesis"),
                ("gen-001/data", "data"),
                ("metrics.csv", "a,b"),
            ],
        );
        let before = content(dir.path());
        for more in [&["--fresh"][..], &[]] {
            let said = refused(dir.path(), more);
            assert!(said.contains("manifest.json"), "{manifest}: {said}");
            assert!(content(dir.path()) == before, "{manifest}: nothing is changed");
        }
    }
}

#[test]
fn fresh_removes_what_a_run_wrote_and_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    copy(&FINISHED.1, &run);
    let mine = [
        ("notes.md", "mine"),
        ("gen-001/plot.py", "mine"),
        ("gen-000/model/readme.md", "mine"),
        ("report/draft.tex", "mine"),
        ("report/tables/own.csv", "mine"),
        ("gen-007/data.bin", "mine"),
        ("gen-003.partial/thesis.txt", "mine"),
        ("gen-004.partial/resume/thesis.txt", "mine"),
    ];
    write(&run, &mine);
    run_small("configs/demo_s2.yaml", &run, &["--set", "generations=1", "--fresh"]);
    assert_same_results(&FINISHED.1, &run);
    let all = content(&run);
    for (name, _) in mine {
        let file = Path::new(name).file_name().unwrap();
        let found = all.iter().find(|(path, _)| path.file_name() == Some(file) && fs::read(path).unwrap() == b"mine");
        assert!(found.is_some(), "{name}");
    }
}

#[test]
fn a_lock_or_a_log_of_somebody_else_is_not_written_to_nor_what_a_link_of_that_name_stands_for() {
    type Case = (&'static str, fn(&Path));
    let cases: [Case; 6] = [
        ("a lock", |run| write(run, &[("lock", "door code 1234")])),
        ("a log", |run| write(run, &[("log.jsonl", "{\"mine\": 1}\n{\"mine\": 2}")])),
        ("a symbolic link as lock", |run| {
            write(run, &[("../victim", "precious")]);
            symlink("../victim", run.join("lock")).unwrap();
        }),
        ("a hard link as lock", |run| {
            write(run, &[("../victim", "precious")]);
            fs::hard_link(run.join("../victim"), run.join("lock")).unwrap();
        }),
        ("a symbolic link as log", |run| {
            write(run, &[("../victim", "precious")]);
            symlink("../victim", run.join("log.jsonl")).unwrap();
        }),
        ("a dangling link as lock", |run| symlink("../nothing", run.join("lock")).unwrap()),
    ];
    for (name, make) in cases {
        for existing in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let run = dir.path().join("run");
            if existing {
                copy(&FINISHED.1, &run);
                fs::remove_file(run.join("lock")).unwrap();
                fs::remove_file(run.join("log.jsonl")).unwrap();
            } else {
                fs::create_dir(&run).unwrap();
            }
            make(&run);
            let before = content(dir.path());
            for more in [&[][..], &["--fresh"]] {
                refused(&run, more);
                // a lock that is taken while another file is found to be foreign may stay
                let after: Vec<_> = content(dir.path()).into_iter().filter(|file| before.contains(file)).collect();
                assert!(after == before, "{name}, existing {existing}, {more:?}: nothing is changed");
            }
            assert!(!dir.path().join("nothing").exists(), "{name}");
        }
    }
}

#[test]
fn folders_of_a_run_that_are_links_are_refused_and_what_they_stand_for_stays() {
    for name in ["gen-000", "gen-001", "report", "gen-001/model", "set-aside", "report/tables"] {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        copy(&FINISHED.1, &run);
        let elsewhere = dir.path().join("elsewhere");
        write(
            &elsewhere,
            &[("record.json", "precious"), ("index.html", "precious"), ("model.safetensors", "precious")],
        );
        let inside = run.join(name);
        if inside.exists() {
            fs::remove_dir_all(&inside).unwrap();
        }
        symlink(&elsewhere, &inside).unwrap();
        let before = content(&elsewhere);
        for more in [&[][..], &["--fresh"]] {
            sigma(&arguments(run.to_str().unwrap(), more));
            assert!(content(&elsewhere) == before, "{name} {more:?}: nothing behind the link is changed");
        }
    }
}

#[test]
fn a_name_in_a_runs_own_file_that_leads_out_of_its_folder_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim.txt");
    let outside = ["../../victim.txt", "../../../victim.txt", "model/../../../victim.txt", victim.to_str().unwrap()];
    for (i, name) in outside.into_iter().enumerate() {
        fs::write(&victim, "years of work").unwrap();
        let run = dir.path().join(format!("run-{i}"));
        copy(&FINISHED.1, &run);
        // a record and a list of a report's files that name it
        let record = run.join("gen-001/record.json");
        let mut value: Value = serde_json::from_str(&read(&record)).unwrap();
        let entry = value["files"]["responses.jsonl"].clone();
        value["files"][name] = entry;
        fs::write(&record, serde_json::to_string(&value).unwrap()).unwrap();
        let list = run.join("report/files.json");
        let mut value: Value = serde_json::from_str(&read(&list)).unwrap();
        value["files"].as_array_mut().unwrap().push(name.into());
        fs::write(&list, serde_json::to_string(&value).unwrap()).unwrap();
        for more in [&[][..], &["--fresh"]] {
            sigma(&arguments(run.to_str().unwrap(), more));
            assert_eq!(read(&victim), "years of work", "{name} {more:?}");
        }
    }
}

#[test]
fn a_report_replaces_no_file_that_no_report_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    write(&out, &[("index.html", "my page"), ("keep.txt", "mine")]);
    let before = content(&out);
    let report = ["report", FINISHED.1.to_str().unwrap(), "--out", out.to_str().unwrap()];
    assert!(fails(&report).contains("index.html"));
    assert!(content(&out) == before);
    fs::remove_file(out.join("index.html")).unwrap();
    // once its own, it is replaced; a stranger's file beside it stays
    for _ in 0..2 {
        assert!(sigma(&report).status.success());
        assert_eq!(read(&out.join("keep.txt")), "mine");
    }
}

/// The module itself, the results of single commands, and the cache of converted models.
const WRITERS: [&str; 3] =
    ["sigma-report/src/run_files.rs", "sigma-exp/src/commands/output.rs", "sigma-exp/src/converted.rs"];

#[test]
fn one_module_writes_and_deletes_below_run_folders() {
    let calls = [
        "fs::write(",
        "File::create",
        "OpenOptions",
        "File::options",
        "fs::remove_",
        "fs::rename(",
        "fs::copy(",
        "fs::create_dir",
        "fs::hard_link(",
        "symlink(",
    ];
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut looked_at = 0;
    for folder in ["sigma-exp/src", "sigma-report/src"] {
        for (path, bytes) in content(&crates.join(folder)) {
            let name = path.strip_prefix(crates).unwrap().to_str().unwrap();
            if !name.ends_with(".rs") || name.ends_with("tests.rs") || WRITERS.contains(&name) {
                continue;
            }
            let text = String::from_utf8(bytes).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            looked_at += 1;
            for call in calls {
                assert!(!code.contains(call), "{name} calls {call}...): use run_files");
            }
        }
    }
    assert!(looked_at > 60, "{looked_at}");
}
