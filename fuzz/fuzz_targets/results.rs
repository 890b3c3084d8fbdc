//! What a run folder holds: record.json, manifest.json, stopped.json and the CSV files, chosen by the first byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigma_report::{Manifest, Record, Stopped, read_buckets, read_metrics, read_noise_floor, read_timings, write_metrics};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let path = sigma_fuzz::file("stopped.json", content);
    let folder = path.parent().expect("a folder");
    match kind % 5 {
        // a record that is believed is also written into tables
        0 => {
            let _ = std::fs::rename(&path, folder.join("record.json"));
            if let Ok(record) = Record::read(&folder.join("record.json")) {
                write_metrics(folder, &[record.clone(), record]).expect("tables can be written");
            }
        }
        1 => drop(Manifest::read(&path)),
        2 => drop(read_metrics(&path).map(|table| table.numbers("u_cov").map(|numbers| numbers.len()))),
        3 => drop(Stopped::of(folder)),
        _ => {
            let _ = read_buckets(&path);
            let _ = read_timings(&path);
            let _ = read_noise_floor(&path);
        }
    }
});
