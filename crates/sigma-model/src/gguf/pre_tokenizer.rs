//! How a text is cut before the merges, by the name that a GGUF file has for it. Each is what the tokenizer.json of the
//! models has that the name was given for; goldens hold them to it.

use serde_json::{Value, json};

/// Everything of a tokenizer.json that its vocabulary and merges do not say.
pub(super) struct PreTokenizer {
    pub(super) normalizer: Value,
    pub(super) pre_tokenizer: Value,
    /// A word that is a token is that token, whatever the merges say.
    pub(super) ignore_merges: bool,
    /// Whether a text begins with BOS where the file does not say.
    pub(super) add_bos: bool,
}

/// The names that are known.
pub(super) const KNOWN: &str = "gpt-2, llama-bpe, qwen2, smollm";

/// Words and what stands between them, with numbers cut into pieces of at most three digits, or into digits.
const LLAMA_3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const QWEN_2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// The one that `tokenizer.ggml.pre` names.
pub(super) fn of(name: &str) -> Option<PreTokenizer> {
    let plain =
        |pre_tokenizer| PreTokenizer { normalizer: Value::Null, pre_tokenizer, ignore_merges: false, add_bos: false };
    match name {
        "gpt-2" => Some(plain(byte_level(true))),
        "smollm" => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            Some(plain(sequence(digits, byte_level(true))))
        }
        "llama-bpe" => Some(PreTokenizer {
            ignore_merges: true,
            add_bos: true,
            ..plain(sequence(split(LLAMA_3), byte_level(false)))
        }),
        "qwen2" => Some(PreTokenizer {
            normalizer: json!({"type": "NFC"}),
            ..plain(sequence(split(QWEN_2), byte_level(false)))
        }),
        _ => None,
    }
}

fn sequence(first: Value, second: Value) -> Value {
    json!({"type": "Sequence", "pretokenizers": [first, second]})
}

fn split(regex: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false})
}

/// Bytes as letters; `words` cuts by GPT-2's rule before.
fn byte_level(words: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": words})
}

/// The way back from letters to bytes.
pub(super) fn decoder() -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})
}
