#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::*;

/// A key of every kind that configs have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    text: Option<String>,
    #[serde(default)]
    section: Section,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Section {
    whole: u64,
    small: u8,
    signed: i32,
    number: f64,
    truth: bool,
    kind: Choice,
    path: PathBuf,
    list: Vec<String>,
    optional: Option<f64>,
}

impl Default for Section {
    fn default() -> Self {
        Self {
            whole: 7,
            small: 7,
            signed: -7,
            number: 0.5,
            truth: true,
            kind: Choice::One,
            path: "p".into(),
            list: vec!["l".into()],
            optional: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Choice {
    One,
    Two,
    #[serde(untagged)]
    Every {
        every: u32,
    },
}

fn load_text<T: DeserializeOwned>(text: &str, settings: &[&str]) -> Result<T> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), text)?;
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    load(file.path(), &Setting::parse_all(&settings)?)
}

fn config(text: &str, settings: &[&str]) -> Result<Config> {
    load_text(text, settings)
}

fn error(text: &str, settings: &[&str]) -> String {
    format!("{:#}", config(text, settings).expect_err(text))
}

const KEYS: [&str; 9] = ["whole", "small", "signed", "number", "truth", "kind", "path", "list", "optional"];

const SPELLINGS: [&str; 66] = [
    "2026",
    "1e3",
    "1.0",
    "1",
    "0",
    "-0",
    "-1",
    "+1",
    ".5",
    "5.",
    "1_000",
    "1,000",
    "0x10",
    "0o17",
    "0b11",
    "017",
    "-017",
    "00",
    "08",
    "1E-4",
    "1.5e+3",
    "1e",
    "e1",
    ".",
    "-",
    "+",
    "--1",
    "0x",
    "0xg",
    ".inf",
    "-.INF",
    ".nan",
    "inf",
    "nan",
    "infinity",
    "1e999",
    "300",
    "99999999999999999999999",
    "1234567890123456789012345678901234567890123",
    "yes",
    "no",
    "on",
    "off",
    "true",
    "True",
    "TRUE",
    "false",
    "y",
    "null",
    "Null",
    "~",
    "",
    "none",
    "'2'",
    "\"2\"",
    "'null'",
    "''",
    "one",
    "two",
    "2026-12-01",
    "12:30:45",
    "!!str 5",
    "[a, 1, yes]",
    "[]",
    "{every: 2}",
    "a b # c",
];

#[test]
fn a_value_means_the_same_in_the_file_and_with_set_whatever_its_spelling() {
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for spelling in SPELLINGS {
        for key in KEYS.map(|key| format!("section.{key}")).iter().map(String::as_str).chain(["text", "section"]) {
            let file = match key.split_once('.') {
                Some((section, key)) => format!("{section}:\n  {key}: {spelling}\n"),
                None => format!("{key}: {spelling}\n"),
            };
            let tell = |result: Result<Config>| result.map(|config| format!("{config:?}")).ok();
            let alone = tell(config(&file, &[]));
            // only what does not touch the key
            let beside = tell(config(&file, &["section={}"])).filter(|_| key == "text");
            let with = tell(config(&format!("{file}\n"), &["text=unrelated"])).filter(|_| key != "text");
            let set = tell(config("text: ~\nsection: {}\n", &[&format!("{key}={spelling}")]));
            assert_eq!(alone, set, "{key}: {spelling}, in the file and with --set");
            match key {
                "text" => assert_eq!(alone, beside, "{key}: {spelling}, with another --set"),
                _ => assert_eq!(
                    alone.as_ref().map(|text| text.replace("text: None", "text: Some(\"unrelated\")")),
                    with,
                    "{key}: {spelling}, with another --set"
                ),
            }
            *outcomes.entry(if alone.is_some() { "taken" } else { "refused" }).or_default() += 1;
        }
    }
    // neither side of the comparison is empty
    assert!(outcomes["taken"] > 150 && outcomes["refused"] > 150, "{outcomes:?}");
}

