//! Folders as other people's programs leave them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sigma_data::{At, DataError, Tokenizer};
use tempfile::TempDir;

use crate::{goldens, tokenizer};

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A folder with vocab.json and merges.txt only, after the given change.
fn old_folder(change: impl FnOnce(&Path)) -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(goldens().join("tokenizer").join(name), folder.path().join(name)).unwrap();
    }
    change(folder.path());
    folder
}

/// A folder with tokenizer.json only, after the given change of its content.
fn new_folder(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = TempDir::new().unwrap();
    let saved = TempDir::new().unwrap();
    tokenizer().save(saved.path()).unwrap();
    let mut json = read_json(&saved.path().join("tokenizer.json"));
    change(&mut json);
    fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    folder
}

fn error(folder: &TempDir) -> DataError {
    Tokenizer::load(folder.path()).unwrap_err()
}

#[test]
fn truncation_and_padding_of_a_tokenizer_json_are_switched_off() {
    let folder = new_folder(|json| {
        json["truncation"] = json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
        json["padding"] = json!({"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>"});
    });
    let loaded = Tokenizer::load(folder.path()).unwrap();
    let text = "a sentence of more than four tokens, and then some more";
    assert_eq!(loaded.encode(text).unwrap(), tokenizer().encode(text).unwrap());
    assert_eq!(loaded.encode_batch(&["a", text]).unwrap()[0].len(), 1);
    assert_eq!(loaded.hash(), tokenizer().hash());
}

#[test]
fn merges_may_be_pairs_as_newer_libraries_write_them() {
    let folder = new_folder(|json| {
        let pair = |merge: &Value| merge.as_str().unwrap().split(' ').map(Value::from).collect();
        let pairs: Vec<Value> = json["model"]["merges"].as_array().unwrap().iter().map(pair).collect();
        json["model"]["merges"] = pairs.into();
    });
    assert_eq!(Tokenizer::load(folder.path()).unwrap().hash(), tokenizer().hash());
}

#[test]
fn a_saved_configuration_says_whether_transformers_will_add_the_bos() {
    let saved = |folder: TempDir| {
        let copy = TempDir::new().unwrap();
        Tokenizer::load(folder.path()).unwrap().save(copy.path()).unwrap();
        read_json(&copy.path().join("tokenizer_config.json"))["add_bos_token"].clone()
    };
    let silent = r#"{"bos_token": "</s>", "eos_token": "</s>"}"#;
    // transformers 5 writes a template into tokenizer.json and nothing into the configuration
    let template = new_folder(|_| ());
    fs::write(template.path().join("tokenizer_config.json"), silent).unwrap();
    assert_eq!(saved(template), json!(true));
    let no_template = new_folder(|json| json["post_processor"] = Value::Null);
    assert_eq!(saved(no_template), json!(false));
    let as_gpt2 = old_folder(|folder| fs::write(folder.join("tokenizer_config.json"), silent).unwrap());
    assert_eq!(saved(as_gpt2), json!(false));
}

