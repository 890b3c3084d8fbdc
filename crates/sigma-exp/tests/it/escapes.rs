//! Text from files stays text: nothing of it is obeyed by a terminal or a reader of Markdown, and what a report cannot
//! hold is refused before anything is made.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::integrity::copy;
use crate::ownership::FINISHED;
use crate::{SMALL, fails, read, sigma, succeeds};

const ESC: &str = "\u{1b}]52;c;aGk=\u{7}\u{1b}[31mRED\u{9b}1m\u{202e}";

fn prompts(dir: &Path, bucket: &str) -> PathBuf {
    let path = dir.join("prompts.jsonl");
    let lines = ["neutral", bucket].into_iter().enumerate();
    let line = |(i, bucket): (usize, &str)| {
        json!({"id": format!("p{i}"), "bucket": bucket, "text": "What is a bond?"}).to_string() + "\n"
    };
    fs::write(&path, lines.map(line).collect::<String>()).unwrap();
    path
}

/// Arguments that name these prompts, whose buckets the config allows.
fn with_prompts(command: &[&str], path: &Path, bucket: &str) -> Vec<String> {
    let buckets = format!("prompts.buckets={}", json!(["neutral", bucket]));
    let path = format!("prompts.path={}", path.display());
    let more = ["--set", &path, "--set", &buckets, "--set", "prompts.max_per_bucket=1", "--set", "sigma.observed=all"];
    [command, &SMALL, &["--set", "generations=1"], &more].concat().into_iter().map(str::to_owned).collect()
}

fn assert_inert(what: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let obeyed = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(obeyed), "{what}: {text:?}");
}

#[test]
fn a_bucket_with_a_control_character_or_none_at_all_is_refused_by_line_before_anything_is_made() {
    for bucket in ["esc\u{1b}[31mRED", "nul\0", "line\nbreak", "\u{ffff}", "\u{9b}", " "] {
        let dir = tempfile::tempdir().unwrap();
        let path = prompts(dir.path(), bucket);
        let out = dir.path().join("run");
        for command in
            [&["check", "configs/demo_s2.yaml"][..], &["run", "configs/demo_s2.yaml", "--out", out.to_str().unwrap()]]
        {
            let arguments = with_prompts(command, &path, bucket);
            let said = fails(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            assert!(said.contains("prompts.jsonl:2") && said.contains("bucket"), "{bucket:?}: {said}");
            assert_inert("stderr", said.as_bytes());
        }
        assert!(!out.join("gen-000").exists(), "{bucket:?}");
    }
}

#[test]
fn names_with_markup_are_shown_as_they_are_by_every_format_of_a_report() {
    let name =
        "![x](http://127.0.0.1:9/x.png) <img src=x onerror=alert(3)> [click](javascript:alert(1)) `code` **bold**";
    let dir = tempfile::tempdir().unwrap();
    let path = prompts(dir.path(), name);
    let out = dir.path().join("run");
    let arguments = with_prompts(&["run", "configs/demo_s2.yaml", "--out", out.to_str().unwrap()], &path, name);
    succeeds(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let table = read(&out.join("report/tables/tab_fin_buckets.md"));
    for active in ["![", "](http", "<img", " [click", " `code", " **bold"] {
        let escaped = active.replace('!', "\\!").replace('[', "\\[");
        assert!(!table.contains(active) || table.contains(&escaped), "{active}: {table}");
    }
    assert!(table.contains("\\!\\[x](http\\:") && table.contains("\\<img") && table.contains("\\`code\\`"), "{table}");
    assert!(!read(&out.join("report/index.html")).contains("<img src=x"));
}

#[test]
fn nothing_that_a_file_says_reaches_the_terminal_as_an_order() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    copy(&FINISHED.1, &run);
    let edit = |name: &str, change: &dyn Fn(&mut Value)| {
        let path = run.join(name);
        let mut value: Value = serde_json::from_str(&read(&path)).unwrap();
        change(&mut value);
        fs::write(&path, serde_json::to_string_pretty(&value).unwrap()).unwrap();
    };
    edit("manifest.json", &|manifest| {
        manifest["name"] = json!(format!("{ESC}\nerror: a line of its own"));
        manifest["starts"][0]["machine"]["cpu"] = json!(ESC);
        manifest["sources"]["model"]["source"] = json!(ESC);
    });
    fs::write(run.join("stopped.json"), json!({"schema": 1, "generation": 1, "flag": ESC, "message": ESC}).to_string())
        .unwrap();
    fs::write(run.join("lock"), format!("process {ESC}")).unwrap();
    let out = dir.path().join("report");
    let (run, shown) = (run.to_str().unwrap(), out.to_str().unwrap());
    let unknown = prompts(dir.path(), ESC);
    let unknown = format!("prompts.path={}", unknown.display());
    let odd = dir.path().join(format!("odd{ESC}.yaml"));
    fs::write(&odd, format!("\"{ESC}\": 1\n").replace('\u{1b}', "\\e").replace('\u{7}', "\\a")).unwrap();
    let key = format!("sigma.{ESC}=1");
    for arguments in [
        &["status", run][..],
        &["status", run, "--verify"],
        &["report", run, "--out", shown],
        &["check", "configs/demo_s2.yaml", "--set", &unknown],
        &["check", "configs/demo_s2.yaml", "--set", &key],
        &["check", odd.to_str().unwrap()],
        &["metrics", "--embeddings", odd.to_str().unwrap()],
        &["metrics", odd.to_str().unwrap()],
        &[&key],
        &["status", odd.to_str().unwrap()],
    ] {
        let output = sigma(arguments);
        assert_inert(&format!("{arguments:?} on stdout"), &output.stdout);
        assert_inert(&format!("{arguments:?} on stderr"), &output.stderr);
    }
    assert!(!succeeds(&["status", run]).lines().any(|line| line.starts_with("error: a line")));
    let mut tables = 0;
    for entry in fs::read_dir(out.join("tables")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md" || extension == "tex") {
            assert_inert(&path.display().to_string(), &fs::read(&path).unwrap());
            tables += 1;
        }
    }
    assert!(tables > 5);
}
