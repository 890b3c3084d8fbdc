//! Weight files: safetensors, a PyTorch zip, the pickle within one, an index of shards, and saved training, chosen by
//! the first byte.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use sigma_model::weights::Weights;
use sigma_train::TrainingState;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let names = ["model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"];
    for name in names {
        let _ = fs::remove_file(sigma_fuzz::folder().join(name));
    }
    let path = match kind % 5 {
        0 => sigma_fuzz::file(names[0], content),
        1 => sigma_fuzz::file(names[1], content),
        2 => sigma_fuzz::file(names[2], content),
        3 => {
            let _ = TrainingState::read(&sigma_fuzz::file("training.safetensors", content)).map(|state| state.steps());
            return;
        }
        _ => sigma_fuzz::file(names[1], &zip(&[("archive/data.pkl", content), ("archive/data/0", &[0; 64])])),
    };
    let _ = Weights::load(path.parent().expect("a folder"));
});

/// A zip file without compression.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::<u8>::new(), Vec::<u8>::new());
    for (name, data) in entries {
        let offset = out.len() as u32;
        let mut common = Vec::new();
        common.extend([20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]);
        common.extend(crc32(data).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(*data);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
