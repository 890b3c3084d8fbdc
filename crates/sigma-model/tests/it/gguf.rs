//! GGUF files against folders that scripts/goldens/gguf_files.py describes, and what is said about files that are
//! damaged, hostile, or of a kind that was never compared.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::{self, Content, Value};
use candle_core::{DType, Device, Tensor};
use serde_json::{Value as Json, json};
use sigma_model::ModelError;
use sigma_model::gguf::{Converted, convert};

use crate::goldens;
use crate::mutations::survives;

const TOKENS: &str = "tokenizer.ggml.tokens";
const ALL: [&str; 4] = ["llama_k", "llama_3", "qwen2", "qwen3"];

fn golden(name: &str) -> PathBuf {
    goldens().join("gguf").join(format!("{name}.gguf"))
}

fn expected(name: &str) -> Json {
    serde_json::from_slice(&fs::read(golden(name).with_extension("json")).unwrap()).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn of(name: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        convert(&golden(name), folder.0.path()).unwrap();
        folder
    }

    fn json(&self, file: &str) -> Json {
        serde_json::from_slice(&fs::read(self.0.path().join(file)).unwrap()).unwrap()
    }
}

#[test]
fn every_tensor_is_what_ggmls_own_package_makes_of_it() {
    for name in ALL {
        let folder = Folder::of(name);
        let bytes = fs::read(folder.0.path().join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let expected = expected(name);
        let expected = expected["tensors"].as_object().unwrap();
        let mut names: Vec<&str> = file.names().into_iter().collect();
        names.sort_unstable();
        let mut wanted: Vec<&String> = expected.keys().collect();
        wanted.sort_unstable();
        assert_eq!(names, wanted, "{name}");
        for (tensor, golden) in expected {
            let found = file.tensor(tensor).unwrap();
            assert_eq!(json!(found.shape()), golden["shape"], "{name} {tensor}");
            assert_eq!(blake3::hash(found.data()).to_hex().as_str(), golden["blake3"], "{name} {tensor}");
        }
    }
}

#[test]
fn config_json_says_what_the_file_says() {
    for name in ALL {
        let (config, expected) = (Folder::of(name).json("config.json"), expected(name));
        for (key, value) in expected["config"].as_object().unwrap() {
            assert_eq!(&config[key], value, "{name} {key}");
        }
        for role in ["bos", "eos"] {
            assert_eq!(config[format!("{role}_token_id")], expected["ids"][role], "{name} {role}");
        }
        // transformers 5 reads this one, transformers 4 the two keys beside it
        let mut rope = config["rope_parameters"].clone();
        assert_eq!(rope["rope_theta"], config["rope_theta"], "{name}");
        rope.as_object_mut().unwrap().remove("rope_theta");
        let scaling = if config["rope_scaling"].is_null() {
            json!({"rope_type": "default"})
        } else {
            config["rope_scaling"].clone()
        };
        assert_eq!(rope, scaling, "{name}");
    }
}

#[test]
fn a_text_ends_at_every_token_that_the_file_names_for_it() {
    assert_eq!(Folder::of("llama_k").json("generation_config.json")["eos_token_id"], json!(0));
    let ids = &expected("llama_3")["ids"];
    let ends = Folder::of("llama_3").json("generation_config.json");
    assert_eq!(ends["eos_token_id"], json!([ids["eos"], ids["eot"]]));
    assert_eq!(Folder::of("llama_3").json("config.json")["eos_token_id"], ids["eos"]);
}

#[test]
fn texts_have_the_ids_of_tokenizers_that_were_put_together_by_hand() {
    for name in ALL {
        let folder = Folder::of(name);
        let tokenizer = tokenizers::Tokenizer::from_file(folder.0.path().join("tokenizer.json")).unwrap();
        for case in expected(name)["cases"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let ids = |special| json!(tokenizer.encode(text, special).unwrap().get_ids());
            assert_eq!(ids(false), case["ids"], "{name} {text:?}");
            assert_eq!(ids(true), case["with_bos"], "{name} {text:?}");
            let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            assert_eq!(json!(tokenizer.decode(&ids, true).unwrap()), case["decoded"], "{name} {text:?}");
        }
    }
}

#[test]
fn rows_that_no_text_has_are_no_tokens() {
    let folder = Folder::of("qwen2");
    let vocab = folder.json("tokenizer.json")["model"]["vocab"].as_object().unwrap().len();
    assert_eq!(folder.json("config.json")["vocab_size"], json!(vocab + 7));
}

#[test]
fn a_conversion_tells_what_was_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let Converted { architecture, tensors, parameters, types } = convert(&golden("llama_k"), folder.path()).unwrap();
    let golden = expected("llama_k");
    let shapes =
        golden["tensors"].as_object().unwrap().values().map(|tensor| {
            tensor["shape"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).product::<u64>()
        });
    assert_eq!((architecture.as_str(), tensors, parameters), ("llama", 11, shapes.sum()));
    assert!(types.contains(&("F32", 3)) && types.contains(&("Q2_K", 1)), "{types:?}");
}

