//! The files of a sentence encoder's folder beside its weights, chosen by the first byte; the others are those of a
//! small encoder of the tests.
#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sigma_model::{Device, Encoder};

const FILES: [&str; 9] = [
    "modules.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let folder = sigma_fuzz::folder().join("encoder");
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/sigma-model/tests/goldens/encoders");
    copy(&goldens.join("bert_dense"), &folder);
    for optional in ["special_tokens_map.json", "added_tokens.json"] {
        let _ = fs::remove_file(folder.join(optional));
    }
    fs::write(folder.join(FILES[usize::from(*kind) % FILES.len()]), content).expect("a folder");
    let Ok(encoder) = Encoder::load(&folder, None, &Device::Cpu) else { return };
    let _ = encoder.tokenize(&["the bank <sep> fell"]).and_then(|ids| encoder.forward(&[&ids[0]]));
});

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the goldens are there") {
        let path = entry.expect("an entry").path();
        let copied = to.join(path.file_name().expect("a name"));
        if path.is_dir() { copy(&path, &copied) } else { _ = fs::copy(&path, copied).expect("a file") }
    }
}
