//! Trains the 2,048-entry vocabulary on the bundled corpus that `scripts/goldens/tokenizer.py` encodes with:
//! `cargo run --release -p sigma-data --example fin_bpe -- FOLDER`.

use std::path::Path;

use sigma_data::{read_documents, train_bpe};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("give the folder to write")?;
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/fin/corpus.jsonl");
    let documents = read_documents(&corpus, None, None)?;
    train_bpe(documents.iter().map(|document| document.text.as_str()), 2048)?.save(Path::new(&folder))?;
    Ok(())
}
