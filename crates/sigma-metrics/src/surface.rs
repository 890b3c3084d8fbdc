//! Surface proxies of a set of texts: distinct-2 and the hashed n-gram HHI (appendix C.4), and others in common use,
//! over lower-cased words. They give context to the geometric tracks and are no definition of collapse. N-grams never
//! cross from one text into the next.
//!
//! A word is a maximal run of letters and digits (Unicode), with the apostrophes inside it.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::compression::compression_ratio;
use crate::repetition::repeated_ngrams;
use crate::self_bleu::self_bleu;
use crate::words::{hash_ngram, words};
use crate::{MetricsError, SurfaceConfig};

/// The proxies and the counts behind them, over all texts together where nothing else is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// Different words / words, in (0, 1] (Li et al., NAACL 2016). None without a word.
    pub distinct_1: Option<f64>,
    /// Different bigrams / bigrams, in (0, 1]; higher is more diverse. None without a bigram.
    pub distinct_2: Option<f64>,
    /// The same of trigrams.
    pub distinct_3: Option<f64>,
    /// The same of four-grams.
    pub distinct_4: Option<f64>,
    /// Share of a text's four-grams that it has used before, averaged over the texts that have one, in [0, 1); higher
    /// is more repetitive: seq-rep-4 (Welleck et al., ICLR 2020). None without a four-gram.
    pub repeated_4grams: Option<f64>,
    /// UTF-8 bytes of all texts, joined by line feeds / bytes after raw DEFLATE at level 9; higher is more repetitive.
    /// None without a character.
    pub compression_ratio: Option<f64>,
    /// Self-BLEU (Zhu et al., SIGIR 2018), in [0, 1]: the mean BLEU-4, with smoothing 0.1 for no match, of each text
    /// against all others of `self_bleu_texts` texts, evenly spaced over those given; higher is more alike. Texts
    /// without a word are left out. None if it is turned off, and for fewer than two texts with words.
    pub self_bleu: Option<f64>,
    /// Hashed n-gram HHI, in \[1 / buckets, 1\]; higher is more repetitive. None without an n-gram.
    pub hhi: Option<f64>,
    /// Words in all texts.
    pub words: usize,
    /// Bigrams in all texts.
    pub bigrams: usize,
    /// Words per text, empty texts included. None without a text.
    pub mean_words: Option<f64>,
    /// Texts without a single word.
    pub empty: usize,
}

/// Measures a set of texts.
///
/// # Errors
/// [`MetricsError::Config`] from [`SurfaceConfig::validate`].
pub fn surface<'a>(texts: impl IntoIterator<Item = &'a str>, config: &SurfaceConfig) -> Result<Surface, MetricsError> {
    config.validate()?;
    let raw: Vec<&str> = texts.into_iter().collect();
    let texts = split(raw.iter().copied());
    let total: usize = texts.iter().map(Vec::len).sum();
    Ok(Surface {
        distinct_1: distinct(&texts, 1),
        distinct_2: distinct(&texts, 2),
        distinct_3: distinct(&texts, 3),
        distinct_4: distinct(&texts, 4),
        repeated_4grams: repeated_ngrams(&texts, 4),
        compression_ratio: compression_ratio(&raw),
        self_bleu: self_bleu(&evenly_spaced(&texts, config.self_bleu_texts)),
        hhi: hhi(&texts, config.hhi_ngram, config.hhi_buckets),
        words: total,
        bigrams: ngrams(&texts, 2).count(),
        mean_words: (!texts.is_empty()).then(|| total as f64 / texts.len() as f64),
        empty: texts.iter().filter(|text| text.is_empty()).count(),
    })
}

/// Different n-grams / n-grams over the whole set of texts. None if they hold no n-gram of this length (n = 0
/// included).
pub fn distinct_n<'a>(texts: impl IntoIterator<Item = &'a str>, n: usize) -> Option<f64> {
    distinct(&split(texts), n)
}

/// Herfindahl-Hirschman index of the n-grams: sum over hash buckets b of p_b^2, where p_b is the share of n-grams whose
/// hash falls into b. None if there is no n-gram of this length, or no bucket.
///
/// The bucket of an n-gram is a hash modulo `buckets`: FNV-1a (64 bits) over the UTF-8 of its words joined by byte
/// 0x1F, followed by the MurmurHash3 finalizer.
pub fn hashed_hhi<'a>(texts: impl IntoIterator<Item = &'a str>, ngram: usize, buckets: usize) -> Option<f64> {
    hhi(&split(texts), ngram, buckets)
}

fn split<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Vec<String>> {
    texts.into_iter().map(words).collect()
}

/// `count` of the texts, evenly spaced: number i is text floor(i len / count). A function of the places alone, so where
/// texts stand in the order of their prompts the same prompts are taken in every generation.
fn evenly_spaced(texts: &[Vec<String>], count: usize) -> Vec<&[String]> {
    let count = count.min(texts.len());
    // In 128 bits, so that no product overflows.
    let place = |i: usize| (i as u128 * texts.len() as u128 / count as u128) as usize;
    (0..count).filter_map(|i| texts.get(place(i))).map(Vec::as_slice).collect()
}

/// All n-grams, text by text; none for n = 0.
fn ngrams(texts: &[Vec<String>], n: usize) -> impl Iterator<Item = &[String]> {
    // `windows(0)` panics, and no text is as long as the other end of the range.
    let length = if n == 0 { usize::MAX } else { n };
    texts.iter().flat_map(move |text| text.windows(length))
}

