//! Everything that can be wrong with the user's data files and tokenizers, said with file, line and id, and with what
//! to do about it. It knows nothing of the hub: downloads have their own error in `hub`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::place::Place;

/// Why a corpus, a prompt bank, a file of blocks or answers, or a tokenizer could not be read, checked or written.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },

    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },

    #[error("{section}: {problem}")]
    TextFile { section: &'static str, problem: String },

    #[error("{}: the type `{extension}` is not supported; give {supported}", path.display())]
    UnknownFormat { path: PathBuf, extension: String, supported: &'static str },

    #[error("{}: {kind}; {advice}", path.display())]
    Foreign { path: PathBuf, kind: &'static str, advice: &'static str },

    #[error("{}: no {what} in it", path.display())]
    Empty { path: PathBuf, what: &'static str },

    #[error(
        "{place}: the line is longer than {limit} bytes; is this really JSON Lines, one object a line? If so, raise \
         `limits.max_text_bytes`, or SIGMA_EXP_MAX_TEXT_BYTES in the environment"
    )]
    LineTooLong { place: Place, limit: u64 },

    #[error(
        "{place}: the text has {length} bytes, more than the {limit} that one may have; split it, or raise \
         `limits.max_text_bytes` (SIGMA_EXP_MAX_TEXT_BYTES in the environment)"
    )]
    TextTooLong { place: Place, length: u64, limit: u64 },

    #[error(
        "{}: {what} needs {needed} bytes of memory, more than the {limit} that {size} bytes of a file \
         may take up; split the file, or raise `limits.max_file_memory` (SIGMA_EXP_MAX_FILE_MEMORY in the environment)",
        path.display()
    )]
    FileMemory { path: PathBuf, what: String, needed: u64, size: u64, limit: u64 },

    #[error(
        "{}: its {part} can make {factor} bytes of one byte of a text and adds up to {more}; at most {most} and \
         {most_more} are supported: take the part out that makes texts longer",
        path.display()
    )]
    TokenizerGrowth { path: PathBuf, part: String, factor: u64, more: u64, most: u64, most_more: u64 },

    #[error("{}: {problem}; write the file again with the tokenizers library", path.display())]
    TokenizerPart { path: PathBuf, problem: String },

    #[error(
        "a text of {length} bytes may become one of {grown} by what the tokenizer does to it, more than the \
         {limit} that are supported; split it, or raise `limits.max_text_bytes` (SIGMA_EXP_MAX_TEXT_BYTES in the \
         environment)"
    )]
    TextGrows { length: u64, grown: u64, limit: u64 },

    #[error("{place}: not UTF-8; convert the file to UTF-8")]
    NotUtf8 { place: Place },

    #[error("{place}, column {column}: {reason}; every line must be one whole JSON object")]
    Json { place: Place, column: usize, reason: String },

    #[error("{place}: no field `{field}`, only {}; name the right one with {named}", list(found))]
    MissingField { place: Place, field: String, found: Vec<String>, named: NamedWith },

    #[error("{place}: `{field}` must be {expected}, not {found}")]
    FieldType { place: Place, field: String, expected: &'static str, found: &'static str },

    #[error("{place}: no `id`, though {other} has one; give an id to every record or to none")]
    MissingId { place: Place, other: Place },

    #[error("{place}: the id {id:?} is empty or holds a control character; give the record a plain id")]
    BadId { place: Place, id: String },

    #[error(
        "{place}: the bucket {bucket:?} of prompt `{id}` is blank or holds a control character; give it a plain name"
    )]
    BadBucket { place: Place, id: String, bucket: String },

    #[error("{place}: the id `{id}` is already taken by {first}; ids must be unique")]
    DuplicateId { place: Place, id: String, first: Place },

    #[error("{place}: `{id}` has no text but white space; fill it or remove the record")]
    EmptyText { place: Place, id: String },

    #[error("{place}: the text of `{id}` holds a NUL character, so it is hardly text; clean or remove the record")]
    NulCharacter { place: Place, id: String },

    #[error(
        "{place}: unknown bucket `{bucket}` of prompt `{id}`; `prompts.buckets` names {}: add it there",
        list(allowed)
    )]
    UnknownBucket { place: Place, id: String, bucket: String, allowed: Vec<String> },

    #[error("{}: no column `{column}`; there are {}; name the right one with {named}", path.display(), list(columns))]
    MissingColumn { path: PathBuf, column: String, columns: Vec<String>, named: NamedWith },

    #[error("{}: the column `{column}` holds {found}, not {expected}", path.display())]
    ColumnType { path: PathBuf, column: String, expected: &'static str, found: String },

    #[error("{}: cannot be read as Parquet", path.display())]
    Parquet { path: PathBuf, source: parquet::errors::ParquetError },

    #[error("{place}: {problem}; is this really a table with a line of column names and one record a row?")]
    Table { place: Place, problem: String },

    #[error("{}: {problem}", path.display())]
    Shard { path: PathBuf, problem: String },

    #[error("{place}: `{column}` {problem}; every row must be a list of the same number of values")]
    ShardRow { place: Place, column: String, problem: String },

    #[error("{place}: block `{id}` has no tokens: it needs `tokens` that are not empty, or `text`")]
    BlockWithoutTokens { place: Place, id: String },

    #[error("{place}: block `{id}` has {found} tokens where {expected} are needed")]
    BlockLength { place: Place, id: String, found: usize, expected: usize },

    #[error(
        "{place}: token {token} of block `{id}` is outside the vocabulary of {vocab_size} entries; \
         was the file made with another tokenizer?"
    )]
    TokenOutOfRange { place: Place, id: String, token: u32, vocab_size: usize },

    #[error(
        "none of the {documents} documents fills one context of {context_tokens} tokens (the longest has {longest}); \
         use a lower `context_tokens` or longer documents"
    )]
    NoContexts { documents: usize, context_tokens: usize, longest: usize },

    #[error("`{setting}` must be {expected}, not {found}")]
    Setting { setting: &'static str, expected: String, found: usize },

    #[error("{}: no tokenizer there: neither tokenizer.json nor vocab.json with merges.txt", folder.display())]
    NoTokenizer { folder: PathBuf },

    #[error("{}: not the JSON expected there", path.display())]
    JsonFile { path: PathBuf, source: serde_json::Error },

    #[error(
        "{}: the {what} is `{found}`; BPE over bytes (GPT-2, OPT) or SentencePiece's pieces (Llama 2) is supported",
        path.display()
    )]
    UnsupportedTokenizer { path: PathBuf, what: &'static str, found: String },

    #[error("{place}: expected two tokens with one space between, found {found:?}")]
    MergeSyntax { place: Place, found: String },

    #[error("{place}: the merge needs the token {token:?}, which the vocabulary lacks; the files do not fit together")]
    MergeUnknown { place: Place, token: String },

    #[error("{}: the vocabulary lacks {token:?}, which stands for byte {byte}: it is not byte-level", path.display())]
    MissingByte { path: PathBuf, byte: u8, token: char },

    #[error("{}: {first:?} and {second:?} both have the id {id}", path.display())]
    DuplicateToken { path: PathBuf, id: u32, first: String, second: String },

    #[error(
        "{}: {problem}; the tokenizer's files come from two models, or one was edited: take all from one place",
        folder.display()
    )]
    Beginning { folder: PathBuf, problem: String },

    #[error("{}: tokenizer_config.json names no {role}", folder.display())]
    UnnamedSpecialToken { folder: PathBuf, role: &'static str },

    #[error(
        "{}: the {role} {token:?} is not in the vocabulary; name the right one in tokenizer_config.json",
        folder.display()
    )]
    UnknownSpecialToken { folder: PathBuf, role: &'static str, token: String },

    #[error("{}: {token:?} has the id {declared} in the configuration but {found} in the vocabulary", folder.display())]
    AddedTokenId { folder: PathBuf, token: String, declared: u32, found: u32 },

    #[error("{}: the tokenizer cannot be built", path.display())]
    Tokenizer { path: PathBuf, source: tokenizers::Error },

    #[error("the text cannot be encoded")]
    Encode { source: tokenizers::Error },

    #[error(
        "the texts give a vocabulary of {reached} entries at most, not {asked}: no other pair of tokens occurs twice; \
         ask for fewer or bring more text"
    )]
    VocabularyTooLarge { asked: usize, reached: usize },
}

/// How a user says which field or column holds what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedWith {
    /// The key of a config's section.
    Key(&'static str),
    /// An option of the command line.
    Option(&'static str),
}

impl NamedWith {
    pub(crate) const TEXT: Self = Self::Key("text_column");
    pub(crate) const ID: Self = Self::Key("id_column");
    pub(crate) const BUCKET: Self = Self::Key("bucket_column");
    pub(crate) const ROWS: Self = Self::Option("--column");
}

impl fmt::Display for NamedWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "`{key}` in the config"),
            Self::Option(option) => f.write_str(option),
        }
    }
}

impl DataError {
    /// The same error for a command whose options name fields and columns, where no config does.
    #[must_use]
    pub fn for_options(mut self) -> Self {
        if let Self::MissingField { named, .. } | Self::MissingColumn { named, .. } = &mut self {
            *named = match *named {
                NamedWith::TEXT => NamedWith::Option("--text-column"),
                NamedWith::ID => NamedWith::Option("--id-column"),
                other => other,
            };
        }
        self
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.to_path_buf(), source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Write { path: path.to_path_buf(), source }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_string() } else { names.join(", ") }
}
