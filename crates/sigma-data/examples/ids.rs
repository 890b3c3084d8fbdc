//! Token ids of texts, for scripts/live/smollm2.py: takes a model folder and a JSON file with a list of texts, prints a
//! list of objects with the ids, the ids behind BOS, and the text that the ids stand for.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use sigma_data::Tokenizer;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, texts] = &arguments[..] else { panic!("usage: ids FOLDER TEXTS.json") };
    let tokenizer = Tokenizer::load(Path::new(folder)).unwrap();
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(texts).unwrap()).unwrap();
    let cases: Vec<serde_json::Value> = texts
        .iter()
        .map(|text| {
            let ids = tokenizer.encode(text).unwrap();
            let with_bos = tokenizer.encode_with_bos(text).unwrap();
            serde_json::json!({"decoded": tokenizer.decode(&ids), "ids": ids, "with_bos": with_bos})
        })
        .collect();
    println!("{}", serde_json::Value::from(cases));
}
