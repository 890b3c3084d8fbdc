//! Every family against what transformers and torch gave for two tiny models of it (`scripts/goldens/families.py`).

mod engine;
mod refusals;
mod training;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use candle_core::{DType, Tensor};
use sigma_model::families::FAMILIES;
use sigma_model::{Checkpoint, Device, LanguageModel, Reference};

use crate::{argmax, emulated, flat, goldens, relative};

fn folder(name: &str) -> PathBuf {
    goldens().join("families").join(name)
}

/// All models of the script.
fn models() -> Vec<(String, Checkpoint)> {
    let mut names: Vec<String> = std::fs::read_dir(goldens().join("families"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let load = |name: String| {
        let model = Checkpoint::load(&folder(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, model)
    };
    names.into_iter().map(load).collect()
}

fn reference(model: &Checkpoint, dtype: DType) -> Reference {
    let parameters = model.parameters.iter().map(|(slot, tensor)| (*slot, tensor.to_dtype(dtype).unwrap())).collect();
    Reference::new(model.spec.clone(), parameters, dtype).unwrap()
}

fn golden(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(folder(name).join("golden.safetensors"), &candle_core::Device::Cpu).unwrap()
}

fn ids(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_dtype(DType::U32).unwrap().to_vec1().unwrap()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    flat(&tensor.to_dtype(DType::F32).unwrap())
}

/// Rows of 12 tokens as inputs and the labels that transformers makes of them.
fn shifted(all: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let inputs = all.chunks(12).flat_map(|row| row[..11].to_vec()).collect();
    (inputs, all.chunks(12).flat_map(|row| row[1..].to_vec()).collect())
}

#[test]
fn every_family_has_two_models_and_both_forms_of_config() {
    let models = models();
    for family in FAMILIES {
        let its: Vec<&String> =
            models.iter().filter(|(_, model)| model.family.model_type == family.model_type).map(|(n, _)| n).collect();
        assert!(its.len() >= 2, "{}: {its:?}", family.model_type);
        assert!(its.iter().any(|name| name.ends_with("_old")), "{}: {its:?}", family.model_type);
    }
}

#[test]
fn logits_equal_transformers_in_f32_and_f64() {
    for (name, model) in models() {
        let golden = golden(&name);
        let rows = ids(&golden["input_ids"]);
        for dtype in [DType::F32, DType::F64] {
            let logits = reference(&model, dtype).logits(&rows.chunks(12).collect::<Vec<_>>()).unwrap();
            let difference = relative(&floats(&logits), &flat(&golden["logits"]));
            assert!(difference < 1e-5, "{name} {dtype:?}: {difference}");
        }
    }
}

#[test]
fn loss_and_every_gradient_equal_pytorch() {
    for (name, model) in models() {
        let golden = golden(&name);
        let (inputs, labels) = shifted(&ids(&golden["input_ids"]));
        for dtype in [DType::F32, DType::F64] {
            let (trained, variables) = reference(&model, dtype).trainable(dtype).unwrap();
            let loss = trained.loss(&inputs, &labels, 3, None).unwrap();
            let (ours, theirs) = (floats(&loss)[0], flat(&golden["loss"])[0]);
            assert!((ours / theirs - 1.0).abs() < 1e-6, "{name} {dtype:?}: {ours} against {theirs}");

            let gradients = loss.backward().unwrap();
            let gradients: BTreeMap<_, _> = variables
                .iter()
                .map(|(slot, variable)| {
                    let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{name}: {slot} has no gradient"));
                    (*slot, gradient.clone())
                })
                .collect();
            let stored = model.stored(&gradients).unwrap();
            assert_eq!(stored.len(), golden.keys().filter(|key| key.starts_with("grad.")).count(), "{name}");
            for (parameter, gradient) in stored {
                let theirs = flat(&golden[&format!("grad.{parameter}")]);
                let ours = floats(&gradient);
                if theirs.iter().all(|g| g.abs() < 1e-6) {
                    // a key bias without rotation: zero in exact arithmetic, the same shift of all scores of a row
                    assert!(parameter.ends_with("bias") && ours.iter().all(|g| g.abs() < 1e-6), "{name} {parameter}");
                    continue;
                }
                let difference = relative(&ours, &theirs);
                assert!(difference < 1e-5, "{name} {dtype:?} {parameter}: {difference}");
            }
        }
    }
}

#[test]
fn greedy_decoding_with_the_cache_gives_the_tokens_of_transformers() {
    for (name, model) in models() {
        let golden = golden(&name);
        let (prompt, expected) = (ids(&golden["greedy.prompt"]), ids(&golden["greedy.tokens"]));
        let reference = reference(&model, DType::F32);
        let (mut cache, mut logits) = reference.start(&[&prompt]).unwrap();
        let mut tokens = vec![argmax(&flat(&logits))];
        while tokens.len() < expected.len() {
            logits = reference.step(&mut cache, &tokens[tokens.len() - 1..]).unwrap();
            tokens.push(argmax(&flat(&logits)));
        }
        assert_eq!(tokens, expected, "{name}");
    }
}

#[test]
fn the_cache_holds_the_heads_of_keys_and_values_alone() {
    for (name, model) in models() {
        let (cache, _) = reference(&model, DType::F32).start(&[&[7, 8, 9]]).unwrap();
        let attention = model.spec.attention;
        let expected = 2 * model.spec.layers.len() * attention.n_kv_heads * attention.head_dim;
        assert_eq!(cache.numbers_per_token(), expected, "{name}");
    }
}

#[test]
fn rows_of_different_lengths_are_decoded_as_they_are_alone() {
    let prompts: [&[u32]; 3] = [&[7, 8, 9, 10, 11, 12, 13], &[3], &[20, 21, 22, 23]];
    for (name, model) in models() {
        let reference = reference(&model, DType::F64);
        let (mut together, first) = reference.start(&prompts).unwrap();
        let second = reference.step(&mut together, &[30, 31, 32]).unwrap();
        together.keep_rows(&[0, 2]).unwrap();
        let third = reference.step(&mut together, &[33, 34]).unwrap();
        for (row, prompt) in prompts.iter().enumerate() {
            let (mut alone, logits) = reference.start(&[prompt]).unwrap();
            let same = |ours: &Tensor, row: usize, logits: &Tensor| {
                let difference = relative(&floats(&ours.get(row).unwrap()), &floats(&logits.get(0).unwrap()));
                assert!(difference < 1e-6, "{name}: {difference}");
            };
            same(&first, row, &logits);
            same(&second, row, &reference.step(&mut alone, &[30 + row as u32]).unwrap());
            if let Some(row) = [0, 2].iter().position(|kept| *kept == row) {
                same(&third, row, &reference.step(&mut alone, &[33 + row as u32]).unwrap());
            }
        }
    }
}

#[test]
fn a_saved_model_loads_with_the_same_spec_and_parameters() {
    for (name, model) in models() {
        let saved = tempfile::tempdir().unwrap();
        model.save(saved.path()).unwrap();
        let loaded = Checkpoint::load(saved.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(loaded.spec, model.spec, "{name}");
        assert!(loaded.parameters.keys().eq(model.parameters.keys()), "{name}");
        for (slot, tensor) in &model.parameters {
            assert_eq!(flat(&loaded.parameters[slot]), flat(tensor), "{name} {slot}");
        }
    }
}

#[test]
fn a_gpu_is_refused_for_what_the_reference_alone_computes() {
    let error = LanguageModel::load(&folder("llama"), &emulated()).expect_err("there is no such engine");
    assert!(error.to_string().contains("`llama`") && error.to_string().contains("device: cpu"), "{error}");
    assert!(matches!(LanguageModel::load(&goldens().join("opt_tiny"), &emulated()).unwrap(), LanguageModel::Opt(_)));
}

#[test]
fn half_precision_is_close_to_f32() {
    for (name, model) in models() {
        let rows: Vec<u32> = ids(&golden(&name)["input_ids"]);
        let rows: Vec<&[u32]> = rows.chunks(12).collect();
        let exact = floats(&reference(&model, DType::F32).logits(&rows).unwrap());
        for (compute, allowed) in [(DType::F16, 2e-2), (DType::BF16, 1e-1)] {
            let half = reference(&model, DType::F32).for_inference(compute).unwrap();
            let logits = half.logits(&rows).unwrap();
            assert_eq!(logits.dtype(), DType::F32, "{name}");
            let difference = relative(&floats(&logits), &exact);
            assert!(difference > 0.0 && difference < allowed, "{name} {compute:?}: {difference}");
        }
    }
}

#[test]
fn the_hash_and_the_distance_see_a_change_of_one_weight() {
    let start = LanguageModel::load(&folder("gpt_neox"), &Device::Cpu).unwrap();
    assert_eq!(start.distance(&start).unwrap(), 0.0);
    let mut model = Checkpoint::load(&folder("gpt_neox")).unwrap();
    let (slot, tensor) = model.parameters.iter().next_back().map(|(slot, tensor)| (*slot, tensor.clone())).unwrap();
    let mut values = flat(&tensor);
    values[0] += 0.5;
    model.parameters.insert(slot, Tensor::from_vec(values, tensor.shape(), tensor.device()).unwrap());
    let saved = tempfile::tempdir().unwrap();
    model.save(saved.path()).unwrap();
    let changed = LanguageModel::load(saved.path(), &Device::Cpu).unwrap();
    assert_ne!(changed.hash().unwrap(), start.hash().unwrap());
    assert!(changed.distance(&start).unwrap() > 1e-3);
}
