//! The BERT encoder against candle-transformers' BERT on small models with random weights, and what is refused.

use std::fs;
use std::path::Path;

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use sigma_model::weights::{TensorBytes, Weights, save_safetensors};
use sigma_model::{Device, Encoder, ModelError};

use crate::emulated;
use crate::mutations::survives;

const VOCABULARY: usize = 50;

fn config(heads: usize, hidden: usize, ffn: usize, activation: &str) -> serde_json::Value {
    serde_json::json!({
        "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": hidden, "num_hidden_layers": 3,
        "num_attention_heads": heads, "intermediate_size": ffn, "hidden_act": activation,
        "max_position_embeddings": 40, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
        // what only candle-transformers asks for
        "hidden_dropout_prob": 0.1, "initializer_range": 0.02, "pad_token_id": 0,
    })
}

/// A sentence encoder's folder: weights of the config's shape, and a tokenizer that knows single letters.
fn write(folder: &Path, config: &serde_json::Value) {
    let size = |field: &str| config[field].as_u64().unwrap() as usize;
    let (d, ffn) = (size("hidden_size"), size("intermediate_size"));
    let mut tensors = TensorBytes::new();
    let mut add = |name: String, shape: &[usize], middle: f32, spread: f32| {
        // distinct numbers without a pattern that a wrong order of dimensions would keep
        let seed = name.bytes().fold(7u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let value = |i: usize| {
            let bits = (seed ^ i as u32).wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(2_246_822_519);
            middle + spread * ((bits >> 8) as f32 / (1 << 23) as f32 - 1.0)
        };
        let values = (0..shape.iter().product()).flat_map(|i| value(i).to_le_bytes());
        tensors.insert(name, (shape.to_vec(), values.collect()));
    };
    add("embeddings.word_embeddings.weight".to_string(), &[size("vocab_size"), d], 0.0, 1.0);
    add("embeddings.position_embeddings.weight".to_string(), &[size("max_position_embeddings"), d], 0.0, 0.5);
    add("embeddings.token_type_embeddings.weight".to_string(), &[size("type_vocab_size"), d], 0.0, 0.5);
    let mut norms = vec!["embeddings.LayerNorm".to_string()];
    for layer in 0..size("num_hidden_layers") {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        for (part, outputs, inputs) in [
            ("attention.self.query", d, d),
            ("attention.self.key", d, d),
            ("attention.self.value", d, d),
            ("attention.output.dense", d, d),
            ("intermediate.dense", ffn, d),
            ("output.dense", d, ffn),
        ] {
            add(format!("{}.weight", name(part)), &[outputs, inputs], 0.0, 2.0 / (inputs as f32).sqrt());
            add(format!("{}.bias", name(part)), &[outputs], 0.0, 0.3);
        }
        norms.extend([name("attention.output.LayerNorm"), name("output.LayerNorm")]);
    }
    for name in norms {
        add(format!("{name}.weight"), &[d], 1.0, 0.3);
        add(format!("{name}.bias"), &[d], 0.0, 0.3);
    }
    save_safetensors(&folder.join("model.safetensors"), &tensors).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let words: serde_json::Map<_, _> =
        (0..VOCABULARY).map(|id| (char::from(b'0' + id as u8).to_string(), id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": words, "unk_token": "0" },
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

/// candle-transformers' states of a row alone, averaged over its tokens.
fn slow(folder: &Path, row: &[u32]) -> Vec<f32> {
    let config: Config = serde_json::from_str(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let tensors = Weights::load(folder).unwrap().into_tensors().into_iter().collect();
    let model =
        BertModel::load(VarBuilder::from_tensors(tensors, DType::F32, &candle_core::Device::Cpu), &config).unwrap();
    let ids = Tensor::from_slice(row, (1, row.len()), &candle_core::Device::Cpu).unwrap();
    let hidden = model.forward(&ids, &ids.zeros_like().unwrap(), None).unwrap();
    hidden.mean(1).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Rows of many lengths, some of them more than one group of tokens together.
fn rows() -> Vec<Vec<u32>> {
    let lens = [1, 2, 40, 17, 33, 40, 40, 16, 40, 31, 40, 40, 5, 38];
    lens.iter()
        .enumerate()
        .map(|(r, len)| (0..*len).map(|i| (i * i * 7 + r as u32 * 11) % VOCABULARY as u32).collect())
        .collect()
}

#[test]
fn bert_equals_candle_transformers_for_every_length() {
    for (heads, hidden, ffn, activation) in [(4, 64, 128, "gelu"), (3, 15, 33, "relu"), (1, 48, 20, "gelu")] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &config(heads, hidden, ffn, activation));
        let rows = rows();
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        for device in [Device::Cpu, emulated()] {
            let encoder = Encoder::load(folder.path(), None, &device).unwrap();
            let fast = encoder.rows(&rows).unwrap();
            for (row, fast) in rows.iter().zip(fast.chunks_exact(hidden)) {
                let slow = slow(folder.path(), row);
                let worst = slow.iter().zip(fast).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
                assert!(worst < 1e-5, "{device:?}, {heads} heads, {activation}, {} tokens: {worst}", row.len());
            }
        }
    }
}

#[test]
fn a_row_of_bert_has_the_same_bits_in_every_batch_and_on_any_threads() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &config(4, 64, 128, "gelu"));
    let encoder = Encoder::load(folder.path(), None, &Device::Cpu).unwrap();
    let rows = rows();
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let whole = encoder.rows(&rows).unwrap();
    for size in [1, 3, 5] {
        let parts: Vec<f32> = rows.chunks(size).flat_map(|batch| encoder.rows(batch).unwrap()).collect();
        assert!(parts == whole, "batches of {size}");
    }
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| encoder.rows(&rows).unwrap()) == whole, "{threads} threads");
    }
}