/// A copy of a golden in which `edit` has changed something, and what is said about it.
struct Edited {
    metadata: HashMap<String, Value>,
    tensors: BTreeMap<String, QTensor>,
}

fn said_of_edited(name: &str, edit: impl FnOnce(&mut Edited)) -> String {
    let mut file = File::open(golden(name)).unwrap();
    let content = Content::read(&mut file).unwrap();
    let tensors =
        content.tensor_infos.keys().map(|name| (name.clone(), content.tensor(&mut file, name, &Device::Cpu).unwrap()));
    let mut edited = Edited { tensors: tensors.collect(), metadata: content.metadata };
    edit(&mut edited);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edited.gguf");
    let metadata: Vec<(&str, &Value)> = edited.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> = edited.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut File::create(&path).unwrap(), &metadata, &tensors).unwrap();
    said(convert(&path, folder.path()))
}

fn said(result: Result<Converted, ModelError>) -> String {
    result.map_or_else(|error| error.to_string(), |converted| format!("converted {converted:?}"))
}

fn set(key: &'static str, value: Value) -> impl FnOnce(&mut Edited) {
    move |edited| _ = edited.metadata.insert(key.to_string(), value)
}

fn unset(key: &'static str) -> impl FnOnce(&mut Edited) {
    move |edited| _ = edited.metadata.remove(key)
}

fn text(text: &str) -> Value {
    Value::String(text.to_string())
}

fn element(key: &'static str, index: usize, value: Value) -> impl FnOnce(&mut Edited) {
    move |edited| match edited.metadata.get_mut(key) {
        Some(Value::Array(values)) => values[index] = value,
        other => panic!("{key} is {other:?}"),
    }
}

fn tensor(name: &'static str, values: Vec<f32>) -> impl FnOnce(&mut Edited) {
    move |edited| {
        let tensor = Tensor::new(values, &Device::Cpu).unwrap();
        let tensor = QTensor::quantize(&tensor, candle_core::quantized::GgmlDType::F32).unwrap();
        edited.tensors.insert(name.to_string(), tensor);
    }
}

#[test]
fn an_edited_copy_is_still_the_same_model() {
    assert!(said_of_edited("llama_3", |_| {}).starts_with("converted"));
}

