//! The CPU's engine for any family against transformers and torch, and against itself in other batches.

use candle_core::DType;
use sigma_kernels::adamw::{Settings, adamw};
use sigma_kernels::linear::Threads;
use sigma_kernels::norm;
use sigma_model::spec::DropoutRates;
use sigma_model::{Checkpoint, Device, FamilyModel, LanguageModel};

use super::{argmax, flat, folder, golden, ids, models, relative, shifted};

/// Models that the engine computes, ready for decoding.
fn fast(compute: DType) -> Vec<(String, LanguageModel)> {
    let load = |(name, model): (String, Checkpoint)| {
        // OPT has engines of its own
        if model.family.model_type == "opt" {
            return None;
        }
        let model = LanguageModel::load(&folder(&name), &Device::Cpu).unwrap().for_inference(compute).unwrap();
        matches!(&model, LanguageModel::Family(family) if family.is_fast()).then_some((name, model))
    };
    models().into_iter().filter_map(load).collect()
}

fn family(name: &str) -> FamilyModel {
    FamilyModel::load(&folder(name)).unwrap()
}

#[test]
fn the_engine_computes_these_families_and_says_what_it_lacks_for_the_others() {
    let mut lacks = Vec::new();
    for (name, model) in models().into_iter().filter(|(_, model)| model.family.model_type != "opt") {
        lacks.push((model.family.model_type, family(&name).lacks()));
    }
    lacks.sort();
    lacks.dedup();
    let expected = [
        ("gemma2", Some("caps on scores or logits")),
        ("gemma3_text", Some("windows of attention")),
        ("gpt2", Some("the activation of the MLP")),
        ("gpt_neox", Some("the activation of the MLP")),
        ("llama", None),
        // without windows, and with them
        ("mistral", None),
        ("mistral", Some("windows of attention")),
        ("olmo2", None),
        ("qwen2", None),
        ("qwen2", Some("windows of attention")),
        ("qwen3", None),
        ("qwen3", Some("windows of attention")),
        ("smollm3", None),
        ("smollm3", Some("windows of attention")),
    ];
    assert_eq!(lacks, expected);
}