#[test]
fn special_tokens_of_the_configuration_replace_opts() {
    let token = |content| json!({"content": content, "lstrip": false, "rstrip": false, "single_word": false});
    let folder = old_folder(|folder| {
        let config = json!({"bos_token": token("<s>"), "eos_token": "</s>", "add_bos_token": true});
        fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
    });
    let loaded = Tokenizer::load(folder.path()).unwrap();
    assert_eq!((loaded.bos_id(), loaded.eos_id()), (Some(0), 2));
    assert_eq!(loaded.pad_id(), 2, "no pad token is named, so eos pads");
    assert_eq!(loaded.encode_with_bos("a<pad>").unwrap()[0], 0);
    assert_eq!(loaded.decode(&[0, 1, 2]), "<pad>", "only what is named is special");

    // the map beside it wins, as long as the configuration does not list the tokens itself
    fs::write(folder.path().join("special_tokens_map.json"), r#"{"bos_token": "<unk>"}"#).unwrap();
    assert_eq!(Tokenizer::load(folder.path()).unwrap().bos_id(), Some(3));
    let listed = json!({"bos_token": "<s>", "eos_token": "</s>", "added_tokens_decoder": {"2": {"content": "</s>",
        "lstrip": false, "normalized": true, "rstrip": false, "single_word": false, "special": true}}});
    fs::write(folder.path().join("tokenizer_config.json"), listed.to_string()).unwrap();
    assert_eq!(Tokenizer::load(folder.path()).unwrap().bos_id(), Some(0));
}

#[test]
fn added_tokens_beyond_the_vocabulary_keep_their_ids_through_a_save() {
    let folder = old_folder(|folder| {
        let added = json!({"content": "<end>", "lstrip": false, "normalized": false, "rstrip": false,
            "single_word": false, "special": true});
        let config = json!({"bos_token": "</s>", "eos_token": "<end>", "added_tokens_decoder": {"2048": added}});
        fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
    });
    let loaded = Tokenizer::load(folder.path()).unwrap();
    assert_eq!((loaded.eos_id(), loaded.vocab_size()), (2048, 2049));
    assert_eq!(loaded.encode("a<end>").unwrap()[1], 2048);
    let saved = TempDir::new().unwrap();
    loaded.save(saved.path()).unwrap();
    let again = Tokenizer::load(saved.path()).unwrap();
    assert_eq!((again.eos_id(), again.vocab_size(), again.hash()), (2048, 2049, loaded.hash()));
}

#[test]
fn defective_vocabularies_are_refused() {
    type Change = fn(&Path);
    type Check = fn(&DataError) -> bool;
    fn edit_vocab(folder: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
        let path = folder.join("vocab.json");
        let mut json = read_json(&path);
        change(json.as_object_mut().unwrap());
        fs::write(path, json.to_string()).unwrap();
    }
    let cases: [(&str, Change, Check); 12] = [
        (
            "no vocab.json",
            |f| fs::remove_file(f.join("vocab.json")).unwrap(),
            |e| matches!(e, DataError::NoTokenizer { .. }),
        ),
        (
            "no merges.txt",
            |f| fs::remove_file(f.join("merges.txt")).unwrap(),
            |e| matches!(e, DataError::NoTokenizer { .. }),
        ),
        (
            "vocab.json cut short",
            |f| fs::write(f.join("vocab.json"), "{\"a\": 1").unwrap(),
            |e| matches!(e, DataError::JsonFile { .. }),
        ),
        (
            "a negative id",
            |f| edit_vocab(f, |v| _ = v.insert("a".into(), json!(-1))),
            |e| matches!(e, DataError::JsonFile { .. }),
        ),
        (
            "a byte without a letter",
            |f| edit_vocab(f, |v| _ = v.remove("Ġ")),
            |e| matches!(e, DataError::MissingByte { byte: b' ', token: 'Ġ', .. }),
        ),
        (
            "an id twice",
            |f| edit_vocab(f, |v| _ = v.insert("new".into(), json!(7))),
            |e| matches!(e, DataError::DuplicateToken { id: 7, .. }),
        ),
        (
            "no </s>",
            |f| edit_vocab(f, |v| _ = v.remove("</s>")),
            |e| matches!(e, DataError::UnknownSpecialToken { token, .. } if token == "</s>"),
        ),
        (
            "a merge of one",
            |f| fs::write(f.join("merges.txt"), "#version: 0.2\nh e\nhe\n").unwrap(),
            |e| matches!(e, DataError::MergeSyntax { place, .. } if place.at == At::Line(3)),
        ),
        (
            "a merge of three",
            |f| fs::write(f.join("merges.txt"), "h e\nh e l\n").unwrap(),
            |e| matches!(e, DataError::MergeSyntax { place, .. } if place.at == At::Line(2)),
        ),
        (
            "a merge of unknown tokens",
            |f| fs::write(f.join("merges.txt"), "h e\n\nzqx e\n").unwrap(),
            |e| matches!(e, DataError::MergeUnknown { place, token } if place.at == At::Line(3) && token == "zqx"),
        ),
        (
            "a merge into nothing",
            |f| fs::write(f.join("merges.txt"), "~ ~\n").unwrap(),
            |e| matches!(e, DataError::MergeUnknown { token, .. } if token == "~~"),
        ),
        (
            "merges in Latin-1",
            |f| fs::write(f.join("merges.txt"), b"\xe9 e\n").unwrap(),
            |e| matches!(e, DataError::Read { .. }),
        ),
    ];
    for (name, change, expected) in cases {
        let error = error(&old_folder(change));
        assert!(expected(&error), "{name}: {error:?}");
    }
}

#[test]
fn a_tokenizer_json_of_another_kind_is_refused() {
    type Change = fn(&mut Value);
    type Check = fn(&DataError) -> bool;
    let unsupported: Check = |e| matches!(e, DataError::UnsupportedTokenizer { .. });
    let cases: [(&str, Change, Check); 7] = [
        ("another model", |j| j["model"] = json!({"type": "Unigram", "vocab": []}), unsupported),
        ("another decoder", |j| j["decoder"] = json!({"type": "Metaspace"}), unsupported),
        ("no decoder", |j| j["decoder"] = Value::Null, unsupported),
        ("dropout", |j| j["model"]["dropout"] = json!(0.1), unsupported),
        // these two make the library itself panic
        (
            "a merge into nothing",
            |j| j["model"]["merges"][3] = json!("~ ~"),
            |e| matches!(e, DataError::MergeUnknown { place, .. } if place.at == At::Merge(4)),
        ),
        (
            "a merge of strangers",
            |j| j["model"]["merges"] = json!([["zqx", "e"]]),
            |e| matches!(e, DataError::MergeUnknown { .. }),
        ),
        (
            "no vocabulary",
            |j| _ = j["model"].as_object_mut().unwrap().remove("vocab"),
            |e| matches!(e, DataError::JsonFile { .. }),
        ),
    ];
    for (name, change, expected) in cases {
        let error = error(&new_folder(change));
        assert!(expected(&error), "{name}: {error:?}");
    }
}

#[test]
fn configurations_that_do_not_fit_are_refused() {
    type Check = fn(&DataError) -> bool;
    let cases: [(Value, Check); 5] = [
        (json!({"eos_token": "</s>", "add_bos_token": true}), |e| {
            matches!(e, DataError::UnnamedSpecialToken { role: "bos_token", .. })
        }),
        (json!({"bos_token": "</s>", "eos_token": null}), |e| {
            matches!(e, DataError::UnnamedSpecialToken { role: "eos_token", .. })
        }),
        (json!({"bos_token": "</s>", "eos_token": "<end>"}), |e| {
            matches!(e, DataError::UnknownSpecialToken { role: "eos_token", .. })
        }),
        (json!({"bos_token": "</s>", "eos_token": "</s>", "add_prefix_space": true}), |e| {
            matches!(e, DataError::UnsupportedTokenizer { .. })
        }),
        (
            json!({"bos_token": "</s>", "eos_token": "</s>", "added_tokens_decoder": {"5": {"content": "</s>",
                "lstrip": false, "normalized": true, "rstrip": false, "single_word": false, "special": true}}}),
            |e| matches!(e, DataError::AddedTokenId { declared: 5, found: 2, .. }),
        ),
    ];
    for (config, expected) in cases {
        let folder = old_folder(|folder| fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap());
        let error = error(&folder);
        assert!(expected(&error), "{config}: {error:?}");
    }
    let folder = old_folder(|folder| fs::write(folder.join("tokenizer_config.json"), "{").unwrap());
    assert!(matches!(error(&folder), DataError::JsonFile { .. }));
}