#[test]
fn what_was_never_compared_is_refused_by_its_key() {
    type Case = (&'static str, Box<dyn FnOnce(&mut Edited)>, &'static [&'static str]);
    let cases: Vec<Case> = vec![
        ("llama_3", Box::new(set("general.architecture", text("mamba"))), &["general.architecture", "mamba", "qwen3"]),
        ("llama_3", Box::new(unset("general.architecture")), &["general.architecture", "missing"]),
        ("llama_3", Box::new(set("general.type", text("adapter"))), &["general.type", "adapter"]),
        ("llama_3", Box::new(set("general.quantization_version", Value::U32(1))), &["general.quantization_version"]),
        ("llama_3", Box::new(set("split.count", Value::U16(3))), &["split.count", "several parts", "merge"]),
        (
            "llama_3",
            Box::new(set("llama.block_count", Value::U32(4_000_000_000))),
            &["llama.block_count", "22 tensors"],
        ),
        ("llama_3", Box::new(set("llama.block_count", Value::U32(0))), &["llama.block_count", "is 0"]),
        ("llama_3", Box::new(set("llama.block_count", Value::I32(-1))), &["llama.block_count", "whole number"]),
        ("llama_3", Box::new(unset("llama.context_length")), &["llama.context_length", "missing"]),
        ("llama_3", Box::new(set("llama.expert_count", Value::U32(8))), &["llama.expert_count", "mixture of experts"]),
        ("llama_3", Box::new(set("llama.rope.scaling.type", text("yarn"))), &["llama.rope.scaling.type", "yarn"]),
        ("llama_3", Box::new(set("llama.logit_scale", Value::F32(0.5))), &["llama.logit_scale", "folder"]),
        (
            "llama_3",
            Box::new(set("llama.attention.head_count", Value::Array(vec![Value::U32(4), Value::U32(2)]))),
            &["llama.attention.head_count", "an array"],
        ),
        (
            "llama_3",
            Box::new(set("llama.attention.head_count_kv", Value::U32(3))),
            &["llama.attention.head_count_kv", "divide"],
        ),
        ("llama_3", Box::new(set("llama.attention.key_length", Value::U32(15))), &["16", "15"]),
        ("llama_3", Box::new(set("llama.rope.dimension_count", Value::U32(8))), &["llama.rope.dimension_count"]),
        ("llama_3", Box::new(set("llama.vocab_size", Value::U32(300))), &["llama.vocab_size", "300"]),
        (
            "llama_3",
            Box::new(set("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::NAN))),
            &["llama.attention.layer_norm_rms_epsilon", "NaN"],
        ),
        ("qwen2", Box::new(unset("qwen2.rope.freq_base")), &["qwen2.rope.freq_base", "missing"]),
        (
            "qwen2",
            Box::new(set("qwen2.attention.key_length", Value::U32(16))),
            &["qwen2.attention.key_length", "is 16"],
        ),
        ("llama_3", Box::new(set("tokenizer.ggml.model", text("llama"))), &["tokenizer.ggml.model", "byte-level BPE"]),
        ("llama_3", Box::new(set("tokenizer.ggml.pre", text("default"))), &["tokenizer.ggml.pre", "default", "smollm"]),
        ("llama_3", Box::new(unset("tokenizer.ggml.pre")), &["tokenizer.ggml.pre", "missing"]),
        (
            "llama_3",
            Box::new(set("tokenizer.ggml.add_eos_token", Value::Bool(true))),
            &["tokenizer.ggml.add_eos_token"],
        ),
        (
            "llama_3",
            Box::new(set("tokenizer.ggml.add_space_prefix", Value::Bool(true))),
            &["tokenizer.ggml.add_space_prefix"],
        ),
        (
            "llama_3",
            Box::new(set("tokenizer.ggml.precompiled_charsmap", Value::Array(vec![Value::U8(0)]))),
            &["tokenizer.ggml.precompiled_charsmap", "change texts"],
        ),
        ("llama_3", Box::new(element(TOKENS, 5, text("!"))), &["tokenizer.ggml.tokens", "\"!\" twice, as 1 and 5"]),
        ("llama_3", Box::new(element(TOKENS, 5, text(""))), &["tokenizer.ggml.tokens", "empty token, 5"]),
        (
            "llama_3",
            Box::new(element("tokenizer.ggml.token_type", 5, Value::I32(6))),
            &["tokenizer.ggml.token_type", "the type 6 for token 5"],
        ),
        (
            "llama_3",
            Box::new(element("tokenizer.ggml.merges", 2, text("x y"))),
            &["tokenizer.ggml.merges", "\"x y\" as number 3"],
        ),
        ("llama_3", Box::new(element("tokenizer.ggml.merges", 0, text("ab"))), &["tokenizer.ggml.merges", "number 1"]),
        (
            "llama_3",
            Box::new(set("tokenizer.ggml.eos_token_id", Value::U32(50_000))),
            &["tokenizer.ggml.eos_token_id", "is 50000"],
        ),
        ("qwen2", Box::new(set("tokenizer.ggml.eos_token_id", Value::U32(305))), &["tokenizer.ggml.eos_token_id"]),
        ("llama_3", Box::new(unset("tokenizer.ggml.bos_token_id")), &["tokenizer.ggml.bos_token_id", "add_bos_token"]),
        (
            "llama_3",
            Box::new(set("llama.rope", Value::Array(vec![Value::Array(vec![Value::U8(1)])]))),
            &["llama.rope", "array of arrays"],
        ),
        (
            "llama_3",
            Box::new(|edited: &mut Edited| _ = edited.tensors.remove("blk.1.ffn_up.weight")),
            &["blk.1.ffn_up.weight", "missing"],
        ),
        ("llama_3", Box::new(tensor("blk.0.attn_q.bias", vec![0.0; 64])), &["blk.0.attn_q.bias", "architecture llama"]),
        ("llama_3", Box::new(tensor("output_norm.weight", vec![1.0; 31])), &["output_norm.weight", "[31]", "[32]"]),
        ("llama_3", Box::new(tensor("rope_freqs.weight", vec![2.0; 8])), &["rope_freqs.weight", "Llama 3"]),
        ("llama_3", Box::new(tensor("output_norm.weight", vec![f32::NAN; 32])), &["output_norm.weight", "NaN"]),
        ("qwen2", Box::new(tensor("rope_freqs.weight", vec![1.0; 4])), &["rope_freqs.weight", "architecture qwen2"]),
    ];
    for (number, (name, edit, words)) in cases.into_iter().enumerate() {
        let said = said_of_edited(name, edit);
        for word in words {
            assert!(said.contains(word), "case {number}: `{word}` is not in: {said}");
        }
        assert!(said.contains("edited.gguf"), "{said}");
    }
}

/// What is said about `bytes`.
fn said_of_bytes(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytes.gguf");
    fs::write(&path, bytes).unwrap();
    said(convert(&path, folder.path()))
}

/// Where the first `what` ends.
fn behind(bytes: &[u8], what: &str) -> usize {
    bytes.windows(what.len()).position(|window| window == what.as_bytes()).unwrap() + what.len()
}

fn patched(at: impl FnOnce(&[u8]) -> usize, with: &[u8]) -> String {
    let mut bytes = fs::read(golden("llama_3")).unwrap();
    let at = at(&bytes);
    bytes[at..at + with.len()].copy_from_slice(with);
    said_of_bytes(&bytes)
}

#[test]
fn claims_that_the_file_cannot_hold_are_refused_before_anything_is_allocated_for_them() {
    let much = (1u64 << 60).to_le_bytes();
    // a tensor's type and place follow its name, the number of its two dimensions and these
    let kind = |bytes: &[u8]| behind(bytes, "blk.0.ffn_up.weight") + 4 + 16;
    let place = |bytes: &[u8]| kind(bytes) + 4;
    let value = |key: &'static str| move |bytes: &[u8]| behind(bytes, key) + 4;
    let cases: [(String, &[&str]); 17] = [
        (patched(|_| 0, b"GGML"), &["GGUF"]),
        (patched(|_| 4, &3u32.to_be_bytes()), &["big-endian"]),
        (patched(|_| 4, &9u32.to_le_bytes()), &["version", "9"]),
        (patched(|_| 8, &much), &["tensors", "left"]),
        (patched(|_| 16, &much), &["keys", "left"]),
        (patched(|_| 24, &much), &["a key", "left"]),
        (patched(value("general.architecture"), &much), &["general.architecture", "left"]),
        (patched(|bytes| behind(bytes, "ggml.tokens") + 8, &much), &["tokenizer.ggml.tokens", "elements"]),
        (patched(|bytes| behind(bytes, "ggml.tokens") + 4, &[9]), &["tokenizer.ggml.tokens", "array of arrays"]),
        (patched(|bytes| behind(bytes, "ggml.tokens") + 24, &[0xff]), &["tokenizer.ggml.tokens", "UTF-8"]),
        (patched(|bytes| behind(bytes, "llama.block_count"), &[77]), &["llama.block_count", "value type 77"]),
        (patched(kind, &20u32.to_le_bytes()), &["blk.0.ffn_up.weight", "IQ4_NL", "Q8_0"]),
        (patched(kind, &99u32.to_le_bytes()), &["blk.0.ffn_up.weight", "number 99"]),
        (patched(place, &0u64.to_le_bytes()), &["inside the tensor before it"]),
        (patched(place, &(1u64 << 40).to_le_bytes()), &["blk.0.ffn_up.weight", "bytes"]),
        (patched(place, &1u64.to_le_bytes()), &["blk.0.ffn_up.weight", "aligned"]),
        (patched(|bytes| behind(bytes, "blk.0.ffn_up.weight") + 4, &[0xff; 16]), &["blk.0.ffn_up.weight", "shape"]),
    ];
    for (number, (said, words)) in cases.iter().enumerate() {
        for word in *words {
            assert!(said.contains(word), "case {number}: `{word}` is not in: {said}");
        }
    }
}

#[test]
fn a_key_or_a_tensor_that_occurs_twice_is_refused() {
    let pairs = [("llama.context_length", "llama.rope.freq_base"), ("blk.0.ffn_up.weight", "blk.1.ffn_up.weight")];
    for (one, other) in pairs {
        let mut bytes = fs::read(golden("llama_3")).unwrap();
        let at = behind(&bytes, other) - other.len();
        bytes[at..at + other.len()].copy_from_slice(one.as_bytes());
        let said = said_of_bytes(&bytes);
        assert!(said.contains(one) && said.contains("twice"), "{said}");
    }
}

#[test]
fn an_alignment_of_nothing_is_refused() {
    let said = said_of_edited("llama_3", set("general.alignment", Value::U32(0)));
    assert!(said.contains("general.alignment") && said.contains("is 0"), "{said}");
    let said = said_of_edited("llama_3", set("general.alignment", Value::U64(32)));
    assert!(said.contains("general.alignment") && said.contains("uint32"), "{said}");
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let bytes = fs::read(golden("qwen2")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.gguf");
    for length in (0..bytes.len()).step_by(131).chain(bytes.len() - 32..bytes.len()) {
        fs::write(&path, &bytes[..length]).unwrap();
        let refused = convert(&path, folder.path()).unwrap_err().to_string();
        assert!(refused.contains("cut.gguf"), "{length}: {refused}");
    }
}

#[test]
fn damaged_gguf_files_are_converted_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["qwen2", "llama_3"] {
        let valid = fs::read(golden(name)).unwrap();
        survives(&valid, "damaged.gguf", 1500, |path: &Path| drop(convert(path, folder.path())));
    }
}

#[test]
fn a_converted_model_has_weights_that_the_reader_of_folders_takes() {
    let folder = Folder::of("qwen3");
    let weights = sigma_model::weights::Weights::load(folder.0.path()).unwrap();
    assert_eq!(weights.len(), expected("qwen3")["tensors"].as_object().unwrap().len());
    assert!(weights.into_tensors().values().all(|tensor| tensor.dtype() == DType::F32));
}
