//! Blocks: the fixed-length runs of tokens that a model is trained on and prompted with, cut from documents once per
//! experiment or read back from a file. A block has no BOS; whoever feeds a model adds it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::documents::Document;
use crate::error::DataError;
use crate::jsonl;
use crate::place::Place;
use crate::records::{Repeated, check_id, check_text, repeated, string_or_integer};
use crate::tokenizer::Tokenizer;

/// Of the texts that are encoded together, so that what the tokenizer says of them is bounded.
const PIECE_BYTES: usize = 8 << 20;
const PIECE_TEXTS: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Block {
    pub id: String,
    pub tokens: Vec<u32>,
}

/// Cuts every document into consecutive contexts of `context_tokens` tokens that do not overlap; what is left at the
/// end of a document is dropped. Ids are `<document id>#0000`, `#0001`, ...
///
/// With `max_contexts`, that many contexts spread evenly over all of them are kept (number `i * total / max_contexts`
/// for each i). The first ones instead would drop whole topics of a corpus that is ordered by topic. Fewer contexts
/// than that are all kept; none at all is an error.
pub fn slice(
    documents: &[Document],
    tokenizer: &Tokenizer,
    context_tokens: usize,
    max_contexts: Option<usize>,
) -> Result<Vec<Block>, DataError> {
    for (setting, value) in
        [("corpus.context_tokens", context_tokens), ("corpus.max_contexts", max_contexts.unwrap_or(usize::MAX))]
    {
        if value == 0 {
            return Err(DataError::Setting { setting, expected: "at least 1".to_string(), found: value });
        }
    }
    let mut blocks: Vec<Block> = Vec::new();
    let mut longest = 0;
    // what the tokenizer says of a text takes far more than its tokens
    for some in pieces(documents) {
        let texts: Vec<&str> = some.iter().map(|document| document.text.as_str()).collect();
        for (document, tokens) in some.iter().zip(tokenizer.encode_batch(&texts)?) {
            longest = longest.max(tokens.len());
            for (number, context) in tokens.chunks_exact(context_tokens).enumerate() {
                blocks.push(Block { id: format!("{}#{number:04}", document.id), tokens: context.to_vec() });
            }
        }
    }
    if blocks.is_empty() {
        return Err(DataError::NoContexts { documents: documents.len(), context_tokens, longest });
    }
    Ok(match max_contexts {
        Some(max) if max < blocks.len() => spread(blocks, max),
        _ => blocks,
    })
}

/// Documents that are encoded together: some thousand, or few of many bytes.
fn pieces(documents: &[Document]) -> impl Iterator<Item = &[Document]> {
    let mut bytes = 0;
    let mut count = 0;
    documents.chunk_by(move |document, _| {
        bytes += document.text.len();
        count += 1;
        let together = bytes < PIECE_BYTES && count < PIECE_TEXTS;
        if !together {
            (bytes, count) = (0, 0);
        }
        together
    })
}

fn spread(blocks: Vec<Block>, max: usize) -> Vec<Block> {
    let total = blocks.len();
    let mut wanted = (0..max).map(|i| i * total / max).peekable();
    blocks.into_iter().enumerate().filter(|(i, _)| wanted.next_if_eq(i).is_some()).map(|(_, block)| block).collect()
}

/// Reads `{"id","tokens"}` or `{"id","text"}` lines; a line with both counts by its tokens, which is what is trained
/// on. Tokens must be below `vocab_size`, which is the model's (it may have more rows than the tokenizer has entries,
/// and then it may also write them), and, if `expected_len` is given, exactly that many.
pub fn read_blocks(
    path: &Path,
    tokenizer: &Tokenizer,
    vocab_size: usize,
    expected_len: Option<usize>,
) -> Result<Vec<Block>, DataError> {
    let read = jsonl::read_lines::<BlockLine>(path)?;
    let repeated =
        repeated(&read, |(_, line)| &line.id).map(|Repeated { again, first }| (again, read[first].0.clone()));
    let mut blocks = Vec::with_capacity(read.len());
    for (number, (place, line)) in read.into_iter().enumerate() {
        check_id(&line.id, &place)?;
        if let Some((_, first)) = repeated.as_ref().filter(|(again, _)| *again == number) {
            return Err(DataError::DuplicateId { place, id: line.id, first: first.clone() });
        }
        let block = line.into_block(&place, tokenizer)?;
        if let Some(&token) = block.tokens.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(DataError::TokenOutOfRange { place, id: block.id, token, vocab_size });
        }
        let found = block.tokens.len();
        if let Some(expected) = expected_len.filter(|&expected| expected != found) {
            return Err(DataError::BlockLength { place, id: block.id, found, expected });
        }
        blocks.push(block);
    }
    if blocks.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf(), what: "blocks" });
    }
    Ok(blocks)
}

/// Writes `{"id","tokens"}` lines.
pub fn write_blocks(path: &Path, blocks: &[Block]) -> Result<(), DataError> {
    jsonl::write_jsonl(path, blocks)
}

/// A line of a block file. Other fields are somebody else's.
#[derive(Deserialize)]
struct BlockLine {
    #[serde(deserialize_with = "string_or_integer")]
    id: String,
    tokens: Option<Vec<u32>>,
    text: Option<String>,
}

impl BlockLine {
    fn into_block(self, place: &Place, tokenizer: &Tokenizer) -> Result<Block, DataError> {
        let tokens = match (self.tokens, self.text) {
            (Some(tokens), _) if !tokens.is_empty() => tokens,
            (None, Some(text)) => {
                check_text(&self.id, &text, place)?;
                tokenizer.encode(&text)?
            }
            _ => return Err(DataError::BlockWithoutTokens { place: place.clone(), id: self.id }),
        };
        Ok(Block { id: self.id, tokens })
    }
}
