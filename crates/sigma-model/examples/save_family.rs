//! Loads a model folder of any family and saves it into another, for comparisons (`scripts/live/families.py`).

use std::path::Path;

use sigma_model::Checkpoint;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, from, to] = arguments.as_slice() else { return Err("usage: save_family <folder> <new folder>".into()) };
    std::fs::create_dir_all(to)?;
    Ok(Checkpoint::load(Path::new(from))?.save(Path::new(to))?)
}
