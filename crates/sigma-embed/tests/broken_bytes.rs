//! No damage to an embedding file makes reading panic, wait, or take memory for what its header claims.
#![allow(clippy::unwrap_used)]

// damaged copies of files, as sigma-data's tests make them
#[path = "../../sigma-data/tests/it/mutations.rs"]
mod mutations;

use std::fs;

use sigma_embed::npy;

#[test]
fn damaged_embeddings_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.npy");
    npy::write(&path, &[0.5; 64], 4).unwrap();
    mutations::survives(&fs::read(&path).unwrap(), "rows.npy", 2000, |path| drop(npy::read(path)));
}
