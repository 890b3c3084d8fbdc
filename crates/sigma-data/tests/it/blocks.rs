use proptest::prelude::*;
use sigma_data::{Block, DataError, Document, read_blocks, slice, write_blocks};

use crate::{file, tokenizer};

fn document(id: &str, text: impl Into<String>) -> Document {
    Document { id: id.to_string(), text: text.into() }
}

proptest! {
    #[test]
    fn slicing_loses_only_each_remainder_and_keeps_the_order(
        texts in prop::collection::vec("[a-z é\n]{0,80}", 1..6),
        context_tokens in 1usize..20,
    ) {
        let tokenizer = tokenizer();
        let documents: Vec<Document> =
            texts.iter().enumerate().map(|(i, text)| document(&format!("d{i}"), text)).collect();
        let Ok(blocks) = slice(&documents, &tokenizer, context_tokens, None) else {
            let longest = texts.iter().map(|text| tokenizer.encode(text).unwrap().len()).max().unwrap();
            prop_assert!(longest < context_tokens);
            return Ok(());
        };
        let mut rest = &blocks[..];
        for document in &documents {
            let tokens = tokenizer.encode(&document.text).unwrap();
            let (own, others) = rest.split_at(tokens.len() / context_tokens);
            rest = others;
            prop_assert!(own.iter().all(|block| block.tokens.len() == context_tokens));
            let joined: Vec<u32> = own.iter().flat_map(|block| block.tokens.clone()).collect();
            prop_assert_eq!(&joined[..], &tokens[..joined.len()]);
            let ids: Vec<String> = (0..own.len()).map(|n| format!("{}#{n:04}", document.id)).collect();
            prop_assert_eq!(own.iter().map(|block| block.id.clone()).collect::<Vec<_>>(), ids);
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_subset_of_the_contexts_is_spread_evenly(total in 1usize..60, max in 1usize..70) {
        let documents = [document("d", "a".repeat(total))];
        let all = one_letter_blocks(total);
        let blocks = slice(&documents, &letters(), 1, Some(max)).unwrap();
        let expected: Vec<Block> = if max < total {
            (0..max).map(|i| all[i * total / max].clone()).collect()
        } else {
            all
        };
        prop_assert_eq!(blocks, expected);
    }
}

/// A tokenizer without merges: a token a byte.
fn letters() -> sigma_data::Tokenizer {
    sigma_data::train_bpe([], 260).unwrap()
}

fn one_letter_blocks(total: usize) -> Vec<Block> {
    let token = letters().encode("a").unwrap();
    (0..total).map(|n| Block { id: format!("d#{n:04}"), tokens: token.clone() }).collect()
}

#[test]
fn a_subset_takes_from_every_document_of_a_long_corpus() {
    let documents: Vec<Document> = (0..10).map(|i| document(&format!("topic{i}"), "b".repeat(7))).collect();
    let blocks = slice(&documents, &letters(), 1, Some(10)).unwrap();
    let topics: Vec<&str> = blocks.iter().map(|block| block.id.split('#').next().unwrap()).collect();
    assert_eq!(topics, documents.iter().map(|document| document.id.as_str()).collect::<Vec<_>>());
}

#[test]
fn documents_that_fill_no_context_are_an_error_with_the_longest() {
    let documents = [document("a", "xy"), document("b", "x"), document("c", "xyz")];
    let error = slice(&documents, &letters(), 4, None).unwrap_err();
    let DataError::NoContexts { documents: 3, context_tokens: 4, longest: 3 } = error else { panic!("{error}") };
}

#[test]
fn lengths_of_zero_are_refused() {
    let documents = [document("a", "xy")];
    for (context_tokens, max_contexts) in [(0, None), (1, Some(0))] {
        let error = slice(&documents, &letters(), context_tokens, max_contexts).unwrap_err();
        assert!(matches!(error, DataError::Setting { found: 0, .. }), "{error}");
    }
}

#[test]
fn blocks_survive_a_file() {
    let blocks = [Block { id: "a#0000".into(), tokens: vec![4, 5, 6] }, Block { id: "é 😀".into(), tokens: vec![7] }];
    let (_folder, path) = file("blocks.jsonl", "");
    write_blocks(&path, &blocks).unwrap();
    assert_eq!(read(&path, None).unwrap(), blocks);
    let first_line = std::fs::read_to_string(&path).unwrap().lines().next().unwrap().to_string();
    assert_eq!(first_line, r#"{"id":"a#0000","tokens":[4,5,6]}"#);
}

#[test]
fn a_block_may_be_text_and_tokens_come_before_text() {
    let (_folder, path) =
        file("blocks.jsonl", "{\"id\": 1, \"text\": \"the bank\"}\n{\"id\": 2, \"tokens\": [9], \"text\": \"other\"}");
    let blocks = read(&path, None).unwrap();
    assert_eq!(blocks[0], Block { id: "1".into(), tokens: tokenizer().encode("the bank").unwrap() });
    assert_eq!(blocks[1], Block { id: "2".into(), tokens: vec![9] });
}

#[test]
fn defective_blocks_are_refused_with_their_line() {
    type Check = fn(&DataError) -> bool;
    let cases: [(&str, Check); 9] = [
        (r#"{"id":"x","tokens":[4,2048]}"#, |e| {
            matches!(e, DataError::TokenOutOfRange { token: 2048, vocab_size: 2048, .. })
        }),
        (r#"{"id":"x","tokens":[4,5,6]}"#, |e| matches!(e, DataError::BlockLength { found: 3, expected: 2, .. })),
        (r#"{"id":"x","text":"a much longer text"}"#, |e| matches!(e, DataError::BlockLength { expected: 2, .. })),
        (r#"{"id":"x","tokens":[]}"#, |e| matches!(e, DataError::BlockWithoutTokens { .. })),
        (r#"{"id":"x"}"#, |e| matches!(e, DataError::BlockWithoutTokens { .. })),
        (r#"{"id":"x","text":" "}"#, |e| matches!(e, DataError::EmptyText { .. })),
        (r#"{"id":"x","tokens":[4,-5]}"#, |e| matches!(e, DataError::Json { .. })),
        (r#"{"id":"x","tokens":[4,4294967296]}"#, |e| matches!(e, DataError::Json { .. })),
        (r#"{"id":"ok","tokens":[4,5]}"#, |e| matches!(e, DataError::DuplicateId { .. })),
    ];
    for (line, expected) in cases {
        let (_folder, path) = file("blocks.jsonl", format!("{{\"id\":\"ok\",\"tokens\":[4,5]}}\n\n{line}\n"));
        let error = read(&path, Some(2)).unwrap_err();
        assert!(expected(&error), "{line}: {error}");
        assert!(error.to_string().contains("blocks.jsonl:3"), "{line}: {error}");
    }
    let (_folder, path) = file("blocks.jsonl", "\n");
    assert!(matches!(read(&path, None), Err(DataError::Empty { .. })));
}

/// With the tokenizer's own vocabulary.
fn read(path: &std::path::Path, expected_len: Option<usize>) -> Result<Vec<Block>, DataError> {
    let tokenizer = tokenizer();
    read_blocks(path, &tokenizer, tokenizer.vocab_size(), expected_len)
}

#[test]
fn tokens_that_only_the_model_has_are_read_if_the_model_has_them() {
    let beyond = tokenizer().vocab_size();
    let (_folder, path) = file("b.jsonl", format!("{{\"id\": \"a\", \"tokens\": [{beyond}]}}\n"));
    assert!(matches!(read(&path, None), Err(DataError::TokenOutOfRange { .. })));
    assert_eq!(read_blocks(&path, &tokenizer(), beyond + 1, None).unwrap()[0].tokens, [beyond as u32]);
}
