//! `gram` and `metrics` take the same files of embeddings, for the same rows, and refuse the same files in the same
//! words.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{DoubleType, FloatType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use tempfile::tempdir;

use crate::{fails, sigma, succeeds};

const N: usize = 40;
const D: usize = 4;

/// Rows whose values half precision holds exactly, of a norm below 1.
fn values() -> Vec<f64> {
    let value = |i: usize| ((i * 37 % 31) as f64 - 15.0) / 64.0;
    (0..N * D).map(value).collect()
}

/// The bits of a small value in half precision.
fn half(value: f64) -> u16 {
    if value == 0.0 {
        return 0;
    }
    let exponent = value.abs().log2().floor();
    let fraction = (value.abs() / exponent.exp2() - 1.0) * 1024.0;
    (u16::from(value < 0.0) << 15) | (((exponent + 15.0) as u16) << 10) | fraction as u16
}

/// One value as NumPy's `kind`, its first byte the byte order.
fn encoded(kind: &str, value: f64) -> Vec<u8> {
    let little = match &kind[1..] {
        "f2" => half(value).to_le_bytes().to_vec(),
        "f4" => (value as f32).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    };
    if kind.starts_with('>') { little.into_iter().rev().collect() } else { little }
}

fn npy(version: u8, kind: &str, fortran: bool) -> Vec<u8> {
    let (rows, order) = (values(), if fortran { "True" } else { "False" });
    let header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({N}, {D}), }}\n");
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend((header.len() as u16).to_le_bytes()),
        _ => bytes.extend((header.len() as u32).to_le_bytes()),
    }
    bytes.extend(header.as_bytes());
    for i in 0..N * D {
        let value = if fortran { rows[(i % N) * D + i / N] } else { rows[i] };
        bytes.extend(encoded(kind, value));
    }
    bytes
}

/// Several tensors of these names, each of the same rows.
fn safetensors(dtype: &str, kind: &str, names: &[&str]) -> Vec<u8> {
    let data: Vec<u8> = values().into_iter().flat_map(|value| encoded(kind, value)).collect();
    let entry = |(i, name): (usize, &&str)| {
        let (begin, end) = (i * data.len(), (i + 1) * data.len());
        format!(r#""{name}":{{"dtype":"{dtype}","shape":[{N},{D}],"data_offsets":[{begin},{end}]}}"#)
    };
    let header = format!("{{{}}}", names.iter().enumerate().map(entry).collect::<Vec<_>>().join(","));
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data.repeat(names.len())].concat()
}

/// A column `v` of lists of float, and one `w` of lists of double where asked for.
fn write_parquet(path: &Path, with_doubles: bool) {
    let list = |kind: &str, name: &str| {
        format!("required group {name} (LIST) {{ repeated group list {{ required {kind} element; }} }}")
    };
    let doubles = if with_doubles { list("double", "w") } else { String::new() };
    let schema = Arc::new(parse_message_type(&format!("message m {{ {} {doubles} }}", list("float", "v"))).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let (definition, repetition) = (vec![1; N * D], (0..N * D).map(|i| i16::from(i % D > 0)).collect::<Vec<_>>());
    let singles: Vec<f32> = values().iter().map(|&value| value as f32).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<FloatType>().write_batch(&singles, Some(&definition), Some(&repetition)).unwrap();
    column.close().unwrap();
    if with_doubles {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&values(), Some(&definition), Some(&repetition)).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What `metrics` says of the rows, without the file's name.
fn of_rows(path: &Path, more: &[&str]) -> Value {
    let arguments = ["metrics", "--embeddings", name(path), "--observed", "all", "--json", "--baseline", name(path)];
    let mut object: Value = serde_json::from_str(&succeeds(&[&arguments[..], more].concat())).unwrap();
    object.as_object_mut().unwrap().remove("file");
    object
}

/// The sums of `gram`, as a file holds them.
fn gram(path: &Path, more: &[&str]) -> Vec<u8> {
    let out = path.with_extension("gram");
    succeeds(&[&["gram", name(path), "--out", name(&out), "--float64", "--force"], more].concat());
    fs::read(out).unwrap()
}

#[test]
fn every_format_gives_the_same_rows_to_gram_and_to_metrics() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let first = path("first.npy");
    fs::write(&first, npy(1, "<f4", false)).unwrap();
    let (rows, sums) = (of_rows(&first, &[]), gram(&first, &[]));
    assert_eq!((rows["n"].as_u64(), rows["d"].as_u64(), rows["du_cov"].as_f64()), (Some(40), Some(4), Some(0.0)));
    let check = |path: &Path, more: &[&str], what: &str| {
        assert_eq!(of_rows(path, more), rows, "{what}");
        assert!(gram(path, more) == sums, "{what}");
    };
    let file = path("rows.npy");
    for version in [1, 2, 3] {
        for kind in ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"] {
            for fortran in [false, true] {
                fs::write(&file, npy(version, kind, fortran)).unwrap();
                check(&file, &[], &format!("version {version}, {kind}, Fortran order {fortran}"));
            }
        }
    }
    let file = path("rows.safetensors");
    for (dtype, kind) in [("F16", "<f2"), ("F32", "<f4"), ("F64", "<f8")] {
        fs::write(&file, safetensors(dtype, kind, &["rows"])).unwrap();
        check(&file, &[], dtype);
    }
    fs::write(&file, safetensors("F32", "<f4", &["a", "b"])).unwrap();
    check(&file, &["--column", "b"], "one tensor of two");
    let file = path("rows.parquet");
    write_parquet(&file, false);
    check(&file, &[], "lists of float");
    write_parquet(&file, true);
    check(&file, &["--column", "w"], "lists of double");
    // the rows of the sums are measured like the rows
    let measured = succeeds(&["metrics", "--gram", name(&path("first.gram")), "--json"]);
    let measured: Value = serde_json::from_str(&measured).unwrap();
    let near = |field: &str| (measured[field].as_f64().unwrap() - rows[field].as_f64().unwrap()).abs() < 1e-9;
    assert!(near("u_cov") && near("g_kf"), "{measured}");
}

