//! Corpora, prompt banks, blocks and answers.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use super::{Case, case, check_with, refused, text};
use crate::{SMALL, fails, read, succeeds};

fn file(
    name: &'static str,
    key: &'static str,
    as_file: &'static str,
    content: Vec<u8>,
    expected: &'static [&'static str],
) -> Case {
    let make = move |dir: &Path| {
        let path = dir.join(as_file);
        fs::write(&path, &content).unwrap();
        check_with(&[&format!("{key}={}", path.display())])
    };
    case(name, make, expected)
}

fn corpus(name: &'static str, content: impl Into<Vec<u8>>, expected: &'static [&'static str]) -> Case {
    file(name, "corpus.path", "data.jsonl", content.into(), expected)
}

fn prompts(name: &'static str, content: impl Into<Vec<u8>>, expected: &'static [&'static str]) -> Case {
    file(name, "prompts.path", "data.jsonl", content.into(), expected)
}

const GOOD: &str = "{\"id\":\"a\",\"text\":\"x\"}\n";

#[test]
fn broken_corpora_are_refused_by_line_and_id() {
    let nested = [b"{\"text\":".to_vec(), vec![b'['; 10_000]].concat();
    let gigantic = [b"{\"text\":\"".to_vec(), vec![b'x'; 70 << 20]].concat();
    let parquet =
        |content: &[u8], name, expected| file(name, "corpus.path", "data.parquet", content.to_vec(), expected);
    refused(vec![
        corpus("cut JSON", format!("{GOOD}{{\"id\": \"b\", \"text\": \"x"), &["data.jsonl:2", "JSON object"]),
        corpus("no text", format!("{GOOD}{{\"id\":\"b\",\"body\":\"x\"}}\n"), &["data.jsonl:2", "`text`", "body"]),
        corpus("a text that is a number", "{\"id\":\"a\",\"text\":7}\n", &["data.jsonl:1", "a string", "a number"]),
        corpus("a text that is null", "{\"id\":\"a\",\"text\":null}\n", &["data.jsonl:1", "null"]),
        corpus("duplicate id", format!("{GOOD}{GOOD}"), &["data.jsonl:2", "`a`", "data.jsonl:1"]),
        corpus(
            "duplicate id, a number",
            "{\"id\":1,\"text\":\"x\"}\n{\"id\":\"1\",\"text\":\"x\"}\n",
            &["data.jsonl:2", "`1`"],
        ),
        corpus("an id of half", "{\"id\":0.5,\"text\":\"x\"}\n", &["data.jsonl:1", "an integer"]),
        corpus(
            "an id with a line break",
            "{\"id\":\"a\\nb\",\"text\":\"x\"}\n",
            &["data.jsonl:1", "control character"],
        ),
        corpus("an id here and none there", format!("{GOOD}{{\"text\":\"x\"}}\n"), &["data.jsonl:2", "no `id`"]),
        corpus("an array", "[\"a\", \"x\"]\n", &["data.jsonl:1", "no object"]),
        corpus("an array around it all", "[\n{\"text\":\"x\"}\n]\n", &["data.jsonl:1", "no object"]),
        corpus("a bare number", "7\n", &["data.jsonl:1", "no object"]),
        corpus("10,000 brackets", nested, &["data.jsonl:1", "recursion"]),
        corpus("a gigantic line", gigantic, &["data.jsonl:1", "longer than"]),
        corpus("empty", "", &["data.jsonl", "no documents"]),
        corpus("blank lines", "\r\n\n  \r\n", &["data.jsonl", "no documents"]),
        corpus("not UTF-8", b"{\"text\":\"\xff\"}\n".to_vec(), &["data.jsonl", "not UTF-8"]),
        corpus("UTF-16", b"\xff\xfe{\0\"\0".to_vec(), &["data.jsonl", "not UTF-8"]),
        corpus("NUL bytes", "{\"text\":\"a\0b\"}\n", &["data.jsonl:1"]),
        corpus("NUL characters", "{\"id\":\"a\",\"text\":\"a\\u0000b\"}\n", &["data.jsonl:1", "NUL character"]),
        corpus("half a surrogate pair", "{\"text\":\"\\ud800\"}\n", &["data.jsonl:1"]),
        corpus("CRLF and an error", "{\"id\":\"a\",\"text\":\"x\"}\r\n{\r\n", &["data.jsonl:2"]),
        corpus("white space", "{\"id\":\"a\",\"text\":\" \\t \"}\n", &["data.jsonl:1", "`a`", "white space"]),
        corpus("no context at all", GOOD, &["64 tokens", "context_tokens"]),
        parquet(b"PAR1 and not", "no Parquet", &["data.parquet", "Parquet"]),
        parquet(b"", "an empty Parquet", &["data.parquet", "Parquet"]),
        parquet(b"PAR1\0\0\0\0\xff\xff\xff\x7fPAR1", "a Parquet footer of 2 GiB", &["data.parquet", "Parquet"]),
        file("an unknown type", "corpus.path", "data.docx", b"x".to_vec(), &["data.docx", "`docx`", ".jsonl"]),
        case(
            "a folder with other files",
            |dir| {
                fs::write(dir.join("a.txt"), "x").unwrap();
                fs::write(dir.join("b.pdf"), "x").unwrap();
                check_with(&[&format!("corpus.path={}", dir.display())])
            },
            &["b.pdf", ".txt"],
        ),
    ]);
}

#[test]
fn broken_prompt_banks_are_refused_by_line_and_id() {
    const PROMPT: &str = "{\"id\":\"a\",\"bucket\":\"neutral\",\"text\":\"x\"}\n";
    let gigantic = [b"{\"text\":\"".to_vec(), vec![b'x'; 70 << 20]].concat();
    let long = format!("{{\"id\":\"long\",\"bucket\":\"neutral\",\"text\":\"{}\"}}\n", "word ".repeat(2000));
    refused(vec![
        prompts(
            "unknown bucket",
            "{\"id\":\"a\",\"bucket\":\"odd\",\"text\":\"x\"}\n",
            &["data.jsonl:1", "`odd`", "neutral"],
        ),
        prompts("no bucket", GOOD, &["data.jsonl:1", "`bucket`"]),
        prompts(
            "a bucket that is a list",
            "{\"id\":\"a\",\"bucket\":[],\"text\":\"x\"}\n",
            &["data.jsonl:1", "an array"],
        ),
        prompts("empty prompt", "{\"id\":\"a\",\"bucket\":\"neutral\",\"text\":\"\"}\n", &["data.jsonl:1", "`a`"]),
        prompts("longer than the positions", long, &["data.jsonl", "`long`", "512"]),
        prompts("empty", "", &["data.jsonl", "no prompts"]),
        prompts("cut JSON", format!("{PROMPT}{{\"id\": \"b\", \"text\": \"x"), &["data.jsonl:2", "JSON object"]),
        prompts("no text", "{\"id\":\"a\",\"bucket\":\"neutral\"}\n", &["data.jsonl:1", "`text`"]),
        prompts("duplicate id", format!("{PROMPT}{PROMPT}"), &["data.jsonl:2", "`a`", "data.jsonl:1"]),
        prompts("not UTF-8", [PROMPT.as_bytes(), b"{\"text\":\"\xff\"}\n"].concat(), &["data.jsonl:2", "not UTF-8"]),
        prompts("NUL bytes", "{\"text\":\"a\0b\"}\n", &["data.jsonl:1"]),
        prompts("a gigantic line", gigantic, &["data.jsonl:1", "longer than"]),
        file("text without a bucket", "prompts.path", "bank.txt", b"Why?\n".to_vec(), &["bank.txt", "give `bucket`"]),
        file("a CSV", "prompts.path", "bank.csv", b"id,text\na,b\n".to_vec(), &["bank.csv", "no column `bucket`"]),
    ]);
}

#[test]
fn broken_blocks_and_answers_are_refused_by_line_and_id() {
    let stage = |name: &'static str, command: &'static [&'static str], content: &str, expected| {
        let content = content.to_string();
        let make = move |dir: &Path| {
            fs::write(dir.join("in.jsonl"), &content).unwrap();
            let input = text(&dir.join("in.jsonl"));
            let output = text(&dir.join("out"));
            command.iter().map(|word| word.replace("INPUT", &input).replace("OUTPUT", &output)).collect()
        };
        case(name, make, expected)
    };
    const TUNE: &[&str] = &[
        "finetune",
        "configs/demo_s2.yaml",
        "--model",
        "data/models/opt-tiny",
        "--blocks",
        "INPUT",
        "--out",
        "OUTPUT",
    ];
    const CONTINUE: &[&str] = &[
        "generate",
        "configs/demo_s2.yaml",
        "--model",
        "data/models/opt-tiny",
        "--prompts",
        "INPUT",
        "--out",
        "OUTPUT",
        "--as",
        "regeneration",
    ];
    const EMBED: &[&str] = &["embed", "configs/demo_s2.yaml", "--texts", "INPUT", "--answers", "--out", "OUTPUT"];
    let long = format!("{{\"id\":\"a\",\"tokens\":{:?}}}\n", vec![5; 600]);
    refused(vec![
        stage(
            "a token beyond the vocabulary",
            TUNE,
            "{\"id\":\"a\",\"tokens\":[4000000000]}\n",
            &["in.jsonl:1", "`a`", "vocabulary"],
        ),
        stage("a negative token", TUNE, "{\"id\":\"a\",\"tokens\":[-1]}\n", &["in.jsonl:1", "-1"]),
        stage("a block without tokens", TUNE, "{\"id\":\"a\",\"tokens\":[]}\n", &["in.jsonl:1", "`a`", "no tokens"]),
        stage("no blocks", TUNE, "", &["in.jsonl", "no blocks"]),
        stage("a block longer than the positions", TUNE, &long, &["512"]),
        stage("a context longer than the positions", CONTINUE, &long, &["512"]),
        stage("no answers", EMBED, "", &["in.jsonl"]),
        stage("an answer without a prompt", EMBED, "{\"text\":\"x\"}\n", &["in.jsonl:1"]),
    ]);
}

#[test]
fn unusual_but_proper_texts_are_read_and_fewer_contexts_than_a_batch_are_refused() {
    let dir = tempdir().unwrap();
    let corpus = dir.path().join("corpus.jsonl");
    let body = read(&crate::root().join("data/fin/corpus.jsonl"));
    let texts: Vec<String> = body
        .lines()
        .take(2)
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].to_string())
        .collect();
    // a byte order mark, CRLF, blank lines, and numbers as ids
    fs::write(
        &corpus,
        format!("\u{feff}{{\"id\":1,\"text\":{}}}\r\n\r\n{{\"id\":2,\"text\":{}}}\r\n", texts[0], texts[1]),
    )
    .unwrap();
    let run = dir.path().join("run");
    let source = format!("corpus.path={}", corpus.display());
    let sets =
        ["--set", &source, "--set", "corpus.max_contexts=3", "--set", "generations=1", "--out", run.to_str().unwrap()];
    let arguments = [&["run", "configs/demo_s2.yaml"][..], &SMALL[..], &sets[..]].concat();
    let said = fails(&arguments);
    assert!(said.contains("corpus.jsonl gives 3 contexts of 64 tokens, fewer than training.batch_size 16"), "{said}");
    assert!(said.contains("a smaller batch") && !run.exists(), "{said}");
    succeeds(&[&arguments[..], &["--set", "training.batch_size=3"]].concat());
    let record: serde_json::Value = serde_json::from_str(&read(&run.join("gen-001/record.json"))).unwrap();
    assert_eq!(record["mixture"]["blocks"], 3);
    assert_eq!(record["training"]["steps"], 1, "three contexts are one batch of three");
}
