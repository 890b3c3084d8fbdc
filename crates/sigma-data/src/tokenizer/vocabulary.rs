//! The two tables of a BPE, checked: token -> id, and the merges in order of rank. How the files that hold
//! them look is not known here.

use std::collections::BTreeMap;
use std::path::Path;

use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::error::DataError;
use crate::place::Place;

/// What the letters of a vocabulary's tokens stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// A letter is a byte, as GPT-2 has it.
    Bytes,
    /// A letter is itself, and bytes have tokens of their own, as SentencePiece has it.
    Pieces,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vocabulary {
    spelling: Spelling,
    tokens: Vec<(String, u32)>,
    merges: Vec<(String, String)>,
}

impl Vocabulary {
    /// `place_of` tells where merge number i (from 0) stands.
    pub(super) fn new(
        path: &Path,
        (ids, spelling): (&BTreeMap<String, u32>, Spelling),
        merges: Vec<(String, String)>,
        place_of: impl Fn(usize) -> Place,
    ) -> Result<Self, DataError> {
        let mut missing = Vec::new();
        for (byte, token) in byte_letters().into_iter().filter(|_| spelling == Spelling::Bytes) {
            // the library drops bytes that have no letter without a word
            if ids.contains_key(token.encode_utf8(&mut [0; 4])) {
                continue;
            }
            if !is_rare(byte) {
                return Err(DataError::MissingByte { path: path.to_path_buf(), byte, token });
            }
            missing.push(format!("{byte:02x}"));
        }
        if !missing.is_empty() {
            tracing::warn!(
                file = %path.display(),
                bytes = missing.join(" "),
                "no tokens for some bytes, which only control characters and U+40000 to U+BFFFF have; texts lose them"
            );
        }
        for (number, (left, right)) in merges.iter().enumerate() {
            for token in [left, right, &format!("{left}{right}")] {
                if !ids.contains_key(token) {
                    return Err(DataError::MergeUnknown { place: place_of(number), token: token.clone() });
                }
            }
        }
        let mut tokens: Vec<(String, u32)> = ids.iter().map(|(token, &id)| (token.clone(), id)).collect();
        tokens.sort_by_key(|&(_, id)| id);
        if let Some(same) = tokens.windows(2).find(|pair| pair[0].1 == pair[1].1) {
            let (first, second) = (same[0].0.clone(), same[1].0.clone());
            return Err(DataError::DuplicateToken { path: path.to_path_buf(), id: same[0].1, first, second });
        }
        Ok(Self { spelling, tokens, merges })
    }

    pub(super) fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// Token and id, in the order of ids.
    pub(super) fn tokens(&self) -> &[(String, u32)] {
        &self.tokens
    }

    pub(super) fn merges(&self) -> &[(String, String)] {
        &self.merges
    }
}

/// Bytes of control characters but tab and line ends, of characters from U+40000 to U+BFFFF (none is assigned), and
/// those that no UTF-8 has. SmolLM2 lacks 21 of them, Pythia 13.
fn is_rare(byte: u8) -> bool {
    let control = byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r');
    control || matches!(byte, 0xc0 | 0xc1 | 0xf1 | 0xf2 | 0xf5..)
}

/// Each byte with the printable character that stands for it in GPT-2's vocabularies: printable bytes stand for
/// themselves, the other 68 are U+0100, U+0101, ...
fn byte_letters() -> Vec<(u8, char)> {
    let mut letters: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    letters.sort_unstable();
    let printable: Vec<u8> = letters.iter().filter_map(|&letter| u8::try_from(letter).ok()).collect();
    let others = (0..=u8::MAX).filter(|byte| !printable.contains(byte));
    printable.iter().copied().chain(others).zip(letters).collect()
}
