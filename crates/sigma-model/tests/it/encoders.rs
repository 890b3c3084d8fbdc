//! Folders of sentence encoders against sentence-transformers (`scripts/goldens/encoders.py`), and what of a folder is
//! refused by file and key.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sigma_model::encoder::{decisive_files, wanted_of_modules};
use sigma_model::{Device, Encoder};

use crate::mutations::survives;
use crate::{emulated, goldens};

#[derive(serde::Deserialize)]
struct Golden {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    rows: Vec<Vec<f32>>,
}

fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(goldens().join("encoders")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn golden(folder: &Path) -> Golden {
    serde_json::from_str(&fs::read_to_string(folder.join("golden.json")).unwrap()).unwrap()
}

fn load(folder: &Path, device: &Device) -> Encoder {
    Encoder::load(folder, None, device).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copied = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &copied) } else { _ = fs::copy(&path, copied).unwrap() }
    }
}

/// A copy of a golden folder.
fn copied(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&goldens().join("encoders").join(name), folder.path());
    folder
}

fn change(path: &Path, key: &str, value: Value) {
    let text = fs::read_to_string(path).unwrap_or_else(|_| "{}".to_string());
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json[key] = value;
    fs::write(path, json.to_string()).unwrap();
}

/// What a folder with `key` of `file` changed is refused with.
fn refused(name: &str, file: &str, key: &str, value: Value) -> String {
    let folder = copied(name);
    change(&folder.path().join(file), key, value);
    Encoder::load(folder.path(), None, &Device::Cpu).expect_err(key).to_string()
}

