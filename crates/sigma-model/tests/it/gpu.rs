//! The GPU's engine, kernel by kernel on the CPU, against the CPU's own.

use std::collections::BTreeMap;

use candle_core::DType;
use sigma_data::seeds::{Seeds, Stage};
use sigma_kernels::linear::Factors;
use sigma_kernels::loss_scale::LossScale;
use sigma_model::opt::{Dropout, Found, RowState, Sampling, Slot};
use sigma_model::{Device, ModelError, Opt, OptConfig};

use crate::{emulated, ids, model, relative, tensors};

const GREEDY: Sampling =
    Sampling { temperature: 0.0, top_p: 1.0, max_new_tokens: 32, stop_at_eos: false, vocab_size: usize::MAX };

fn on_gpu(name: &str, compute: DType) -> Opt {
    model(name).to_device(&emulated()).unwrap().for_inference(compute).unwrap()
}

/// Inputs and labels of `rows` sequences of `time` tokens, some of them equal.
fn batch(rows: usize, time: usize) -> (Vec<u32>, Vec<u32>) {
    let token = |i: usize| ((i * 37 + i / 7) % 90 + 1) as u32;
    ((0..rows * time).map(token).collect(), (1..=rows * time).map(token).collect())
}

fn dropout<R>(run: impl FnOnce(Option<Dropout<'_>>) -> R) -> R {
    let mut stream = Seeds::new(42, "test").stream(Stage::Dropout, Some(1), "step-1");
    run(Some(Dropout { p: 0.1, stream: &mut stream }))
}

/// A model of the same shape with fresh weights and room for `positions` tokens.
fn fresh(name: &str, positions: usize) -> Opt {
    let config = OptConfig { max_position_embeddings: positions, init_std: 0.1, ..model(name).config().clone() };
    Opt::init(config, &Seeds::new(42, "test"))
}

/// Sequences whose attention is one kernel, and some that are too long for it.
#[test]
fn gradients_with_dropout_are_those_of_the_cpu_under_the_same_masks() {
    let [short, post_norm] = ["opt_tiny", "opt_post_norm"].map(|name| (name, model(name), 11));
    let [long, long_post_norm] = ["opt_tiny", "opt_post_norm"].map(|name| (name, fresh(name, 80), 70));
    for (name, model, time) in [short, post_norm, long, long_post_norm] {
        let (inputs, labels) = batch(3, time);
        let mut host = model.host_training(Factors::F32).unwrap();
        let host_loss = dropout(|dropout| host.loss_and_gradients(&inputs, &labels, 3, dropout)).unwrap();
        let expected: BTreeMap<String, Vec<f32>> =
            host.named_gradients().map(|(name, gradient)| (name.to_string(), gradient.to_vec())).collect();
        for (compute, loss_tolerance, tolerance) in
            [(DType::F32, 1e-5, 1e-5), (DType::F16, 1e-3, 2e-2), (DType::BF16, 1e-2, 0.15)]
        {
            let mut gpu = model.to_device(&emulated()).unwrap().gpu_training(compute).unwrap().unwrap();
            gpu.begin_at(&LossScale::from_parts(8.0, 0, false), 0).unwrap();
            // the first step is launched kernel by kernel, the second is recorded and the third replayed
            for step in 0..3 {
                let Found { loss, scaled_norm } =
                    dropout(|dropout| gpu.loss_and_gradients(&inputs, &labels, 3, dropout)).unwrap();
                assert!((loss / host_loss - 1.0).abs() < loss_tolerance, "{name} {compute:?}: {loss} and {host_loss}");
                let (mut norm, mut apart, mut exact) = (0f64, 0f64, 0f64);
                for (parameter, gradient) in gpu.named_gradients().unwrap() {
                    let gradient: Vec<f32> = gradient.iter().map(|g| g / 8.0).collect();
                    let expected = &expected[&parameter];
                    norm += gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
                    exact += expected.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
                    apart += gradient.iter().zip(expected).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
                    if compute == DType::F32 && !parameter.ends_with("k_proj.bias") {
                        let difference = relative(&gradient, expected);
                        assert!(difference < 1e-4, "{name} {time} {parameter}, step {step}: {difference}");
                    }
                }
                let apart = (apart / exact).sqrt();
                assert!(apart < tolerance, "{name} {time} {compute:?}, step {step}: {apart}");
                assert!((scaled_norm / 8.0 / norm.sqrt() - 1.0).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn a_batch_of_another_shape_leaves_no_trace_in_the_next() {
    let (inputs, labels) = batch(3, 11);
    let (short_inputs, short_labels) = batch(2, 5);
    let mut gpu = model("opt_tiny").to_device(&emulated()).unwrap().gpu_training(DType::F32).unwrap().unwrap();
    let mut fresh = model("opt_tiny").to_device(&emulated()).unwrap().gpu_training(DType::F32).unwrap().unwrap();
    for _ in 0..3 {
        gpu.loss_and_gradients(&inputs, &labels, 3, None).unwrap();
        let found = gpu.loss_and_gradients(&short_inputs, &short_labels, 2, None).unwrap();
        assert_eq!(found, fresh.loss_and_gradients(&short_inputs, &short_labels, 2, None).unwrap());
        assert_eq!(gpu.named_gradients().unwrap(), fresh.named_gradients().unwrap());
    }
}

#[test]
fn a_model_comes_back_from_a_gpu_as_it_went() {
    let host = model("opt_post_norm");
    let gpu = host.to_device(&emulated()).unwrap();
    assert!(gpu.device().is_gpu());
    assert_eq!(gpu.hash().unwrap(), host.hash().unwrap());
    assert_eq!(gpu.to_device(&Device::Cpu).unwrap().hash().unwrap(), host.hash().unwrap());
}

#[test]
fn greedy_rows_of_one_step_program_are_the_texts_of_transformers() {
    for name in ["opt_tiny", "opt_post_norm", "opt_bin"] {
        let golden = tensors(name);
        let (prompt, expected) = (ids(&golden["greedy.prompt"]), ids(&golden["greedy.tokens"]));
        let model = on_gpu(name, DType::F32);
        // the second row begins later and is shorter; neither changes the first
        let sampling = Sampling { max_new_tokens: expected.len(), ..GREEDY };
        let mut decoder = model.gpu_decoder(3, prompt.len(), sampling).unwrap();
        let slot = |prompt| Slot { prompt, key: [7; 32], drawn: 0 };
        decoder.place(0, slot(&prompt[..])).unwrap();
        decoder.run(3).unwrap();
        decoder.place(2, slot(&prompt[..2])).unwrap();
        let mut states = Vec::new();
        while states.first().is_none_or(|(state, _)| *state == RowState::Running) {
            states = decoder.run(5).unwrap();
        }
        assert_eq!(decoder.tokens(0).unwrap(), expected, "{name}");
        assert_eq!(states[0], (RowState::Full, expected.len()));
        assert_eq!(states[1], (RowState::Idle, 0));
        // a finished row takes another text
        decoder.place(0, slot(&prompt[..2])).unwrap();
        decoder.run(prompt.len() + expected.len()).unwrap();
        assert_eq!(decoder.tokens(0).unwrap(), decoder.tokens(2).unwrap());
    }
}

#[test]
fn prompts_leave_what_steps_would_have_left_whatever_lies_beside_them() {
    // more prompts than one pass takes, of every length from 1 to 33 tokens, so that groups of keys are crossed
    let prompts: Vec<Vec<u32>> =
        (0..150).map(|i| (0..1 + i % 33).map(|t| ((i * 31 + t * 7) % 90 + 4) as u32).collect()).collect();
    for name in ["opt_tiny", "opt_post_norm"] {
        let model = on_gpu(name, DType::F32);
        let sampling = Sampling { max_new_tokens: 3, ..GREEDY };
        let write = |order: &[usize], rows: usize| {
            let mut decoder = model.gpu_decoder(rows, 33, sampling).unwrap();
            for (row, prompt) in order.iter().enumerate() {
                decoder.place(row, Slot { prompt: &prompts[*prompt], key: [7; 32], drawn: 0 }).unwrap();
            }
            decoder.run(3).unwrap();
            (0..order.len()).map(|row| decoder.tokens(row).unwrap()).collect::<Vec<_>>()
        };
        let all: Vec<usize> = (0..prompts.len()).collect();
        let together = write(&all, 150);
        for (i, prompt) in prompts.iter().enumerate().step_by(7) {
            // the whole text so far, by the pass over sequences: the most likely token but eos follows
            let mut text = prompt.clone();
            for token in &together[i] {
                let logits = model.logits(&[&text[..]]).unwrap();
                let last = &logits[logits.len() - model.config().vocab_size..];
                let eos = model.config().eos_token_id.ids()[0] as usize;
                let best = (0..last.len()).filter(|i| *i != eos).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap();
                assert_eq!(best as u32, *token, "{name}: prompt {i}");
                text.push(*token);
            }
        }
        let turned: Vec<usize> = all.iter().rev().copied().collect();
        assert!(write(&turned, 150).iter().rev().eq(&together), "{name}: another order");
        assert_eq!(write(&[40, 3], 150), [together[40].clone(), together[3].clone()], "{name}: two alone");
    }
}

#[test]
fn a_row_that_is_placed_twice_writes_the_second_text() {
    let model = on_gpu("opt_tiny", DType::F32);
    let sampling = Sampling { max_new_tokens: 4, ..GREEDY };
    let slot = |prompt| Slot { prompt, key: [7; 32], drawn: 0 };
    let mut decoder = model.gpu_decoder(2, 6, sampling).unwrap();
    for (first, second) in [(&[2, 9, 30, 4, 8][..], &[2, 40, 11][..]), (&[2, 9, 30][..], &[2][..])] {
        decoder.place(0, slot(first)).unwrap();
        decoder.place(0, slot(second)).unwrap();
        decoder.place(1, slot(second)).unwrap();
        decoder.run(4).unwrap();
        assert_eq!(decoder.tokens(0).unwrap(), decoder.tokens(1).unwrap());
    }
}

#[test]
fn half_precision_writes_with_the_logits_of_f32_within_its_rounding() {
    let rows: [&[u32]; 2] = [&[2, 5, 9, 14, 7, 30, 11], &[2, 30]];
    let exact = model("opt_tiny").logits(&rows).unwrap();
    for (compute, tolerance) in [(DType::F16, 5e-3), (DType::BF16, 4e-2)] {
        let difference = relative(&on_gpu("opt_tiny", compute).logits(&rows).unwrap(), &exact);
        assert!(difference > 0.0 && difference < tolerance, "{compute:?}: {difference}");
    }
}

/// More tokens than the head takes at once, in rows of several lengths.
#[test]
fn losses_of_tokens_are_those_of_the_logits_on_the_cpu() {
    for (name, compute, tolerance) in
        [("opt_tiny", DType::F32, 1e-5), ("opt_post_norm", DType::F32, 1e-5), ("opt_tiny", DType::F16, 2e-2)]
    {
        let host = model(name);
        let (inputs, labels) = batch(80, 16);
        let rows: Vec<&[u32]> = inputs.chunks(16).enumerate().map(|(i, row)| &row[..16 - i % 3]).collect();
        let labels: Vec<u32> =
            labels.chunks(16).zip(&rows).flat_map(|(labels, row)| labels[..row.len()].to_vec()).collect();
        assert!(labels.len() > 1024);
        let (expected, found) =
            (host.losses(&rows, &labels).unwrap(), on_gpu(name, compute).losses(&rows, &labels).unwrap());
        let worst = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(found.len() == labels.len() && worst < tolerance, "{name} {compute:?}: {worst}");
        let beyond = vec![host.config().vocab_size as u32; labels.len()];
        assert!(host.losses(&rows, &beyond).is_err());
    }
}

#[test]
fn a_row_without_a_distribution_is_reported_and_stops_no_other() {
    let mut broken = model("opt_tiny").host_training(Factors::F32).unwrap();
    // the table of positions follows that of tokens; its row for position 5 becomes NaN
    let config = model("opt_tiny").config().clone();
    let row = config.vocab_size * config.hidden_size + (5 + 2) * config.hidden_size;
    broken.parameters_and_gradients().0[row] = f32::NAN;
    let model = broken.into_model().to_device(&emulated()).unwrap();
    let mut decoder = model.gpu_decoder(2, 6, Sampling { max_new_tokens: 4, ..GREEDY }).unwrap();
    decoder.place(0, Slot { prompt: &[2], key: [0; 32], drawn: 0 }).unwrap();
    decoder.place(1, Slot { prompt: &[2, 8, 8, 8, 8, 8], key: [0; 32], drawn: 0 }).unwrap();
    assert_eq!(decoder.run(8).unwrap(), [(RowState::Full, 4), (RowState::WithoutDistribution, 0)]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let model = on_gpu("opt_tiny", DType::F32);
    assert!(matches!(model.gpu_decoder(1, 60, GREEDY), Err(ModelError::TooLong { needed: 91, max: 64 })));
    let mut decoder = model.gpu_decoder(1, 4, GREEDY).unwrap();
    let slot = |prompt| Slot { prompt, key: [0; 32], drawn: 0 };
    assert!(matches!(decoder.place(0, slot(&[])), Err(ModelError::EmptyPrompt)));
    assert!(matches!(decoder.place(0, slot(&[96])), Err(ModelError::TokenId { id: 96, .. })));
    assert!(matches!(decoder.place(0, slot(&[2; 5])), Err(ModelError::TooLong { needed: 5, max: 4 })));
    assert!(model.decoder(&[&[2]], 1, sigma_kernels::linear::Threads::All).is_err());
    assert!(matches!(crate::model("opt_tiny").gpu_decoder(1, 4, GREEDY), Err(ModelError::OnCpu { .. })));
}
