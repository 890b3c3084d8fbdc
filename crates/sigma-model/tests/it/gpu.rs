//! The GPU's engine, kernel by kernel on the CPU, against the CPU's own.

use std::collections::BTreeMap;

use candle_core::DType;
use sigma_data::seeds::{Seeds, Stage};
use sigma_kernels::linear::Factors;
use sigma_kernels::loss_scale::LossScale;
use sigma_model::opt::{Dropout, Found, RowState, Sampling, Slot};
use sigma_model::{Device, ModelError, Opt};

use crate::{emulated, ids, model, relative, tensors};

const GREEDY: Sampling = Sampling { temperature: 0.0, top_p: 1.0, max_new_tokens: 32, stop_at_eos: false };

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

#[test]
fn gradients_with_dropout_are_those_of_the_cpu_under_the_same_masks() {
    for name in ["opt_tiny", "opt_post_norm"] {
        let (inputs, labels) = batch(3, 11);
        let mut host = model(name).host_training(Factors::F32).unwrap();
        let host_loss = dropout(|dropout| host.loss_and_gradients(&inputs, &labels, 3, dropout)).unwrap();
        let expected: BTreeMap<String, Vec<f32>> =
            host.named_gradients().map(|(name, gradient)| (name.to_string(), gradient.to_vec())).collect();
        for (compute, loss_tolerance, tolerance) in
            [(DType::F32, 1e-5, 1e-5), (DType::F16, 1e-3, 2e-2), (DType::BF16, 1e-2, 0.15)]
        {
            let mut gpu = model(name).to_device(&emulated()).unwrap().gpu_training(compute).unwrap().unwrap();
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
                        assert!(difference < 1e-4, "{name} {parameter}, step {step}: {difference}");
                    }
                }
                let apart = (apart / exact).sqrt();
                assert!(apart < tolerance, "{name} {compute:?}, step {step}: {apart}");
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
fn half_precision_writes_with_the_logits_of_f32_within_its_rounding() {
    let rows: [&[u32]; 2] = [&[2, 5, 9, 14, 7, 30, 11], &[2, 30]];
    let exact = model("opt_tiny").logits(&rows).unwrap();
    for (compute, tolerance) in [(DType::F16, 5e-3), (DType::BF16, 4e-2)] {
        let difference = relative(&on_gpu("opt_tiny", compute).logits(&rows).unwrap(), &exact);
        assert!(difference > 0.0 && difference < tolerance, "{compute:?}: {difference}");
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
