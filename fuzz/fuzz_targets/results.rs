//! What a run folder holds: record.json, manifest.json and the CSV files, chosen by the first byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigma_report::{Manifest, Record, read_buckets, read_metrics, read_timings};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let path = sigma_fuzz::file("result", content);
    match kind % 4 {
        0 => drop(Record::read(&path)),
        1 => drop(Manifest::read(&path)),
        2 => drop(read_metrics(&path).map(|table| table.numbers("u_cov").map(|numbers| numbers.len()))),
        _ => {
            let _ = read_buckets(&path);
            let _ = read_timings(&path);
        }
    }
});
