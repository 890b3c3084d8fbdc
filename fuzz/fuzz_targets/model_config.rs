//! config.json of a language model and of an encoder, beside the bundled weights.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sigma_model::OptConfig;

static READY: LazyLock<()> = LazyLock::new(|| {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/models/opt-tiny");
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(bundled.join(name), sigma_fuzz::folder().join(name)).expect("the bundled model is there");
    }
});

fuzz_target!(|bytes: &[u8]| {
    LazyLock::force(&READY);
    let path = sigma_fuzz::file("config.json", bytes);
    let _ = OptConfig::load(path.parent().expect("a folder"));
});