#[test]
fn ids_and_rows_of_a_dozen_folders_are_those_of_sentence_transformers() {
    let folders = folders();
    assert!(folders.len() >= 12, "{}", folders.len());
    for folder in folders {
        let Golden { texts, ids, rows } = golden(&folder);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for device in [Device::Cpu, emulated()] {
            let encoder = load(&folder, &device);
            let tokens = encoder.tokenize(&texts).unwrap();
            assert_eq!(tokens, ids, "{}", folder.display());
            let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
            let found = encoder.forward(&tokens).unwrap();
            assert_eq!(rows[0].len(), encoder.dim(), "{}", folder.display());
            for ((found, row), text) in found.chunks(encoder.dim()).zip(&rows).zip(&texts) {
                let worst = found.iter().zip(row).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
                assert!(worst < 1e-5, "{}, {device:?}, {text:?}: {worst}", folder.display());
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_every_batch() {
    for folder in folders() {
        let Golden { texts, .. } = golden(&folder);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let encoder = load(&folder, &Device::Cpu);
        let tokens = encoder.tokenize(&texts).unwrap();
        let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let whole = encoder.forward(&tokens).unwrap();
        let alone: Vec<f32> = tokens.iter().flat_map(|row| encoder.forward(&[row]).unwrap()).collect();
        assert!(whole == alone, "{}", folder.display());
    }
}

#[test]
fn how_much_of_a_text_is_read_counts_its_own_characters() {
    let long = "the bank raised its rate again and again and again, and nobody was surprised at all";
    let left = load(&goldens().join("encoders/bert_left_tokenizer_length"), &Device::Cpu);
    assert_eq!(left.max_tokens(), 11);
    let read = left.read(&[long, "a"]).unwrap();
    assert!(read[0].truncated && read[0].characters < 40 && read[0].characters > 8, "{read:?}");
    assert!(!read[1].truncated && read[1].characters == 1);
    // tokenizer.json's own truncation tells the side where tokenizer_config.json does not, and no length
    let folder = copied("bert_left_tokenizer_length");
    let truncation = json!({ "direction": "Left", "max_length": 5, "strategy": "LongestFirst", "stride": 0 });
    change(&folder.path().join("tokenizer.json"), "truncation", truncation);
    change(&folder.path().join("tokenizer_config.json"), "truncation_side", Value::Null);
    assert_eq!(load(folder.path(), &Device::Cpu).tokenize(&[long]).unwrap(), left.tokenize(&[long]).unwrap());
    change(&folder.path().join("tokenizer_config.json"), "truncation_side", json!("right"));
    assert_ne!(load(folder.path(), &Device::Cpu).tokenize(&[long]).unwrap(), left.tokenize(&[long]).unwrap());
    // a prompt takes places, and is no part of the text
    let folder = copied("bert_prompt");
    change(&folder.path().join("sentence_bert_config.json"), "max_seq_length", json!(12));
    let with_prompt = load(folder.path(), &Device::Cpu).read(&[long]).unwrap();
    change(&folder.path().join("config_sentence_transformers.json"), "default_prompt_name", Value::Null);
    let without = load(folder.path(), &Device::Cpu).read(&[long]).unwrap();
    assert!(
        with_prompt[0].truncated && with_prompt[0].characters < without[0].characters,
        "{with_prompt:?} {without:?}"
    );
}

#[test]
fn what_changes_rows_and_is_not_supported_is_refused_by_file_and_key() {
    let bert = "bert_cls";
    for (file, key, value) in [
        ("pool/config.json", "pooling_mode", json!("attention")),
        ("pool/config.json", "pooling_mode", json!([])),
        ("pool/config.json", "embedding_dimension", json!(23)),
        ("pool/config.json", "a_new_key", json!(1)),
        ("config_sentence_transformers.json", "default_prompt_name", json!("missing")),
        ("config_sentence_transformers.json", "model_type", json!("SparseEncoder")),
        ("config_sentence_transformers.json", "a_new_key", json!(true)),
        ("sentence_bert_config.json", "max_seq_length", json!("many")),
        ("sentence_bert_config.json", "do_lower_case", json!("yes")),
        ("sentence_bert_config.json", "modality_config", json!({ "image": {} })),
        ("sentence_bert_config.json", "tokenizer_args", json!({ "use_fast": false })),
        ("sentence_bert_config.json", "a_new_key", json!(0)),
        ("tokenizer_config.json", "truncation_side", json!("middle")),
        ("tokenizer_config.json", "never_split", json!(["word"])),
        ("tokenizer_config.json", "do_basic_tokenize", json!(false)),
        ("tokenizer_config.json", "split_special_tokens", json!(true)),
        ("tokenizer_config.json", "cls_token", json!(3)),
        ("tokenizer_config.json", "add_eos_token", json!(true)),
        ("tokenizer_config.json", "a_new_key", json!(0)),
        ("config.json", "position_embedding_type", json!("relative_key")),
        ("config.json", "quantization_config", json!({ "bits": 4 })),
        ("config.json", "model_type", json!("albert")),
    ] {
        let message = refused(bert, file, key, value.clone());
        let file = file.rsplit('/').next().unwrap();
        let named = message.contains(key) && (message.contains(file) || key == "embedding_dimension");
        assert!(named, "{file} {key} {value}: {message}");
    }
    for (key, value) in [
        ("activation_function", json!("my.module.Swish")),
        ("in_features", json!(25)),
        ("module_input_name", json!("token_embeddings")),
        ("a_new_key", json!(1)),
    ] {
        let message = refused("bert_dense", "2_Dense/config.json", key, value);
        assert!(message.contains(key) && message.contains("2_Dense"), "{message}");
    }
    let folder = copied(bert);
    for (kind, path) in [
        ("sentence_transformers.models.WeightedLayerPooling", ""),
        ("my.own.Pooling", ""),
        ("sentence_transformers.models.Transformer", "../x"),
    ] {
        let module = |path: &str| json!({ "idx": 0, "name": "0", "path": path, "type": kind });
        let modules = json!([module(path), module("pool")]);
        fs::write(folder.path().join("modules.json"), modules.to_string()).unwrap();
        let message = Encoder::load(folder.path(), None, &Device::Cpu).unwrap_err().to_string();
        assert!(message.contains("modules.json"), "{message}");
    }
}

#[test]
fn a_sentencepiece_model_without_tokenizer_json_is_refused_by_its_name() {
    let folder = copied("xlm_roberta");
    fs::rename(folder.path().join("tokenizer.json"), folder.path().join("sentencepiece.bpe.model")).unwrap();
    let message = Encoder::load(folder.path(), None, &Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("sentencepiece.bpe.model") && !message.contains("merges.txt"), "{message}");
    let folder = copied("bert_vocab_txt");
    fs::remove_file(folder.path().join("vocab.txt")).unwrap();
    let message = Encoder::load(folder.path(), None, &Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("vocab.txt") && !message.contains("merges.txt"), "{message}");
}

#[test]
fn tokens_are_the_union_of_all_files_of_a_folder() {
    let folder = copied("bert_cls");
    let vocabulary = |folder: &Path| load(folder, &Device::Cpu).tokenize(&["<sep> fell"]).unwrap().remove(0);
    let before = vocabulary(folder.path());
    // the next id, which the model has no row for: the tokenizer knows it, and the model says so
    fs::write(folder.path().join("added_tokens.json"), json!({ "<sep>": 140 }).to_string()).unwrap();
    let with_file = load(folder.path(), &Device::Cpu).tokenize(&["<sep> fell"]);
    let config: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("config.json")).unwrap()).unwrap();
    let next = config["vocab_size"].as_u64().unwrap();
    fs::write(folder.path().join("added_tokens.json"), json!({ "<sep>": next }).to_string()).unwrap();
    let after = vocabulary(folder.path());
    assert!(after.len() < before.len() && after.contains(&(next as u32)), "{before:?} {after:?} {with_file:?}");
    fs::remove_file(folder.path().join("added_tokens.json")).unwrap();
    change(&folder.path().join("tokenizer_config.json"), "extra_special_tokens", json!(["<sep>"]));
    assert_eq!(vocabulary(folder.path()), after);
    fs::write(folder.path().join("added_tokens.json"), json!({ "<sep>": next + 5 }).to_string()).unwrap();
    let message = Encoder::load(folder.path(), None, &Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("<sep>"), "{message}");
}

#[test]
fn all_that_modules_json_names_is_fetched_and_hashed() {
    let folder = goldens().join("encoders/bert_dense");
    let names: Vec<String> = decisive_files(&folder)
        .unwrap()
        .iter()
        .map(|path| path.strip_prefix(&folder).unwrap().display().to_string())
        .collect();
    for needed in
        ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", "tokenizer_config.json"]
    {
        assert!(names.contains(&needed.to_string()), "{needed}: {names:?}");
    }
    for needed in ["1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors", "model.safetensors"] {
        assert!(names.contains(&needed.to_string()), "{needed}: {names:?}");
    }
    let wanted = wanted_of_modules(&folder).unwrap();
    assert!(wanted[0].is_transformer && wanted[2].has_weights && wanted[3].may_lack_config, "{wanted:?}");
    assert!(
        decisive_files(&goldens().join("encoders/distilbert"))
            .unwrap()
            .iter()
            .any(|path| { path.ends_with("0_Transformer/config.json") })
    );
}

#[test]
fn damaged_files_of_an_encoder_are_loaded_or_refused() {
    for (name, file, rounds) in [
        ("bert_dense", "modules.json", 600),
        ("bert_dense", "1_Pooling/config.json", 300),
        ("bert_dense", "2_Dense/config.json", 300),
        ("bert_prompt", "config_sentence_transformers.json", 300),
        ("bert_prompt", "sentence_bert_config.json", 300),
        ("bert_prompt", "tokenizer_config.json", 600),
        ("bert_vocab_txt", "vocab.txt", 300),
    ] {
        let folder = copied(name);
        let valid = fs::read(folder.path().join(file)).unwrap();
        survives(&valid, "damaged", rounds, |path: &Path| {
            fs::copy(path, folder.path().join(file)).unwrap();
            let Ok(encoder) = Encoder::load(folder.path(), None, &Device::Cpu) else { return };
            drop(encoder.tokenize(&["the bank"]).and_then(|ids| encoder.forward(&[&ids[0]])));
        });
    }
}
