//! What stands before a text and what ends it, by the files of a folder, and tokens that only some files name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sigma_data::tokenizer::ends_of_folder;
use sigma_data::{DataError, Tokenizer};
use tempfile::TempDir;

use crate::{goldens, tokenizer};

const CONFIG: &str = "tokenizer_config.json";

fn write(folder: &Path, name: &str, json: &Value) {
    fs::write(folder.join(name), json.to_string()).unwrap();
}

fn read(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

/// A folder with tokenizer.json, changed, and a tokenizer_config.json.
fn folder(config: Value, change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = TempDir::new().unwrap();
    tokenizer().save(folder.path()).unwrap();
    for name in ["special_tokens_map.json", "vocab.json", "merges.txt"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let mut json = read(folder.path(), "tokenizer.json");
    change(&mut json);
    write(folder.path(), "tokenizer.json", &json);
    write(folder.path(), CONFIG, &config);
    folder
}

fn begins(folder: &TempDir) -> Option<u32> {
    Tokenizer::load(folder.path()).unwrap().begins()
}

fn saved(folder: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    Tokenizer::load(folder.path()).unwrap().save(copy.path()).unwrap();
    copy
}

fn no_post_processor(json: &mut Value) {
    json["post_processor"] = Value::Null;
}

/// As GPT-2's and Qwen's: it moves offsets and adds nothing.
fn idle_post_processor(json: &mut Value) {
    json["post_processor"] =
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true});
}

fn template(single: Value) -> impl FnOnce(&mut Value) {
    move |json| {
        json["post_processor"]["type"] = json!("TemplateProcessing");
        json["post_processor"]["single"] = single;
    }
}

fn roles(more: Value) -> Value {
    let mut config = json!({"bos_token": "</s>", "eos_token": "</s>"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

#[test]
fn a_post_processor_decides_what_texts_begin_with() {
    let text = Tokenizer::load(folder(roles(json!({})), |_| ()).path()).unwrap().encode_with_bos("a").unwrap();
    assert_eq!(text[0], 2);
    assert_eq!(begins(&folder(roles(json!({})), |_| ())), Some(2));
    assert_eq!(begins(&folder(roles(json!({"add_bos_token": true})), |_| ())), Some(2));
    assert_eq!(begins(&folder(roles(json!({})), idle_post_processor)), None);
    assert_eq!(begins(&folder(roles(json!({"add_bos_token": false})), idle_post_processor)), None);
    let bare = folder(roles(json!({})), idle_post_processor);
    let bare = Tokenizer::load(bare.path()).unwrap();
    assert_eq!(bare.encode_with_bos("a").unwrap(), bare.encode("a").unwrap());
}

#[test]
fn without_a_post_processor_the_configuration_decides() {
    assert_eq!(begins(&folder(roles(json!({"add_bos_token": true})), no_post_processor)), Some(2));
    assert_eq!(begins(&folder(roles(json!({"add_bos_token": false})), no_post_processor)), None);
    assert_eq!(begins(&folder(roles(json!({})), no_post_processor)), None);
    let old = |config: Value| {
        let folder = TempDir::new().unwrap();
        for name in ["vocab.json", "merges.txt"] {
            fs::copy(goldens().join("tokenizer").join(name), folder.path().join(name)).unwrap();
        }
        write(folder.path(), CONFIG, &config);
        begins(&folder)
    };
    assert_eq!((old(roles(json!({"add_bos_token": true}))), old(roles(json!({})))), (Some(2), None));
}

#[test]
fn what_texts_begin_with_survives_a_save() {
    for config in [json!({"add_bos_token": true}), json!({"add_bos_token": false}), json!({})] {
        let before = folder(roles(config), no_post_processor);
        let after = saved(&before);
        assert_eq!(begins(&before), begins(&after));
        let hash = |folder: &TempDir| Tokenizer::load(folder.path()).unwrap().hash();
        assert_eq!(hash(&before), hash(&after));
    }
}

#[test]
fn files_that_disagree_about_the_beginning_are_refused_by_name() {
    let other = json!({"bos_token": "<s>", "eos_token": "</s>"});
    let cases = [
        folder(roles(json!({"add_bos_token": true})), idle_post_processor),
        folder(roles(json!({"add_bos_token": false})), |_| ()),
        folder(other, |_| ()),
    ];
    for (number, folder) in cases.iter().enumerate() {
        let error = Tokenizer::load(folder.path()).unwrap_err();
        assert!(matches!(error, DataError::Beginning { .. }), "{number}: {error:?}");
        let error = error.to_string();
        assert!(error.contains("tokenizer.json") && error.contains(CONFIG), "{number}: {error}");
    }
}

#[test]
fn a_post_processor_that_does_more_than_begin_a_text_is_refused() {
    let special = json!({"SpecialToken": {"id": "</s>", "type_id": 0}});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    for single in [json!([text, special]), json!([special, special, text]), json!([special, text, special])] {
        let error = Tokenizer::load(folder(roles(json!({})), template(single)).path()).unwrap_err();
        assert!(matches!(error, DataError::UnsupportedTokenizer { what: "post_processor", .. }), "{error:?}");
    }
}

#[test]
fn a_tokenizer_needs_no_bos() {
    let config = json!({"bos_token": null, "eos_token": "</s>", "add_prefix_space": null, "chat_template": "{{ x }}"});
    let loaded = folder(config, no_post_processor);
    let tokenizer = Tokenizer::load(loaded.path()).unwrap();
    assert_eq!((tokenizer.bos_id(), tokenizer.begins(), tokenizer.eos_id()), (None, None, 2));
    let copy = saved(&loaded);
    let config = read(copy.path(), CONFIG);
    assert_eq!((config.get("bos_token"), &config["chat_template"]), (None, &json!("{{ x }}")));
    assert_eq!(Tokenizer::load(copy.path()).unwrap().hash(), tokenizer.hash());
}

#[test]
fn a_tokenizer_that_cuts_otherwise_than_gpt2s_is_not_saved_under_its_name() {
    let class = |folder: TempDir| read(saved(&folder).path(), CONFIG)["tokenizer_class"].clone();
    assert_eq!(class(folder(roles(json!({})), |_| ())), "GPT2TokenizerFast");
    let digits = |json: &mut Value| {
        let cut = json["pre_tokenizer"].clone();
        json["pre_tokenizer"] =
            json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, cut]});
    };
    assert_eq!(class(folder(roles(json!({})), digits)), "PreTrainedTokenizerFast");
    let normalized = |json: &mut Value| json["normalizer"] = json!({"type": "NFC"});
    assert_eq!(class(folder(roles(json!({})), normalized)), "PreTrainedTokenizerFast");
}