#[test]
fn logits_are_those_of_transformers() {
    for (name, model) in fast(DType::F32) {
        let golden = golden(&name);
        let rows = ids(&golden["input_ids"]);
        let logits = model.logits(&rows.chunks(12).collect::<Vec<_>>()).unwrap();
        let difference = relative(&logits, &flat(&golden["logits"]));
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}

#[test]
fn loss_and_every_gradient_are_those_of_pytorch() {
    for (name, _) in fast(DType::F32) {
        let (golden, model) = (golden(&name), family(&name));
        let (inputs, labels) = shifted(&ids(&golden["input_ids"]));
        let mut training = model.decoder_training(DType::F32, DropoutRates::default()).unwrap().unwrap();
        // what an earlier batch left must not be seen
        training.loss_and_gradients(&labels, &inputs, 3).unwrap();
        let (loss, theirs) = (training.loss_and_gradients(&inputs, &labels, 3).unwrap(), flat(&golden["loss"])[0]);
        assert!((loss / theirs - 1.0).abs() < 1e-5, "{name}: {loss} against {theirs}");
        let stored = model.checkpoint().stored(&training.gradients_by_slot().unwrap()).unwrap();
        assert_eq!(stored.len(), golden.keys().filter(|key| key.starts_with("grad.")).count(), "{name}");
        for (parameter, gradient) in stored {
            let (ours, theirs) = (flat(&gradient), flat(&golden[&format!("grad.{parameter}")]));
            let difference = relative(&ours, &theirs);
            assert!(difference < 1e-4, "{name} {parameter}: {difference}");
        }
    }
}

#[test]
fn greedy_texts_are_those_of_transformers() {
    for (name, model) in fast(DType::F32) {
        let golden = golden(&name);
        let (prompt, expected) = (ids(&golden["greedy.prompt"]), ids(&golden["greedy.tokens"]));
        let mut decoder = model.decoder(&[&prompt], expected.len(), Threads::All).unwrap();
        let mut tokens = vec![argmax(decoder.logits())];
        while tokens.len() < expected.len() {
            decoder.step(&tokens[tokens.len() - 1..]).unwrap();
            tokens.push(argmax(decoder.logits()));
        }
        assert_eq!(tokens, expected, "{name}");
    }
}

#[test]
fn a_row_has_the_same_bits_in_every_batch_and_as_a_whole_text() {
    let prompts: [&[u32]; 3] = [&[7, 8, 9, 10, 11, 12, 13], &[3], &[20, 21, 22, 23]];
    for compute in [DType::F32, DType::BF16] {
        for (name, model) in fast(compute) {
            let vocabulary = model.vocab_size();
            let mut together = model.decoder(&prompts, 3, Threads::All).unwrap();
            let mut seen: Vec<Vec<f32>> = together.logits().chunks(vocabulary).map(<[f32]>::to_vec).collect();
            together.step(&[30, 31, 32]).unwrap();
            seen.extend(together.logits().chunks(vocabulary).map(<[f32]>::to_vec));
            together.keep_rows(&[0, 2]).unwrap();
            together.step(&[33, 34]).unwrap();
            seen.extend(together.logits().chunks(vocabulary).map(<[f32]>::to_vec));
            let third = [33, 0, 34];
            for (row, prompt) in prompts.iter().enumerate() {
                let mut alone = model.decoder(&[prompt], 3, Threads::One).unwrap();
                assert!(alone.logits() == seen[row], "{name}: prompt {row}");
                alone.step(&[30 + row as u32]).unwrap();
                assert!(alone.logits() == seen[3 + row], "{name}: first step of {row}");
                let text = [prompt, &[30 + row as u32][..]].concat();
                let whole = model.logits(&[&text]).unwrap();
                assert!(whole[prompt.len() * vocabulary..] == seen[3 + row], "{name}: {row} as a whole text");
                if let Some(kept) = [0, 2].iter().position(|kept| *kept == row) {
                    alone.step(&[third[row]]).unwrap();
                    assert!(alone.logits() == seen[6 + kept], "{name}: second step of {row}");
                }
            }
        }
    }
}

#[test]
fn twenty_adamw_steps_end_where_pytorch_ends() {
    let settings =
        Settings { learning_rate: 1e-3, weight_decay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-5, clip_norm: 1.0 };
    for (name, _) in fast(DType::F32) {
        let (golden, start) = (golden(&name), family(&name));
        let mut training = start.decoder_training(DType::F32, DropoutRates::default()).unwrap().unwrap();
        let n = training.gradients().len();
        let (mut m, mut v, mut losses) = (vec![0.0; n], vec![0.0; n], Vec::new());
        for (step, batch) in ids(&golden["train.batches"]).chunks(4 * 12).enumerate() {
            let (inputs, labels) = shifted(batch);
            losses.push(training.loss_and_gradients(&inputs, &labels, 4).unwrap());
            let step = settings.step(step + 1, norm::global_norm(training.gradients()), 1.0);
            let (values, gradients) = training.parameters_and_gradients();
            adamw(values, gradients, &mut m, &mut v, &step);
        }
        let difference = relative(&losses, &flat(&golden["train.losses"]));
        assert!(difference < 1e-4, "{name}: {difference}");
        let (trained, start) = (FamilyModel::of_training(training).unwrap().parameters().unwrap(), start.parameters());
        let start = start.unwrap();
        let length = |apart: &dyn Fn(&String) -> f64| trained.keys().map(apart).sum::<f64>().sqrt();
        let squares = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        let travelled = f64::from(flat(&golden["train.distance"])[0]);
        let moved = length(&|name| squares(&trained[name].1, &start[name].1));
        assert!((moved / travelled - 1.0).abs() < 0.01, "{name}: {moved} against {travelled}");
        if golden.keys().any(|key| key.starts_with("trained.")) {
            let apart = length(&|name| squares(&trained[name].1, &flat(&golden[&format!("trained.{name}")])));
            assert!(apart < 0.01 * travelled, "{name}: {apart} apart after {travelled}");
        }
    }
}

#[test]
fn bf16_is_close_to_f32() {
    for ((name, exact), (_, rounded)) in fast(DType::F32).into_iter().zip(fast(DType::BF16)) {
        let rows = ids(&golden(&name)["input_ids"]);
        let rows: Vec<&[u32]> = rows.chunks(12).collect();
        let difference = relative(&rounded.logits(&rows).unwrap(), &exact.logits(&rows).unwrap());
        assert!(difference > 0.0 && difference < 0.1, "{name}: {difference}");
    }
}