#[test]
fn what_bert_cannot_compute_is_refused_by_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let good = config(4, 64, 128, "gelu");
    write(folder.path(), &good);
    for (field, value) in [
        ("hidden_act", serde_json::json!("silu")),
        ("position_embedding_type", "relative_key".into()),
        ("num_attention_heads", 0.into()),
        ("num_attention_heads", 5.into()),
        ("intermediate_size", 0.into()),
        ("hidden_size", 0.into()),
        ("type_vocab_size", 0.into()),
        ("layer_norm_eps", 0.into()),
        ("num_hidden_layers", u64::MAX.into()),
        ("is_decoder", true.into()),
        ("a_new_key", 1.into()),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        fs::write(folder.path().join("config.json"), bad.to_string()).unwrap();
        let error = Encoder::load(folder.path(), None, &Device::Cpu).unwrap_err();
        assert!(matches!(&error, ModelError::ConfigKey { key, .. } if key == field), "{field}: {error}");
    }
    let mut bad = good.clone();
    bad["num_hidden_layers"] = 9999.into();
    fs::write(folder.path().join("config.json"), bad.to_string()).unwrap();
    assert!(matches!(Encoder::load(folder.path(), None, &Device::Cpu), Err(ModelError::Layers { .. })));
    fs::write(folder.path().join("config.json"), good.to_string()).unwrap();
    for device in [Device::Cpu, emulated()] {
        let encoder = Encoder::load(folder.path(), None, &device).unwrap();
        assert!(matches!(encoder.rows(&[&[VOCABULARY as u32]]), Err(ModelError::TokenId { .. })));
        assert!(matches!(encoder.rows(&[&[1; 41]]), Err(ModelError::TooLong { .. })));
        assert_eq!(encoder.rows(&[&[]]).unwrap(), [0.0; 64]);
        assert_eq!(encoder.forward(&[&[]]).unwrap(), [0.0; 64]);
        let beside = encoder.rows(&[&[], &[3, 4], &[]]).unwrap();
        assert!(
            beside[..64].iter().chain(&beside[128..]).all(|x| *x == 0.0) && beside[64..128].iter().all(|x| *x != 0.0)
        );
    }
}

#[test]
fn damaged_configs_of_a_bert_are_loaded_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = config(4, 64, 128, "gelu");
    write(folder.path(), &good);
    survives(good.to_string().as_bytes(), "config.json", 2000, |path: &Path| {
        fs::copy(path, folder.path().join("config.json")).unwrap();
        let Ok(encoder) = Encoder::load(folder.path(), None, &Device::Cpu) else { return };
        drop(encoder.tokenize(&["1 2 3"]).and_then(|ids| encoder.rows(&[&ids[0]])));
    });
}
