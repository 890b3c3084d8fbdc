use std::str::FromStr;

use proptest::prelude::*;
use serde_json::json;
use tokenizers::{
    NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    PreTokenizerWrapper, Tokenizer,
};

use super::*;
use crate::tokenizer::guarded;

fn of(part: &str, value: &Value, most: u64) -> Result<Growth, DataError> {
    Growth::of_file(Path::new("t/tokenizer.json"), json!({ part: value }).to_string().as_bytes(), most)
}

#[test]
fn parts_that_multiply_a_text_are_refused_by_file_and_part() {
    let tens = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "a".repeat(10)});
    let sequence = |part: &Value, count: usize| json!({"type": "Sequence", "normalizers": vec![part.clone(); count]});
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
    let template = json!({"single": vec![json!({"Sequence": {"id": "A", "type_id": 0}}); 100], "pair": []});
    let special = json!({
        "single": vec![json!({"SpecialToken": {"id": "x", "type_id": 0}}); 300], "pair": [],
        "special_tokens": {"x": {"id": "x", "ids": vec![0; 300], "tokens": vec!["x"; 300]}},
    });
    for (part, value) in [
        ("normalizer", sequence(&tens, 12)),
        ("normalizer", sequence(&sequence(&tens, 2), 1)),
        ("normalizer", sequence(&json!({"type": "NFKD"}), 2)),
        ("normalizer", json!({"type": "Prepend", "prepend": "a".repeat(100)})),
        ("normalizer", json!({"type": "Replace", "pattern": {"Regex": "x*"}, "content": "a".repeat(100)})),
        ("normalizer", json!({"type": "Replace", "pattern": {"String": ""}, "content": "a".repeat(100)})),
        ("pre_tokenizer", json!({"type": "Sequence", "pretokenizers": vec![byte_level; 30]})),
        ("post_processor", template.clone()),
        ("post_processor", json!({"type": "Sequence", "processors": [template]})),
        ("post_processor", special),
    ] {
        let error = of(part, &value, MOST_OF_MODEL).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json") && error.contains(part), "{error}");
    }
    let shared = json!({"normalizer": sequence(&json!({"type": "NFKC"}), 1), "pre_tokenizer": sequence(&tens, 1)});
    assert!(
        Growth::of_file(Path::new("x"), shared.to_string().as_bytes(), 64).is_err(),
        "a pre-tokenizer without its list"
    );
}

