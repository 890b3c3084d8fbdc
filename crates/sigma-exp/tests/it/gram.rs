//! Gram matrices of shards, made one by one and merged, are those of all rows; and broken shards and sums say what is
//! wrong.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::{fails, succeeds};

const D: usize = 20;

/// Unit rows that are no two alike.
fn rows(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut value = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut all = Vec::new();
    for _ in 0..n {
        let row: Vec<f32> = (0..D).map(|_| value()).collect();
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        all.extend(row.iter().map(|x| x / norm));
    }
    all
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn write_npy(path: &Path, values: &[f32]) {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {D}), }}\n", values.len() / D);
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes(values));
    fs::write(path, file).unwrap();
}

fn write_safetensors(path: &Path, values: &[f32]) {
    let data = bytes(values);
    let header = format!(
        r#"{{"embeddings":{{"dtype":"F32","shape":[{},{D}],"data_offsets":[0,{}]}}}}"#,
        values.len() / D,
        data.len()
    );
    fs::write(path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()).unwrap();
}

struct Folder(TempDir);

impl Folder {
    /// Three shards of 5000, 1 and 7000 rows in two formats, and all rows in one file.
    fn new() -> Self {
        let folder = Self(tempdir().unwrap());
        let all = rows(12_001, 1);
        let (a, rest) = all.split_at(5000 * D);
        let (b, c) = rest.split_at(D);
        write_npy(folder.0.path().join("a.npy").as_path(), a);
        write_safetensors(folder.0.path().join("b.safetensors").as_path(), b);
        write_npy(folder.0.path().join("c.npy").as_path(), c);
        write_npy(folder.0.path().join("all.npy").as_path(), &all);
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_string()
    }

    fn gram(&self, shards: &[&str], out: &str, more: &[&str]) {
        let shards: Vec<String> = shards.iter().map(|name| self.path(name)).collect();
        let out = self.path(out);
        let mut arguments = vec!["gram"];
        arguments.extend(shards.iter().map(String::as_str));
        arguments.extend(["--out", &out, "--force"]);
        arguments.extend(more);
        succeeds(&arguments);
    }

    fn metrics(&self, kind: &str, files: &[&str], more: &[&str]) -> Value {
        let files: Vec<String> = files.iter().map(|name| self.path(name)).collect();
        let mut arguments = vec!["metrics", kind];
        arguments.extend(files.iter().map(String::as_str));
        arguments.push("--json");
        arguments.extend(more);
        serde_json::from_str(&succeeds(&arguments)).unwrap()
    }
}

fn assert_near(a: &Value, b: &Value, field: &str, tolerance: f64) {
    let number = |object: &Value| field.split('.').fold(object, |value, name| &value[name]).as_f64().unwrap();
    let (a, b) = (number(a), number(b));
    assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{field}: {a} vs {b}");
}

#[test]
fn grams_of_shards_merge_into_that_of_all_rows_and_measure_like_them() {
    let folder = Folder::new();
    let shards = ["a.npy", "b.safetensors", "c.npy"];
    for (more, tolerance) in [(&[][..], 1e-4), (&["--float64"][..], 1e-10)] {
        for shard in shards {
            folder.gram(&[shard], &format!("{shard}.gram"), more);
        }
        folder.gram(&shards, "together.gram", more);
        folder.gram(&["all.npy"], "all.gram", more);
        // the same rows in the same order: not a bit differs
        assert!(fs::read(folder.path("together.gram")).unwrap() == fs::read(folder.path("all.gram")).unwrap());
        for total in ["12001", "50000"] {
            let total = ["--total", total];
            let grams = ["a.npy.gram", "b.safetensors.gram", "c.npy.gram"];
            let merged = folder.metrics("--gram", &grams, &total);
            let whole = folder.metrics("--gram", &["all.gram"], &total);
            let rows = folder.path("all.npy");
            let passed_twice = folder.metrics("--gram", &grams, &[&total[..], &["--rows", &rows]].concat());
            let slow = folder.metrics("--embeddings", &["all.npy"], &[&total[..], &["--observed", "all"]].concat());
            for field in ["n", "n_a", "d", "beta", "rank"] {
                assert_eq!(merged[field], slow[field], "{field}");
            }
            for field in ["s", "u_cov", "g_kf", "condition", "lambda_max", "lambda_min", "plugin", "overestimation"] {
                assert_near(&merged, &whole, field, 1e-6);
                assert_near(&merged, &slow, field, tolerance);
            }
            assert_near(&merged, &slow, "theorem1.log_upper", tolerance);
            assert!(merged["theorem3"].is_null());
            assert_near(&passed_twice, &slow, "theorem3.s", tolerance);
            assert_near(&passed_twice, &slow, "theorem3.half_width", tolerance);
        }
    }
    let drift = folder.metrics("--gram", &["a.npy.gram"], &["--baseline", &folder.path("c.npy.gram")]);
    assert!(drift["du_cov"].is_f64() && drift["diversity"]["mean_cosine"].is_f64());
}

