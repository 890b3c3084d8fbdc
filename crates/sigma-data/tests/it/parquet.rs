use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use sigma_data::{At, DataError, read_documents};
use tempfile::TempDir;

use crate::{file, goldens};

fn written_by_pyarrow() -> std::path::PathBuf {
    goldens().join("parquet/pyarrow.parquet")
}

/// A file of optional string columns, each given by its values.
fn write(path: &Path, columns: &[(&str, &[Option<&str>])]) {
    write_with(path, columns, Compression::UNCOMPRESSED);
}

fn write_with(path: &Path, columns: &[(&str, &[Option<&str>])], codec: Compression) {
    let fields: String = columns.iter().map(|(name, _)| format!("optional binary {name} (UTF8);")).collect();
    let schema = Arc::new(parse_message_type(&format!("message m {{ {fields} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, values) in columns {
        let levels: Vec<i16> = values.iter().map(|value| value.is_some().into()).collect();
        let values: Vec<ByteArray> = values.iter().flatten().map(|&value| value.into()).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn a_file_of_pyarrow_is_read_across_row_groups_compressions_and_neighbouring_columns() {
    let documents = read_documents(&written_by_pyarrow(), Some("body"), Some("number")).unwrap();
    let found: Vec<(&str, &str)> = documents.iter().map(|d| (d.id.as_str(), d.text.as_str())).collect();
    let expected = [
        ("0", "text 0: café 中文"),
        ("1", "text 1: café 中文"),
        ("2", "text 2: café 中文"),
        ("3", "text 3: café 中文"),
        ("4", "text 4: café 中文"),
        ("5", "text 5: café 中文"),
        ("6", "text 0: café 中文"),
    ];
    assert_eq!(found, expected);
    let documents = read_documents(&written_by_pyarrow(), Some("long"), Some("url")).unwrap();
    assert_eq!((documents[6].id.as_str(), documents[6].text.as_str()), ("https://example.org/6", "large 6"));
}

#[test]
fn every_codec_gives_the_documents_of_the_plain_file() {
    let of = |path: &Path| read_documents(path, None, None).unwrap();
    let plain = of(&goldens().join("parquet/plain.jsonl"));
    assert_eq!(plain.len(), 4);
    for written in ["brotli.parquet", "lz4.parquet"] {
        assert_eq!(of(&goldens().join("parquet").join(written)), plain, "{written}, by another writer");
    }
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    for codec in codecs {
        let (_folder, path) = file("a.parquet", "");
        let ids: Vec<Option<&str>> = plain.iter().map(|document| Some(document.id.as_str())).collect();
        let texts: Vec<Option<&str>> = plain.iter().map(|document| Some(document.text.as_str())).collect();
        write_with(&path, &[("id", &ids), ("text", &texts)], codec);
        assert_eq!(of(&path), plain, "{codec}");
    }
}

#[test]
fn columns_that_hold_no_text_are_refused_by_name_and_type() {
    for (kind, found) in [
        ("required int96 text;", "INT96"),
        ("required boolean text;", "BOOLEAN"),
        ("required double text;", "DOUBLE"),
        ("required fixed_len_byte_array(2) text;", "FIXED_LEN_BYTE_ARRAY"),
        ("optional group text (LIST) { repeated group list { optional binary element (UTF8); } }", "a group"),
        ("optional group text { optional binary a (UTF8); }", "a group"),
    ] {
        let (_folder, path) = file("a.parquet", "");
        let schema = Arc::new(parse_message_type(&format!("message m {{ {kind} }}")).unwrap());
        SerializedFileWriter::new(File::create(&path).unwrap(), schema, Arc::default()).unwrap().close().unwrap();
        let message = read_documents(&path, None, None).unwrap_err().to_string();
        assert!(message.contains("`text`") && message.contains(found), "{kind}: {message}");
        assert!(!message.contains("damaged"), "{message}");
    }
}

#[test]
fn rows_without_an_id_column_are_numbered() {
    let documents = read_documents(&written_by_pyarrow(), Some("url"), None).unwrap();
    assert_eq!(documents[6].id, "pyarrow-000007");
}

#[test]
fn one_column_may_be_text_and_id() {
    let documents = read_documents(&written_by_pyarrow(), Some("url"), Some("url")).unwrap();
    assert_eq!(documents[2].id, documents[2].text);
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    type Check = fn(&DataError) -> bool;
    let cases: [(Option<&str>, Option<&str>, Check); 6] = [
        (None, None, |e| {
            matches!(e, DataError::MissingColumn { column, columns, .. }
                if column == "text" && columns.join(" ") == "url number body long tags holes score")
        }),
        (Some("body"), Some("key"), |e| matches!(e, DataError::MissingColumn { column, .. } if column == "key")),
        (Some("number"), None, |e| matches!(e, DataError::ColumnType { column, .. } if column == "number")),
        (Some("tags"), None, |e| matches!(e, DataError::ColumnType { column, .. } if column == "tags")),
        (Some("body"), Some("score"), |e| matches!(e, DataError::ColumnType { column, .. } if column == "score")),
        (Some("holes"), None, |e| matches!(e, DataError::FieldType { place, .. } if place.at == At::Row(5))),
    ];
    for (text, id, expected) in cases {
        let error = read_documents(&written_by_pyarrow(), text, id).unwrap_err();
        assert!(expected(&error), "{text:?} {id:?}: {error:?}");
    }
}

#[test]
fn defective_rows_are_refused_with_their_number() {
    type Check = fn(&DataError) -> bool;
    let cases: [(Option<&str>, Option<&str>, Check); 4] = [
        (Some("ok"), Some("t"), |e| matches!(e, DataError::DuplicateId { first, .. } if first.at == At::Row(1))),
        (Some("x"), Some(" "), |e| matches!(e, DataError::EmptyText { .. })),
        (Some("x"), Some("\0"), |e| matches!(e, DataError::NulCharacter { .. })),
        (None, Some("t"), |e| matches!(e, DataError::FieldType { field, found: "null", .. } if field == "id")),
    ];
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("c.parquet");
    for (id, text, expected) in cases {
        write(&path, &[("id", &[Some("ok"), id]), ("text", &[Some("fine"), text])]);
        let error = read_documents(&path, None, None).unwrap_err();
        assert!(expected(&error), "{error:?}");
        assert!(error.to_string().contains("c.parquet, row 2"), "{error}");
    }
    write(&path, &[("text", &[])]);
    assert!(matches!(read_documents(&path, None, None), Err(DataError::Empty { .. })));
}

#[test]
fn a_file_cut_short_at_any_byte_is_refused() {
    let whole = fs::read(written_by_pyarrow()).unwrap();
    for length in 0..whole.len() {
        let (_folder, path) = file("c.parquet", &whole[..length]);
        let error = read_documents(&path, Some("body"), None).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("c.parquet") && said.contains("Parquet"), "{length} bytes: {error}");
    }
}

/// What comes out of damage may still look like text; the only promise is an answer instead of a crash.
#[test]
fn a_file_with_any_byte_damaged_does_not_crash_the_reader() {
    let whole = fs::read(written_by_pyarrow()).unwrap();
    let (_folder, path) = file("c.parquet", &whole);
    for at in 0..whole.len() {
        for damage in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= damage;
            fs::write(&path, &bytes).unwrap();
            let _ = read_documents(&path, Some("body"), Some("number"));
        }
    }
}
