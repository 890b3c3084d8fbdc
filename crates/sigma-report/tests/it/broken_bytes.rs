//! No damage to a run's files makes reading panic or wait.

use std::fs;

use sigma_report::{Manifest, Record, Setting, read_buckets, read_metrics, read_timings, write_metrics};

use crate::fixture::{record_path, run_folder};
use crate::mutations::survives;

#[test]
fn damaged_records_manifests_and_tables_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = run_folder(folder.path(), Setting::S1, &[(0.0, 0.0), (-1.0, -2.0)]);
    let record = record_path(&dir, 1);
    let records = [Record::read(&record_path(&dir, 0)).unwrap(), Record::read(&record).unwrap()];
    write_metrics(&dir, &records).unwrap();
    survives(&fs::read(&record).unwrap(), "record.json", 2000, |path| drop(Record::read(path)));
    survives(&fs::read(dir.join("manifest.json")).unwrap(), "manifest.json", 2000, |path| drop(Manifest::read(path)));
    survives(&fs::read(dir.join("metrics.csv")).unwrap(), "metrics.csv", 2000, |path| {
        drop(read_metrics(path).map(|table| table.numbers("u_cov").map(|numbers| numbers.len())));
    });
    survives(&fs::read(dir.join("buckets.csv")).unwrap(), "buckets.csv", 500, |path| drop(read_buckets(path)));
    survives(&fs::read(dir.join("timings.csv")).unwrap(), "timings.csv", 500, |path| drop(read_timings(path)));
}
