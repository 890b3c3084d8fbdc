//! Self-BLEU (Zhu et al., "Texygen", SIGIR 2018): how well each text of a set is foretold by the others. BLEU-4
//! (Papineni et al., ACL
//! 2002) of word lists against word lists; which texts are taken is decided in [`mod@crate::surface`].

use std::collections::HashMap;

/// Longest n-grams of BLEU-4, which weighs lengths 1 to 4 alike.
const ORDER: usize = 4;
/// What stands for no match among the n-grams of one length: smoothing method 1 of Chen and Cherry (2014), as Texygen
/// uses it. Without it a single length without a match makes the whole score 0, and most texts of a diverse set would
/// score the same.
const EPSILON: f64 = 0.1;

/// Mean over the texts of their BLEU-4 with all others as references, in [0, 1]. A text without a word is neither
/// scored nor a reference: it would score 0, as if it were diverse. None for fewer than two texts with words.
pub(crate) fn self_bleu(texts: &[&[String]]) -> Option<f64> {
    let texts: Vec<&[String]> = texts.iter().copied().filter(|text| !text.is_empty()).collect();
    if texts.len() < 2 {
        return None;
    }
    let mut lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
    lengths.sort_unstable();
    // One count of every n-gram serves all texts: the most frequent use in any text, and in any other than that.
    let most: Vec<HashMap<&[String], Most>> = (1..=ORDER).map(|n| most_frequent(&texts, n)).collect();
    let total: f64 = texts.iter().enumerate().map(|(at, text)| bleu(text, at, &lengths, &most)).sum();
    Some(total / texts.len() as f64)
}

/// How often an n-gram occurs in the text that has most of it, and in the text after that.
#[derive(Clone, Copy, Default)]
struct Most {
    text: usize,
    first: usize,
    second: usize,
}

fn most_frequent<'a>(texts: &[&'a [String]], n: usize) -> HashMap<&'a [String], Most> {
    let mut most: HashMap<&[String], Most> = HashMap::new();
    for (text, words) in texts.iter().enumerate() {
        for (ngram, count) in counts(words, n) {
            let most = most.entry(ngram).or_default();
            if count > most.first {
                *most = Most { text, first: count, second: most.first };
            } else {
                most.second = most.second.max(count);
            }
        }
    }
    most
}

