//! BLAKE3 fingerprints, in hexadecimal, of the artefacts that records and caches name.

use std::path::Path;

use crate::blocks::Block;
use crate::error::DataError;
use crate::regular_file;

pub fn hash_bytes(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The same as [`hash_bytes`] of the whole file, which is read piece by piece.
pub fn hash_file(path: &Path) -> Result<String, DataError> {
    let mut hasher = blake3::Hasher::new();
    let file = regular_file::open(path).map_err(DataError::read(path))?;
    hasher.update_reader(file).map_err(DataError::read(path))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Ids, tokens and order all count. It does not depend on how a file spells its JSON.
pub fn hash_blocks(blocks: &[Block]) -> String {
    let mut hasher = blake3::Hasher::new();
    for block in blocks {
        // lengths first, so that no two different lists hash the same bytes
        hasher.update(&(block.id.len() as u64).to_le_bytes());
        hasher.update(block.id.as_bytes());
        hasher.update(&(block.tokens.len() as u64).to_le_bytes());
        for token in &block.tokens {
            hasher.update(&token.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}
