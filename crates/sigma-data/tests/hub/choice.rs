//! Which files are fetched: the best form that is there, and no other.

use sigma_data::hub::{Choice, HubError, HubProgress, RepoKind, Wanted};

use crate::fake::{COMMIT, FakeHub};
use crate::{User, read};

#[test]
fn small_files_arrive_in_the_snapshot_of_the_commit() {
    let hub = FakeHub::with(&[("config.json", "{}"), ("1_Pooling/config.json", "{\"a\":1}")]);
    let user = User::of(&hub);
    let wanted = [Wanted::file("config.json"), Wanted::file("1_Pooling/config.json"), Wanted::optional("none.json")];
    let resolved = user.resolve("org/tiny", &wanted).expect("resolved");
    assert_eq!(read(&resolved, "config.json"), b"{}");
    assert_eq!(read(&resolved, "1_Pooling/config.json"), b"{\"a\":1}");
    assert_eq!(resolved.revision.as_deref(), Some(COMMIT));
    assert_eq!(resolved.files, ["1_Pooling/config.json", "config.json"]);
    assert!(resolved.folder.ends_with(format!("models--org--tiny/snapshots/{COMMIT}")), "{resolved:?}");
    assert!(user.events().contains(&HubProgress::Received { file: "config.json".to_owned() }));
}

#[test]
fn a_commit_can_be_asked_for() {
    let hub = FakeHub::with(&[("config.json", "{}")]);
    let resolved = User::of(&hub).resolve(&format!("org/tiny@{COMMIT}"), &[Wanted::file("config.json")]);
    assert_eq!(resolved.expect("resolved").revision.as_deref(), Some(COMMIT));
    assert_eq!(hub.count("GET", "/revision/main"), 0);
}

#[test]
fn large_files_arrive_from_a_storage_that_never_sees_the_token() {
    let hub = FakeHub::with(&[]);
    let weights = vec![7; 300_000];
    hub.put("model.safetensors", &weights, true);
    let user = User::of(&hub);
    let resolved = user.resolve("org/tiny", &[Wanted::weights()]).expect("resolved");
    assert_eq!(read(&resolved, "model.safetensors"), weights);
    let (storage, others): (Vec<_>, Vec<_>) = hub.requests().into_iter().partition(|request| request.to_storage);
    assert_eq!(storage.len(), 1);
    assert_eq!(storage[0].authorization, None);
    let bearer = Some(format!("Bearer {}", crate::TOKEN));
    assert!(others.iter().all(|request| request.authorization == bearer), "{others:?}");
    let last = user.events().iter().rev().find_map(|event| match event {
        HubProgress::Receiving { received, total, .. } => Some((*received, *total)),
        _ => None,
    });
    assert_eq!(last, Some((300_000, 300_000)));
}

#[test]
fn the_first_complete_form_is_fetched_and_no_other() {
    let hub = FakeHub::with(&[("vocab.json", "{}"), ("merges.txt", "")]);
    hub.put("pytorch_model.bin", b"pickle", true);
    let user = User::of(&hub);
    let wanted = [Wanted::weights(), Wanted::tokenizer()];
    let resolved = user.resolve("org/tiny", &wanted).expect("resolved");
    assert_eq!(resolved.files, ["merges.txt", "pytorch_model.bin", "vocab.json"]);

    hub.put("model.safetensors", b"safe", true);
    hub.put("tokenizer.json", b"{}", false);
    let resolved = User::of(&hub).resolve("org/tiny", &wanted).expect("resolved");
    assert_eq!(resolved.files, ["model.safetensors", "tokenizer.json"]);
    assert_eq!(hub.count("GET", "/vocab.json"), 1, "only the first user had to take it");
}

#[test]
fn pickles_in_shards_arrive_where_there_is_nothing_better() {
    let index = r#"{"weight_map":{"a":"m-1.bin","b":"m-2.bin"}}"#;
    let hub = FakeHub::with(&[("pytorch_model.bin.index.json", index), ("m-1.bin", "one"), ("m-2.bin", "two")]);
    let resolved = User::of(&hub).resolve("org/tiny", &[Wanted::weights()]).expect("resolved");
    assert_eq!(resolved.files, ["pytorch_model.bin.index.json", "m-1.bin", "m-2.bin"]);
    hub.put("pytorch_model.bin", b"whole", true);
    let resolved = User::of(&hub).resolve("org/tiny", &[Wanted::weights()]).expect("resolved");
    assert_eq!(resolved.files, ["pytorch_model.bin"]);
}

#[test]
fn files_of_a_module_are_wanted_inside_its_folder() {
    let hub = FakeHub::with(&[("2_Dense/config.json", "{}"), ("2_Dense/pytorch_model.bin", "x"), ("vocab.txt", "a")]);
    let wanted = [
        Wanted::file("config.json").inside("2_Dense"),
        Wanted::weights().inside("2_Dense"),
        Wanted::encoder_tokenizer().inside(""),
    ];
    let resolved = User::of(&hub).resolve("org/tiny", &wanted).expect("resolved");
    assert_eq!(resolved.files, ["2_Dense/config.json", "2_Dense/pytorch_model.bin", "vocab.txt"]);
}

