use sigma_data::{Block, hash_blocks, hash_bytes, hash_file};

use crate::file;

#[test]
fn a_file_hashes_as_its_bytes() {
    // longer than any buffer that is read at once
    let content: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    let (_folder, path) = file("x", &content);
    assert_eq!(hash_file(&path).unwrap(), hash_bytes(&content));
    // the published test vector of BLAKE3 for the empty input
    assert_eq!(hash_bytes(b""), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
}

#[test]
fn ids_tokens_and_order_of_blocks_all_count() {
    let block = |id: &str, tokens: &[u32]| Block { id: id.to_string(), tokens: tokens.to_vec() };
    let lists = [
        vec![],
        vec![block("a", &[1, 2])],
        vec![block("b", &[1, 2])],
        vec![block("a", &[2, 1])],
        vec![block("a", &[1]), block("a", &[2])],
        vec![block("a", &[2]), block("a", &[1])],
        vec![block("a", &[1, 2]), block("", &[])],
    ];
    let hashes: std::collections::HashSet<String> = lists.iter().map(|blocks| hash_blocks(blocks)).collect();
    assert_eq!(hashes.len(), lists.len());
}
