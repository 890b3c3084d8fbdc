use std::fs::{self, File};

use serde_json::{Map, Value, json};
use sigma_data::Limits;
use sigma_data::jsonl::{read_lines, write_jsonl};
use sigma_data::{At, DataError};

use crate::file;

type Object = Map<String, Value>;

#[test]
fn records_come_with_their_line_numbers() {
    let (_folder, path) = file("a.jsonl", "\n{\"a\": 1}\n   \r\n{\"a\": 2}");
    let lines: Vec<(At, Value)> = read_lines::<Object>(&path)
        .unwrap()
        .into_iter()
        .map(|(place, object)| (place.at, object["a"].clone()))
        .collect();
    assert_eq!(lines, [(At::Line(2), json!(1)), (At::Line(4), json!(2))]);
}

#[test]
fn what_is_written_reads_back() {
    let (_folder, path) = file("a.jsonl", "old content that is longer than the new one, which must go");
    let records = [json!({"t": "two\nlines\u{2028}😀"}), json!({"t": ""})];
    write_jsonl(&path, &records).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    let read: Vec<Value> =
        read_lines::<Object>(&path).unwrap().into_iter().map(|(_, object)| Value::Object(object)).collect();
    assert_eq!(read, records);
}

#[test]
fn a_file_that_can_not_be_written_is_named() {
    let (folder, _) = file("a", "");
    let path = folder.path().join("missing/a.jsonl");
    let error = write_jsonl(&path, &[json!({})]).unwrap_err();
    assert!(matches!(&error, DataError::Write { path: p, .. } if *p == path), "{error}");
}

#[test]
fn a_line_of_the_limit_is_read_and_a_longer_one_refused() {
    let longest = usize::try_from(Limits::default().text_bytes()).unwrap();
    let line = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
    let (_folder, path) = file("a.jsonl", format!("{}\n{}\n", line(longest), line(longest)));
    assert_eq!(read_lines::<Object>(&path).unwrap().len(), 2);
    let (_folder, path) = file("a.jsonl", format!("{}\n{}\n", line(9), line(longest + 1)));
    let error = read_lines::<Object>(&path).unwrap_err();
    assert!(matches!(&error, DataError::LineTooLong { place, .. } if place.at == At::Line(2)), "{error}");
}

/// The file is 1 TiB of nothing: reading it whole would end the test.
#[test]
fn a_huge_file_of_another_kind_is_refused_at_once() {
    let (_folder, path) = file("a.jsonl", "");
    File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(read_lines::<Object>(&path), Err(DataError::LineTooLong { .. })));
}

#[test]
fn parser_messages_do_not_count_lines_of_their_own() {
    let (_folder, path) = file("a.jsonl", "{}\n{}\n{\"a\": tru}\n");
    let message = read_lines::<Object>(&path).unwrap_err().to_string();
    assert!(message.contains("a.jsonl:3") && !message.contains("line 1"), "{message}");
}