#[test]
fn threads_do_not_change_a_byte() {
    let folder = Folder::new();
    folder.gram(&["all.npy"], "all.gram", &[]);
    let out = folder.path("one.gram");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sigma-exp"))
        .args(["gram", &folder.path("all.npy"), "--out", &out])
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(fs::read(out).unwrap() == fs::read(folder.path("all.gram")).unwrap());
}

#[test]
fn broken_shards_and_sums_are_named() {
    let folder = Folder::new();
    let out = folder.path("out.gram");
    let gram = |shards: &[&str]| {
        let shards: Vec<String> = shards.iter().map(|name| folder.path(name)).collect();
        fails(&[&["gram"][..], &shards.iter().map(String::as_str).collect::<Vec<_>>(), &["--out", &out]].concat())
    };
    let mut values = rows(6000, 3);
    values[4321 * D + 7] = f32::NAN;
    write_npy(folder.path("nan.npy").as_ref(), &values);
    let message = gram(&["a.npy", "nan.npy"]);
    assert!(message.contains("nan.npy, row 4322, column 8"), "{message}");
    values[4321 * D + 7] = 1e30;
    write_npy(folder.path("nan.npy").as_ref(), &values);
    assert!(gram(&["a.npy", "nan.npy"]).contains("nan.npy, row 4322"));
    assert!(!Path::new(&out).exists());

    let whole = fs::read(folder.path("a.npy")).unwrap();
    fs::write(folder.path("short.npy"), &whole[..whole.len() - 1]).unwrap();
    assert!(gram(&["short.npy"]).contains("incomplete"));
    fs::write(folder.path("rows.txt"), "1 2 3").unwrap();
    assert!(gram(&["rows.txt"]).contains(".safetensors"));
    assert!(gram(&["none.npy"]).contains("none.npy"));
    let narrow = whole.windows(5).position(|bytes| bytes == b", 20)").unwrap();
    let mut bytes = whole.clone();
    bytes[narrow + 2..narrow + 4].copy_from_slice(b"10");
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes.truncate(header + (bytes.len() - header) / 2);
    fs::write(folder.path("narrow.npy"), &bytes).unwrap();
    assert!(gram(&["a.npy", "narrow.npy"]).contains("width 10"));

    folder.gram(&["a.npy"], "a.gram", &[]);
    folder.gram(&["narrow.npy"], "narrow.gram", &[]);
    let (a, narrow) = (folder.path("a.gram"), folder.path("narrow.gram"));
    assert!(fails(&["metrics", "--gram", &a, &narrow]).contains("narrow.gram"));
    assert!(fails(&["metrics", "--gram", &a, "--observed", "500"]).contains("`all`"));
    assert!(fails(&["metrics", "--gram", &a, "--total", "7"]).contains("total"));
    assert!(fails(&["metrics", "--gram", &folder.path("a.npy")]).contains("a.npy"));
    assert!(fails(&["metrics", "--gram", &a, "--rows", &folder.path("c.npy")]).contains("same shards"));
    let sums = fs::read(&a).unwrap();
    fs::write(&a, &sums[..sums.len() / 2]).unwrap();
    assert!(fails(&["metrics", "--gram", &a]).contains("incomplete"));
}