#[test]
fn what_is_wanted_decides_what_a_spelling_means() {
    let of = |key: &str, spelling: &str| config(&format!("section: {{ {key}: {spelling} }}"), &[]).unwrap().section;
    assert_eq!(config("text: 1e3", &[]).unwrap().text.as_deref(), Some("1e3"));
    assert_eq!(config("text: 017", &[]).unwrap().text.as_deref(), Some("017"));
    assert_eq!(config("text: yes", &[]).unwrap().text.as_deref(), Some("yes"));
    assert_eq!(config("text: 'null'", &[]).unwrap().text.as_deref(), Some("null"));
    assert_eq!(of("path", "2026").path, PathBuf::from("2026"));
    assert_eq!(of("list", "[1, yes, 1.50]").list, ["1", "yes", "1.50"]);
    assert_eq!(of("whole", "0x10").whole, 16);
    assert_eq!(of("whole", "+1").whole, 1);
    assert_eq!(of("number", "1e3").number, 1000.0);
    assert_eq!(of("number", ".5").number, 0.5);
    assert!(of("number", "-0").number.is_sign_positive(), "there is one zero");
    assert_eq!(of("kind", "{every: 3}").kind, Choice::Every { every: 3 });
}

#[test]
fn a_key_without_a_value_is_as_though_left_out() {
    let default = config("text: x", &[]).unwrap();
    for nothing in ["", " ~", " null", " Null", " NULL"] {
        assert_eq!(config(&format!("text: x\nsection:{nothing}\n"), &[]).unwrap(), default);
        assert_eq!(config("text: x\nsection: { whole: 3 }", &[&format!("section={nothing}")]).unwrap(), default);
        for key in KEYS {
            assert_eq!(config(&format!("text: x\nsection:\n  {key}:{nothing}\n"), &[]).unwrap(), default, "{key}");
            assert_eq!(config("text: x", &[&format!("section.{key}={nothing}")]).unwrap(), default, "{key}");
        }
        // but a key that is mistyped is no less so without a value
        let error = error(&format!("section:\n  whoel:{nothing}\n"), &[]);
        assert!(error.contains("unknown field `whoel`") && error.contains("did you mean `whole`"), "{error}");
    }
    let error = error("section: { list: [a, ~] }", &[]);
    assert!(error.contains("section.list[1]") && error.contains("quote it"), "{error}");
}

#[test]
fn errors_name_place_key_and_what_to_write() {
    for (text, settings, words) in [
        ("section:\n  small: 300\n", &[][..], &["line 2 column 10", "section.small", "300 is too large", "255"][..]),
        ("section: { whole: -1 }", &[], &["-1 is too small", "at least 0"]),
        ("section: { whole: 1.0 }", &[], &["`1.0` is not a whole number"]),
        ("section: { whole: 1_000 }", &[], &["write 1000"]),
        ("section: { whole: 1234567890123456789012345678901234567890123 }", &[], &["too large"]),
        ("section: { whole: 017 }", &[], &["octal", "write 17, or 0o17"]),
        ("section: { number: 1_0.5 }", &[], &["write 10.5"]),
        ("section: { whole: '2' }", &[], &["\"2\" is text", "quoted", "write 2"]),
        ("section: { truth: yes }", &[], &["`yes` is neither `true` nor `false`"]),
        ("section: { kind: on }", &[], &["section.kind"]),
        ("section: 5", &[], &["section", "expected a section", "`5`"]),
        ("section: { list: a }", &[], &["section.list", "expected a list"]),
        ("text: [a]", &[], &["text", "expected text", "sequence"]),
        ("section: { whoel: 1 }", &[], &["line 1 column 12", "section: unknown field `whoel`", "did you mean `whole`"]),
        ("text: x", &["section.whoel=1"], &["--set section.whoel=1: ", "did you mean `whole`"]),
        ("text: x", &["section.whole=two"], &["--set section.whole=two: ", "`two` is not a whole number"]),
        ("text: x\ntext: y", &[], &["duplicate field `text`", "line 2", "line 1"]),
        ("text: x", &["section={whole: 1, whole: 2}"], &["duplicate field `whole`"]),
        ("text: !secret x", &[], &["line 1", "tag `!secret`", "leave it out"]),
        ("section: !Section { whole: 1 }", &[], &["tag `!Section`"]),
        ("text: *no", &[], &["anchor", "line 1"]),
        ("text: x\n---\ntext: y", &[], &["second document", "line 2"]),
        ("{a: b}: c", &[], &["a key must be one word"]),
        ("text: x", &["text"], &["path=value"]),
        ("text: x", &["section..whole=1"], &["empty key"]),
        ("text: x", &["text.more=1"], &["a value, not a section"]),
        ("text: x", &["text=["], &["--set text=[", "YAML"]),
    ] {
        let error = error(text, settings);
        for word in words {
            assert!(error.contains(word), "{text} {settings:?}: {word:?} is not in {error}");
        }
    }
}

