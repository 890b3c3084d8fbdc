//! What a config.json or a weight file may not say: each is refused by file, key, value and remedy.

use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Map, Value, json};
use sigma_model::Checkpoint;

use super::folder;

/// A copy of a golden model whose config.json `change` has changed.
fn changed(name: &str, change: impl FnOnce(&mut Map<String, Value>)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(folder(name).join("model.safetensors"), copy.path().join("model.safetensors")).unwrap();
    let text = fs::read_to_string(folder(name).join("config.json")).unwrap();
    let mut config: Map<String, Value> = serde_json::from_str(&text).unwrap();
    change(&mut config);
    fs::write(copy.path().join("config.json"), serde_json::to_string(&config).unwrap()).unwrap();
    copy
}

fn message(folder: &Path) -> String {
    Checkpoint::load(folder).expect_err("the folder is wrong").to_string()
}

/// Loading says the file, the key and the value.
fn refused(name: &str, key: &str, value: Value) {
    let copy = changed(name, |config| _ = config.insert(key.to_string(), value.clone()));
    let message = message(copy.path());
    let expected = format!("config.json: `{key}` is {value}, which is not supported; ");
    assert!(message.contains(&expected) && !message.ends_with("; "), "{name} {key}: {message}");
}

#[test]
fn a_family_that_is_not_known_is_refused_by_name() {
    refused("llama", "model_type", json!("mamba"));
    let copy = changed("llama", |config| _ = config.remove("model_type"));
    assert!(message(copy.path()).contains("`model_type` is null"));
}

#[test]
fn keys_that_are_not_known_are_refused() {
    refused("llama", "quantization_config", json!({"bits": 4}));
    refused("llama", "partial_rotary_factor", json!(0.5));
    refused("llama", "is_encoder_decoder", json!(true));
    refused("llama", "rope_interleaved", json!(true));
}

#[test]
fn values_that_are_not_supported_are_refused() {
    refused("llama", "hidden_act", json!("tanh"));
    refused("llama", "num_hidden_layers", json!(4_000_000_000u64));
    refused("llama", "hidden_size", json!(-1));
    refused("llama", "rms_norm_eps", json!("small"));
    refused("llama", "num_key_value_heads", json!(3));
    refused("llama", "attention_dropout", json!(1));
    refused("llama", "tie_word_embeddings", json!(null));
    refused("llama", "eos_token_id", json!("</s>"));
}

#[test]
fn scalings_that_are_not_supported_are_refused() {
    for kind in ["dynamic", "longrope", "su"] {
        let scaling = json!({"rope_type": kind, "factor": 2.0});
        let copy = changed("llama_old", |config| _ = config.insert("rope_scaling".to_string(), scaling));
        let message = message(copy.path());
        assert!(message.contains(&format!("`rope_scaling.rope_type` is \"{kind}\"")), "{message}");
    }
    let scaling = json!({"rope_type": "linear", "factor": 2.0, "beta_fast": 3});
    let copy = changed("llama_old", |config| _ = config.insert("rope_scaling".to_string(), scaling));
    assert!(message(copy.path()).contains("`rope_scaling.beta_fast` is 3"));
    let copy = changed("llama_old", |config| _ = config.insert("rope_scaling".to_string(), json!({"type": "linear"})));
    assert!(message(copy.path()).contains("`rope_scaling.factor` is missing"));
}

#[test]
fn two_forms_that_contradict_each_other_are_refused() {
    let copy = changed("llama", |config| _ = config.insert("rope_theta".to_string(), json!(7.0)));
    assert!(message(copy.path()).contains("`rope_theta` is 7.0"), "{}", message(copy.path()));
    let scaling = json!({"rope_type": "linear", "factor": 2.0});
    let copy = changed("llama", |config| _ = config.insert("rope_scaling".to_string(), scaling));
    assert!(message(copy.path()).contains("`rope_scaling` is"), "{}", message(copy.path()));
}

fn with_tensors(name: &str, change: impl FnOnce(&mut std::collections::HashMap<String, Tensor>)) -> tempfile::TempDir {
    let copy = changed(name, |_| {});
    let path = copy.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    copy
}

#[test]
fn a_head_that_contradicts_a_tied_config_is_refused() {
    let head = |tensors: &mut std::collections::HashMap<String, Tensor>, factor: f64| {
        let head = (&tensors["model.embed_tokens.weight"] * factor).unwrap();
        tensors.insert("lm_head.weight".to_string(), head);
    };
    let message = message(with_tensors("llama_old", |tensors| head(tensors, 2.0)).path());
    assert!(message.contains("tie_word_embeddings"), "{message}");
    Checkpoint::load(with_tensors("llama_old", |tensors| head(tensors, 1.0)).path()).unwrap();
}

