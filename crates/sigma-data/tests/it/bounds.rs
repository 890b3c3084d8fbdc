//! Small files that claim or unpack to much, each read in a process of its own that may not have more memory than a
//! small file may take.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use sigma_data::{Limits, PromptsConfig, Shard, read_answers, read_documents, read_prompts};
use tempfile::tempdir;

/// Names the file that a process of its own reads.
const FILE: &str = "SIGMA_DATA_TEST_FILE";

/// Of address space, in KiB: twice what a small file may take up, and what the system and the threads reserve.
const MEMORY: u64 = 3_000_000;

/// What reading `path` says in a process of its own, with these variables of the environment.
fn said(path: &Path, variables: &[(&str, &str)]) -> String {
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -v {MEMORY} && exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "bounds::the_file_of_another_process_is_read", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = format!("{}\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("said: "), "{failed}");
    said
}

#[test]
#[allow(clippy::print_stdout)]
fn the_file_of_another_process_is_read() {
    let Some(path) = std::env::var_os(FILE).map(PathBuf::from) else { return };
    Limits::from_environment().unwrap().enforce();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let read = match name.split('.').next() {
        Some("rows") => Shard::open(&path, None).and_then(|mut shard| shard.read(4096, &mut Vec::new())),
        Some("answers") => read_answers(&path).map(|answers| answers.len()),
        Some("prompts") => {
            let config: PromptsConfig = serde_json::from_str(r#"{"bucket": "neutral"}"#).unwrap();
            read_prompts(&path, &config).map(|prompts| prompts.len())
        }
        _ => read_documents(&path, None, None).map(|documents| documents.len()),
    };
    match read {
        Ok(count) => println!("said: {count} records"),
        Err(error) => println!("said: {error}"),
    }
}

fn write(
    path: &Path,
    schema: &str,
    properties: WriterPropertiesBuilder,
    fill: impl FnOnce(&mut SerializedRowGroupWriter<'_, File>),
) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties.build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    fill(&mut group);
    group.close().unwrap();
    writer.close().unwrap();
}

const TEXT: &str = "message m { required binary text (UTF8); }";

fn texts(path: &Path, properties: WriterPropertiesBuilder, values: &[ByteArray]) {
    write(path, TEXT, properties, |group| {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(values, None, None).unwrap();
        column.close().unwrap();
    });
}

#[test]
fn one_long_text_of_a_dictionary_ten_thousand_times_over_is_refused_by_key() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("texts.parquet");
    let long: ByteArray = "x".repeat(1 << 20).into_bytes().into();
    texts(&path, WriterProperties::builder().set_dictionary_page_size_limit(2 << 20), &vec![long; 10_000]);
    assert!(fs::metadata(&path).unwrap().len() < 3 << 20);
    let said = said(&path, &[]);
    assert!(said.contains("texts.parquet") && said.contains("limits.max_file_memory"), "{said}");
}

#[test]
fn texts_that_share_all_but_a_letter_with_the_one_before_are_refused_by_key() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("texts.parquet");
    let long = "x".repeat(1 << 20);
    let values: Vec<ByteArray> = (0..3000).map(|number| format!("{long}{number}").into_bytes().into()).collect();
    let properties = WriterProperties::builder().set_dictionary_enabled(false).set_encoding(Encoding::DELTA_BYTE_ARRAY);
    texts(&path, properties, &values);
    assert!(fs::metadata(&path).unwrap().len() < 64 << 20);
    let said = said(&path, &[("SIGMA_EXP_MAX_FILE_MEMORY", "1073741824")]);
    assert!(said.contains("texts.parquet") && said.contains("limits.max_file_memory"), "{said}");
}

#[test]
fn one_list_of_ten_million_zeros_is_refused_by_key() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("rows.parquet");
    let schema = "message m { required group v (LIST) { repeated group list { required float element; } } }";
    write(&path, schema, WriterProperties::builder(), |group| {
        let mut column = group.next_column().unwrap().unwrap();
        const VALUES: usize = 10_000_000;
        let (zeros, levels, mut repetition) = (vec![0.0; VALUES], vec![1; VALUES], vec![1; VALUES]);
        repetition[0] = 0;
        column.typed::<FloatType>().write_batch(&zeros, Some(&levels), Some(&repetition)).unwrap();
        column.close().unwrap();
    });
    assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
    let said = said(&path, &[("SIGMA_EXP_MAX_FILE_MEMORY", "67108864")]);
    assert!(said.contains("rows.parquet") && said.contains("limits.max_file_memory"), "{said}");
}

/// A page of gigabytes behind a header of a hundred bytes would be unpacked whole before anybody counts.
#[test]
fn a_page_that_unpacks_to_more_than_its_header_says_is_refused_before_it_is_unpacked() {
    let dir = tempdir().unwrap();
    for codec in [Compression::GZIP(GzipLevel::default()), Compression::BROTLI(BrotliLevel::default())] {
        let path = dir.path().join("texts.parquet");
        let properties = WriterProperties::builder().set_dictionary_enabled(false).set_compression(codec);
        texts(&path, properties, &["x".repeat(8 << 20).into_bytes().into()]);
        let mut bytes = fs::read(&path).unwrap();
        // a data page, and four bytes of its size
        assert_eq!((&bytes[4..7], bytes[11]), (&[0x15, 0, 0x15][..], 0x15), "{codec}");
        bytes[7..11].copy_from_slice(&[0xc8, 0x81, 0x80, 0]);
        fs::write(&path, bytes).unwrap();
        let said = said(&path, &[("SIGMA_EXP_MAX_FILE_MEMORY", "1000000")]);
        assert!(said.contains("unpacks to more than the 100 bytes"), "{codec}: {said}");
    }
}

