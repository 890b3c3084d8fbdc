//! The tokenizer against `transformers`: `scripts/goldens/tokenizer.py` wrote what it makes of the same texts with the
//! same vocab.json and merges.txt.

use std::fs;

use serde::Deserialize;
use sigma_data::Tokenizer;
use tempfile::TempDir;

use crate::{goldens, tokenizer};

#[derive(Deserialize)]
struct Cases {
    encoded: Vec<Encoded>,
    decoded: Vec<Decoded>,
}

#[derive(Deserialize)]
struct Encoded {
    text: String,
    ids: Vec<u32>,
    decoded: String,
}

#[derive(Deserialize)]
struct Decoded {
    ids: Vec<u32>,
    decoded: String,
}

fn cases() -> Cases {
    let path = goldens().join("tokenizer/cases.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn agrees(tokenizer: &Tokenizer) {
    let Cases { encoded, decoded } = cases();
    assert!(encoded.len() > 200 && decoded.len() > 50);
    for case in &encoded {
        assert_eq!(tokenizer.encode(&case.text).unwrap(), case.ids, "{:?}", case.text);
        assert_eq!(tokenizer.decode(&case.ids), case.decoded, "{:?}", case.text);
        assert_eq!(tokenizer.encode_with_bos(&case.text).unwrap(), [&[2], &case.ids[..]].concat());
    }
    let texts: Vec<&str> = encoded.iter().map(|case| case.text.as_str()).collect();
    let ids: Vec<&[u32]> = encoded.iter().map(|case| &case.ids[..]).collect();
    assert_eq!(tokenizer.encode_batch(&texts).unwrap(), ids);
    for case in &decoded {
        assert_eq!(tokenizer.decode(&case.ids), case.decoded, "{:?}", case.ids);
    }
}

#[test]
fn vocab_and_merges_alone_give_the_ids_and_texts_of_transformers() {
    let tokenizer = tokenizer();
    assert_eq!(
        (tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id(), tokenizer.vocab_size()),
        (Some(2), 2, 1, 2048)
    );
    agrees(&tokenizer);
}

#[test]
fn a_saved_tokenizer_gives_them_too_from_either_set_of_files() {
    let saved = TempDir::new().unwrap();
    tokenizer().save(saved.path()).unwrap();
    agrees(&Tokenizer::load(saved.path()).unwrap());
    fs::remove_file(saved.path().join("tokenizer.json")).unwrap();
    agrees(&Tokenizer::load(saved.path()).unwrap());
}
