//! Decoding against the full forward pass, the CPU's code against candle's, and what a row may not depend on.

use candle_core::DType;
use sigma_kernels::linear::{Factors, Threads};
use sigma_model::opt::Dropout;
use sigma_model::{ModelError, Opt};

use crate::{flat, model, relative};

/// Logits of each step for rows with these prompts that are continued with these tokens.
fn decode(model: &Opt, prompts: &[&[u32]], continuation: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let mut decoder = model.decoder(prompts, continuation.len(), Threads::All).unwrap();
    let mut steps = vec![decoder.logits().to_vec()];
    for tokens in continuation {
        decoder.step(tokens).unwrap();
        steps.push(decoder.logits().to_vec());
    }
    steps
}

#[test]
fn decoding_with_a_cache_equals_the_full_forward_pass() {
    for name in ["opt_tiny", "opt_post_norm"] {
        let host = model(name);
        let tape = host.on_reference(DType::F32).unwrap();
        let prompts: [&[u32]; 2] = [&[2, 5, 9, 14, 7], &[2, 30]];
        let continuation = [vec![11, 12], vec![13, 14], vec![15, 16]];
        for model in [&host, &tape] {
            let steps = decode(model, &prompts, &continuation);
            let vocabulary = model.config().vocab_size;
            for (row, prompt) in prompts.iter().enumerate() {
                let mut whole = prompt.to_vec();
                whole.extend(continuation.iter().map(|tokens| tokens[row]));
                let full = host.logits(&[&whole]).unwrap();
                for (step, logits) in steps.iter().enumerate() {
                    let reference = &full[(prompt.len() - 1 + step) * vocabulary..][..vocabulary];
                    let difference = relative(&logits[row * vocabulary..][..vocabulary], reference);
                    assert!(difference < 1e-5, "{name} row {row} step {step}: {difference}");
                }
            }
        }
    }
}

#[test]
fn weights_arranged_for_inference_give_the_same_bits() {
    for name in ["opt_tiny", "opt_post_norm", "opt_sharded"] {
        let plain = model(name);
        let fast = plain.for_inference(DType::F32).unwrap();
        let prompts: [&[u32]; 3] = [&[2, 5, 9, 14, 7], &[2, 30], &[2]];
        let continuation = [vec![11, 12, 4], vec![13, 14, 5]];
        assert_eq!(decode(&plain, &prompts, &continuation), decode(&fast, &prompts, &continuation), "{name}");
        assert_eq!(plain.logits(&prompts).unwrap(), fast.logits(&prompts).unwrap(), "{name}");
        assert_eq!(plain.hash().unwrap(), fast.hash().unwrap());
    }
}

#[test]
fn a_row_gets_the_same_bits_alone_and_in_any_batch() {
    let model = model("opt_tiny");
    let long: Vec<u32> = (2..40).collect();
    let alone = decode(&model, &[&[2, 8, 9]], &[vec![4], vec![60]]);
    let batched = decode(&model, &[&long, &[2, 8, 9], &[2]], &[vec![9, 4, 1], vec![8, 60, 3]]);
    let vocabulary = model.config().vocab_size;
    for (one, many) in alone.iter().zip(&batched) {
        assert_eq!(one[..], many[vocabulary..2 * vocabulary]);
    }
}

#[test]
fn rows_that_stay_are_not_changed_when_others_leave_the_batch() {
    let host = model("opt_tiny");
    let tape = host.on_reference(DType::F32).unwrap();
    for model in [&host, &tape] {
        let mut decoder = model.decoder(&[&[2, 7], &[2, 8], &[2, 9]], 3, Threads::All).unwrap();
        let vocabulary = model.config().vocab_size;
        let before = decoder.logits()[2 * vocabulary..].to_vec();
        decoder.keep_rows(&[0, 2]).unwrap();
        assert_eq!(decoder.rows(), 2);
        assert_eq!(decoder.logits()[vocabulary..], before);
        decoder.step(&[20, 21]).unwrap();
        let direct = decode(model, &[&[2, 7], &[2, 9]], &[vec![20, 21]]);
        assert!(relative(decoder.logits(), &direct[1]) < 1e-6);
    }
}

