//! What an experiment reads before it computes anything: corpora, prompt banks, tokenizers, blocks, and the random
//! streams that every draw comes from. No tensors here, and no device.
//!
//! In reading order:
//! - [`seeds`]: counter-based random streams
//! - [`config`]: the `corpus` and `prompts` sections of a config
//! - [`documents`]: the texts of a corpus, checked
//! - [`prompts`]: the frozen prompt bank
//! - [`tokenizer`]: byte-level BPE, loaded, saved or trained
//! - [`blocks`]: documents cut into contexts; training blocks
//! - [`answers`]: answers to the prompts, and their windows
//! - [`shards`]: embeddings on disk, read in blocks of rows
//! - [`source`], [`text_file`] and [`hub`]: where models, tokenizers and texts come from
//! - [`limits`]: how much memory a file or a text may ask for
//! - [`python_json`]: JSON with the words that Python adds
//! - [`jsonl`], [`hash`], [`place`], [`regular_file`], [`error`]: what the others are made with

pub mod answers;
pub mod blocks;
pub mod config;
pub mod documents;
pub mod error;
mod foreign;
pub mod hash;
pub mod hub;
pub mod jsonl;
pub mod limits;
pub mod place;
pub mod prompts;
pub mod python_json;
mod records;
pub mod regular_file;
pub mod seeds;
pub mod shards;
pub mod source;
pub mod text_file;
pub mod tokenizer;

pub use answers::{Answer, FinishReason, read_answers, windows, write_answers};
pub use blocks::{Block, read_blocks, slice, write_blocks};
pub use config::{CorpusConfig, PromptsConfig};
pub use documents::{Document, Texts, read_documents, read_texts};
pub use error::DataError;
pub use hash::{hash_blocks, hash_bytes, hash_file};
pub use limits::{Limits, LimitsError};
pub use place::{At, Place};
pub use prompts::{DEFAULT_BUCKETS, Prompt, read_prompts};
pub use seeds::{Seeds, Stage, Stream};
pub use shards::Shard;
pub use text_file::TextFile;
pub use tokenizer::{Tokenizer, train_bpe};
