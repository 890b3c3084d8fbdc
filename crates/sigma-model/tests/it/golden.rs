//! Logits, loss, gradients and greedy text equal those of transformers, on every implementation.

use std::collections::BTreeMap;

use candle_core::DType;
use sigma_kernels::linear::{Factors, Threads};
use sigma_model::Opt;

use crate::{argmax, emulated, flat, ids, model, relative, tensors};

const MODELS: [&str; 3] = ["opt_tiny", "opt_post_norm", "opt_bin"];

/// The CPU's own code, candle's tensors, and the GPU's kernels.
fn all(name: &str) -> [(&'static str, Opt); 3] {
    let model = model(name);
    let tape = model.on_reference(DType::F32).unwrap();
    let gpu = model.to_device(&emulated()).unwrap();
    [("host", model), ("tape", tape), ("gpu", gpu)]
}

#[test]
fn logits_equal_transformers() {
    for name in MODELS {
        let golden = tensors(name);
        let rows = ids(&golden["input_ids"]);
        for (engine, model) in all(name) {
            let logits = model.logits(&rows.chunks(12).collect::<Vec<_>>()).unwrap();
            let difference = relative(&logits, &flat(&golden["logits"]));
            assert!(difference < 1e-5, "{name} {engine}: {difference}");
        }
    }
}

#[test]
fn logits_of_a_left_padded_batch_equal_transformers_at_every_real_token() {
    for name in MODELS {
        let golden = tensors(name);
        let (padded, mask) = (ids(&golden["padded.input_ids"]), ids(&golden["padded.attention_mask"]));
        let reference = flat(&golden["padded.logits"]);
        let time = 12;
        let lens: Vec<usize> = mask.chunks(time).map(|row| row.iter().sum::<u32>() as usize).collect();
        assert!(lens.iter().any(|len| *len < time), "the golden batch has padding");
        let rows: Vec<&[u32]> = padded.chunks(time).zip(&lens).map(|(row, len)| &row[time - len..]).collect();
        for (engine, model) in all(name) {
            let vocabulary = model.config().vocab_size;
            let logits = model.logits(&rows).unwrap();
            let mut ours = logits.chunks(vocabulary);
            for (row, len) in lens.iter().enumerate() {
                for t in 0..*len {
                    let theirs = &reference[(row * time + time - len + t) * vocabulary..][..vocabulary];
                    assert!(relative(ours.next().unwrap(), theirs) < 1e-5, "{name} {engine} row {row} token {t}");
                }
            }
        }
    }
}

#[test]
fn loss_and_every_gradient_equal_pytorch() {
    for name in MODELS {
        let golden = tensors(name);
        let all = ids(&golden["input_ids"]);
        // transformers shifts the labels itself: the last token of each row predicts nothing
        let inputs: Vec<u32> = all.chunks(12).flat_map(|row| row[..11].to_vec()).collect();
        let labels: Vec<u32> = all.chunks(12).flat_map(|row| row[1..].to_vec()).collect();

        let mut host = model(name).host_training(Factors::F32).unwrap();
        let host_loss = host.loss_and_gradients(&inputs, &labels, 3, None).unwrap();
        let host: BTreeMap<String, Vec<f32>> =
            host.named_gradients().map(|(name, g)| (name.to_string(), g.to_vec())).collect();

        let (tape, variables) = model(name).reference_training(DType::F32).unwrap();
        let tape_loss = tape.loss(&inputs, &labels, 3, None).unwrap();
        let gradients = tape_loss.backward().unwrap();
        let tape: BTreeMap<String, Vec<f32>> = variables
            .iter()
            .map(|(parameter, variable)| {
                let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{parameter} has no gradient"));
                (parameter.clone(), flat(gradient))
            })
            .collect();

        let tape_loss = tape_loss.to_scalar::<f32>().unwrap();
        let mut gpu = model(name).to_device(&emulated()).unwrap().gpu_training(DType::F32).unwrap().unwrap();
        let gpu_loss = gpu.loss_and_gradients(&inputs, &labels, 3, None).unwrap().loss;
        let gpu: BTreeMap<String, Vec<f32>> = gpu.named_gradients().unwrap().into_iter().collect();

        for (engine, loss, gradients) in [("host", host_loss, host), ("tape", tape_loss, tape), ("gpu", gpu_loss, gpu)]
        {
            let expected = golden["loss"].to_scalar::<f32>().unwrap();
            assert!((loss / expected - 1.0).abs() < 1e-5, "{name} {engine}: {loss}");
            let mut total = 0f64;
            assert_eq!(gradients.len(), golden.keys().filter(|key| key.starts_with("grad.")).count());
            for (parameter, gradient) in &gradients {
                let reference = flat(&golden[&format!("grad.{parameter}")]);
                total += gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
                if parameter.ends_with("k_proj.bias") {
                    // zero in exact arithmetic: the same shift of all scores of a row
                    assert!(gradient.iter().chain(&reference).all(|g| g.abs() < 1e-5), "{name} {engine} {parameter}");
                } else {
                    let difference = relative(gradient, &reference);
                    assert!(difference < 1e-4, "{name} {engine} {parameter}: {difference}");
                }
            }
            let norm = golden["grad_norm"].to_scalar::<f32>().unwrap();
            assert!((total.sqrt() as f32 / norm - 1.0).abs() < 1e-5, "{name} {engine}: norm {}", total.sqrt());
        }
    }
}

#[test]
fn greedy_decoding_gives_the_tokens_of_transformers() {
    for name in MODELS {
        let golden = tensors(name);
        let (prompt, expected) = (ids(&golden["greedy.prompt"]), ids(&golden["greedy.tokens"]));
        let reference = flat(&golden["greedy.logits"]);
        let [host, tape, _] = all(name);
        for (engine, model) in [host, tape] {
            let mut decoder = model.decoder(&[&prompt], expected.len(), Threads::All).unwrap();
            let mut tokens = Vec::new();
            for step in reference.chunks(model.config().vocab_size) {
                assert!(relative(decoder.logits(), step) < 1e-5, "{name} {engine} token {}", tokens.len());
                tokens.push(argmax(decoder.logits()));
                decoder.step(&tokens[tokens.len() - 1..]).unwrap();
            }
            assert_eq!(tokens, expected, "{name} {engine}");
        }
    }
}
