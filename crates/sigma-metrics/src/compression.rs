//! How far a set of texts can be compressed: repetition of any kind and length, within a text and between texts, as a
//! general coder sees it. What the bytes say is not known here.

/// DEFLATE at its highest standard level, as in gzip and zlib.
const LEVEL: u8 = 9;

/// UTF-8 bytes of the texts joined by line feeds / bytes after raw DEFLATE (RFC 1951, without header and checksum) at
/// level 9: higher is more repetitive. Ordinary English prose is near 2 to 3; a few words may stay below 1. None
/// without a character.
///
/// DEFLATE looks back 32 KiB, so a repetition further apart than that is not seen. The coder is miniz_oxide whatever
/// else is in the program: other coders give other sizes at the same level.
pub(crate) fn compression_ratio(texts: &[&str]) -> Option<f64> {
    if texts.iter().all(|text| text.is_empty()) {
        return None;
    }
    let joined = texts.join("\n");
    let compressed = miniz_oxide::deflate::compress_to_vec(joined.as_bytes(), LEVEL);
    Some(joined.len() as f64 / compressed.len() as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// RFC 1951, 3.2.6: three bits of block header, "a" in the fixed code (8 bits), end of block (7 bits): 18 bits, so
    /// 3 bytes.
    #[test]
    fn one_letter_needs_three_bytes() {
        assert_eq!(compression_ratio(&["a"]), Some(1.0 / 3.0));
    }

    /// The size that miniz_oxide 0.9.1 gives; a coder with other sizes would be noticed here, and not in somebody's
    /// series.
    #[test]
    fn a_repeated_sentence_shrinks_to_a_known_size() {
        let texts = ["the bank raised its rates again"; 40];
        let joined = 40 * 31 + 39;
        let found = compression_ratio(&texts).unwrap();
        assert_eq!((joined as f64 / found).round() as usize, 47, "{found}");
    }

    #[test]
    fn repetition_between_texts_is_seen_and_noise_is_not() {
        let mut state = 3u64;
        let noise: Vec<String> = (0..50)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                format!("{:016x}", state)
            })
            .collect();
        let different: Vec<&str> = noise.iter().map(String::as_str).collect();
        let (loose, tight) = (compression_ratio(&different).unwrap(), compression_ratio(&[different[0]; 50]).unwrap());
        assert!(loose < 2.0 && tight > 10.0 * loose, "{loose} {tight}");
    }

    #[test]
    fn no_text_has_no_ratio() {
        assert_eq!((compression_ratio(&[]), compression_ratio(&["", ""])), (None, None));
    }
}
