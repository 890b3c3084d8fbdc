//! How much longer the parts of a tokenizer.json can make a text, found from the JSON before anything is built of it.
//! What tokens come of the text is not known here.

use std::path::Path;

use serde_json::Value;
use tokenizers::tokenizer::pattern::Pattern;
use tokenizers::utils::SysRegex;

use super::files::not_json;
use crate::error::DataError;
use crate::limits::Limits;

/// Bytes that the parts of a model's tokenizer may make of one byte of a text. Byte-level BPE makes 2, with NFKC before
/// it 22.
pub const MOST_OF_MODEL: u64 = 64;

/// The same of a sentence encoder, which reads the beginning of a text: SentencePiece's tables and what is around them
/// make some hundred.
pub const MOST_OF_ENCODER: u64 = 4096;

/// Bytes that may be added to every text, whatever its length.
const MOST_ADDED: u64 = 1 << 16;

/// What any text may become, as a share of `limits.max_text_bytes`, and as a multiple of the text where that is more.
const SHARE_OF_TEXT: u64 = 4;
const ALWAYS: u64 = 16;

/// NFKC and NFKD make 33 bytes of the 3 of U+FDFA, NFC and NFD 6 of the 2 of U+0390.
const COMPATIBLE: u64 = 11;
const CANONICAL: u64 = 3;

/// Of a lower-cased letter: 3 bytes of the 2 of U+023A.
const LOWERED: u64 = 2;

/// Texts on which a pattern that can match nothing does.
const PROBES: [&str; 4] = ["a b", "1 \u{e9}\u{6f22}", "\n.\n", "aa  --"];

/// Two bytes stand for each that is not printable.
const BYTE_LETTERS: u64 = 2;

/// A bound: `length` bytes become at most `factor * length + more`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    factor: u64,
    more: u64,
}

impl Growth {
    const NONE: Self = Self { factor: 1, more: 0 };
    /// Of the byte-level pre-tokenizer alone.
    pub(super) const BYTE_LEVEL: Self = Self::times(BYTE_LETTERS);

    const fn times(factor: u64) -> Self {
        Self { factor, more: 0 }
    }

