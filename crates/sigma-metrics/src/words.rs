//! Texts to words, and words to hashes, for the surface proxies. The rule is plain and language-neutral, the hash is
//! portable; what is counted with them is decided in [`mod@crate::surface`].

/// The words of a text, lower-cased: maximal runs of letters, digits and combining accents, in which single apostrophes
/// between two such characters are kept (`don't`, `l'avenir`; the typographic one becomes `'`). Everything else
/// separates: `state-of-the-art` is four words, `3.5` two, and a passage without spaces (Chinese, Japanese) one.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if in_word(c) {
            word.push(c);
        } else if is_apostrophe(c) && !word.is_empty() && chars.peek().is_some_and(|&next| in_word(next)) {
            word.push('\'');
        } else if !word.is_empty() {
            words.push(word.to_lowercase());
            word.clear();
        }
    }
    if !word.is_empty() {
        words.push(word.to_lowercase());
    }
    words
}

/// Letters and digits of any script. Accents written as separate characters stay with their letter: otherwise the same
/// word would be one or two, depending on how its text was composed.
fn in_word(c: char) -> bool {
    c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c)
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}')
}

/// A 64-bit hash of an n-gram: FNV-1a over the UTF-8 of its words joined by byte 0x1F, then the finalizer of
/// MurmurHash3, without which the low bits that choose a bucket would follow the last byte. No seed: the same on every
/// machine and in every release.
pub(crate) fn hash_ngram(ngram: &[String]) -> u64 {
    let mut hash = FNV_OFFSET;
    for (i, word) in ngram.iter().enumerate() {
        if i > 0 {
            hash = fnv1a(hash, &[0x1f]);
        }
        hash = fnv1a(hash, word.as_bytes());
    }
    murmur_mix(hash)
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn murmur_mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_digits_and_inner_apostrophes() {
        for (text, expected) in [
            ("", &[][..]),
            (" \t\n-- ... '' ", &[]),
            ("Hello, World!", &["hello", "world"]),
            ("Don't 'quote' rock'n'roll dogs' ''tis", &["don't", "quote", "rock'n'roll", "dogs", "tis"]),
            ("it\u{2019}s", &["it's"]),
            ("a''b", &["a", "b"]),
            ("state-of-the-art 3.5% Q4_2023", &["state", "of", "the", "art", "3", "5", "q4", "2023"]),
            ("ÉCOLE Straße ΟΔΟΣ", &["école", "straße", "οδος"]),
            ("nai\u{308}ve", &["nai\u{308}ve"]),
            ("İstanbul", &["i\u{307}stanbul"]),
            ("東京 タワー", &["東京", "タワー"]),
        ] {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn fnv1a_gives_the_published_test_vectors() {
        for (text, expected) in [("", FNV_OFFSET), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)] {
            assert_eq!(fnv1a(FNV_OFFSET, text.as_bytes()), expected);
        }
    }

    #[test]
    fn the_hash_sees_where_words_end() {
        let hash = |words: &[&str]| hash_ngram(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["a", "b"]), hash(&["b", "a"]));
    }
}
