//! The tokenizer of a real small model, where SIGMA_SMOLLM2 names its folder (scripts/fetch_smollm2.sh).

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use sigma_data::Tokenizer;
use sigma_data::tokenizer::ends_of_folder;

use crate::goldens;

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    decoded: String,
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SIGMA_SMOLLM2").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("NOT TESTED: SIGMA_SMOLLM2 names no folder of scripts/fetch_smollm2.sh");
    }
    folder
}

#[test]
fn smollm2s_texts_have_the_ids_of_a_tokenizer_made_of_its_gguf_file() {
    let Some(folder) = folder() else { return };
    let tokenizer = Tokenizer::load(&folder).unwrap();
    let golden = fs::read(goldens().join("smollm2.json")).unwrap();
    for Case { text, ids, decoded } in serde_json::from_slice::<Vec<Case>>(&golden).unwrap() {
        assert_eq!(tokenizer.encode(&text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.encode_with_bos(&text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids), decoded, "{text:?}");
    }
}

#[test]
fn smollm2_has_a_bos_but_no_text_begins_with_it() {
    let Some(folder) = folder() else { return };
    let tokenizer = Tokenizer::load(&folder).unwrap();
    assert_eq!((tokenizer.bos_id(), tokenizer.begins()), (Some(1), None));
    assert_eq!((tokenizer.eos_id(), tokenizer.pad_id(), tokenizer.vocab_size()), (2, 2, 49152));
    assert_eq!(ends_of_folder(&folder, &tokenizer).unwrap(), BTreeSet::from([2]));
}
