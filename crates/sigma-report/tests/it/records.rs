//! Records and manifests as files.

use std::fs;

use proptest::prelude::*;
use serde_json::Value;
use sigma_report::manifest;
use sigma_report::record::{self, Record};
use sigma_report::{Manifest, ReportError, Setting};

use crate::fixture::{self, record};

#[test]
fn a_record_reads_back_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(record::FILE_NAME);
    let mut written = record(Setting::S2, 3, (-700.5, 90.25));
    written.sigma = None;
    written.flags = vec!["all_answers_empty".to_owned()];
    written.surface.hhi = None;
    written.diversity = None;
    written.write(&path).unwrap();
    assert_eq!(Record::read(&path).unwrap(), written);
}

#[test]
fn a_base_record_keeps_its_replicates_and_a_later_one_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(record::FILE_NAME);
    let mut base = record(Setting::S1, 0, (-700.5, 90.25));
    base.noise = fixture::replicates(&base, 3, 1);
    base.noise[1].sigma = None;
    base.noise[2].surface.self_bleu = Some(f64::NEG_INFINITY);
    base.write(&path).unwrap();
    assert_eq!(Record::read(&path).unwrap(), base);

    base.noise[0].sigma.as_mut().unwrap().n_a = 1001;
    base.write(&path).unwrap();
    assert!(matches!(Record::read(&path), Err(ReportError::Inconsistent { field: "n_a", .. })));
    let later = Record { noise: fixture::replicates(&base, 1, 1), ..record(Setting::S1, 1, (-1.0, 1.0)) };
    later.write(&path).unwrap();
    assert!(matches!(Record::read(&path), Err(ReportError::Inconsistent { field: "noise", .. })));
}

proptest! {
    #[test]
    fn every_float_survives_a_record_to_the_last_bit(bits: [u64; 4], missing: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(record::FILE_NAME);
        let [a, b, c, d] = bits.map(f64::from_bits);
        let mut written = record(Setting::S1, 1, (a, b));
        written.sigma.as_mut().unwrap().condition = c;
        written.surface.distinct_2 = (!missing).then_some(d);
        written.write(&path).unwrap();
        let read = Record::read(&path).unwrap();
        let sigma = read.sigma.unwrap();
        // NaN has many bit patterns and one meaning.
        let same = |read: f64, written: f64| read.to_bits() == written.to_bits() || (read.is_nan() && written.is_nan());
        prop_assert!(same(sigma.u_cov, a) && same(sigma.g_kf, b) && same(sigma.condition, c));
        prop_assert_eq!(read.surface.distinct_2.is_none(), missing);
        prop_assert!(missing || same(read.surface.distinct_2.unwrap(), d));
    }
}

#[test]
fn infinite_and_undefined_numbers_survive_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(record::FILE_NAME);
    let mut written = record(Setting::S1, 1, (f64::NEG_INFINITY, f64::INFINITY));
    written.training.as_mut().unwrap().last_loss = f64::NAN;
    written.surface.hhi = Some(f64::INFINITY);
    written.write(&path).unwrap();
    let read = Record::read(&path).unwrap();
    let sigma = read.sigma.unwrap();
    assert_eq!((sigma.u_cov, sigma.g_kf), (f64::NEG_INFINITY, f64::INFINITY));
    assert!(read.training.unwrap().last_loss.is_nan());
    assert_eq!(read.surface.hhi, Some(f64::INFINITY));
}

/// A record with one value changed, as text.
fn edited(edit: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::to_value(record(Setting::S1, 1, (-1.0, 1.0))).unwrap();
    edit(&mut value);
    value.to_string()
}

fn read_error(text: &str) -> ReportError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(record::FILE_NAME);
    fs::write(&path, text).unwrap();
    let error = Record::read(&path).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "the path is missing in: {error}");
    error
}

#[test]
fn damaged_records_are_refused_with_the_place() {
    let whole = edited(|_| ());
    assert!(matches!(read_error(&whole[..whole.len() / 2]), ReportError::Json { .. }));
    assert!(matches!(read_error(""), ReportError::Json { .. }));
    for edit in [
        |value: &mut Value| value["surprise"] = 1.into(),
        |value: &mut Value| value["sigma"]["surprise"] = 1.into(),
        |value: &mut Value| value["setting"] = "s3".into(),
        |value: &mut Value| value["sigma"]["s"] = "many".into(),
        |value: &mut Value| drop(value.as_object_mut().unwrap().remove("weights")),
        |value: &mut Value| drop(value["sigma"].as_object_mut().unwrap().remove("beta")),
    ] {
        let text = edited(edit);
        assert!(matches!(read_error(&text), ReportError::Json { .. }), "{text}");
    }
}