#[test]
fn what_gram_refuses_metrics_refuses_in_the_same_words() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut cases: Vec<(String, Vec<&str>)> = Vec::new();
    let mut add = |name: &str, bytes: &[u8], more: &[&'static str]| {
        fs::write(path(name), bytes).unwrap();
        cases.push((name.to_string(), more.to_vec()));
    };
    write_parquet(&path("whole.parquet"), true);
    let parquet = fs::read(path("whole.parquet")).unwrap();
    let whole = [
        ("npy", npy(1, "<f4", false), &[][..]),
        ("npy", npy(3, ">f8", true), &[]),
        ("safetensors", safetensors("F32", "<f4", &["a"]), &[]),
        ("parquet", parquet.clone(), &["--column", "v"]),
    ];
    for (i, (ending, bytes, more)) in whole.iter().enumerate() {
        for part in [0, 1, 5, 9, 12, 60, bytes.len() / 2, bytes.len() - 5, bytes.len() - 1] {
            add(&format!("cut-{i}-{part}.{ending}"), &bytes[..part], more);
        }
        add(&format!("misnamed-{i}.csv"), &bytes[..40], more);
    }
    let mut nan = npy(1, "<f4", false);
    let at = nan.len() - 4 * D;
    nan[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    add("nan.npy", &nan, &[]);
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 100000), }\n";
    let wide =
        [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), &[0; 800_000]].concat();
    add("wide.npy", &wide, &[]);
    add(
        "integers.npy",
        &npy(1, "<f8", false).iter().map(|&b| if b == b'f' { b'i' } else { b }).collect::<Vec<u8>>(),
        &[],
    );
    add("several.safetensors", &safetensors("F32", "<f4", &["a", "b"]), &[]);
    add("no-such.safetensors", &safetensors("F32", "<f4", &["a", "b"]), &["--column", "c"]);
    add("several.parquet", &parquet, &[]);
    add("no-such.parquet", &parquet, &["--column", "c"]);
    add("packed.npy", b"\x1f\x8b\x08\x00and so on, and so on", &[]);
    for (file, more) in cases {
        let (file, out) = (path(&file), path("out.gram"));
        let refusal = fails(&[&["gram", name(&file), "--out", name(&out)], &more[..]].concat());
        let found = sigma(&[&["metrics", "--embeddings", name(&file)], &more[..]].concat());
        let said = String::from_utf8(found.stderr).unwrap();
        assert_eq!((found.status.code(), &said), (Some(2), &refusal), "{}", file.display());
        assert!(!out.exists());
    }
}
