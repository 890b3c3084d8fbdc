use sigma_data::source::Source;
use sigma_data::{CorpusConfig, DEFAULT_BUCKETS, PromptsConfig, TextFile};

fn corpus(json: &str) -> CorpusConfig {
    serde_json::from_str(json).unwrap()
}

#[test]
fn only_the_path_must_be_given() {
    let config = corpus(r#"{"path": "a.jsonl"}"#);
    assert_eq!((config.context_tokens, config.max_contexts, &config.text_column), (64, None, &None));
    assert_eq!(config.text_file().unwrap(), TextFile::Local("a.jsonl".into()));
    let prompts: PromptsConfig = serde_json::from_str(r#"{"path": "p.jsonl"}"#).unwrap();
    assert_eq!(prompts.buckets, DEFAULT_BUCKETS.map(String::from));
    assert_eq!(prompts.text_file().unwrap().to_string(), "p.jsonl");
}

#[test]
fn a_file_of_a_data_set_can_stand_for_the_path() {
    let config = corpus(r#"{"hub": "org/set@v2", "file": "data/train.parquet", "column": "body"}"#);
    let dataset = Source::Hub { repo: "org/set".to_string(), revision: Some("v2".to_string()) };
    assert_eq!(config.text_file().unwrap(), TextFile::Hub { dataset, file: "data/train.parquet".to_string() });
    assert_eq!(config.text_file().unwrap().to_string(), "org/set@v2/data/train.parquet");
    assert_eq!(config.text_column.as_deref(), Some("body"));
}

#[test]
fn places_that_say_too_little_or_too_much_are_refused_with_what_to_write() {
    for (json, expected) in [
        (r#"{}"#, "give `path`, or `hub`"),
        (r#"{"file": "a.jsonl"}"#, "give `path`, or `hub`"),
        (r#"{"hub": "org/set"}"#, "needs `file`"),
        (r#"{"path": "a.jsonl", "hub": "org/set", "file": "b"}"#, "stands alone"),
        (r#"{"path": "a.jsonl", "file": "b"}"#, "stands alone"),
        (r#"{"hub": "./here", "file": "b"}"#, "give it as `path`"),
        (r#"{"hub": "set", "file": "b"}"#, "org/name"),
    ] {
        let error = corpus(json).text_file().unwrap_err().to_string();
        assert!(error.starts_with("corpus: ") && error.contains(expected), "{json}: {error}");
        let prompts: PromptsConfig = serde_json::from_str(json).unwrap();
        assert!(prompts.text_file().unwrap_err().to_string().starts_with("prompts: "));
    }
}

#[test]
fn unknown_keys_are_refused() {
    let json = r#"{"path": "a", "text_colum": "x"}"#;
    assert!(serde_json::from_str::<CorpusConfig>(json).unwrap_err().to_string().contains("text_colum"));
    assert!(serde_json::from_str::<PromptsConfig>(json).unwrap_err().to_string().contains("text_colum"));
}

#[test]
fn what_is_written_reads_back() {
    let corpus: CorpusConfig =
        serde_json::from_str(r#"{"path": "a", "text_column": "t", "context_tokens": 8, "max_contexts": 3}"#).unwrap();
    let json = serde_json::to_string(&corpus).unwrap();
    assert_eq!(serde_json::from_str::<CorpusConfig>(&json).unwrap(), corpus);
}
