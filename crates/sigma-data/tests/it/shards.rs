//! Embeddings in all three formats, streamed; and what is said of files that are not what they claim.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{DoubleType, FloatType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use sigma_data::{DataError, Shard};
use tempfile::{TempDir, tempdir};

/// Rows of width 3 whose values every format holds exactly.
fn values(rows: usize) -> Vec<f32> {
    (0..rows * 3).map(|i| (i % 101) as f32 / 64.0 - 0.5).collect()
}

fn npy(path: &Path, dict: &str, data: &[u8]) {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((dict.len() as u16).to_le_bytes());
    bytes.extend(dict.as_bytes());
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
}

fn safetensors(path: &Path, header: &str, data: &[u8]) {
    fs::write(path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()).unwrap();
}

/// A file of lists of floats `v` and of doubles `w`, in row groups of `group` rows. None is a list that is null.
fn parquet(path: &Path, lists: &[Option<Vec<f32>>], group: usize) {
    let list = |kind: &str, name: &str| {
        format!("optional group {name} (LIST) {{ repeated group list {{ optional {kind} element; }} }}")
    };
    let schema = format!("message m {{ required int32 id; {} {} }}", list("float", "v"), list("double", "w"));
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(WriterProperties::new())).unwrap();
    for lists in lists.chunks(group) {
        let (mut definition, mut repetition, mut flat) = (Vec::new(), Vec::new(), Vec::new());
        for list in lists {
            match list {
                None => (definition.push(0), repetition.push(0)),
                Some(list) if list.is_empty() => (definition.push(1), repetition.push(0)),
                Some(list) => {
                    for (i, value) in list.iter().enumerate() {
                        definition.push(if value.is_nan() { 2 } else { 3 });
                        repetition.push((i > 0).into());
                        if !value.is_nan() {
                            flat.push(*value);
                        }
                    }
                    ((), ())
                }
            };
        }
        let mut row_group = writer.next_row_group().unwrap();
        let mut column = row_group.next_column().unwrap().unwrap();
        let ids: Vec<i32> = (0..lists.len() as i32).collect();
        column.typed::<parquet::data_type::Int32Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let mut column = row_group.next_column().unwrap().unwrap();
        column.typed::<FloatType>().write_batch(&flat, Some(&definition), Some(&repetition)).unwrap();
        column.close().unwrap();
        let mut column = row_group.next_column().unwrap().unwrap();
        let doubles: Vec<f64> = flat.iter().map(|&x| f64::from(x) * 2.0).collect();
        column.typed::<DoubleType>().write_batch(&doubles, Some(&definition), Some(&repetition)).unwrap();
        column.close().unwrap();
        row_group.close().unwrap();
    }
    writer.close().unwrap();
}

fn read(path: &Path, name: Option<&str>, rows: usize) -> Vec<f32> {
    let mut shard = Shard::open(path, name).unwrap();
    let (mut all, mut block) = (Vec::new(), Vec::new());
    loop {
        let count = shard.read(rows, &mut block).unwrap();
        assert_eq!(block.len(), count * shard.width());
        assert!(count <= rows);
        if count == 0 {
            assert_eq!(all.len() as u64, shard.rows() * shard.width() as u64);
            return all;
        }
        all.extend(&block);
    }
}

fn in_folder(name: &str) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let path = dir.path().join(name);
    (dir, path)
}

/// The message for a file that must not open, which names it.
fn refused(path: &Path, name: Option<&str>) -> String {
    let message = Shard::open(path, name).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains(path.file_name().unwrap().to_str().unwrap()), "{message}");
    message
}

