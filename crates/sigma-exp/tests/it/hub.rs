//! Models, corpora and prompt banks from a hub on this machine: what a run fetches, what it pins, and how it goes on
//! when the hub has changed or is gone.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::fake::{COMMIT, FakeHub, Response};
use crate::{read, results, root};

/// The repository `org/tiny` with the bundled model and, as a data set, the bundled texts under other column names.
fn bundled() -> FakeHub {
    let hub = FakeHub::with(&[]);
    for name in ["config.json", "vocab.json", "merges.txt", "tokenizer_config.json"] {
        hub.put(name, &fs::read(root().join("data/models/opt-tiny").join(name)).unwrap(), false);
    }
    let weights = fs::read(root().join("data/models/opt-tiny/model.safetensors")).unwrap();
    hub.put("model.safetensors", &weights, true);
    let renamed = |name: &str| read(&root().join("data/fin").join(name)).replace("\"text\"", "\"body\"");
    hub.put("corpus/train.jsonl", renamed("corpus.jsonl").as_bytes(), true);
    let questions: Vec<String> = read(&root().join("data/fin/prompts.jsonl"))
        .lines()
        .take(6)
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_string())
        .collect();
    hub.put("questions.txt", questions.join("\n").as_bytes(), false);
    hub
}

const CONFIG: &str = "name: from_hub
domain: fin
setting: s2
generations: 1
model: { source: org/tiny }
corpus: { hub: org/tiny, file: corpus/train.jsonl, column: body, context_tokens: 64, max_contexts: 24 }
prompts: { hub: org/tiny, file: questions.txt, bucket: neutral }
training: { epochs: 1 }
evaluation: { max_new_tokens: 80 }
encoder: { source: org/tiny }
sigma: { observed: 8 }
device: cpu
";

const TOKEN: &str = "hf_do_not_print_me";

struct User {
    folder: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.yaml"), CONFIG).unwrap();
        User { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, hub: &FakeHub, out: &str, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
            .args(["run", "config.yaml", "--out", out])
            .args(more)
            .current_dir(self.folder.path())
            .env("HF_ENDPOINT", hub.url())
            .env("HF_HOME", self.path("cache"))
            .env("HF_TOKEN", TOKEN)
            // with everything that libraries say of themselves
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .env_remove("HF_HUB_OFFLINE")
            .output()
            .unwrap()
    }

    fn succeeds(&self, hub: &FakeHub, out: &str, more: &[&str]) -> String {
        let output = self.run(hub, out, more);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{more:?}\n{stderr}");
        stderr
    }
}

fn manifest(run: &Path) -> serde_json::Value {
    serde_json::from_str(&read(&run.join("manifest.json"))).unwrap()
}

#[test]
fn a_run_takes_everything_from_the_hub_and_pins_the_commits() {
    let (hub, user) = (bundled(), User::new());
    let messages = user.succeeds(&hub, "first", &[]);
    assert!(messages.contains("fetched model.safetensors"), "{messages}");
    let sources = &manifest(&user.path("first"))["sources"];
    for (name, place) in [
        ("model", "org/tiny"),
        ("encoder", "org/tiny"),
        ("corpus", "org/tiny/corpus/train.jsonl"),
        ("prompts", "org/tiny/questions.txt"),
    ] {
        let entry = &sources[name];
        assert_eq!(entry["revision"], COMMIT, "{name}");
        assert!(entry["source"] == place || entry["path"] == place, "{name}: {entry}");
    }
    for name in ["manifest.json", "config.yaml", "log.jsonl"] {
        assert!(!read(&user.path("first").join(name)).contains(TOKEN), "{name} holds the token");
    }

    // with the hub gone everything comes from the cache, and gives the same numbers
    let asked = hub.requests().len();
    user.succeeds(&hub, "second", &["--offline"]);
    assert_eq!(hub.requests().len(), asked, "offline means that nothing is asked");
    assert_eq!(results(&user.path("first")), results(&user.path("second")));

    // the branch moves to other weights: a run that goes on keeps the commits that it began with
    hub.move_main("fedcba9876543210fedcba9876543210fedcba98");
    let other = fs::read(root().join("crates/sigma-model/tests/goldens/opt_tiny/model.safetensors")).unwrap();
    hub.put("model.safetensors", &other, true);
    user.succeeds(&hub, "first", &["--set", "generations=2"]);
    assert_eq!(manifest(&user.path("first"))["sources"]["model"]["revision"], COMMIT);
    assert!(user.path("first/gen-002/record.json").exists());
}

