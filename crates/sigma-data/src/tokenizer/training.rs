//! Training a byte-level BPE from texts with the trainer of the tokenizers library. The result depends on the texts
//! alone, not on threads or on the order of hash maps: the library counts in integers and takes, of pairs that are
//! equally frequent, the one with the lower ids. The tests hold it to that.

use std::path::Path;

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Trainer};

use super::Tokenizer;
use super::files;
use super::special_tokens::SpecialTokens;
use super::vocabulary::Spelling;
use crate::error::DataError;

/// Ids 0 to 3, as in OPT. `<s>` and `<unk>` are there for the numbering only: OPT begins texts with `</s>`.
const FIRST_TOKENS: [&str; 4] = ["<s>", "<pad>", "</s>", "<unk>"];
const BYTES: usize = 256;

/// Trains a tokenizer like OPT's with exactly `vocab_size` entries: four special tokens, 256 bytes, merges. Pairs that
/// occur once are never merged.
pub fn train_bpe<'a>(texts: impl IntoIterator<Item = &'a str>, vocab_size: usize) -> Result<Tokenizer, DataError> {
    let least = FIRST_TOKENS.len() + BYTES;
    if vocab_size < least {
        let expected = format!("at least {least}, which the special tokens and the bytes take");
        return Err(DataError::Setting { setting: "vocab_size", expected, found: vocab_size });
    }
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .special_tokens(FIRST_TOKENS.map(|token| AddedToken::from(token, true)).to_vec())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    let texts: Vec<&str> = texts.into_iter().collect();
    trainer.feed(texts.into_iter(), words).map_err(|source| DataError::Encode { source })?;

    // stands for the files in messages
    let origin = Path::new("trained vocabulary");
    let mut model = BPE::default();
    trainer.train(&mut model).map_err(super::failed(origin))?;
    let model = serde_json::to_value(&model).map_err(files::not_json(origin))?;
    let vocabulary = files::read_model(origin, model, Spelling::Bytes)?;
    let reached = vocabulary.tokens().len();
    if reached < vocab_size {
        return Err(DataError::VocabularyTooLarge { asked: vocab_size, reached });
    }
    Tokenizer::assemble(origin, vocabulary, SpecialTokens::default())
}

/// The words, spelled in byte letters, that GPT-2's pattern splits a text into. No merge crosses a word.
fn words(text: &str) -> tokenizers::Result<Vec<String>> {
    let mut split = PreTokenizedString::from(text);
    ByteLevel::new(false, true, true).pre_tokenize(&mut split)?;
    let words = split.get_splits(OffsetReferential::Original, OffsetType::None);
    Ok(words.into_iter().map(|(word, _, _)| word.to_string()).collect())
}
