//! Tokenizers over SentencePiece's pieces, as Llama 2, Mistral and Gemma have them, against the tokenizers library
//! (`scripts/goldens/pieces.py`).

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use sigma_data::{DataError, Tokenizer};

#[derive(serde::Deserialize)]
struct Golden {
    text: String,
    ids: Vec<u32>,
    decoded: String,
}

fn folders() -> Vec<PathBuf> {
    let goldens = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/pieces");
    let mut folders: Vec<PathBuf> = fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

#[test]
fn ids_and_texts_of_pieces_are_those_of_the_tokenizers_library() {
    assert!(folders().len() >= 4);
    for folder in folders() {
        let tokenizer = Tokenizer::load(&folder).unwrap();
        let goldens: Vec<Golden> =
            serde_json::from_str(&fs::read_to_string(folder.join("golden.json")).unwrap()).unwrap();
        for Golden { text, ids, decoded } in goldens {
            assert_eq!(tokenizer.encode(&text).unwrap(), ids, "{}: {text:?}", folder.display());
            assert_eq!(tokenizer.decode(&ids), decoded, "{}: {text:?}", folder.display());
        }
        let begins = folder.ends_with("llama2_prepend") || folder.ends_with("gemma_replace");
        assert_eq!(tokenizer.begins(), begins.then_some(0), "{}", folder.display());
    }
}

#[test]
fn a_tokenizer_json_is_saved_as_it_was_read_and_loads_to_the_same() {
    let bundled = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/models/opt-tiny");
    for folder in folders().into_iter().chain([bundled]) {
        let tokenizer = Tokenizer::load(&folder).unwrap();
        let saved = tempfile::tempdir().unwrap();
        tokenizer.save(saved.path()).unwrap();
        let bytes = |folder: &std::path::Path| fs::read(folder.join("tokenizer.json")).unwrap();
        assert!(bytes(&folder) == bytes(saved.path()), "{}", folder.display());
        let again = Tokenizer::load(saved.path()).unwrap();
        assert_eq!(again.hash(), tokenizer.hash(), "{}", folder.display());
        assert_eq!(again.begins(), tokenizer.begins());
    }
}

#[test]
fn settings_that_change_ids_are_honoured_or_refused() {
    let source = folders().into_iter().find(|folder| folder.ends_with("llama2_prepend")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::copy(source.join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(source.join("tokenizer_config.json")).unwrap()).unwrap();
    for (key, value, fine) in [
        ("add_prefix_space", json!(true), true),
        ("add_prefix_space", Value::Null, true),
        ("add_prefix_space", json!(false), false),
        ("add_eos_token", json!(true), false),
        ("split_special_tokens", json!(true), false),
    ] {
        config[key] = value;
        fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        let loaded = Tokenizer::load(folder.path());
        let refused = matches!(loaded, Err(DataError::UnsupportedTokenizer { what: "configuration", .. }));
        assert_eq!(refused, !fine, "{key}: {}", config[key]);
        config[key] = Value::Null;
    }
}
