use std::fs;

use proptest::prelude::*;
use sigma_data::Tokenizer;
use tempfile::TempDir;

use crate::tokenizer;

proptest! {
    #[test]
    fn text_without_special_tokens_comes_back_whole(text in "\\PC{0,60}|[ \\n\\t a-z'é中😀\u{301}]{0,60}") {
        prop_assume!(!text.contains("</s>") && !text.contains("<pad>"));
        let tokenizer = tokenizer();
        let ids = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(tokenizer.decode(&ids), text);
    }

    #[test]
    fn no_list_of_ids_breaks_decoding(ids in prop::collection::vec(any::<u32>(), 0..20)) {
        tokenizer().decode(&ids);
    }
}

#[test]
fn special_tokens_in_a_text_become_ids_and_decode_to_nothing() {
    let tokenizer = tokenizer();
    let ids = tokenizer.encode("a</s>b<pad>").unwrap();
    assert_eq!((ids[1], ids[3], ids.len()), (2, 1, 4));
    assert_eq!(tokenizer.decode(&ids), "ab");
    // in OPT these two are in the vocabulary, but no special tokens
    assert!(tokenizer.encode("<s><unk>").unwrap().len() > 2);
    assert_eq!(tokenizer.decode(&[0, 3]), "<s><unk>");
}

#[test]
fn a_saved_tokenizer_is_the_same_with_the_same_files_and_the_same_hash() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    tokenizer().save(first.path()).unwrap();
    let loaded = Tokenizer::load(first.path()).unwrap();
    assert_eq!(loaded.hash(), tokenizer().hash());
    loaded.save(second.path()).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt"] {
        let read = |folder: &TempDir| fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(read(&first) == read(&second), "{name} differs");
    }
}

#[test]
fn the_hash_sees_a_change_of_special_tokens_alone() {
    let folder = TempDir::new().unwrap();
    tokenizer().save(folder.path()).unwrap();
    let config = folder.path().join("tokenizer_config.json");
    let changed = fs::read_to_string(&config).unwrap().replace(r#""eos_token": "</s>""#, r#""eos_token": "<pad>""#);
    fs::write(&config, changed).unwrap();
    let changed = Tokenizer::load(folder.path()).unwrap();
    assert_eq!((changed.bos_id(), changed.eos_id()), (Some(2), 1));
    assert_ne!(changed.hash(), tokenizer().hash());
}
