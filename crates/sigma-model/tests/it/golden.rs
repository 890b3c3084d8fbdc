//! Logits, loss, gradients and greedy text equal those of transformers.

use candle_core::DType;
use sigma_model::KvCache;

use crate::{argmax, flat, ids, model, relative, tensors};

const MODELS: [&str; 3] = ["opt_tiny", "opt_post_norm", "opt_bin"];

#[test]
fn logits_equal_transformers() {
    for name in MODELS {
        let golden = tensors(name);
        let logits = model(name).logits(&ids(&golden["input_ids"]), 3).unwrap();
        let difference = relative(&flat(&logits), &flat(&golden["logits"]));
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}

#[test]
fn logits_of_a_left_padded_batch_equal_transformers_at_every_real_token() {
    for name in MODELS {
        let golden = tensors(name);
        let (padded, mask) = (ids(&golden["padded.input_ids"]), ids(&golden["padded.attention_mask"]));
        let (model, reference) = (model(name), flat(&golden["padded.logits"]));
        let (time, vocabulary) = (12, model.config().vocab_size);
        let lens: Vec<usize> = mask.chunks(time).map(|row| row.iter().sum::<u32>() as usize).collect();
        assert!(lens.iter().any(|len| *len < time), "the golden batch has padding");
        // the same rows, moved to the left
        let mut right = vec![0u32; padded.len()];
        for (row, len) in lens.iter().enumerate() {
            right[row * time..][..*len].copy_from_slice(&padded[(row + 1) * time - len..(row + 1) * time]);
        }
        let hidden = model.last_hidden_state(&right, &lens).unwrap();
        let width = model.config().embedding_width();
        let head = &model.parameters()["model.decoder.embed_tokens.weight"];
        let logits = flat(&hidden.reshape((right.len(), width)).unwrap().matmul(&head.t().unwrap()).unwrap());
        for (row, len) in lens.iter().enumerate() {
            for t in 0..*len {
                let ours = &logits[(row * time + t) * vocabulary..][..vocabulary];
                let theirs = &reference[(row * time + time - len + t) * vocabulary..][..vocabulary];
                assert!(relative(ours, theirs) < 1e-5, "{name} row {row} token {t}");
            }
        }
    }
}

#[test]
fn loss_and_every_gradient_equal_pytorch() {
    for name in MODELS {
        let golden = tensors(name);
        let (trained, variables) = model(name).trainable(DType::F32).unwrap();
        let all = ids(&golden["input_ids"]);
        // transformers shifts the labels itself: the last token of each row predicts nothing
        let inputs: Vec<u32> = all.chunks(12).flat_map(|row| row[..11].to_vec()).collect();
        let labels: Vec<u32> = all.chunks(12).flat_map(|row| row[1..].to_vec()).collect();
        let loss = trained.loss(&inputs, &labels, 3, None).unwrap();
        let expected = golden["loss"].to_scalar::<f32>().unwrap();
        assert!((loss.to_scalar::<f32>().unwrap() / expected - 1.0).abs() < 1e-5, "{name}");

        let gradients = loss.backward().unwrap();
        let mut total = 0f64;
        for (parameter, variable) in &variables {
            let gradient =
                flat(gradients.get(variable).unwrap_or_else(|| panic!("{name}: {parameter} has no gradient")));
            let reference = flat(&golden[&format!("grad.{parameter}")]);
            total += gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
            if parameter.ends_with("k_proj.bias") {
                // zero in exact arithmetic: the same shift of all scores of a row
                assert!(gradient.iter().chain(&reference).all(|g| g.abs() < 1e-5), "{name} {parameter}");
            } else {
                let difference = relative(&gradient, &reference);
                assert!(difference < 1e-4, "{name} {parameter}: {difference}");
            }
        }
        let norm = golden["grad_norm"].to_scalar::<f32>().unwrap();
        assert!((total.sqrt() as f32 / norm - 1.0).abs() < 1e-5, "{name}: norm {} against {norm}", total.sqrt());
    }
}

#[test]
fn greedy_decoding_gives_the_tokens_of_transformers() {
    for name in MODELS {
        let golden = tensors(name);
        let (prompt, expected) = (ids(&golden["greedy.prompt"]), ids(&golden["greedy.tokens"]));
        let model = model(name);
        let mut cache = KvCache::new(&model, &[prompt.len()], expected.len()).unwrap();
        let mut logits = model.prefill(&prompt, &mut cache).unwrap();
        let mut tokens = Vec::new();
        let reference = flat(&golden["greedy.logits"]);
        for step in reference.chunks(model.config().vocab_size) {
            assert!(relative(&flat(&logits), step) < 1e-5, "{name} token {}", tokens.len());
            tokens.push(argmax(&flat(&logits)));
            logits = model.step(&tokens[tokens.len() - 1..], &mut cache).unwrap();
        }
        assert_eq!(tokens, expected, "{name}");
    }
}
