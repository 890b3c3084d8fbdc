//! GGUF files, converted into a folder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigma_model::gguf;

fuzz_target!(|bytes: &[u8]| {
    let path = sigma_fuzz::file("file.gguf", bytes);
    let _ = gguf::convert(&path, path.parent().expect("a folder"));
});