#[test]
fn settings_make_missing_sections_and_the_last_one_counts() {
    let config =
        config("section: { whole: 1, small: 2 }", &["section.whole=2", "section.whole=3", "text=---"]).unwrap();
    assert_eq!((config.section.whole, config.section.small), (3, 2));
    assert_eq!(config.text.as_deref(), Some("---"), "no document begins behind a key");
}

#[test]
fn anchors_and_merge_keys_are_honoured() {
    let text = "section:\n  <<: [{ whole: 1, small: 1 }, { whole: 2, signed: 2 }]\n  small: &n 3\n  number: *n\n";
    let section = config(text, &[]).unwrap().section;
    assert_eq!((section.whole, section.small, section.signed, section.number), (1, 3, 2, 3.0));
    let message = error("section:\n  <<: 5\n", &[]);
    assert!(message.contains("merges sections"), "{message}");
}

#[test]
fn a_document_that_would_take_all_time_or_memory_is_refused_at_once() {
    for open in ["[", "{a: ", "- ", "? "] {
        let message = error(&format!("text: {}", open.repeat(100_000)), &[]);
        assert!(message.contains("line 1") && message.len() < 300, "{message}");
    }
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_string();
    for (outer, inner) in "bcdefghij".chars().zip("abcdefghi".chars()) {
        bomb.push_str(&format!("{outer}: &{outer} [{}]\n", vec![format!("*{inner}"); 9].join(", ")));
    }
    assert!(error(&bomb, &[]).contains("repetition"));
    // two megabytes, a hundred thousand times over
    let long = format!("a: &a {}\nlist: [{}]\n", "x".repeat(2 << 20), vec!["*a"; 100_000].join(", "));
    assert!(error(&long, &[]).contains("bytes of text"));
}

#[test]
fn a_long_config_of_many_keys_anchors_or_digits_is_read_or_refused_at_once() {
    let large = "#".repeat(5 << 20);
    assert!(error(&large, &[]).contains("longer than"));
    let keys: String = (0..200_000).map(|key| format!("key{key}: 1\n")).collect();
    assert!(error(&keys, &[]).contains("unknown field"));
    let anchors: String = (0..100_000).map(|key| format!("key{key}: &a{key} 1\n")).collect();
    assert!(error(&anchors, &[]).contains("unknown field"));
    let word = "w".repeat(3 << 20);
    // YAML itself bounds a key that stands on one line
    let message = error(&format!("{word}: 1\n"), &[]);
    assert!(message.contains("line 1") && message.len() < 300, "{message}");
    assert!(error(&format!("section:\n  whole: {}\n", "1".repeat(3 << 20)), &[]).contains("too large"));
    let deep = format!("{}a=1", "a.".repeat(50_000));
    assert!(error("text: x\n", &[&deep]).contains("nested more than"));
}

#[test]
fn byte_order_marks_and_line_ends_of_other_systems_change_nothing() {
    assert_eq!(config("\u{feff}text: x\r\nsection:\r\n  whole: 3\r\n", &[]).unwrap().section.whole, 3);
    let utf16: Vec<u8> = "\u{feff}text: x".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), utf16).unwrap();
    assert!(format!("{:#}", load::<Config>(file.path(), &[]).unwrap_err()).contains("UTF-16"));
}
