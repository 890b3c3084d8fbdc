//! The KV cache against the full forward pass, and what a row may not depend on.

use candle_core::{DType, Tensor};
use sigma_model::{KvCache, ModelError, Opt};

use crate::{flat, model, relative};

/// Logits of each step for rows with these prompts that are continued with these tokens.
fn decode(model: &Opt, prompts: &[&[u32]], continuation: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let lens: Vec<usize> = prompts.iter().map(|p| p.len()).collect();
    let longest = lens.iter().copied().max().unwrap();
    let padded: Vec<u32> =
        prompts.iter().flat_map(|p| p.iter().copied().chain(std::iter::repeat_n(1, longest - p.len()))).collect();
    let mut cache = KvCache::new(model, &lens, continuation.len()).unwrap();
    let mut steps = vec![flat(&model.prefill(&padded, &mut cache).unwrap())];
    for tokens in continuation {
        steps.push(flat(&model.step(tokens, &mut cache).unwrap()));
    }
    steps
}

#[test]
fn decoding_with_a_cache_equals_the_full_forward_pass() {
    for name in ["opt_tiny", "opt_post_norm"] {
        let model = model(name);
        let prompts: [&[u32]; 2] = [&[2, 5, 9, 14, 7], &[2, 30]];
        let continuation = [vec![11, 12], vec![13, 14], vec![15, 16]];
        let steps = decode(&model, &prompts, &continuation);
        let vocabulary = model.config().vocab_size;
        for (row, prompt) in prompts.iter().enumerate() {
            let mut whole = prompt.to_vec();
            whole.extend(continuation.iter().map(|tokens| tokens[row]));
            let full = flat(&model.logits(&whole, 1).unwrap());
            for (step, logits) in steps.iter().enumerate() {
                let reference = &full[(prompt.len() - 1 + step) * vocabulary..][..vocabulary];
                let difference = relative(&logits[row * vocabulary..][..vocabulary], reference);
                assert!(difference < 1e-5, "{name} row {row} step {step}: {difference}");
            }
        }
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
    let model = model("opt_tiny");
    let mut cache = KvCache::new(&model, &[2, 2, 2], 3).unwrap();
    model.prefill(&[2, 7, 2, 8, 2, 9], &mut cache).unwrap();
    cache.keep_rows(&[2, 0]).unwrap();
    let kept = flat(&model.step(&[20, 21], &mut cache).unwrap());
    let direct = decode(&model, &[&[2, 9], &[2, 7]], &[vec![20, 21]]);
    assert_eq!(kept, direct[1]);
}

#[test]
fn too_many_positions_and_unknown_ids_are_errors() {
    let model = model("opt_tiny");
    assert!(matches!(model.logits(&[2; 65], 1), Err(ModelError::TooLong { needed: 65, max: 64 })));
    assert!(matches!(model.logits(&[96], 1), Err(ModelError::TokenId { id: 96, vocabulary: 96 })));
}

#[test]
fn half_precision_inference_is_close_to_f32_and_leaves_the_weights_alone() {
    let model = model("opt_tiny");
    let half = model.for_inference(DType::F16).unwrap();
    let ids: Vec<u32> = (2..20).collect();
    let (exact, approximate) = (flat(&model.logits(&ids, 1).unwrap()), flat(&half.logits(&ids, 1).unwrap()));
    let difference = relative(&approximate, &exact);
    assert!(difference > 0.0 && difference < 1e-2, "{difference}");
    assert_eq!(half.hash().unwrap(), model.hash().unwrap());
}

#[test]
fn dropout_changes_the_loss_reproducibly_and_keeps_gradients_for_every_parameter() {
    let (trained, variables) = model("opt_tiny").trainable(DType::F32).unwrap();
    let (inputs, labels): (Vec<u32>, Vec<u32>) = ((2..18).collect(), (3..19).collect());
    let loss = |key: u8| {
        let mut stream = sigma_data::seeds::Stream::from_key([key; 32]);
        let dropout = sigma_model::opt::Dropout { p: 0.1, stream: &mut stream };
        trained.loss(&inputs, &labels, 2, Some(dropout)).unwrap()
    };
    let value = |t: &Tensor| t.to_scalar::<f32>().unwrap();
    assert_eq!(value(&loss(1)), value(&loss(1)));
    assert_ne!(value(&loss(1)), value(&loss(2)));
    let gradients = loss(3).backward().unwrap();
    assert!(variables.iter().all(|(_, variable)| gradients.get(variable).is_some()));
}
