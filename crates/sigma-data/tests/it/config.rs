use sigma_data::{CorpusConfig, DEFAULT_BUCKETS, PromptsConfig};

#[test]
fn only_the_path_must_be_given() {
    let corpus: CorpusConfig = serde_json::from_str(r#"{"path": "a.jsonl"}"#).unwrap();
    let expected = CorpusConfig {
        path: "a.jsonl".into(),
        text_column: None,
        id_column: None,
        context_tokens: 64,
        max_contexts: None,
    };
    assert_eq!(corpus, expected);
    let prompts: PromptsConfig = serde_json::from_str(r#"{"path": "p.jsonl"}"#).unwrap();
    let buckets = DEFAULT_BUCKETS.map(String::from).to_vec();
    assert_eq!(prompts, PromptsConfig { path: "p.jsonl".into(), buckets, max_per_bucket: None });

    assert!(serde_json::from_str::<CorpusConfig>("{}").is_err());
    assert!(serde_json::from_str::<PromptsConfig>("{}").is_err());
}

#[test]
fn unknown_keys_are_refused() {
    for key in ["text_colum", "hub"] {
        let json = format!(r#"{{"path": "a", "{key}": "x"}}"#);
        assert!(serde_json::from_str::<CorpusConfig>(&json).unwrap_err().to_string().contains(key));
        assert!(serde_json::from_str::<PromptsConfig>(&json).unwrap_err().to_string().contains(key));
    }
}

#[test]
fn what_is_written_reads_back() {
    let corpus: CorpusConfig =
        serde_json::from_str(r#"{"path": "a", "text_column": "t", "context_tokens": 8, "max_contexts": 3}"#).unwrap();
    let json = serde_json::to_string(&corpus).unwrap();
    assert_eq!(serde_json::from_str::<CorpusConfig>(&json).unwrap(), corpus);
}
