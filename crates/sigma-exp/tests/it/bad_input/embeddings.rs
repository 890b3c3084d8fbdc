//! Embedding files of one's own for `metrics`.

use std::fs;

use serde_json::Value;
use tempfile::tempdir;

use super::{Case, case, refused, text, words};
use crate::sigma;

/// A .npy file.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// `rows` unit vectors in `width` dimensions.
fn units(rows: usize, width: usize) -> Vec<u8> {
    let mut values = vec![0f32; rows * width];
    (0..rows).for_each(|row| values[row * width + row % width] = 1.0);
    npy("<f4", &format!("({rows}, {width})"), &floats(&values))
}

fn metrics(
    name: &'static str,
    file: Vec<u8>,
    more: &'static [&'static str],
    expected: &'static [&'static str],
) -> Case {
    let make = move |dir: &std::path::Path| {
        fs::write(dir.join("rows.npy"), &file).unwrap();
        fs::write(dir.join("wider.npy"), units(4, 5)).unwrap();
        let wider = text(&dir.join("wider.npy"));
        let mut arguments = words(&["metrics", "--embeddings", &text(&dir.join("rows.npy"))]);
        arguments.extend(more.iter().map(|word| word.replace("WIDER", &wider)));
        arguments
    };
    case(name, make, expected)
}

#[test]
fn embeddings_that_cannot_be_measured_are_refused_by_file_and_row() {
    let matrix = |values: &[f32]| npy("<f4", "(2, 2)", &floats(values));
    let cut = {
        let whole = units(4, 4);
        whole[..whole.len() - 5].to_vec()
    };
    let wide = npy("<f4", "(2, 100000)", &[0; 800_000]);
    // found by fuzzing: the header's parser took twice as long for each
    let brackets =
        npy("<f8', 'fortran_order': False, {{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{ '", "(2, 2)", &[0; 32]);
    refused(vec![
        metrics("NaN", matrix(&[1.0, 0.0, f32::NAN, 1.0]), &[], &["rows.npy, row 2, column 1", "finite"]),
        metrics("infinity", matrix(&[f32::INFINITY, 0.0, 0.0, 1.0]), &[], &["rows.npy, row 1, column 1", "finite"]),
        metrics("rows of length 2", matrix(&[2.0, 0.0, 0.0, 2.0]), &[], &["rows.npy", "row 0", "L2"]),
        metrics("a header that lies", npy("<f4", "(1000000000, 384)", &[0; 64]), &[], &["rows.npy", "promises"]),
        metrics("sizes that overflow", npy("<f4", "(4294967296, 4294967296)", &[0; 64]), &[], &["promises"]),
        metrics("rows without width", npy("<f4", "(4, 0)", &[]), &[], &["rows.npy"]),
        metrics("no rows", npy("<f4", "(0, 4)", &[]), &[], &["rows.npy"]),
        metrics("a vector", npy("<f4", "(4,)", &floats(&[1.0; 4])), &[], &["rows.npy", "[4]", "two-dimensional"]),
        metrics("a cube", npy("<f4", "(1, 2, 2)", &floats(&[1.0; 4])), &[], &["[1, 2, 2]", "two-dimensional"]),
        metrics("integers", npy("<i8", "(2, 2)", &[0; 32]), &[], &["rows.npy", "dtype", "float32 or float64"]),
        metrics("pickled objects", npy("|O", "(2, 2)", b"cos\nsystem\n(S'id'\ntR."), &[], &["rows.npy", "float32"]),
        metrics("brackets in brackets", brackets, &[], &["rows.npy", "not that of a matrix"]),
        metrics("another format", b"not numpy".to_vec(), &[], &["rows.npy", ".npy"]),
        metrics("empty", Vec::new(), &[], &["rows.npy", ".npy"]),
        metrics("cut short", cut, &[], &["rows.npy"]),
        metrics("a width without end", wide, &[], &["rows.npy", "width d = 100000", "16384"]),
        metrics("no observed rows", units(4, 4), &["--observed", "0"], &["observed"]),
        metrics("less than no observed rows", units(4, 4), &["--observed=-1"], &["--observed -1", "\"all\""]),
        metrics("some observed rows", units(4, 4), &["--observed", "some"], &["--observed some", "\"all\""]),
        metrics(
            "more observed rows than rows",
            units(4, 4),
            &["--observed", "5"],
            &["rows.npy", "4 rows", "5", "`all`"],
        ),
        metrics(
            "no more observed rows than dimensions",
            units(8, 4),
            &["--observed", "4"],
            &["rows.npy", "4 rows", "more than 4", "`all`"],
        ),
        metrics("fewer blocks than rows", units(4, 4), &["--total", "2"], &["2", "4"]),
        metrics("a baseline of another width", units(4, 4), &["--baseline", "WIDER"], &["4", "5", "encoder"]),
        case("no such file", |_| words(&["metrics", "--embeddings", "none.npy"]), &["none.npy"]),
        case("a folder", |dir| words(&["metrics", "--embeddings", &text(dir)]), &["not a regular file", "folder"]),
    ]);
}

#[test]
fn fewer_rows_than_the_default_and_than_dimensions_are_measured_with_a_warning() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("rows.npy");
    fs::write(&file, units(3, 5)).unwrap();
    let output = sigma(&["metrics", "--embeddings", &text(&file), "--json"]);
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{warned}");
    assert!(warned.contains("warning: ") && warned.contains("rows.npy: 3 observed rows cannot span 5"), "{warned}");
    let shown = String::from_utf8(output.stdout).unwrap();
    let numbers: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((numbers["n"].as_u64(), numbers["n_a"].as_u64()), (Some(3), Some(3)), "n_A is at most n");
    assert_eq!(numbers["rank"], 3);
    assert!(numbers["plugin"].is_null(), "G_A is singular: {shown}");
    assert!(numbers["u_cov"].as_f64().unwrap().is_finite() && !shown.contains("NaN"), "{shown}");
}