fn distinct(texts: &[Vec<String>], n: usize) -> Option<f64> {
    let (mut seen, mut total) = (HashSet::new(), 0usize);
    for ngram in ngrams(texts, n) {
        seen.insert(ngram);
        total += 1;
    }
    (total > 0).then(|| seen.len() as f64 / total as f64)
}

fn hhi(texts: &[Vec<String>], n: usize, buckets: usize) -> Option<f64> {
    if buckets == 0 {
        return None;
    }
    let (mut counts, mut total) = (HashMap::<u64, u64>::new(), 0u64);
    for ngram in ngrams(texts, n) {
        *counts.entry(hash_ngram(ngram) % buckets as u64).or_default() += 1;
        total += 1;
    }
    // Summed in integers, so that the order of the map leaves no trace.
    let squares: u128 = counts.values().map(|&count| u128::from(count).pow(2)).sum();
    (total > 0).then(|| squares as f64 / (total as f64).powi(2))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn distinct_counts_over_the_whole_set() {
        // a b | b c | a b : 3 bigrams in one text, none across texts.
        assert_eq!(distinct_n(["A b c", "a B"], 2), Some(2.0 / 3.0));
        assert_eq!(distinct_n(["a a a a a"], 2), Some(0.25));
    }

    #[test]
    fn ngrams_never_cross_texts() {
        assert_eq!(distinct_n(["a", "b", "c"], 2), None);
        assert_eq!(distinct_n(["a b", "c d"], 2), distinct_n(["a b", "a c"], 2));
        assert_eq!(hashed_hhi(["a b", "c"], 3, 64), None);
    }

    #[test]
    fn hhi_is_one_for_repetition_and_one_over_k_for_k_equal_shares() {
        assert_eq!(hashed_hhi(["go go go go go"], 3, 1 << 14), Some(1.0));
        // Two trigrams, once each, in different buckets of so many.
        assert_eq!(hashed_hhi(["a b c d"], 3, usize::MAX), Some(0.5));
        assert_eq!(hashed_hhi(["a b c d e f g"], 3, 1), Some(1.0));
    }

    #[test]
    fn hashing_spreads_distinct_ngrams_evenly() {
        // 2^16 distinct unigrams in 2^8 buckets: the sum of squares is 1/256 * (1 + 255 / 65536) on average. A
        // chi-square with 255 degrees of freedom stays below 390 but for a chance of 1e-7.
        let text: String = (0..1 << 16).map(|i| format!("w{i} ")).collect();
        let found = hashed_hhi([text.as_str()], 1, 256).unwrap();
        let chi_square = (found * 256.0 - 1.0) * 65536.0;
        assert!((150.0..390.0).contains(&chi_square), "{chi_square}");
    }

    #[test]
    fn nothing_to_count_is_none_and_not_nan() {
        let config = SurfaceConfig::default();
        let nothing = surface([], &config).unwrap();
        assert_eq!(
            (nothing.distinct_1, nothing.distinct_2, nothing.distinct_3, nothing.distinct_4),
            (None, None, None, None)
        );
        assert_eq!((nothing.repeated_4grams, nothing.compression_ratio, nothing.self_bleu), (None, None, None));
        assert_eq!(
            (nothing.hhi, nothing.words, nothing.bigrams, nothing.mean_words, nothing.empty),
            (None, 0, 0, None, 0)
        );
        let blank = surface(["", " ... "], &config).unwrap();
        assert_eq!((blank.empty, blank.mean_words, blank.distinct_2), (2, Some(0.0), None));
        assert_eq!((distinct_n(["a b"], 0), hashed_hhi(["a b"], 0, 8), hashed_hhi(["a b"], 1, 0)), (None, None, None));
    }

    #[test]
    fn surface_agrees_with_its_parts() {
        let texts = ["The cat sat on the mat.", "The cat sat.", ""];
        let config = SurfaceConfig { hhi_ngram: 2, hhi_buckets: 64, ..SurfaceConfig::default() };
        let all = surface(texts, &config).unwrap();
        assert_eq!((all.words, all.bigrams, all.empty, all.mean_words), (9, 7, 1, Some(3.0)));
        for (n, found) in [(1, all.distinct_1), (2, all.distinct_2), (3, all.distinct_3), (4, all.distinct_4)] {
            assert_eq!(found, distinct_n(texts, n), "distinct-{n}");
        }
        assert_eq!(all.distinct_1, Some(5.0 / 9.0));
        assert_eq!(all.hhi, hashed_hhi(texts, 2, 64));
        assert_eq!((all.repeated_4grams, all.compression_ratio), (Some(0.0), compression_ratio(&texts)));
    }

    #[test]
    fn self_bleu_takes_texts_evenly_spaced_and_can_be_turned_off() {
        let texts: Vec<Vec<String>> = (0..10).map(|i| vec![i.to_string()]).collect();
        let taken = |count| evenly_spaced(&texts, count).concat().join(" ");
        assert_eq!(
            (taken(4).as_str(), taken(10).as_str(), taken(99).as_str()),
            ("0 2 5 7", "0 1 2 3 4 5 6 7 8 9", "0 1 2 3 4 5 6 7 8 9")
        );
        assert_eq!(taken(0), "");
        let with = |self_bleu_texts| {
            let config = SurfaceConfig { self_bleu_texts, ..SurfaceConfig::default() };
            surface(["a b c d", "other words", "a b c d", "than those"], &config).unwrap().self_bleu
        };
        // Texts 0 and 2 are the same.
        assert_eq!((with(2), with(0), with(1)), (Some(1.0), None, None));
        assert_eq!(with(100), Some(0.5));
    }
}
