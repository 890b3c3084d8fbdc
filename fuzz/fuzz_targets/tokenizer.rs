//! Tokenizer folders: the bytes are a tokenizer.json, a vocab.json, a merges.txt or a tokenizer_config.json beside the bundled rest.
#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sigma_data::Tokenizer;

const FILES: [&str; 5] =
    ["tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/models/opt-tiny");
    let broken = FILES[usize::from(*kind) % FILES.len()];
    for name in FILES {
        if name != broken {
            let path = sigma_fuzz::folder().join(name);
            // without a tokenizer.json the vocabulary and the merges are read
            if name == "tokenizer.json" {
                let _ = fs::remove_file(path);
            } else {
                fs::copy(bundled.join(name), path).expect("the bundled tokenizer is there");
            }
        }
    }
    let path = sigma_fuzz::file(broken, content);
    if let Ok(tokenizer) = Tokenizer::load(path.parent().expect("a folder"))
        && let Ok(ids) = tokenizer.encode("Rates rose.\u{0} \u{1f600}</s>")
    {
        let _ = tokenizer.decode(&ids);
    }
});