#[test]
fn hidden_states_of_rows_of_any_length_equal_those_of_each_alone() {
    for name in ["opt_tiny", "opt_post_norm"] {
        let host = model(name);
        let rows: [&[u32]; 3] = [&[2, 5, 9, 14], &[2], &[2, 30, 31]];
        let together = host.hidden_states(&rows).unwrap();
        let alone: Vec<f32> = rows.iter().flat_map(|row| host.hidden_states(&[row]).unwrap()).collect();
        assert_eq!(together, alone, "{name}");
        let tape = host.on_reference(DType::F32).unwrap().hidden_states(&rows).unwrap();
        assert!(relative(&tape, &together) < 1e-5, "{name}");
    }
}

#[test]
fn what_can_not_be_computed_is_an_error() {
    let model = model("opt_tiny");
    assert!(matches!(model.logits(&[&[2; 65]]), Err(ModelError::TooLong { needed: 65, max: 64 })));
    assert!(matches!(model.logits(&[&[96]]), Err(ModelError::TokenId { id: 96, vocabulary: 96 })));
    assert!(matches!(model.decoder(&[&[2; 60]], 5, Threads::All), Err(ModelError::TooLong { needed: 65, max: 64 })));
    assert!(matches!(model.decoder(&[&[2], &[]], 5, Threads::All), Err(ModelError::EmptyPrompt)));
    let mut decoder = model.decoder(&[&[2; 63]], 1, Threads::All).unwrap();
    assert!(matches!(decoder.step(&[2, 2]), Err(ModelError::Batch { rows: 1, .. })));
    decoder.step(&[2]).unwrap();
    assert!(matches!(decoder.step(&[2]), Err(ModelError::TooLong { needed: 65, max: 64 })));
    let mut training = model.host_training(Factors::F32).unwrap();
    for (inputs, labels, rows) in [(vec![2; 4], vec![2; 3], 2), (vec![], vec![], 1), (vec![2; 5], vec![2; 5], 2)] {
        let result = training.loss_and_gradients(&inputs, &labels, rows, None);
        assert!(matches!(result, Err(ModelError::Batch { .. })), "{inputs:?}");
    }
    assert!(matches!(training.loss_and_gradients(&[2], &[96], 1, None), Err(ModelError::TokenId { id: 96, .. })));
}

#[test]
fn half_precision_inference_is_close_to_f32_and_leaves_the_weights_alone() {
    let model = model("opt_tiny");
    let half = model.for_inference(DType::F16).unwrap();
    let ids: Vec<u32> = (2..20).collect();
    let difference = relative(&half.logits(&[&ids]).unwrap(), &model.logits(&[&ids]).unwrap());
    assert!(difference > 0.0 && difference < 1e-2, "{difference}");
    assert_eq!(half.hash().unwrap(), model.hash().unwrap());
    assert_eq!(half.parameter_count(), model.parameter_count());
}

#[test]
fn training_with_dropout_equals_autograd_with_the_same_masks() {
    for name in ["opt_tiny", "opt_post_norm"] {
        let mut host = model(name).host_training(Factors::F32).unwrap();
        let (tape, variables) = model(name).reference_training(DType::F32).unwrap();
        let (inputs, labels): (Vec<u32>, Vec<u32>) = ((2..18).collect(), (3..19).collect());
        let stream = |key: u8| sigma_data::seeds::Stream::from_key([key; 32]);
        let mut loss = |key: u8| {
            let dropout = Dropout { p: 0.1, stream: &mut stream(key) };
            host.loss_and_gradients(&inputs, &labels, 2, Some(dropout)).unwrap()
        };
        let (one, other, again) = (loss(1), loss(2), loss(1));
        assert_eq!(one, again);
        assert_ne!(one, other);
        let (p, mut stream) = (0.1, stream(1));
        let dropout = Dropout { p, stream: &mut stream };
        let autograd = tape.loss(&inputs, &labels, 2, Some(dropout.into())).unwrap();
        assert!((autograd.to_scalar::<f32>().unwrap() / one - 1.0).abs() < 1e-5);
        let gradients = autograd.backward().unwrap();
        for ((parameter, gradient), (same, variable)) in host.named_gradients().zip(&variables) {
            assert_eq!(parameter, same);
            let reference = flat(gradients.get(variable).unwrap());
            if !parameter.ends_with("k_proj.bias") {
                let difference = relative(gradient, &reference);
                assert!(difference < 1e-4, "{name} {parameter}: {difference}");
            }
        }
    }
}
