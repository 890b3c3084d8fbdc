use std::fs;
use std::path::Path;

use sigma_data::{At, DataError, Document, read_documents};
use tempfile::TempDir;

use crate::file;

fn pairs(path: &Path, text: Option<&str>, id: Option<&str>) -> Vec<(String, String)> {
    let documents = read_documents(path, text, id).unwrap();
    documents.into_iter().map(|Document { id, text }| (id, text)).collect()
}

fn owned<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(id, text)| (id.to_string(), text.to_string())).to_vec()
}

#[test]
fn json_lines_give_documents_in_file_order() {
    let content =
        "\u{feff}{\"id\": \"z\", \"text\": \"one\\ntwo\", \"more\": [1]}\r\n\n  \n{\"text\": \"é\", \"id\": 7}";
    for name in ["c.jsonl", "c.json", "c.JSONL"] {
        let (_folder, path) = file(name, content);
        assert_eq!(pairs(&path, None, None), owned([("z", "one\ntwo"), ("7", "é")]), "{name}");
    }
}

#[test]
fn columns_can_be_named() {
    let (_folder, path) = file("c.jsonl", r#"{"id": "no", "text": "no", "key": -3, "body": "yes"}"#);
    assert_eq!(pairs(&path, Some("body"), Some("key")), owned([("-3", "yes")]));
    assert_eq!(pairs(&path, Some("body"), None), owned([("no", "yes")]));
}

#[test]
fn documents_without_any_id_are_numbered() {
    let (_folder, path) = file("news.2024.jsonl", "{\"text\": \"a\"}\n\n{\"text\": \"b\"}\n");
    assert_eq!(pairs(&path, None, None), owned([("news.2024-000001", "a"), ("news.2024-000002", "b")]));
}

#[test]
fn a_text_file_is_one_document() {
    let (_folder, path) = file("story.txt", "\u{feff}one\n\ntwo\n");
    assert_eq!(pairs(&path, None, None), owned([("story", "one\n\ntwo\n")]));
}

#[test]
fn a_folder_gives_its_text_files_in_the_order_of_names() {
    let folder = TempDir::new().unwrap();
    for (name, text) in [("b.txt", "B"), ("a.md", "A"), (".hidden", "no"), ("c.TXT", "C")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    assert_eq!(pairs(folder.path(), None, None), owned([("a", "A"), ("b", "B"), ("c", "C")]));

    fs::write(folder.path().join("table.csv"), "x").unwrap();
    let error = read_documents(folder.path(), None, None).unwrap_err();
    assert!(matches!(&error, DataError::UnknownFormat { path, .. } if path.ends_with("table.csv")), "{error}");
    fs::remove_file(folder.path().join("table.csv")).unwrap();

    fs::write(folder.path().join("a.txt"), "again").unwrap();
    let error = read_documents(folder.path(), None, None).unwrap_err();
    assert!(matches!(&error, DataError::DuplicateId { id, .. } if id == "a"), "{error}");
    assert!(error.to_string().contains("a.txt") && error.to_string().contains("a.md"), "{error}");
}

#[test]
fn defective_lines_are_refused_with_their_place() {
    type Check = fn(&DataError) -> bool;
    let cases: [(&[u8], Check); 20] = [
        (br#"{"id": "x", "text": "t"#, |e| matches!(e, DataError::Json { column: 22, .. })),
        (br#"{"id": "x", "text": "t"} x"#, |e| matches!(e, DataError::Json { .. })),
        (br#"["x", "t"]"#, |e| matches!(e, DataError::Json { column: 1, .. })),
        (br#"  "text""#, |e| matches!(e, DataError::Json { column: 3, .. })),
        (b"plain text", |e| matches!(e, DataError::Json { .. })),
        (
            br#"{"id": "x", "body": "t"}"#,
            |e| matches!(e, DataError::MissingField { field, found, .. } if field == "text" && found == &["body", "id"]),
        ),
        (br#"{"id": "x", "text": 3}"#, |e| matches!(e, DataError::FieldType { found: "a number", .. })),
        (br#"{"id": "x", "text": null}"#, |e| matches!(e, DataError::FieldType { found: "null", .. })),
        (br#"{"id": "x", "text": ["t"]}"#, |e| matches!(e, DataError::FieldType { found: "an array", .. })),
        (br#"{"id": 1.5, "text": "t"}"#, |e| matches!(e, DataError::FieldType { field, .. } if field == "id")),
        (br#"{"id": null, "text": "t"}"#, |e| matches!(e, DataError::FieldType { field, .. } if field == "id")),
        (br#"{"text": "t"}"#, |e| matches!(e, DataError::MissingId { other, .. } if other.at == At::Line(1))),
        (br#"{"id": "", "text": "t"}"#, |e| matches!(e, DataError::BadId { .. })),
        (br#"{"id": "a\nb", "text": "t"}"#, |e| matches!(e, DataError::BadId { .. })),
        (
            br#"{"id": "ok", "text": "t"}"#,
            |e| matches!(e, DataError::DuplicateId { first, .. } if first.at == At::Line(1)),
        ),
        (br#"{"id": "x", "text": ""}"#, |e| matches!(e, DataError::EmptyText { .. })),
        (br#"{"id": "x", "text": " \n\u00a0\u3000"}"#, |e| matches!(e, DataError::EmptyText { .. })),
        (br#"{"id": "x", "text": "a\u0000b"}"#, |e| matches!(e, DataError::NulCharacter { .. })),
        (b"{\"id\": \"x\", \"text\": \"\xe9\"}", |e| matches!(e, DataError::NotUtf8 { .. })),
        (b"\xff\xfe{\0", |e| matches!(e, DataError::NotUtf8 { .. })),
    ];
    for (line, expected) in cases {
        let shown = line.escape_ascii();
        let content =
            [b"{\"id\": \"ok\", \"text\": \"fine\"}\n\n", line, b"\n{\"id\": \"later\", \"text\": \"t\"}\n"].concat();
        let (_folder, path) = file("c.jsonl", content);
        let error = read_documents(&path, None, None).unwrap_err();
        assert!(expected(&error), "{shown}: {error:?}");
        assert!(error.to_string().contains("c.jsonl:3"), "{shown}: {error}");
    }
}

#[test]
fn a_named_id_column_must_be_on_every_line() {
    let (_folder, path) = file("c.jsonl", "{\"text\": \"a\", \"id\": 1}\n");
    let error = read_documents(&path, None, Some("key")).unwrap_err();
    assert!(matches!(&error, DataError::MissingField { field, .. } if field == "key"), "{error}");
}

#[test]
fn text_that_is_not_utf8_is_refused_with_its_line() {
    let (_folder, path) = file("a.txt", b"one\ntwo\nth\xe9ree\n");
    let error = read_documents(&path, None, None).unwrap_err();
    assert!(matches!(&error, DataError::NotUtf8 { place } if place.at == At::Line(3)), "{error}");
}

#[test]
fn files_that_hold_no_document_are_refused() {
    let empty_folder = TempDir::new().unwrap();
    for name in ["a.txt", "a.jsonl", "a.json"] {
        for content in ["", "\n \n", "\u{feff}"] {
            let (_folder, path) = file(name, content);
            let error = read_documents(&path, None, None).unwrap_err();
            assert!(matches!(error, DataError::Empty { .. } | DataError::EmptyText { .. }), "{name}: {error}");
        }
    }
    assert!(matches!(read_documents(empty_folder.path(), None, None), Err(DataError::Empty { .. })));
    assert!(matches!(read_documents(&empty_folder.path().join("no.txt"), None, None), Err(DataError::Read { .. })));
}

#[test]
fn an_unknown_extension_is_refused_with_what_is_supported() {
    for name in ["a.doc", "a.jsonl.gz", "a"] {
        let (_folder, path) = file(name, "x");
        let error = read_documents(&path, None, None).unwrap_err();
        assert!(matches!(error, DataError::UnknownFormat { .. }), "{name}: {error}");
        assert!(error.to_string().contains(".jsonl") && error.to_string().contains(".parquet"), "{error}");
    }
}