#[test]
fn tensors_that_are_missing_or_left_over_are_refused_by_name() {
    let copy = with_tensors("llama", |tensors| _ = tensors.remove("lm_head.weight"));
    assert!(message(copy.path()).contains("lm_head.weight"));
    let extra = Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap();
    let copy = with_tensors("llama", |tensors| _ = tensors.insert("model.layers.0.adapter".to_string(), extra.clone()));
    assert!(message(copy.path()).contains("model.layers.0.adapter"));
    // a buffer of old files
    let buffer = "model.layers.0.self_attn.rotary_emb.inv_freq".to_string();
    let copy = with_tensors("llama", |tensors| _ = tensors.insert(buffer, extra));
    Checkpoint::load(copy.path()).unwrap();
}

#[test]
fn files_of_a_model_without_a_head_are_read_by_their_bare_names() {
    let bare = with_tensors("llama_old", |tensors| {
        *tensors = tensors.drain().map(|(name, t)| (name.trim_start_matches("model.").to_string(), t)).collect();
    });
    let (bare, whole) = (Checkpoint::load(bare.path()).unwrap(), Checkpoint::load(&folder("llama_old")).unwrap());
    assert!(bare.parameters.iter().zip(&whole.parameters).all(|((_, a), (_, b))| super::flat(a) == super::flat(b)));
}

#[test]
fn notes_that_released_models_carry_are_accepted() {
    let notes = [
        (
            "llama_old",
            json!({"is_llama_config": true, "rope_interleaved": false, "pretraining_tp": 2, "use_cache": false}),
        ),
        (
            "gpt2_old",
            json!({"n_ctx": 64, "_num_labels": 1, "summary_type": "cls_index", "task_specific_params": {"a": 1}}),
        ),
        ("gemma2_old", json!({"hidden_act": "gelu", "cache_implementation": "hybrid", "eos_token_id": [1, 7]})),
        ("qwen2_old", json!({"max_window_layers": 28, "sliding_window": 131072, "use_sliding_window": false})),
        ("smollm3_old", json!({"pretraining_tp": 2, "no_rope_layer_interval": 4})),
    ];
    for (name, notes) in notes {
        let copy = changed(name, |config| config.extend(notes.as_object().unwrap().clone()));
        let loaded = Checkpoint::load(copy.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut spec = Checkpoint::load(&folder(name)).unwrap().spec;
        spec.special_tokens = loaded.spec.special_tokens.clone();
        assert_eq!(loaded.spec, spec, "{name}");
    }
}

#[test]
fn gpt2_is_read_as_its_first_files_were_written() {
    let old = with_tensors("gpt2_old", |tensors| {
        *tensors = tensors.drain().map(|(name, t)| (name.trim_start_matches("transformer.").to_string(), t)).collect();
        let mask = Tensor::ones((1, 1, 64, 64), candle_core::DType::F32, &Device::Cpu).unwrap();
        tensors.insert("h.0.attn.bias".to_string(), mask);
    });
    let (old, new) = (Checkpoint::load(old.path()).unwrap(), Checkpoint::load(&folder("gpt2_old")).unwrap());
    assert!(old.parameters.iter().zip(&new.parameters).all(|((_, a), (_, b))| super::flat(a) == super::flat(b)));
}

#[test]
fn a_theta_that_no_released_model_leaves_out_must_be_there() {
    for name in ["qwen2_old", "qwen3_old", "olmo2_old"] {
        let copy = changed(name, |config| {
            config.remove("rope_theta");
            config.remove("rope_scaling");
        });
        assert!(message(copy.path()).contains("`rope_theta` is missing"), "{name}: {}", message(copy.path()));
    }
}

#[test]
fn windows_whose_width_is_not_said_are_refused() {
    let layers = json!(["sliding_attention", "full_attention"]);
    let copy = changed("qwen2_old", |config| _ = config.insert("layer_types".to_string(), layers));
    assert!(message(copy.path()).contains("`sliding_window` is null"), "{}", message(copy.path()));
    refused("gemma3_old", "sliding_window", json!(0));
    refused("mistral", "sliding_window", json!("wide"));
}

#[test]
fn another_order_of_attention_is_refused() {
    refused("gemma2", "use_bidirectional_attention", json!(true));
    refused("gpt2", "add_cross_attention", json!(true));
    refused("gpt2", "activation_function", json!("tanh"));
    refused("opt", "layerdrop", json!(0.1));
    refused("smollm3", "no_rope_layers", json!([1, 0]));
}