#[test]
fn shards_that_an_index_names_arrive_with_it() {
    let index = r#"{"metadata":{},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors","c":"m-1.safetensors"}}"#;
    let hub = FakeHub::with(&[("model.safetensors.index.json", index)]);
    hub.put("m-1.safetensors", b"one", true);
    hub.put("m-2.safetensors", b"two", true);
    let user = User::of(&hub);
    let resolved = user.resolve("org/tiny", &[Wanted::weights()]).expect("resolved");
    assert_eq!(resolved.files, ["model.safetensors.index.json", "m-1.safetensors", "m-2.safetensors"]);
    assert_eq!(read(&resolved, "m-2.safetensors"), b"two");
    let again = user.resolve_offline("org/tiny", &[Wanted::weights()]).expect("all of it is cached");
    assert_eq!(again, resolved);
}

#[test]
fn a_missing_shard_is_named() {
    let hub = FakeHub::with(&[("model.safetensors.index.json", r#"{"weight_map":{"a":"gone.safetensors"}}"#)]);
    let error = User::of(&hub).resolve("org/tiny", &[Wanted::weights()]).expect_err("no shard");
    assert!(matches!(&error, HubError::MissingOnHub { what, .. } if what.contains("gone.safetensors")), "{error}");
}

#[test]
fn a_shard_cannot_be_outside_the_folder() {
    for name in ["../../secret", "/etc/passwd", "a/b.safetensors", "..", "", "a\\b", "C:x"] {
        let index = serde_json::json!({"weight_map": {"a": name}}).to_string();
        let hub = FakeHub::with(&[("model.safetensors.index.json", &index)]);
        let error = User::of(&hub).resolve("org/tiny", &[Wanted::weights()]).expect_err(name);
        assert!(matches!(&error, HubError::ShardName { shard, .. } if shard == name), "{error}");
    }
}

#[test]
fn an_index_that_is_none_is_an_error() {
    for (text, empty) in [("[]", false), ("{", false), (r#"{"weight_map":{}}"#, true)] {
        let hub = FakeHub::with(&[("model.safetensors.index.json", text)]);
        let error = User::of(&hub).resolve("org/tiny", &[Wanted::weights()]).expect_err(text);
        match error {
            HubError::EmptyIndex { .. } => assert!(empty, "{text}"),
            HubError::Index { .. } => assert!(!empty, "{text}"),
            other => panic!("{text}: {other}"),
        }
    }
}

#[test]
fn data_sets_are_asked_for_as_data_sets() {
    let hub = FakeHub::with(&[("train.jsonl", "{}\n")]);
    let mut user = User::of(&hub);
    user.options.kind = RepoKind::Dataset;
    let resolved = user.resolve("org/tiny", &[Wanted::file("train.jsonl")]).expect("resolved");
    assert!(resolved.folder.to_string_lossy().contains("datasets--org--tiny"), "{resolved:?}");
    assert_eq!(hub.count("GET", "/datasets/org/tiny/resolve/0123456789abcdef0123456789abcdef01234567/train.jsonl"), 1);
}

#[test]
fn a_wanted_name_cannot_leave_the_repository() {
    let hub = FakeHub::with(&[]);
    for name in ["../x", "/x", "a//b", ""] {
        let error = User::of(&hub).resolve("org/tiny", &[Wanted::file(name)]).expect_err(name);
        assert!(matches!(error, HubError::FileName { .. }), "{error}");
    }
    assert!(hub.requests().is_empty());
}

#[test]
fn a_folder_is_used_where_it_is() {
    let hub = FakeHub::with(&[]);
    let user = User::of(&hub);
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().to_string_lossy().into_owned();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    let wanted = [Wanted::file("config.json"), Wanted::weights(), Wanted::optional("none")];

    put("config.json", "{}");
    let error = user.resolve(&source, &wanted).expect_err("no weights");
    assert!(matches!(&error, HubError::MissingInFolder { what, .. } if what == "weights"), "{error}");
    assert!(error.to_string().contains("`pytorch_model.bin`"), "{error}");

    put("model.safetensors.index.json", r#"{"weight_map":{"a":"m-1.safetensors"}}"#);
    let error = user.resolve(&source, &wanted).expect_err("no shard");
    assert!(matches!(&error, HubError::MissingInFolder { what, .. } if what.contains("m-1.safetensors")), "{error}");

    put("m-1.safetensors", "");
    let resolved = user.resolve(&source, &wanted).expect("resolved");
    assert_eq!(resolved.folder, folder.path());
    assert_eq!(resolved.revision, None);
    assert_eq!(resolved.files, ["config.json", "model.safetensors.index.json", "m-1.safetensors"]);

    let either = Wanted::any_of("either", vec![Choice::file("no"), Choice::file("config.json")]);
    assert_eq!(user.resolve(&source, &[either]).expect("resolved").files, ["config.json"]);
    assert!(hub.requests().is_empty());
}

#[test]
fn a_folder_that_is_none_says_so() {
    let hub = FakeHub::with(&[]);
    let user = User::of(&hub);
    let error = user.resolve("./no/such/folder", &[]).expect_err("missing");
    assert!(matches!(error, HubError::FolderMissing { .. }), "{error}");
    let error = user.resolve("./Cargo.toml", &[]).expect_err("a file");
    assert!(matches!(error, HubError::NotAFolder { .. }), "{error}");
}