#[test]
fn every_format_and_type_gives_the_same_rows_however_they_are_cut() {
    let (dir, _) = in_folder("");
    let expected = values(50_000);
    let path = |name: &str| dir.path().join(name);
    let bytes = |kind: &str| -> Vec<u8> {
        let values = expected.iter();
        match kind {
            "f2" => values.flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect(),
            "bf" => values.flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect(),
            "f4" => values.flat_map(|x| x.to_le_bytes()).collect(),
            _ => values.flat_map(|&x| f64::from(x).to_le_bytes()).collect(),
        }
    };
    for kind in ["f2", "f4", "f8"] {
        let dict = format!("{{'descr': '<{kind}', 'fortran_order': False, 'shape': (50000, 3), }}\n");
        npy(&path("a.npy"), &dict, &bytes(kind));
        assert!(read(&path("a.npy"), None, 777) == expected, "{kind}");
    }
    // the other byte order, and the other order of the values
    let big: Vec<u8> = expected.iter().flat_map(|x| x.to_be_bytes()).collect();
    npy(&path("big.npy"), "{'descr': '>f4', 'fortran_order': False, 'shape': (50000, 3), }\n", &big);
    assert!(read(&path("big.npy"), None, 777) == expected);
    let columns = |column: usize| expected.iter().skip(column).step_by(3).map(|&x| f64::from(x));
    let fortran: Vec<u8> = (0..3).flat_map(columns).flat_map(f64::to_be_bytes).collect();
    npy(&path("fortran.npy"), "{'descr': '>f8', 'fortran_order': True, 'shape': (50000L, 3L), }\n", &fortran);
    assert!(read(&path("fortran.npy"), None, 777) == expected);
    // what the file is counts more than its name
    fs::copy(path("fortran.npy"), path("misnamed.parquet")).unwrap();
    assert!(read(&path("misnamed.parquet"), None, 50_000) == expected);
    for (dtype, kind) in [("F16", "f2"), ("BF16", "bf"), ("F32", "f4"), ("F64", "f8")] {
        let data = bytes(kind);
        let end = data.len() + 12;
        let header = format!(
            r#"{{"bias":{{"dtype":"F32","shape":[3],"data_offsets":[0,12]}},"rows":{{"dtype":"{dtype}","shape":[50000,3],"data_offsets":[12,{end}]}}}}"#
        );
        safetensors(&path("a.safetensors"), &header, &[&[0; 12][..], &data].concat());
        for name in [None, Some("rows")] {
            let found = read(&path("a.safetensors"), name, 50_000);
            let exact = kind != "bf";
            assert!(
                found.iter().zip(&expected).all(|(a, b)| if exact { a == b } else { (a - b).abs() < 0.01 }),
                "{dtype}"
            );
        }
    }
    let lists: Vec<Option<Vec<f32>>> = expected.chunks(3).map(|row| Some(row.to_vec())).collect();
    parquet(&path("a.parquet"), &lists, 9_999);
    assert!(read(&path("a.parquet"), Some("v"), 1234) == expected);
    let doubled: Vec<f32> = expected.iter().map(|x| x * 2.0).collect();
    assert!(read(&path("a.parquet"), Some("w"), 100_000) == doubled);
}

#[test]
fn a_npy_that_is_no_matrix_of_floats_says_why_and_what_to_do() {
    let (_dir, path) = in_folder("rows.npy");
    let data = [0; 24];
    for (dict, word) in [
        ("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 3), }", "integers; save it as float16, float32"),
        ("{'descr': '|b1', 'fortran_order': False, 'shape': (2, 3), }", "booleans"),
        ("{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3), }", "complex"),
        ("{'descr': '<f16', 'fortran_order': False, 'shape': (2, 3), }", "floats of another size"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }", "Python objects"),
        ("{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (2, 3), }", "a structured array"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", "two-dimensional"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "two-dimensional"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }", "two-dimensional"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }", "12 bytes follow"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }", "incomplete"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0), }", "width 0"),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807), }",
            "incomplete",
        ),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 99999999999999999999999), }", "not a .npy"),
        ("{}", "not a .npy"),
    ] {
        npy(&path, dict, &data);
        assert!(refused(&path, None).contains(word), "{dict}: {}", refused(&path, None));
    }
    for dict in [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), ",
        "{'descr': '<f4', 'fortran_order': False, {{{{ 'shape': (2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3], }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'a': 'b}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, {}",
        "'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), ",
    ] {
        npy(&path, dict, &data);
        assert!(refused(&path, None).contains("not that of a matrix"), "{dict}: {}", refused(&path, None));
    }
    fs::write(&path, b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'").unwrap();
    assert!(refused(&path, None).contains("cut short"));
    fs::write(&path, b"\x93NUMPY\x04\x00\xff\xff\xff\xff{'descr'").unwrap();
    assert!(refused(&path, None).contains("version 4"));
    for length in 0..10 {
        fs::write(&path, &b"\x93NUMPY\x01\x00\x00\x00"[..length]).unwrap();
        refused(&path, None);
    }
    let (_dir, path) = in_folder("rows.csv");
    fs::write(&path, "1,2\n").unwrap();
    assert!(refused(&path, None).contains(".safetensors"));
}

