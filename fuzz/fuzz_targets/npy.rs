//! Embedding files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = sigma_embed::npy::read(&sigma_fuzz::file("rows.npy", bytes));
});