    /// Of a tokenizer.json.
    ///
    /// # Errors
    /// Names the part after which one byte can be more than `most`.
    pub fn of_file(path: &Path, json: &[u8], most: u64) -> Result<Self, DataError> {
        let tokenizer: Value = serde_json::from_slice(json).map_err(not_json(path))?;
        let mut growth = Self::NONE;
        let parts: [(&str, PartGrowth); 3] =
            [("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer), ("post_processor", post_processor)];
        for (part, of) in parts {
            let Some(value) = tokenizer.get(part).filter(|value| !value.is_null()) else { continue };
            let own = of(value).map_err(|problem| {
                let problem = format!("its {part}: {problem}");
                DataError::TokenizerPart { path: path.to_path_buf(), problem }
            })?;
            growth = growth.then(own);
            let Self { factor, more } = growth;
            if factor > most || more > MOST_ADDED {
                let (path, part) = (path.to_path_buf(), part.to_string());
                return Err(DataError::TokenizerGrowth { path, part, factor, more, most, most_more: MOST_ADDED });
            }
        }
        Ok(growth)
    }

    /// Bytes that a text of `length` becomes at most.
    pub fn bound(self, length: usize) -> u64 {
        self.factor.saturating_mul(length as u64).saturating_add(self.more)
    }

    /// Refuses a text of `length` bytes that could become much longer.
    pub fn check(self, length: usize) -> Result<(), DataError> {
        let (length, grown) = (length as u64, self.bound(length));
        let limit = (Limits::in_force().text_bytes() / SHARE_OF_TEXT).max(length.saturating_mul(ALWAYS));
        if grown > limit.saturating_add(MOST_ADDED) {
            return Err(DataError::TextGrows { length, grown, limit });
        }
        Ok(())
    }

    fn then(self, next: Self) -> Self {
        Self {
            factor: self.factor.saturating_mul(next.factor),
            more: self.more.saturating_mul(next.factor).saturating_add(next.more),
        }
    }
}

/// Finds the growth by one part, or what is wrong with it.
type PartGrowth = fn(&Value) -> Result<Growth, String>;

/// Of all the parts of a sequence.
fn sequence(value: &Value, key: &str, of: PartGrowth) -> Result<Growth, String> {
    let parts = value.get(key).and_then(Value::as_array).ok_or_else(|| format!("no list `{key}`"))?;
    parts.iter().try_fold(Growth::NONE, |growth, part| Ok(growth.then(of(part)?)))
}

/// The library also guesses the type of a part from its fields; no file that it has written leaves it to that.
fn kind(value: &Value) -> Result<&str, String> {
    value.get("type").and_then(Value::as_str).ok_or_else(|| "a part has no `type`".to_string())
}

fn length(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_str).map_or(0, |text| text.len() as u64)
}

fn normalizer(value: &Value) -> Result<Growth, String> {
    Ok(match kind(value)? {
        "Sequence" => sequence(value, "normalizers", normalizer)?,
        "NFKC" | "NFKD" => Growth::times(COMPATIBLE),
        "NFC" | "NFD" => Growth::times(CANONICAL),
        "Lowercase" => Growth::times(LOWERED),
        // a space before and behind each Chinese sign of 3 bytes, accents taken apart, small letters
        "BertNormalizer" | "Bert" => Growth::times(2 * CANONICAL * LOWERED),
        "ByteLevel" => Growth::times(BYTE_LETTERS),
        // what stands between two added tokens is a text of its own
        "Prepend" => Growth::times(1 + length(value, "prepend")),
        "Replace" => replace(value)?,
        "Precompiled" => Growth::times(longest_of_table(value)?),
        _ => Growth::NONE,
    })
}

fn replace(value: &Value) -> Result<Growth, String> {
    let content = length(value, "content");
    let pattern = value.get("pattern");
    if let Some(regex) = pattern.and_then(|pattern| pattern.get("Regex")?.as_str()) {
        let compiled = SysRegex::new(regex).map_err(|error| format!("the pattern {regex:?} is no regex: {error}"))?;
        // the library panics at the end of a text where one matches nothing
        let nothing = |text: &str| {
            let found = (&compiled).find_matches(text).unwrap_or_default();
            found.iter().any(|((start, end), matches)| *matches && start == end)
        };
        if PROBES.iter().any(|text| nothing(text)) {
            return Err(format!("the pattern {regex:?} matches an empty text"));
        }
        // of each match, which has one byte at least
        return Ok(Growth::times(1 + content));
    }
    match pattern.map_or(0, |pattern| length(pattern, "String")) {
        0 => Err("the pattern of a Replace is an empty text".to_string()),
        pattern => Ok(Growth::times(content.div_ceil(pattern).max(1))),
    }
}

fn pre_tokenizer(value: &Value) -> Result<Growth, String> {
    let prefix = value.get("add_prefix_space").and_then(Value::as_bool) == Some(true);
    Ok(match kind(value)? {
        "Sequence" => sequence(value, "pretokenizers", pre_tokenizer)?,
        "ByteLevel" => Growth::times(BYTE_LETTERS * if prefix { 2 } else { 1 }),
        // in the place of each space, and before every piece
        "Metaspace" => {
            let replacement = length(value, "replacement").max(1);
            let never = value.get("prepend_scheme").and_then(Value::as_str) == Some("never");
            Growth::times(replacement + if never { 0 } else { replacement })
        }
        _ => Growth::NONE,
    })
}

/// Counts tokens; the type is not looked at by the library either.
fn post_processor(value: &Value) -> Result<Growth, String> {
    if value.get("processors").is_some() {
        return sequence(value, "processors", post_processor);
    }
    let pieces = |key: &str| value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut growth = Growth::NONE;
    for template in ["single", "pair"].map(pieces) {
        let (mut texts, mut tokens) = (0u64, 0u64);
        for piece in template {
            let Some(special) = piece.get("SpecialToken") else {
                texts += 1;
                continue;
            };
            let id = special.get("id").and_then(Value::as_str).unwrap_or_default();
            let ids = value.get("special_tokens").and_then(|all| all.get(id)?.get("ids")?.as_array());
            tokens = tokens.saturating_add(ids.map_or(1, |ids| ids.len() as u64));
        }
        growth = Growth { factor: growth.factor.max(texts), more: growth.more.max(tokens) };
    }
    Ok(growth)
}

/// The longest text of a table of SentencePiece: a trie behind its length, then texts that end with NUL.
fn longest_of_table(value: &Value) -> Result<u64, String> {
    let broken = || "its precompiled_charsmap is damaged".to_string();
    let table = value.get("precompiled_charsmap").and_then(Value::as_str).ok_or_else(broken)?;
    let table = base64(table).ok_or_else(broken)?;
    let (size, rest) = table.split_first_chunk::<4>().ok_or_else(broken)?;
    let size = u32::from_le_bytes(*size) as usize;
    let texts = rest.get(size..).and_then(|texts| str::from_utf8(texts).ok()).ok_or_else(broken)?;
    Ok(texts.split('\0').map(str::len).max().unwrap_or(0).max(1) as u64)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