#[test]
fn what_the_hub_lacks_is_said_before_anything_is_written() {
    let (hub, user) = (bundled(), User::new());
    for (more, expected) in [
        (["--set", "corpus.file=none.jsonl"], vec!["corpus", "none.jsonl"]),
        (["--set", "corpus.file=../x.jsonl"], vec!["corpus", "../x.jsonl"]),
        (["--set", "model.source=org/other"], vec!["model `org/other`", "HF_TOKEN"]),
        (["--offline", "--set=prompts.file=later.txt"], vec!["corpus", "offline", "run once with the network"]),
        (["--set", "corpus.column=txet"], vec!["train.jsonl:1", "txet", "body"]),
    ] {
        let output = user.run(&hub, "out", &more);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}\n{stderr}");
        assert!(expected.iter().all(|text| stderr.contains(text)), "{more:?}\n{stderr}");
        assert!(!stderr.contains(TOKEN) && !stderr.contains("panicked"), "{stderr}");
        assert!(!user.path("out").exists(), "{more:?} left a folder");
    }
}

/// Every file below `folder`, by path and content.
fn every_file(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(every_file(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files
}

#[test]
fn the_token_is_in_no_message_and_no_file_whether_a_run_succeeds_or_fails() {
    let (hub, user) = (bundled(), User::new());
    let silent = |output: &Output, what: &str| {
        for said in [&output.stdout, &output.stderr] {
            assert!(!String::from_utf8_lossy(said).contains(TOKEN), "{what}: {}", String::from_utf8_lossy(said));
        }
        for (path, content) in every_file(user.folder.path()) {
            let found = content.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
            assert!(!found, "{what}: {} holds the token", path.display());
        }
    };
    let done = user.run(&hub, "done", &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let sent = hub.requests().iter().any(|request| request.authorization.as_ref().is_some_and(|a| a.contains(TOKEN)));
    assert!(sent, "the token is in use, or this test would prove nothing");
    silent(&done, "a run that succeeds");
    assert!(user.path("done/report/index.html").exists() && user.path("done/log.jsonl").exists());

    let hot = ["--set", "training.learning_rate=1e30", "--set", "training.clip_norm=0"];
    let failed = user.run(&hub, "failed", &hot);
    assert_eq!(failed.status.code(), Some(2), "{}", String::from_utf8_lossy(&failed.stderr));
    assert!(user.path("failed/log.jsonl").exists(), "it fails after it began");
    silent(&failed, "a run that fails at work");

    // a server that repeats what it was told
    hub.intercept(|request| {
        let told = request.authorization.clone().unwrap_or_default();
        Some(Response::new(403, told.clone()).header("X-Error-Message", told.clone()).header("X-Error-Code", told))
    });
    let refused = user.run(&hub, "refused", &["--set", "model.source=org/tiny@other"]);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    silent(&refused, "a run that the hub refuses");
}

/// All files below `folder`, by their paths in it.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn an_encoder_comes_from_the_hub_with_all_that_its_modules_json_names() {
    let texts = "{\"id\":\"a\",\"text\":\"the bank raised its rate\"}\n{\"id\":\"b\",\"text\":\"Shares FELL\"}\n";
    for (name, needed) in [
        ("bert_dense", "2_Dense/model.safetensors"),
        ("bert_vocab_txt", "vocab.txt"),
        ("distilbert", "0_Transformer/model.safetensors"),
        ("bert_prompt_not_pooled", "config_sentence_transformers.json"),
        ("roberta", "merges.txt"),
    ] {
        let golden = root().join("crates/sigma-model/tests/goldens/encoders").join(name);
        let (hub, user) = (FakeHub::with(&[]), User::new());
        for path in files(&golden) {
            let inside = path.strip_prefix(&golden).unwrap().to_str().unwrap().to_string();
            hub.put(&inside, &fs::read(&path).unwrap(), inside.ends_with(".safetensors"));
        }
        fs::write(user.path("texts.jsonl"), texts).unwrap();
        let embed = |source: &str, out: &str, more: &[&str]| {
            let source = format!("encoder.source={source}");
            let output = Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
                .args(["embed", "config.yaml", "--set", &source, "--texts", "texts.jsonl", "--out", out])
                .args(more)
                .current_dir(user.folder.path())
                .env("HF_ENDPOINT", hub.url())
                .env("HF_HOME", user.path("cache"))
                .env_remove("HF_HUB_OFFLINE")
                .output()
                .unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            fs::read(user.path(out)).unwrap()
        };
        let fetched = embed("org/tiny", "hub.npy", &[]);
        assert!(hub.requests().iter().any(|request| request.is("GET", needed)), "{name}: {needed} is fetched");
        assert!(!hub.requests().iter().any(|request| request.is("GET", "golden.json")), "nothing else is");
        assert_eq!(fetched, embed(golden.to_str().unwrap(), "folder.npy", &[]), "{name}");
        let asked = hub.requests().len();
        assert_eq!(fetched, embed("org/tiny", "cached.npy", &["--offline"]), "{name}");
        assert_eq!(hub.requests().len(), asked, "offline means that nothing is asked");
    }
}