#[test]
fn a_vocabulary_may_lack_the_letters_of_bytes_that_texts_do_not_have() {
    let without = |letters: &'static [&'static str]| {
        folder(roles(json!({})), |json| {
            json["model"]["vocab"].as_object_mut().unwrap().retain(|token, _| !letters.contains(&token.as_str()));
            json["model"]["merges"].as_array_mut().unwrap().clear();
        })
    };
    // SmolLM2's: U+0004, and the first byte of U+40000
    let tokenizer = Tokenizer::load(without(&["\u{104}", "\u{f1}"]).path()).unwrap();
    assert_eq!(tokenizer.encode("a\u{4}b").unwrap(), tokenizer.encode("ab").unwrap());
    for needed in [&["\u{10a}"][..], &["\u{f3}"], &["a"]] {
        let error = Tokenizer::load(without(needed).path()).unwrap_err();
        assert!(matches!(error, DataError::MissingByte { .. }), "{needed:?}: {error:?}");
    }
}

#[test]
fn every_file_may_name_ends() {
    let folder = folder(roles(json!({})), |_| ());
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let ends = || ends_of_folder(folder.path(), &tokenizer).unwrap();
    assert_eq!(ends(), BTreeSet::from([2]));
    write(folder.path(), "config.json", &json!({"eos_token_id": 7}));
    write(folder.path(), "generation_config.json", &json!({"eos_token_id": [2, 15]}));
    assert_eq!(ends(), BTreeSet::from([2, 7, 15]));
    write(folder.path(), "config.json", &json!({"eos_token_id": null}));
    assert_eq!(ends(), BTreeSet::from([2, 15]));
    write(folder.path(), "config.json", &json!({"eos_token_id": "</s>"}));
    assert!(matches!(ends_of_folder(folder.path(), &tokenizer), Err(DataError::JsonFile { .. })));
}

/// Texts with a token that the vocabulary does not have get the ids that transformers 5.17 gives them for both kinds of
/// folders.
fn check_added(tokenizer: &Tokenizer, special: bool) {
    let (around, size) = (|text| tokenizer.encode(text).unwrap(), tokenizer.vocab_size());
    assert_eq!(size, 2049);
    assert_eq!(around("the bank<sep>a"), [around("the bank"), vec![2048], around("a")].concat());
    assert_eq!(around("<sep><sep> b"), [vec![2048, 2048], around(" b")].concat());
    assert_eq!(tokenizer.decode(&[2048]), if special { "" } else { "<sep>" });
}

#[test]
fn added_tokens_of_a_file_of_their_own_are_tokens() {
    let folder = TempDir::new().unwrap();
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(goldens().join("tokenizer").join(name), folder.path().join(name)).unwrap();
    }
    write(folder.path(), "added_tokens.json", &json!({"<sep>": 2048}));
    write(folder.path(), CONFIG, &roles(json!({"add_bos_token": true})));
    let loaded = Tokenizer::load(folder.path()).unwrap();
    check_added(&loaded, false);
    check_added(&Tokenizer::load(saved(&folder).path()).unwrap(), false);
    write(folder.path(), "added_tokens.json", &json!({"<sep>": 5000}));
    assert!(matches!(Tokenizer::load(folder.path()), Err(DataError::AddedTokenId { declared: 5000, found: 2048, .. })));
}

#[test]
fn extra_special_tokens_are_tokens() {
    for extra in [json!(["<sep>"]), json!({"separator": "<sep>"})] {
        let loaded = folder(roles(json!({"extra_special_tokens": extra})), |_| ());
        check_added(&Tokenizer::load(loaded.path()).unwrap(), true);
        check_added(&Tokenizer::load(saved(&loaded).path()).unwrap(), true);
    }
}