#[test]
fn a_safetensors_header_is_checked_against_the_file() {
    let (_dir, path) = in_folder("rows.safetensors");
    let one = r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
    safetensors(&path, one, &[0; 24]);
    assert_eq!(read(&path, None, 1), [0.0; 6]);
    assert!(refused(&path, Some("b")).contains("there are a"));
    for length in [0, 7, 8, 20, 8 + one.len(), 8 + one.len() + 23] {
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..length]).unwrap();
        refused(&path, None);
        fs::write(&path, &whole).unwrap();
    }
    for (header, word) in [
        (r#"{"a":{"dtype":"F32","shape":[2,4],"data_offsets":[0,24]}}"#, "not a .safetensors"),
        (r#"{"a":{"dtype":"I32","shape":[2,3],"data_offsets":[0,24]}}"#, "I32"),
        (r#"{"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}"#, "no tensor of two"),
        (
            r#"{"a":{"dtype":"F32","shape":[1,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[1,3],"data_offsets":[12,24]}}"#,
            "a, b",
        ),
        (r#"{"a":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}}"#, "incomplete"),
        ("not json", "not a .safetensors"),
    ] {
        safetensors(&path, header, &[0; 24]);
        assert!(refused(&path, None).contains(word), "{header}: {}", refused(&path, None));
    }
    fs::write(&path, [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).unwrap();
    assert!(refused(&path, None).contains("header"));
}

#[test]
fn a_list_that_does_not_fit_is_named_by_row_and_column() {
    let (_dir, path) = in_folder("rows.parquet");
    let good = || Some(vec![1.0f32, 2.0]);
    for (bad, word) in [
        (None, "null or empty"),
        (Some(vec![]), "null or empty"),
        (Some(vec![1.0, f32::NAN]), "holds null"),
        (Some(vec![1.0]), "has 1 values where the first row has 2"),
        (Some(vec![1.0, 2.0, 3.0]), "has 3 values"),
    ] {
        parquet(&path, &[good(), good(), good(), bad, good()], 2);
        let mut shard = Shard::open(&path, Some("v")).unwrap();
        let mut block = Vec::new();
        assert_eq!(shard.read(3, &mut block).unwrap(), 3);
        let error = shard.read(3, &mut block).unwrap_err();
        assert!(matches!(error, DataError::ShardRow { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("rows.parquet, row 4: `v`") && message.contains(word), "{message}");
    }
    // two lists of one and three values have as many values as two good ones
    parquet(&path, &[good(), Some(vec![1.0]), Some(vec![1.0, 2.0, 3.0])], 9);
    let error = Shard::open(&path, Some("v")).unwrap().read(9, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("row 2"), "{error}");
    assert!(refused(&path, None).contains("v, w"));
    assert!(refused(&path, Some("id")).contains("holds INT32"));
    assert!(refused(&path, Some("x")).contains("no column `x`"));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refused(&path, Some("v"));
    parquet(&path, &[None, good()], 9);
    assert!(refused(&path, Some("v")).contains("row 1: `v` is null or empty"));
    parquet(&path, &[], 9);
    assert!(refused(&path, Some("v")).contains("no values"));
}
