//! Repetition within one text: how much of what it says it has said before. What happens between texts is not looked
//! at.

use std::collections::HashSet;

/// Share of the n-grams of a text that occurred earlier in the same text, 1 - different / all, averaged over the texts
/// that have an n-gram: seq-rep-n of Welleck et al., "Neural text generation with unlikelihood training" (ICLR 2020).
/// In [0, 1); higher is more repetitive. None if no text is long enough, and for n = 0.
pub(crate) fn repeated_ngrams(texts: &[Vec<String>], n: usize) -> Option<f64> {
    if n == 0 {
        return None;
    }
    let (mut total, mut counted) = (0.0, 0usize);
    for text in texts.iter().filter(|text| text.len() >= n) {
        let different = text.windows(n).collect::<HashSet<_>>().len();
        total += 1.0 - different as f64 / text.windows(n).len() as f64;
        counted += 1;
    }
    (counted > 0).then(|| total / counted as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words;

    fn of(texts: &[&str], n: usize) -> Option<f64> {
        repeated_ngrams(&texts.iter().map(|text| words(text)).collect::<Vec<_>>(), n)
    }

    #[test]
    fn a_text_is_compared_with_itself_alone() {
        assert_eq!(of(&["a b c d e", "a b c d e"], 4), Some(0.0));
        // abcd bcda cdab dabc abcd: five four-grams, four of them different.
        assert_eq!(of(&["a b c d a b c d"], 4), Some(1.0 - 4.0 / 5.0));
    }

    #[test]
    fn texts_weigh_alike_and_short_ones_not_at_all() {
        // 0 and 3/4; "a b c" has no four-gram.
        assert_eq!(of(&["a b c d", "go go go go go go go", "a b c"], 4), Some(0.375));
        assert_eq!((of(&["a b c"], 4), of(&[], 4), of(&["a b"], 0)), (None, None, None));
    }
}
