use sigma_data::{At, DEFAULT_BUCKETS, DataError, read_prompts};

use crate::file;

fn buckets() -> Vec<String> {
    DEFAULT_BUCKETS.map(String::from).to_vec()
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
        let prompts = read_prompts(&path, &buckets(), max).unwrap();
        let ids: Vec<&str> = prompts.iter().map(|prompt| prompt.id.as_str()).collect();
        assert_eq!(ids.join(" "), expected, "max_per_bucket {max:?}");
    }
}

#[test]
fn own_buckets_replace_the_default_ones() {
    let (_folder, path) = file("p.jsonl", r#"{"id": "a", "bucket": "mine", "text": "t"}"#);
    assert_eq!(read_prompts(&path, &["mine".to_string()], None).unwrap()[0].bucket, "mine");
    let error = read_prompts(&path, &buckets(), None).unwrap_err();
    let message = error.to_string();
    assert!(
        matches!(&error, DataError::UnknownBucket { bucket, place, .. } if bucket == "mine" && place.at == At::Line(1))
    );
    assert!(message.contains("creative, divergent, analogy, what_if, neutral"), "{message}");
}

#[test]
fn defective_prompts_are_refused_with_their_line_even_beyond_the_limit() {
    type Check = fn(&DataError) -> bool;
    let cases: [(&str, Check); 8] = [
        (r#"{"id": "x", "bucket": "Neutral", "text": "t"}"#, |e| matches!(e, DataError::UnknownBucket { .. })),
        (r#"{"id": "n1", "bucket": "neutral", "text": "t"}"#, |e| matches!(e, DataError::DuplicateId { .. })),
        (r#"{"id": "x", "bucket": "neutral", "text": "\t"}"#, |e| matches!(e, DataError::EmptyText { .. })),
        (r#"{"id": "x", "bucket": "neutral", "text": "\u0000"}"#, |e| matches!(e, DataError::NulCharacter { .. })),
        (r#"{"id": " ", "bucket": "neutral", "text": "t"}"#, |e| matches!(e, DataError::BadId { .. })),
        (r#"{"id": "x", "text": "t"}"#, |e| matches!(e, DataError::Json { .. })),
        (r#"{"id": ["x"], "bucket": "neutral", "text": "t"}"#, |e| matches!(e, DataError::Json { .. })),
        (r#"{"id": "x", "bucket": "neutral", "text": 5}"#, |e| matches!(e, DataError::Json { .. })),
    ];
    for (line, expected) in cases {
        let (_folder, path) = file("p.jsonl", format!("{BANK}{line}\n"));
        let error = read_prompts(&path, &buckets(), Some(1)).unwrap_err();
        assert!(expected(&error), "{line}: {error:?}");
        assert!(error.to_string().contains("p.jsonl:6"), "{line}: {error}");
    }
}

#[test]
fn no_prompts_at_all_are_refused() {
    let (_folder, path) = file("p.jsonl", "\n");
    assert!(matches!(read_prompts(&path, &buckets(), None), Err(DataError::Empty { .. })));
    let (_folder, path) = file("p.jsonl", BANK);
    assert!(matches!(read_prompts(&path, &buckets(), Some(0)), Err(DataError::Setting { .. })));
}
