//! Folders in every layout load to the same weights; damaged ones give one clear error.

use std::fs;
use std::path::Path;

use candle_core::Tensor;
use sigma_model::{Device, ModelError, Opt};

use crate::{goldens, model};

fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(goldens().join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

fn error(folder: &Path) -> ModelError {
    Opt::load(folder, &Device::Cpu).expect_err("the folder is damaged")
}

#[test]
fn sharded_weights_equal_the_single_file() {
    assert_eq!(model("opt_sharded").hash().unwrap(), model("opt_tiny").hash().unwrap());
}

#[test]
fn a_saved_model_loads_with_the_same_weights_and_config() {
    for name in ["opt_tiny", "opt_post_norm"] {
        let (saved, folder) = (model(name), tempfile::tempdir().unwrap());
        saved.save(folder.path()).unwrap();
        let loaded = Opt::load(folder.path(), &Device::Cpu).unwrap();
        assert_eq!(loaded.hash().unwrap(), saved.hash().unwrap());
        assert_eq!(loaded.config().do_layer_norm_before, saved.config().do_layer_norm_before);
        assert_eq!(loaded.config().embedding_width(), saved.config().embedding_width());
    }
}

#[test]
fn the_hash_sees_a_change_of_one_weight() {
    let one = model("opt_tiny");
    let folder = copy("opt_tiny");
    let path = folder.path().join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last - 2] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_ne!(Opt::load(folder.path(), &Device::Cpu).unwrap().hash().unwrap(), one.hash().unwrap());
}

#[test]
fn the_tied_head_stands_in_for_missing_embeddings() {
    let folder = copy("opt_tiny");
    let path = folder.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    let tied = tensors.remove("model.decoder.embed_tokens.weight").unwrap();
    tensors.insert("lm_head.weight".to_string(), tied);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    assert_eq!(Opt::load(folder.path(), &Device::Cpu).unwrap().hash().unwrap(), model("opt_tiny").hash().unwrap());
}

#[test]
fn damaged_folders_give_one_error_that_names_the_file_and_the_tensor() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(error(empty.path()), ModelError::Io { path, .. } if path.ends_with("config.json")));

    let no_weights = copy("opt_tiny");
    fs::remove_file(no_weights.path().join("model.safetensors")).unwrap();
    assert!(matches!(error(no_weights.path()), ModelError::NoWeights { .. }));

    for (name, file) in [("opt_tiny", "model.safetensors"), ("opt_bin", "pytorch_model.bin")] {
        let truncated = copy(name);
        let path = truncated.path().join(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(error(truncated.path()), ModelError::Damaged { .. }), "{file}");
    }

    let huge_header = copy("opt_tiny");
    fs::write(huge_header.path().join("model.safetensors"), [0xff; 64]).unwrap();
    assert!(matches!(error(huge_header.path()), ModelError::Damaged { .. }));

    let config = |from: &str, to: &str| {
        let folder = copy("opt_tiny");
        let path = folder.path().join("config.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "the golden config has {from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        folder
    };
    // sizes that no memory holds must not be believed before the file is seen to have them
    for absurd in ["1000000000000000", "9223372036854775807"] {
        let folder = config("\"vocab_size\": 96", &format!("\"vocab_size\": {absurd}"));
        assert!(matches!(error(folder.path()), ModelError::Shape { .. }), "{absurd}");
    }
    let wider = config("\"vocab_size\": 96", "\"vocab_size\": 97");
    let wrong_shape = error(wider.path());
    assert!(matches!(wrong_shape, ModelError::Shape { name, .. } if name.ends_with("embed_tokens.weight")));
    let deeper = config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    assert!(matches!(error(deeper.path()), ModelError::MissingTensor { name, .. } if name.contains("layers.2")));
    let other = config("\"model_type\": \"opt\"", "\"model_type\": \"gpt2\"");
    assert!(matches!(error(other.path()), ModelError::Unsupported { field: "model_type", .. }));
    let heads = config("\"num_attention_heads\": 4", "\"num_attention_heads\": 5");
    assert!(matches!(error(heads.path()), ModelError::Unsupported { field: "num_attention_heads", .. }));
}

#[test]
fn nan_weights_are_refused_by_name() {
    let folder = copy("opt_tiny");
    let path = folder.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    let name = "model.decoder.layers.1.fc1.bias";
    let bad = Tensor::from_vec(vec![f32::NAN; 64], 64, &candle_core::Device::Cpu).unwrap();
    tensors.insert(name.to_string(), bad);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    assert!(matches!(error(folder.path()), ModelError::NotFinite { name: n, element: 0, .. } if n == name));
}

#[test]
fn a_shard_name_can_not_leave_the_folder() {
    for name in ["../model.safetensors", "/etc/passwd", "a/b.safetensors", ".."] {
        let folder = copy("opt_sharded");
        let index = serde_json::json!({ "weight_map": { "x": name } }).to_string();
        fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        assert!(matches!(error(folder.path()), ModelError::ShardName { .. }), "{name}");
    }
}