fn counts(words: &[String], n: usize) -> HashMap<&[String], usize> {
    let mut counts = HashMap::new();
    for ngram in words.windows(n) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// BLEU-4 of text number `at` against all others. `lengths` are those of all texts, ascending.
fn bleu(words: &[String], at: usize, lengths: &[usize], most: &[HashMap<&[String], Most>]) -> f64 {
    let mut log_precision = 0.0;
    for (n, most) in (1..=ORDER).zip(most) {
        let in_others = |ngram: &[String]| match most.get(ngram) {
            Some(most) if most.text == at => most.second,
            Some(most) => most.first,
            None => 0,
        };
        let matches: usize = counts(words, n).iter().map(|(ngram, &count)| count.min(in_others(ngram))).sum();
        if n == 1 && matches == 0 {
            return 0.0;
        }
        let ngrams = (words.len() + 1).saturating_sub(n).max(1);
        let matches = if matches == 0 { EPSILON } else { matches as f64 };
        log_precision += (matches / ngrams as f64).ln() / ORDER as f64;
    }
    let (length, reference) = (words.len() as f64, closest_other(words.len(), lengths) as f64);
    let brevity = if length > reference { 1.0 } else { (1.0 - reference / length).exp() };
    brevity * log_precision.exp()
}

/// The length among the other texts that is closest to `length`, the shorter of two. `lengths` ascend and hold `length`
/// itself.
fn closest_other(length: usize, lengths: &[usize]) -> usize {
    let (start, end) = (lengths.partition_point(|&x| x < length), lengths.partition_point(|&x| x <= length));
    if end - start > 1 {
        return length;
    }
    let neighbours = [start.checked_sub(1), Some(end)].into_iter().flatten().filter_map(|at| lengths.get(at));
    // The first of equals is kept, which is the shorter.
    neighbours.copied().min_by_key(|other| other.abs_diff(length)).unwrap_or(length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::words::words;

    fn of(texts: &[&str]) -> Option<f64> {
        let texts: Vec<Vec<String>> = texts.iter().map(|text| words(text)).collect();
        self_bleu(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    /// The definition as it is printed: every reference counted for every text.
    fn reference(texts: &[Vec<String>]) -> f64 {
        let score = |at: usize| {
            let words = &texts[at];
            let others: Vec<&Vec<String>> = (0..texts.len()).filter(|&i| i != at).map(|i| &texts[i]).collect();
            let in_text = |text: &[String], ngram: &[String]| text.windows(ngram.len()).filter(|w| *w == ngram).count();
            let mut product = 1.0;
            for n in 1..=4 {
                let mut seen: Vec<&[String]> = words.windows(n).collect();
                seen.sort();
                seen.dedup();
                let clipped = |ngram: &[String]| {
                    let most = others.iter().map(|other| in_text(other, ngram)).max().unwrap();
                    most.min(in_text(words, ngram))
                };
                let matches: usize = seen.into_iter().map(clipped).sum();
                if n == 1 && matches == 0 {
                    return 0.0;
                }
                let all = words.windows(n).count().max(1) as f64;
                product *= if matches == 0 { 0.1 / all } else { matches as f64 / all };
            }
            let closest = others.iter().map(|o| (o.len().abs_diff(words.len()), o.len())).min().unwrap().1;
            let brevity = (1.0 - closest as f64 / words.len() as f64).exp().min(1.0);
            brevity * product.powf(0.25)
        };
        (0..texts.len()).map(score).sum::<f64>() / texts.len() as f64
    }

    #[test]
    fn equal_texts_score_one_and_texts_without_a_shared_word_zero() {
        assert_eq!(of(&["a b c d e"; 3]), Some(1.0));
        assert_eq!(of(&["a b c d", "e f g h", "i j k l"]), Some(0.0));
    }

    #[test]
    fn two_texts_are_scored_by_hand() {
        // Both have five words, so no brevity penalty. Precisions 4/5, 3/4, 2/3, 1/2 both ways: product 1/5.
        let found = of(&["a b c d e", "a b c d f"]).unwrap();
        assert!((found - 0.2f64.powf(0.25)).abs() < 1e-15, "{found}");
        // a a a | a b: of three a's one is in the other text; no bigram is, nor a trigram; a four-gram there is not.
        let first = (1.0 / 3.0 * (0.1 / 2.0) * (0.1 / 1.0) * 0.1f64).powf(0.25);
        // Two words against three: brevity exp(1 - 3/2); one of two words, no bigram of one.
        let second = (-0.5f64).exp() * (0.5 * 0.1 * 0.1 * 0.1f64).powf(0.25);
        let found = of(&["a a a", "a b"]).unwrap();
        assert!((found - (first + second) / 2.0).abs() < 1e-15, "{found}");
    }

    #[test]
    fn texts_without_words_are_left_out() {
        assert_eq!(of(&["", "a b c d e", "...", "a b c d f"]), of(&["a b c d e", "a b c d f"]));
        for nothing in [&[][..], &["a b"], &["a b", ""]] {
            assert_eq!(of(nothing), None);
        }
    }

    #[test]
    fn the_closest_reference_is_never_the_text_itself_and_the_shorter_of_two() {
        for (length, expected) in [(5, 7), (7, 5), (9, 9), (12, 9)] {
            assert_eq!(closest_other(length, &[5, 7, 9, 9, 12]), expected, "{length}");
        }
    }

    #[test]
    fn one_count_for_all_texts_gives_what_the_definition_gives() {
        let mut state = 5u64;
        for case in 0..60 {
            let mut draw = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let texts: Vec<Vec<String>> = (0..2 + case % 7)
                .map(|_| {
                    let length = 1 + draw(20);
                    (0..length).map(|_| format!("w{}", draw(2 + case))).collect()
                })
                .collect();
            let fast = self_bleu(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            assert!((fast - reference(&texts)).abs() < 1e-12, "case {case}: {fast} vs {}", reference(&texts));
        }
    }
}
