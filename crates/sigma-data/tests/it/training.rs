use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use sigma_data::{DataError, read_documents, train_bpe};
use tempfile::TempDir;

use crate::{fin, goldens};

const TEXT: &str = "the banker banked at the bank, then the bank banked the banker; the end of the banks";

/// The committed files were made by another process on another day: the order of no hash map can matter.
#[test]
fn training_on_the_bundled_corpus_gives_the_committed_vocabulary_in_any_process() {
    let documents = read_documents(&fin("corpus.jsonl"), None, None).unwrap();
    let folder = TempDir::new().unwrap();
    train_bpe(documents.iter().map(|d| d.text.as_str()), 2048).unwrap().save(folder.path()).unwrap();
    for name in ["vocab.json", "merges.txt"] {
        let trained = fs::read_to_string(folder.path().join(name)).unwrap();
        let committed = fs::read_to_string(goldens().join("tokenizer").join(name)).unwrap();
        assert!(trained == committed, "{name}: if the corpus was changed on purpose, run the example fin_bpe again");
    }
}

#[test]
fn the_order_and_the_cutting_of_the_texts_do_not_matter() {
    let lines = ["a bank", "the bank", "a banker"];
    let expected = train_bpe(lines, 264).unwrap().hash();
    assert_eq!(train_bpe(lines.iter().rev().copied(), 264).unwrap().hash(), expected);
    assert_ne!(train_bpe(["a tank", "the bank", "a banker"], 264).unwrap().hash(), expected);
}

#[test]
fn ids_are_laid_out_as_in_opt() {
    let tokenizer = train_bpe([TEXT], 265).unwrap();
    assert_eq!(tokenizer.vocab_size(), 265);
    assert_eq!((tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id()), (Some(2), 2, 1));
    let folder = TempDir::new().unwrap();
    tokenizer.save(folder.path()).unwrap();
    let json = fs::read_to_string(folder.path().join("vocab.json")).unwrap();
    let vocab: std::collections::HashMap<String, u32> = serde_json::from_str(&json).unwrap();
    for (token, id) in [("<s>", 0), ("<pad>", 1), ("</s>", 2), ("<unk>", 3), ("!", 4), ("~", 97), ("Ġ", 224)] {
        assert_eq!(vocab[token], id, "{token}");
    }
}

#[test]
fn every_text_comes_back_whole_even_with_no_merges() {
    let tokenizer = train_bpe([], 260).unwrap();
    let text: String = (1..=0x2fff).filter_map(char::from_u32).chain("😀 中文\n".chars()).collect();
    let ids = tokenizer.encode(&text).unwrap();
    assert_eq!(ids.len(), text.len());
    assert_eq!(tokenizer.decode(&ids), text);
}

#[test]
fn merges_shorten_the_texts_they_were_learnt_from() {
    let tokenizer = train_bpe([TEXT], 270).unwrap();
    assert!(tokenizer.encode(TEXT).unwrap().len() * 2 < TEXT.len());
}

#[test]
fn sizes_that_can_not_be_had_are_refused() {
    let error = train_bpe([TEXT], 259).unwrap_err();
    assert!(matches!(error, DataError::Setting { setting: "vocab_size", found: 259, .. }), "{error}");
    let Err(DataError::VocabularyTooLarge { asked: 5000, reached }) = train_bpe([TEXT], 5000) else { panic!() };
    assert_eq!(train_bpe([TEXT], reached).unwrap().vocab_size(), reached);
    assert!(train_bpe([TEXT], reached + 1).is_err());
}

proptest! {
    /// Ties are frequent here, and runs of one letter are where counting by increments goes wrong.
    #[test]
    fn merges_are_those_of_the_definition(
        words in prop::collection::vec("[ab]{1,30}|a{1,40}|[abc]{1,9}", 1..30),
    ) {
        let text = words.join(" ");
        let expected = merges_by_definition(&text);
        let tokenizer = train_bpe([text.as_str()], 260 + expected.len()).unwrap();
        let folder = TempDir::new().unwrap();
        tokenizer.save(folder.path()).unwrap();
        let merges = fs::read_to_string(folder.path().join("merges.txt")).unwrap();
        prop_assert_eq!(merges.lines().skip(1).collect::<Vec<_>>(), expected);
        prop_assert!(train_bpe([text.as_str()], 261 + merges.lines().skip(1).count()).is_err());
    }
}

/// Byte-level BPE of text in the letters a, b, c and single spaces, word for word from its definition: count every pair
/// anew, merge the most frequent one, of equally frequent ones the one with the lowest ids.
fn merges_by_definition(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = ["a", "b", "c", "Ġ"].map(String::from).to_vec();
    let mut words: Vec<Vec<usize>> = Vec::new();
    for (number, word) in text.split(' ').enumerate() {
        let letters = word.bytes().map(|letter| (letter - b'a') as usize);
        words.push((number > 0).then_some(3).into_iter().chain(letters).collect());
    }
    let mut merges = Vec::new();
    loop {
        let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for pair in words.iter().flat_map(|word| word.windows(2)) {
            *counts.entry((pair[0], pair[1])).or_default() += 1;
        }
        // `max_by_key` takes the last of equals, hence the reversed order
        let Some((&(left, right), 2..)) = counts.iter().rev().max_by_key(|&(_, count)| count) else { return merges };
        merges.push(format!("{} {}", tokens[left], tokens[right]));
        tokens.push(format!("{}{}", tokens[left], tokens[right]));
        for word in &mut words {
            let mut at = 0;
            while at + 1 < word.len() {
                if (word[at], word[at + 1]) == (left, right) {
                    word[at] = tokens.len() - 1;
                    word.remove(at + 1);
                }
                at += 1;
            }
        }
    }
}
