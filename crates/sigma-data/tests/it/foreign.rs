//! Files under a wrong name: a compressed download, an archive, another encoding, a table that calls itself text. Each
//! is named as what it is, whichever reader meets it.

use std::fs;

use sigma_data::blocks::read_blocks;
use sigma_data::config::PromptsConfig;
use sigma_data::prompts::read_prompts;
use sigma_data::{Shard, read_answers, read_documents};

use crate::{file, goldens, tokenizer};

fn prompts() -> PromptsConfig {
    PromptsConfig {
        path: None,
        hub: None,
        file: None,
        text_column: None,
        id_column: None,
        bucket_column: None,
        bucket: Some("neutral".into()),
        buckets: vec!["neutral".into()],
        max_per_bucket: None,
    }
}

/// What every reader of texts says of these bytes under this name.
fn messages(name: &str, content: &[u8]) -> Vec<String> {
    let (_folder, path) = file(name, content);
    let mut messages = vec![
        read_documents(&path, None, None).unwrap_err().to_string(),
        read_prompts(&path, &prompts()).unwrap_err().to_string(),
    ];
    if name.ends_with("jsonl") {
        messages.push(read_blocks(&path, &tokenizer(), 2048, None).unwrap_err().to_string());
        messages.push(read_answers(&path).unwrap_err().to_string());
    }
    messages
}

#[test]
fn what_is_compressed_or_of_another_kind_is_named_by_every_reader_of_texts() {
    let utf16: Vec<u8> = "\u{feff}{\"text\":\"x\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let parquet = fs::read(goldens().join("parquet/brotli.parquet")).unwrap();
    for (start, word) in [
        (&b"\x1f\x8b\x08\0\0\0\0\0\x02\x03"[..], "compressed with gzip; unpack it with gunzip"),
        (b"BZh91AY&SY\0\0", "compressed with bzip2"),
        (b"\xfd7zXZ\0\0\x04", "compressed with xz"),
        (b"\x28\xb5\x2f\xfd\x04\0", "compressed with zstd"),
        (b"PK\x03\x04\x14\0", "zip archive"),
        (b"7z\xbc\xaf\x27\x1c\0", "7z archive"),
        (b"%PDF-1.7\n", "PDF"),
        (b"SQLite format 3\0\x10", "SQLite"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (&utf16, "UTF-16; convert"),
        (&utf16[2..], "UTF-16; convert"),
    ] {
        for name in ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a.md"] {
            for message in messages(name, start) {
                assert!(message.contains(name) && message.contains(word), "{name}, {word}: {message}");
                assert!(!message.contains("damaged"), "{message}");
            }
        }
        if !word.contains("UTF-16") {
            assert!(messages("a.parquet", start).iter().all(|message| message.contains(word)), "{word}");
        }
    }
    for name in ["a.jsonl", "a.txt", "a.csv"] {
        assert!(messages(name, &parquet).iter().all(|message| message.contains("extension .parquet")));
    }
    assert!(messages("a.parquet", b"PARE\x15\x04")[0].contains("encrypted"));
    assert!(messages("a.parquet", b"{\"text\":\"x\"}")[0].contains("not a Parquet file"));
}

#[test]
fn text_that_begins_like_a_magic_number_is_still_text() {
    for text in ["PARENTS and children", "PAR1S", "BZhang wrote", "Rar! it said", "ORCs", "PKZIP", "%PDFs are files"] {
        let (_folder, path) = file("a.txt", text);
        assert_eq!(read_documents(&path, None, None).unwrap()[0].text, text);
    }
}

#[test]
fn embeddings_of_another_kind_are_named() {
    for (name, start, word) in [
        ("a.npy", &b"PK\x03\x04\x14\0\0\0\0\0"[..], "zip archive (as .npz"),
        ("a.npz", b"PK\x03\x04\x14\0\0\0\0\0", "zip archive (as .npz"),
        ("a.npy", b"\x1f\x8b\x08\0\0\0\0\0\0\0", "gzip"),
        ("a.safetensors", b"\x1f\x8b\x08\0\0\0\0\0\0\0", "gzip"),
        ("a.parquet", b"\x28\xb5\x2f\xfd\0\0\0\0\0\0", "zstd"),
        ("a.h5", b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
        ("a.pt", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20", "`pt` is not supported"),
    ] {
        let (_folder, path) = file(name, start);
        let message = Shard::open(&path, None).map(drop).unwrap_err().to_string();
        assert!(message.contains(word), "{name}: {message}");
    }
    // a header of 559,903 bytes has gzip's first bytes as its length
    let header =
        format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[0,4]}}}}{}", " ".repeat(559_903));
    let header = &header[..0x08_8b1f];
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &1f32.to_le_bytes()].concat();
    let (_folder, path) = file("a.safetensors", bytes);
    assert_eq!(Shard::open(&path, None).unwrap().rows(), 1);
}

#[test]
fn an_array_of_objects_is_told_from_json_lines() {
    let (_folder, path) = file("a.json", "[\n{\"text\":\"x\"}\n]\n");
    let message = read_documents(&path, None, None).unwrap_err().to_string();
    assert!(message.contains("a.json:1") && message.contains("an array") && message.contains("jq -c"), "{message}");
}