#[test]
fn parts_of_common_tokenizers_are_taken() {
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": true});
    assert_eq!(of("pre_tokenizer", &byte_level, MOST_OF_MODEL).unwrap().bound(10), 40);
    let llama = json!({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]});
    for (part, value) in [
        ("normalizer", llama),
        ("normalizer", json!({"type": "NFKC"})),
        ("normalizer", json!({"type": "BertNormalizer", "lowercase": true})),
        ("pre_tokenizer", json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"})),
        ("post_processor", json!({"type": "BertProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 2]})),
    ] {
        of(part, &value, MOST_OF_MODEL).unwrap();
    }
}

#[test]
fn a_table_of_sentencepiece_counts_by_its_longest_text() {
    // a trie of one unit, then `ab` and `abcde`
    let table = json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAABhYgBhYmNkZQA="});
    assert_eq!(of("normalizer", &table, MOST_OF_MODEL).unwrap(), Growth::times(5));
    for broken in ["", "BAAAAA==", "?", "/////w=="] {
        let table = json!({"type": "Precompiled", "precompiled_charsmap": broken});
        let error = of("normalizer", &table, MOST_OF_MODEL).unwrap_err().to_string();
        assert!(error.contains("precompiled_charsmap"), "{broken}: {error}");
    }
}

fn normalizers() -> impl Strategy<Value = Value> {
    let one = prop_oneof![
        Just(json!({"type": "NFC"})),
        Just(json!({"type": "NFD"})),
        Just(json!({"type": "NFKC"})),
        Just(json!({"type": "NFKD"})),
        Just(json!({"type": "Lowercase"})),
        Just(json!({"type": "StripAccents"})),
        Just(json!({"type": "Nmt"})),
        Just(json!({"type": "ByteLevel"})),
        Just(json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": true, "lowercase": true})),
        "[a▁ ]{0,6}".prop_map(|text| json!({"type": "Prepend", "prepend": text})),
        ("[a▁ ]{0,3}", "[a▁ ]{0,6}")
            .prop_map(|(from, to)| json!({"type": "Replace", "pattern": {"String": from}, "content": to})),
        (prop_oneof![Just("a*"), Just(" +"), Just("\\b"), Just("(?=a)"), Just(".")], "[a▁ ]{0,6}")
            .prop_map(|(from, to)| json!({"type": "Replace", "pattern": {"Regex": from}, "content": to})),
    ];
    let list = prop::collection::vec(one, 1..4);
    list.prop_map(|normalizers| json!({"type": "Sequence", "normalizers": normalizers}))
}

fn pre_tokenizers() -> impl Strategy<Value = Value> {
    let one = prop_oneof![
        any::<(bool, bool)>().prop_map(|(prefix, regex)| {
            json!({"type": "ByteLevel", "add_prefix_space": prefix, "use_regex": regex, "trim_offsets": true})
        }),
        prop_oneof![Just("always"), Just("first"), Just("never")].prop_map(|scheme| {
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true})
        }),
        Just(json!({"type": "Whitespace"})),
        Just(json!({"type": "Digits", "individual_digits": true})),
        Just(json!({"type": "Punctuation"})),
    ];
    let list = prop::collection::vec(one, 1..4);
    list.prop_map(|pretokenizers| json!({"type": "Sequence", "pretokenizers": pretokenizers}))
}

const TEXT: &str = "[aA1 \\x00é\u{390}\u{fdfa}\u{1f82}\u{23a}İ漢▁가\u{ac1}\u{301}]{0,30}";

proptest! {
    #[test]
    fn no_normalizer_makes_a_text_longer_than_its_bound(value in normalizers(), text in TEXT) {
        // a pattern that matches nothing is refused: the library panics on it
        let Ok(bound) = of("normalizer", &value, u64::MAX) else { return Ok(()) };
        let built: NormalizerWrapper = serde_json::from_value(value).unwrap();
        let mut normalized = NormalizedString::from(text.as_str());
        // the library panics on some
        if guarded(|| built.normalize(&mut normalized)).is_err() {
            return Ok(());
        }
        prop_assert!(normalized.get().len() as u64 <= bound.bound(text.len()), "{:?}", normalized.get());
    }

    #[test]
    fn no_pre_tokenizer_makes_a_text_longer_than_its_bound(value in pre_tokenizers(), text in TEXT) {
        let bound = of("pre_tokenizer", &value, u64::MAX).unwrap();
        let built: PreTokenizerWrapper = serde_json::from_value(value).unwrap();
        let mut split = PreTokenizedString::from(text.as_str());
        built.pre_tokenize(&mut split).unwrap();
        let pieces = split.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        let length: usize = pieces.iter().map(|(piece, ..)| piece.len()).sum();
        prop_assert!(length as u64 <= bound.bound(text.len()), "{length}");
    }
}

#[test]
fn a_replacement_of_nothing_is_refused_by_part() {
    for pattern in [json!({"String": ""}), json!({"Regex": "a*"}), json!({"Regex": "\\b"}), json!({"Regex": "(?=a)"})] {
        let part = json!({"type": "Replace", "pattern": pattern, "content": "x"});
        let said = of("normalizer", &part, u64::MAX).unwrap_err().to_string();
        assert!(said.contains("its normalizer") && said.contains("empty text"), "{said}");
    }
    let spaces = json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "});
    assert_eq!(of("normalizer", &spaces, u64::MAX).unwrap().bound(10), 20);
}

#[test]
fn a_template_that_repeats_its_text_is_within_its_bound() {
    let json = json!({
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "x", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"x": {"id": "x", "ids": [0, 0, 0], "tokens": ["a", "a", "a"]}}},
    });
    let growth = Growth::of_file(Path::new("x"), json.to_string().as_bytes(), MOST_OF_MODEL).unwrap();
    let built = Tokenizer::from_str(&json.to_string()).unwrap();
    assert_eq!(growth.bound(5), 13);
    assert_eq!(built.encode("aaaaa", true).unwrap().get_ids().len(), 13);
}
