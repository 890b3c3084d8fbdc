//! The data that comes with the project.

use std::collections::BTreeMap;

use sigma_data::{DEFAULT_BUCKETS, read_documents, read_prompts, slice};

use crate::{fin, tokenizer};

#[test]
fn the_finance_corpus_has_112_documents() {
    assert_eq!(read_documents(&fin("corpus.jsonl"), None, None).unwrap().len(), 112);
}

#[test]
fn the_prompt_bank_has_40_prompts_in_each_bucket() {
    let prompts = read_prompts(&fin("prompts.jsonl"), &serde_json::from_str("{}").unwrap()).unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for prompt in &prompts {
        *counts.entry(&prompt.bucket).or_default() += 1;
    }
    assert_eq!(counts, DEFAULT_BUCKETS.map(|bucket| (bucket, 40)).into());
}

#[test]
fn the_finance_corpus_fills_the_1100_contexts_of_the_paper() {
    let documents = read_documents(&fin("corpus.jsonl"), None, None).unwrap();
    assert_eq!(slice(&documents, &tokenizer(), 64, Some(1100)).unwrap().len(), 1100);
}