#[test]
fn another_schema_is_named_before_its_unknown_fields() {
    let later = edited(|value| {
        value["schema"] = 99.into();
        value["surprise"] = 1.into();
    });
    assert!(matches!(read_error(&later), ReportError::Schema { expected: record::SCHEMA, got: 99, .. }));
}

#[test]
fn impossible_numbers_are_refused() {
    for (field, edit) in [
        ("n_a", (|value| value["sigma"]["n_a"] = 1001.into()) as fn(&mut Value)),
        ("n_a", |value| value["buckets"][1]["sigma"]["n"] = 3.into()),
        ("mixture.blocks", |value| value["mixture"]["real"] = 1.into()),
        ("mixture.blocks", |value| value["mixture"]["real"] = u64::MAX.into()),
    ] {
        let error = read_error(&edited(edit));
        assert!(matches!(&error, ReportError::Inconsistent { field: found, .. } if *found == field), "{error}");
    }
}

#[test]
fn a_missing_record_is_a_read_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nowhere.json");
    assert!(matches!(Record::read(&path), Err(ReportError::Read { path: found, .. }) if found == path));
}

#[test]
fn writing_replaces_the_file_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(record::FILE_NAME);
    fs::write(&path, "old").unwrap();
    // What a killed process may have left.
    fs::write(folder.path().join(".record.json.sigma-exp.tmp"), "half").unwrap();
    let written = record(Setting::S1, 0, (0.0, 0.0));
    written.write(&path).unwrap();
    assert_eq!(Record::read(&path).unwrap(), written);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [record::FILE_NAME]);
}

#[test]
fn a_failed_write_leaves_the_old_state_and_no_litter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(record::FILE_NAME);
    // A folder in the way lets the rename fail.
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "old").unwrap();
    let error = record(Setting::S1, 0, (0.0, 0.0)).write(&path).unwrap_err();
    assert!(matches!(error, ReportError::Write { .. }), "{error}");
    assert_eq!(fs::read_to_string(path.join("inside")).unwrap(), "old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_manifest_reads_back_as_written_and_refuses_what_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(manifest::FILE_NAME);
    let written = fixture::manifest(Setting::S2, "fin");
    written.write(&path).unwrap();
    assert_eq!(Manifest::read(&path).unwrap(), written);

    let mut value = serde_json::to_value(&written).unwrap();
    value["starts"][0]["machine"]["surprise"] = 1.into();
    fs::write(&path, value.to_string()).unwrap();
    assert!(matches!(Manifest::read(&path), Err(ReportError::Json { .. })));
    value["schema"] = 0.into();
    fs::write(&path, value.to_string()).unwrap();
    assert!(matches!(Manifest::read(&path), Err(ReportError::Schema { got: 0, .. })));
}

/// Users script against these names. Whoever changes this list raises `record::SCHEMA`.
#[test]
fn the_fields_of_schema_3_are_these() {
    let mut record = record(Setting::S1, 1, (-1.0, 1.0));
    record.buckets.truncate(1);
    record.noise = fixture::replicates(&record, 1, 1);
    let mut names = Vec::new();
    collect_names(&serde_json::to_value(record).unwrap(), "", &mut names);
    names.sort();
    assert_eq!(record::SCHEMA, 3);
    assert_eq!(names.join("\n"), include_str!("record_fields_3.txt").trim_end());
}

fn collect_names(value: &Value, prefix: &str, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect_names(value, &format!("{prefix}.{name}"), names);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().for_each(|item| collect_names(item, &format!("{prefix}[]"), names));
        }
        _ => names.push(prefix.trim_start_matches('.').to_owned()),
    }
}

#[test]
fn every_change_of_arithmetic_inside_a_run_is_named_and_nothing_else() {
    let mut records = fixture::records(Setting::S2, &[(0.0, 0.0); 4]);
    assert_eq!(sigma_report::arithmetic_changes(&records), []);
    records[2].arithmetic.resolved.device = "cuda:0".to_owned();
    records[2].arithmetic.resolved.precision = "f16".to_owned();
    records[3].arithmetic.program.commit = Some("0123456789abcdef".to_owned());
    let said: Vec<String> = sigma_report::arithmetic_changes(&records).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "from generation 2 on, the device is cuda:0, before it was cpu",
            "from generation 2 on, the precision is f16, before it was f32",
            "from generation 3 on, the program is 0.1.0 (0123456789ab), before it was 0.1.0",
            "from generation 3 on, the device is cpu, before it was cuda:0",
            "from generation 3 on, the precision is f32, before it was f16",
        ]
    );
}
