//! No damage to a model's files makes loading panic, wait, or take memory for what a header claims.

use std::fs;
use std::path::Path;

use sigma_model::weights::Weights;
use sigma_model::{Checkpoint, Device, Encoder, Opt};

use crate::goldens;
use crate::mutations::survives;

fn weights(model: &str, file: &str) {
    let valid = fs::read(goldens().join(model).join(file)).unwrap();
    survives(&valid, file, 2000, |path| drop(Weights::load(path.parent().unwrap())));
}

#[test]
fn damaged_safetensors_are_loaded_or_refused() {
    weights("opt_tiny", "model.safetensors");
}

#[test]
fn damaged_pytorch_files_are_loaded_or_refused() {
    weights("opt_bin", "pytorch_model.bin");
}

#[test]
fn damaged_configs_are_loaded_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = goldens().join("opt_tiny");
    fs::copy(model.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let valid = fs::read(model.join("config.json")).unwrap();
    survives(&valid, "config.json", 2000, |path: &Path| {
        fs::copy(path, folder.path().join("config.json")).unwrap();
        drop(Opt::load(folder.path(), &Device::Cpu));
        drop(Encoder::load(folder.path(), None, &Device::Cpu));
    });
}

#[test]
fn damaged_configs_of_every_form_are_loaded_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["gemma3", "gemma3_old", "gpt_neox_old", "llama", "qwen2", "smollm3_old"] {
        let model = goldens().join("families").join(name);
        fs::copy(model.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
        let valid = fs::read(model.join("config.json")).unwrap();
        survives(&valid, "config.json", 400, |path: &Path| {
            fs::copy(path, folder.path().join("config.json")).unwrap();
            drop(Checkpoint::load(folder.path()));
        });
    }
}
