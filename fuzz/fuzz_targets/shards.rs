//! Embeddings that are read in blocks: .npy, .safetensors and .parquet, chosen by the first byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigma_data::Shard;

/// What a file of a few bytes may claim to hold is read no further than this.
const BLOCKS: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let name = ["rows.npy", "rows.safetensors", "rows.parquet"][usize::from(*kind) % 3];
    let Ok(mut shard) = Shard::open(&sigma_fuzz::file(name, content), None) else { return };
    let mut block = Vec::new();
    for _ in 0..BLOCKS {
        if !matches!(shard.read(64, &mut block), Ok(1..)) {
            return;
        }
    }
});
