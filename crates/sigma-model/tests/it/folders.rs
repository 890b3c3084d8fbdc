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
    for absurd in ["2000000000", "1000000000000000", "9223372036854775807"] {
        let folder = config("\"vocab_size\": 96", &format!("\"vocab_size\": {absurd}"));
        let error = error(folder.path());
        assert!(matches!(error, ModelError::Shape { .. } | ModelError::ConfigKey { .. }), "{absurd}: {error}");
    }
    let wider = config("\"vocab_size\": 96", "\"vocab_size\": 97");
    let wrong_shape = error(wider.path());
    assert!(matches!(wrong_shape, ModelError::Shape { name, .. } if name.ends_with("embed_tokens.weight")));
    let deeper = config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    assert!(matches!(error(deeper.path()), ModelError::MissingTensor { name, .. } if name.contains("layers.2")));
    let other = config("\"model_type\": \"opt\"", "\"model_type\": \"gpt2\"");
    assert!(matches!(error(other.path()), ModelError::ConfigKey { key, .. } if key == "model_type"));
    let heads = config("\"num_attention_heads\": 4", "\"num_attention_heads\": 5");
    assert!(matches!(error(heads.path()), ModelError::ConfigKey { key, .. } if key == "num_attention_heads"));
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

#[test]
fn pickles_of_every_form_hold_the_same_weights() {
    let weights = model("opt_tiny").hash().unwrap();
    for name in ["opt_legacy_bin", "opt_shared_bin", "opt_sharded_bin"] {
        assert_eq!(model(name).hash().unwrap(), weights, "{name}");
    }
}

#[test]
fn a_head_that_is_said_to_be_tied_and_is_not_is_refused_by_name() {
    let folder = copy("opt_tiny");
    let path = folder.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    let table = tensors["model.decoder.embed_tokens.weight"].clone();
    tensors.insert("lm_head.weight".to_string(), table.clone());
    candle_core::safetensors::save(&tensors, &path).unwrap();
    assert!(Opt::load(folder.path(), &Device::Cpu).is_ok(), "the same head once more");
    tensors.insert("lm_head.weight".to_string(), (table * 2.0).unwrap());
    candle_core::safetensors::save(&tensors, &path).unwrap();
    assert!(matches!(error(folder.path()), ModelError::TiedHead { name, .. } if name == "lm_head.weight"));
}

#[test]
fn ids_of_an_opt_may_be_null_absent_or_a_list_and_numbers_as_python_writes_them() {
    let folder = copy("opt_tiny");
    let path = folder.path().join("config.json");
    let valid: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let load = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let mut config = valid.clone();
        change(config.as_object_mut().unwrap());
        fs::write(&path, config.to_string()).unwrap();
        Opt::load(folder.path(), &Device::Cpu).unwrap().config().clone()
    };
    let null = load(&|config| {
        for key in ["bos_token_id", "eos_token_id", "pad_token_id", "activation_dropout"] {
            config.insert(key.to_string(), serde_json::Value::Null);
        }
    });
    assert_eq!((null.bos_token_id, null.eos_token_id.ids(), null.pad_token_id), (None, &[][..], None));
    let absent = load(&|config| config.retain(|key, _| !key.ends_with("_token_id")));
    assert_eq!((absent.bos_token_id, absent.eos_token_id.ids(), absent.pad_token_id), (Some(2), &[2][..], Some(1)));
    let list = load(&|config| _ = config.insert("eos_token_id".to_string(), serde_json::json!([2, 15])));
    assert_eq!(list.eos_token_id.ids(), [2, 15]);
    // a key that no OPT reads; one that it reads is refused by name
    let text = valid.to_string();
    fs::write(&path, text.replacen('{', "{\"note_scale\": Infinity, \"other\": [NaN, -Infinity], ", 1)).unwrap();
    assert!(Opt::load(folder.path(), &Device::Cpu).is_ok());
    let mut unusable = valid.clone();
    unusable["dropout"] = serde_json::json!("DROPOUT");
    fs::write(&path, unusable.to_string().replace("\"DROPOUT\"", "NaN")).unwrap();
    assert!(matches!(error(folder.path()), ModelError::ConfigKey { key, .. } if key == "dropout"));
}

#[test]
fn keys_that_change_what_an_opt_computes_are_refused_by_name() {
    let folder = copy("opt_tiny");
    let path = folder.path().join("config.json");
    let valid: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for (key, value) in [
        ("quantization_config", serde_json::json!({ "bits": 4 })),
        ("auto_map", serde_json::json!({ "AutoModel": "code.Model" })),
        ("is_encoder_decoder", true.into()),
        ("layerdrop", 0.1.into()),
        ("enable_bias", false.into()),
    ] {
        let mut config = valid.clone();
        config[key] = value;
        fs::write(&path, config.to_string()).unwrap();
        let error = error(folder.path());
        assert!(error.to_string().contains(key), "{key}: {error}");
    }
}
