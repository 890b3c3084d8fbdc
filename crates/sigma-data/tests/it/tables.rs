//! CSV and TSV: the same documents and prompts as from JSON Lines, and what is said of tables that are broken.

use sigma_data::config::PromptsConfig;
use sigma_data::prompts::read_prompts;
use sigma_data::{Document, read_documents};

use crate::file;

fn documents(name: &str, content: impl AsRef<[u8]>) -> Result<Vec<Document>, String> {
    let (_folder, path) = file(name, content);
    read_documents(&path, None, None).map_err(|error| error.to_string())
}

fn document(id: &str, text: &str) -> Document {
    Document { id: id.to_string(), text: text.to_string() }
}

#[test]
fn quotes_line_breaks_and_delimiters_within_a_value_are_kept() {
    let expected = [document("a", "one, \"two\"\nthree"), document("b", "tab\there"), document("7", " é ")];
    let csv = "text,other,id\n\"one, \"\"two\"\"\nthree\",x,a\ntab\there,,b\n é ,,7\n";
    assert_eq!(documents("a.csv", csv).unwrap(), expected);
    assert_eq!(documents("a.CSV", format!("\u{feff}{csv}")).unwrap(), expected);
    let windows = "text,other,id\r\n\"one, \"\"two\"\"\nthree\",x,a\r\ntab\there,,b\r\n é ,,7";
    assert_eq!(documents("a.csv", windows).unwrap(), expected);
    let tsv = "id\ttext\na\t\"one, \"\"two\"\"\nthree\"\nb\t\"tab\there\"\n7\t é \n";
    assert_eq!(documents("a.tsv", tsv).unwrap(), expected);
    // without ids, numbered as everywhere
    assert_eq!(documents("a.csv", "text\nx\n").unwrap(), [document("a-000001", "x")]);
}

#[test]
fn prompts_of_a_table_are_those_of_json_lines() {
    let config = |bucket: Option<&str>| PromptsConfig {
        path: None,
        hub: None,
        file: None,
        text_column: Some("question".into()),
        id_column: None,
        bucket_column: None,
        bucket: bucket.map(str::to_string),
        buckets: vec!["neutral".into(), "creative".into()],
        max_per_bucket: None,
    };
    let lines = "{\"bucket\":\"neutral\",\"question\":\"Why?\"}\n{\"bucket\":\"creative\",\"question\":\"Who?\"}\n";
    let table = "bucket,question\nneutral,Why?\ncreative,Who?\n";
    let (_a, a) = file("bank.jsonl", lines);
    let (_b, b) = file("bank.csv", table);
    assert_eq!(read_prompts(&a, &config(None)).unwrap(), read_prompts(&b, &config(None)).unwrap());
    let (_c, c) = file("bank.csv", "bucket,question\n,Why?\n");
    assert_eq!(read_prompts(&c, &config(Some("neutral"))).unwrap()[0].bucket, "neutral");
    let error = read_prompts(&c, &config(None)).unwrap_err().to_string();
    assert!(error.contains("bank.csv:2") && error.contains("prompts.buckets"), "{error}");
}

#[test]
fn broken_tables_are_refused_by_line() {
    for (content, words) in [
        ("id,text\na,x\nb,y,z\n", &["t.csv:3", "3 values", "2 columns"][..]),
        ("id,text\na,\"x\nb,y\n", &["t.csv:2", "a quote begins here"]),
        ("id,body\na,x\n", &["no column `text`", "id, body"]),
        ("id;text\na;x\n", &["no column `text`", "id;text"]),
        ("text,text\na,x\n", &["t.csv:1", "two columns are called `text`"]),
        ("id,text\na,x\na,y\n", &["t.csv:3", "`a`", "t.csv:2"]),
        ("id,text\na,x\n,y\n", &["t.csv:3", "empty"]),
        ("id,text\na, \n", &["t.csv:2", "no text"]),
        ("", &["no documents"]),
        ("id,text\n", &["no documents"]),
    ] {
        let error = documents("t.csv", content).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{content:?}: {error}");
    }
    assert!(documents("t.csv", b"id,text\na,\xff\n").unwrap_err().contains("t.csv:2: not UTF-8"));
}
