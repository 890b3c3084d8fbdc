use sigma_data::{At, DataError, PromptsConfig, read_prompts};

use crate::file;

/// The section with these keys beside a path, which is not looked at.
fn config(keys: &str) -> PromptsConfig {
    serde_json::from_str(&format!(r#"{{"path": "-"{}{keys}}}"#, if keys.is_empty() { "" } else { ", " })).unwrap()
}

fn at_most(max_per_bucket: Option<usize>) -> PromptsConfig {
    PromptsConfig { max_per_bucket, ..config("") }
}

const BANK: &str = r#"{"id": "n1", "bucket": "neutral", "text": "a"}
{"id": "c1", "bucket": "creative", "text": "b"}
{"id": 3, "bucket": "neutral", "text": "c", "note": "kept out"}
{"id": "c2", "bucket": "creative", "text": "d"}
{"id": "n3", "bucket": "neutral", "text": "e"}
"#;

#[test]
fn the_first_of_each_bucket_are_kept_in_file_order() {
    let (_folder, path) = file("p.jsonl", BANK);
    for (max, expected) in
        [(None, "n1 c1 3 c2 n3"), (Some(1), "n1 c1"), (Some(2), "n1 c1 3 c2"), (Some(9), "n1 c1 3 c2 n3")]
    {
        let prompts = read_prompts(&path, &at_most(max)).unwrap();
        let ids: Vec<&str> = prompts.iter().map(|prompt| prompt.id.as_str()).collect();
        assert_eq!(ids.join(" "), expected, "max_per_bucket {max:?}");
    }
}

#[test]
fn own_buckets_replace_the_default_ones() {
    let (_folder, path) = file("p.jsonl", r#"{"id": "a", "bucket": "mine", "text": "t"}"#);
    assert_eq!(read_prompts(&path, &config(r#""buckets": ["mine"]"#)).unwrap()[0].bucket, "mine");
    let error = read_prompts(&path, &at_most(None)).unwrap_err();
    let message = error.to_string();
    assert!(
        matches!(&error, DataError::UnknownBucket { bucket, place, .. } if bucket == "mine" && place.at == At::Line(1))
    );
    assert!(message.contains("creative, divergent, analogy, what_if, neutral"), "{message}");
}

#[test]
fn defective_prompts_are_refused_with_their_line_even_beyond_the_limit() {
    type Check = fn(&DataError) -> bool;
    let cases: [(&str, Check); 9] = [
        (r#"{"id": "x", "bucket": "Neutral", "text": "t"}"#, |e| matches!(e, DataError::UnknownBucket { .. })),
        (r#"{"id": "n1", "bucket": "neutral", "text": "t"}"#, |e| matches!(e, DataError::DuplicateId { .. })),
        (r#"{"id": "x", "bucket": "neutral", "text": "\t"}"#, |e| matches!(e, DataError::EmptyText { .. })),
        (r#"{"id": "x", "bucket": "neutral", "text": "\u0000"}"#, |e| matches!(e, DataError::NulCharacter { .. })),
        (r#"{"id": " ", "bucket": "neutral", "text": "t"}"#, |e| matches!(e, DataError::BadId { .. })),
        (r#"{"id": "x", "text": "t"}"#, |e| matches!(e, DataError::MissingField { .. })),
        (r#"{"id": ["x"], "bucket": "neutral", "text": "t"}"#, |e| matches!(e, DataError::FieldType { .. })),
        (r#"{"id": "x", "bucket": "neutral", "text": 5}"#, |e| matches!(e, DataError::FieldType { .. })),
        (r#"{"id": "x", "bucket": null, "text": "t"}"#, |e| matches!(e, DataError::FieldType { .. })),
    ];
    for (line, expected) in cases {
        let (_folder, path) = file("p.jsonl", format!("{BANK}{line}\n"));
        let error = read_prompts(&path, &at_most(Some(1))).unwrap_err();
        assert!(expected(&error), "{line}: {error:?}");
        assert!(error.to_string().contains("p.jsonl:6"), "{line}: {error}");
    }
}

#[test]
fn no_prompts_at_all_are_refused() {
    let (_folder, path) = file("p.jsonl", "\n");
    assert!(matches!(read_prompts(&path, &at_most(None)), Err(DataError::Empty { .. })));
    let (_folder, path) = file("p.jsonl", BANK);
    assert!(matches!(read_prompts(&path, &at_most(Some(0))), Err(DataError::Setting { .. })));
}

#[test]
fn fields_can_have_other_names_and_prompts_without_a_bucket_get_the_named_one() {
    let text = "{\"question\": \"a\", \"kind\": \"creative\"}\n{\"question\": \"b\"}\n";
    let (_folder, path) = file("bank.jsonl", text);
    let keys = r#""column": "question", "bucket_column": "kind", "bucket": "neutral""#;
    let prompts = read_prompts(&path, &config(keys)).unwrap();
    let all: Vec<_> = prompts.iter().map(|p| (p.id.as_str(), p.bucket.as_str(), p.text.as_str())).collect();
    assert_eq!(all, [("bank-000001", "creative", "a"), ("bank-000002", "neutral", "b")]);
    let error = read_prompts(&path, &config(r#""column": "question", "bucket_column": "kind""#)).unwrap_err();
    assert!(error.to_string().contains("bank.jsonl:2: no field `kind`"), "{error}");
    let error = read_prompts(&path, &config(&format!("{keys}, \"id_column\": \"key\""))).unwrap_err();
    assert!(error.to_string().contains("no field `key`"), "{error}");
}

#[test]
fn a_text_file_is_one_prompt_a_line_and_needs_a_bucket() {
    let (_folder, path) = file("bank.txt", "What if?\n\n  Why not?\r\n");
    let prompts = read_prompts(&path, &config(r#""bucket": "what_if""#)).unwrap();
    let all: Vec<_> = prompts.iter().map(|p| (p.id.as_str(), p.text.as_str())).collect();
    assert_eq!(all, [("bank-000001", "What if?"), ("bank-000002", "  Why not?")]);
    let error = read_prompts(&path, &config("")).unwrap_err().to_string();
    assert!(error.contains("bank.txt") && error.contains("`bucket`"), "{error}");
    let error = read_prompts(&path, &config(r#""bucket": "odd""#)).unwrap_err();
    assert!(matches!(error, DataError::UnknownBucket { .. }));
    let (_folder, path) = file("bank.doc", "a");
    assert!(matches!(read_prompts(&path, &config("")), Err(DataError::UnknownFormat { .. })));
}