#[test]
fn a_page_whose_own_count_is_not_that_of_its_header_is_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("texts.parquet");
    let properties =
        WriterProperties::builder().set_dictionary_enabled(false).set_encoding(Encoding::DELTA_LENGTH_BYTE_ARRAY);
    texts(&path, properties, &vec!["x".into(); 20_000]);
    assert!(said(&path, &[]).contains("20000 records"));
    let mut bytes = fs::read(&path).unwrap();
    let list = [128, 1, 4, 0xa0, 0x9c, 1];
    let at = bytes.windows(list.len()).position(|window| window == list).unwrap();
    bytes[at + 3..at + 6].copy_from_slice(&[0xff, 0xff, 0x7f]);
    fs::write(&path, bytes).unwrap();
    let said = said(&path, &[]);
    assert!(said.contains("as many as its header says"), "{said}");
}

#[test]
fn arrays_of_a_million_millions_of_nothing_are_refused() {
    let dir = tempdir().unwrap();
    for shape in
        ["(1000000000000, 0)", "(0, 0)", "(18446744073709551615, 18446744073709551615)", "(4294967296, 4294967296)"]
    {
        let path = dir.path().join("rows.npy");
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        fs::write(&path, [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes()].concat()).unwrap();
        let said = said(&path, &[]);
        assert!(said.contains("rows.npy: its"), "{shape}: {said}");
    }
    for (shape, end) in [("[1000000000000,0]", 0u64), ("[4294967296,4294967296]", u64::MAX), ("[2,100000]", 800_000)] {
        let path = dir.path().join("rows.safetensors");
        let header = format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}");
        fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).unwrap();
        let said = said(&path, &[]);
        assert!(said.contains("rows.safetensors"), "{shape}: {said}");
    }
}

#[test]
fn many_lines_of_one_letter_are_refused_or_read_within_the_memory_of_their_file() {
    let dir = tempdir().unwrap();
    let prompts = dir.path().join("prompts.txt");
    fs::write(&prompts, "a\n".repeat(10_000_000)).unwrap();
    let refused = said(&prompts, &[]);
    assert!(refused.contains("prompts.txt") && refused.contains("limits.max_file_memory"), "{refused}");
    for (name, line) in [("texts.jsonl", "{\"text\":\"a\"}\n"), ("texts.csv", "a\n"), ("texts.tsv", "a,b\n")] {
        let path = dir.path().join(name);
        fs::write(&path, format!("text\n{}", line.repeat(2_000_000))).unwrap();
        if name == "texts.jsonl" {
            fs::write(&path, line.repeat(2_000_000)).unwrap();
        }
        assert!(said(&path, &[]).contains("2000000 records"), "{name}");
        let less = said(&path, &[("SIGMA_EXP_MAX_FILE_MEMORY", "100000000")]);
        assert!(less.contains(name) && less.contains("limits.max_file_memory"), "{name}: {less}");
    }
}

#[test]
fn a_text_longer_than_the_limit_is_refused_by_key_in_every_format() {
    let dir = tempdir().unwrap();
    let long = "x".repeat(2000);
    for (name, content) in [
        ("texts.txt", long.clone()),
        ("texts.csv", format!("text\n{long}\n")),
        ("texts.jsonl", format!("{{\"text\":\"{long}\"}}\n")),
        ("prompts.txt", long.clone()),
        ("answers.jsonl", format!("{{\"text\":\"{long}\"}}\n")),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        let said = said(&path, &[("SIGMA_EXP_MAX_TEXT_BYTES", "1000")]);
        assert!(said.contains(name) && said.contains("limits.max_text_bytes"), "{name}: {said}");
    }
    let path = dir.path().join("texts.parquet");
    texts(&path, WriterProperties::builder(), &[long.into_bytes().into()]);
    let said = said(&path, &[("SIGMA_EXP_MAX_TEXT_BYTES", "1000")]);
    assert!(said.contains("texts.parquet, row 1") && said.contains("limits.max_text_bytes"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// A line of 8 MB of whatever JSON has: what is not asked for is not kept.
    #[test]
    fn fields_that_are_not_asked_for_take_no_memory(unit in prop_oneof![
        Just("0,"), Just("[],"), Just("{},"), Just("{\"\":0},"), Just("\"\","), Just("null,"), Just("[[[0]]],"),
    ], as_object in any::<bool>()) {
        let dir = tempdir().unwrap();
        let path = dir.path().join("texts.jsonl");
        let count = (8 << 20) / unit.len();
        let values = unit.repeat(count);
        let filler = if as_object {
            let value = unit.trim_end_matches(',');
            (0..count / 8).map(|key| format!("\"{key}\":{value},")).collect()
        } else {
            format!("\"b\":[{}],", values.trim_end_matches(','))
        };
        fs::write(&path, format!("{{{filler}\"text\":\"a\"}}\n")).unwrap();
        prop_assert!(said(&path, &[]).contains("1 records"));
    }
}
