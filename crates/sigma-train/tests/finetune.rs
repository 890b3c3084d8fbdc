//! Training against PyTorch's optimizer and autograd (`scripts/goldens/opt.py`), and what a run promises.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use sigma_data::blocks::Block;
use sigma_data::seeds::Seeds;
use sigma_kernels::gpu::Gpu;
use sigma_model::spec::DropoutRates;
use sigma_model::{Device, LanguageModel};
use sigma_train::schedule::learning_rate;
use sigma_train::{
    Precision, Schedule, Scored, Streams, TrainError, Trained, Trainee, TrainingConfig, TrainingSet, TrainingState,
    finetune, perplexity,
};

fn goldens() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sigma-model/tests/goldens")
}

fn tiny() -> LanguageModel {
    LanguageModel::load(&goldens().join("opt_tiny"), &Device::Cpu).unwrap()
}

/// The same on a GPU whose kernels the CPU runs.
fn on_gpu() -> LanguageModel {
    tiny().to_device(&Device::Gpu(Gpu::emulated())).unwrap()
}

/// Of the tiny model.
const BOS: u32 = 2;

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn blocks(n: usize) -> Vec<Block> {
    let tokens = |i: usize| (0..16).map(|t| ((i * 37 + t * 11) % 92 + 4) as u32).collect();
    (0..n).map(|i| Block { id: format!("b{i}"), tokens: tokens(i) }).collect()
}

/// Texts of the tiny model begin with its BOS.
fn set(blocks: &[Block]) -> TrainingSet<'_> {
    TrainingSet { blocks, bos: Some(BOS) }
}

fn config() -> TrainingConfig {
    TrainingConfig { epochs: 2, batch_size: 4, learning_rate: 1e-3, ..TrainingConfig::default() }
}

fn train(model: &LanguageModel, blocks: &[Block], config: &TrainingConfig) -> Result<Trained, TrainError> {
    let seeds = Seeds::new(42, "test");
    finetune(model, set(blocks), config, Streams { seeds: &seeds, generation: Some(1) }, None, |_| {
        ControlFlow::Continue(())
    })
}

#[test]
fn twenty_steps_follow_pytorch_under_both_schedules() {
    let text = std::fs::read_to_string(goldens().join("train.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    let tensors: HashMap<String, Tensor> =
        candle_core::safetensors::load(goldens().join("train.safetensors"), &candle_core::Device::Cpu).unwrap();
    let batches: Vec<i64> = tensors["batches"].flatten_all().unwrap().to_vec1().unwrap();
    for (name, schedule) in [("constant", Schedule::Constant), ("linear", Schedule::Linear)] {
        let config = TrainingConfig { learning_rate: 1e-3, schedule, ..TrainingConfig::default() };
        let engines = [
            Trainee::new(&tiny(), DType::F32, DropoutRates::default()),
            Trainee::on_reference(&tiny(), DType::F32),
            Trainee::new(&on_gpu(), DType::F32, DropoutRates::default()),
        ];
        for trainee in engines {
            let mut trainee = trainee.unwrap();
            for (step, batch) in batches.chunks(4 * 16).enumerate() {
                let row = |r: &[i64], from: usize, to: usize| r[from..to].iter().map(|x| *x as u32).collect::<Vec<_>>();
                let inputs: Vec<u32> = batch.chunks(16).flat_map(|r| row(r, 0, 15)).collect();
                let labels: Vec<u32> = batch.chunks(16).flat_map(|r| row(r, 1, 16)).collect();
                let rate = learning_rate(&config, step, 20);
                trainee.step(&inputs, &labels, 4, None, &config.settings(rate)).unwrap();
                let outcomes = trainee.outcomes().unwrap();
                assert_eq!(outcomes.len(), 1);
                let at = |key: &str| golden[name][key][step].as_f64().unwrap();
                let close = |ours: f64, key: &str| {
                    assert!(
                        (ours / at(key) - 1.0).abs() < 2e-5,
                        "{name} step {step}: {key} {ours} against {}",
                        at(key)
                    );
                };
                close(f64::from(outcomes[0].loss), "losses");
                close(outcomes[0].gradient_norm, "grad_norms");
                close(rate, "learning_rates");
            }
            let mut compared = 0;
            for (parameter, (_, ours)) in trainee.into_model().unwrap().parameters().unwrap() {
                let Some(golden) = tensors.get(&format!("{name}.{parameter}")) else {
                    assert!(parameter.ends_with("k_proj.bias"), "{parameter} has no golden");
                    continue;
                };
                let worst = ours.iter().zip(flat(golden)).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
                assert!(worst < 5e-5, "{name} {parameter}: {worst}");
                compared += 1;
            }
            assert!(compared > 30);
        }
    }
}

#[test]
fn every_parameter_has_a_gradient_and_moves_in_one_step() {
    // post-norm and projections included; a run with one epoch of one batch is one step
    for name in ["opt_tiny", "opt_post_norm"] {
        let model = LanguageModel::load(&goldens().join(name), &Device::Cpu).unwrap();
        let one_step = TrainingConfig { epochs: 1, batch_size: 8, weight_decay: 0.0, ..config() };
        let trained = train(&model, &blocks(8), &one_step).unwrap();
        assert_eq!(trained.curve.len(), 1);
        let all = trained.model.parameters().unwrap();
        for (parameter, (_, before)) in model.parameters().unwrap() {
            let after = &all[&parameter].1;
            let moved = before.iter().zip(after).filter(|(a, b)| a != b).count();
            // key biases have no gradient but rounding noise; position rows beyond the block are never used
            assert!(moved > 0 || parameter.ends_with("k_proj.bias"), "{name}: {parameter} did not move");
        }
    }
}

#[test]
fn training_lowers_the_loss_and_leaves_the_given_model_alone() {
    let model = tiny();
    let before = model.hash().unwrap();
    let trained = train(&model, &blocks(16), &TrainingConfig { epochs: 10, ..config() }).unwrap();
    let (first, last) = (&trained.curve[0], &trained.curve[trained.curve.len() - 1]);
    assert!(last.loss < 0.8 * first.loss, "{} -> {}", first.loss, last.loss);
    assert_eq!(model.hash().unwrap(), before);
    assert_eq!(trained.tokens, 10 * 16 * 16);
}

#[test]
fn the_same_run_gives_the_same_weights_for_every_number_of_threads() {
    let run = || train(&tiny(), &blocks(10), &config()).unwrap().model.hash().unwrap();
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    assert_eq!(on(1), on(2));
    assert_eq!(on(1), on(3));
}

#[test]
fn generations_shuffle_and_drop_differently() {
    let run = |generation| {
        let seeds = Seeds::new(42, "test");
        let streams = Streams { seeds: &seeds, generation: Some(generation) };
        finetune(&tiny(), set(&blocks(10)), &config(), streams, None, |_| ControlFlow::Continue(()))
            .unwrap()
            .model
            .hash()
            .unwrap()
    };
    assert_ne!(run(1), run(2));
}

#[test]
fn half_precision_with_loss_scaling_follows_f32() {
    let no_dropout = TrainingConfig { dropout: Some(0.0), epochs: 3, ..config() };
    let exact = train(&tiny(), &blocks(8), &no_dropout).unwrap();
    for (precision, tolerance) in [(Precision::Fp16, 0.01), (Precision::Bf16, 0.05)] {
        for model in [tiny(), on_gpu()] {
            let half = train(&model, &blocks(8), &TrainingConfig { precision, ..no_dropout.clone() }).unwrap();
            for (a, b) in exact.curve.iter().zip(&half.curve) {
                assert!((a.loss - b.loss).abs() < tolerance, "{precision:?} step {}: {} {}", a.step, a.loss, b.loss);
            }
            assert!(half.curve.iter().any(|r| r.gradient_norm.is_some()));
        }
    }
}

#[test]
fn a_diverging_run_stops_with_the_step_and_a_remedy() {
    let hot = TrainingConfig { learning_rate: 1e30, clip_norm: 0.0, ..config() };
    let error = train(&tiny(), &blocks(8), &hot).unwrap_err();
    assert!(matches!(error, TrainError::Loss { step: 2..=4, .. } | TrainError::Gradient { .. }), "{error}");
    assert!(error.to_string().contains("training.learning_rate"), "{error}");
}

#[test]
fn an_observer_can_break_off_between_steps() {
    let seeds = Seeds::new(42, "test");
    let streams = Streams { seeds: &seeds, generation: None };
    let stop = |p: &mut sigma_train::Progress<'_>| {
        if p.record.step == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = finetune(&tiny(), set(&blocks(16)), &config(), streams, None, stop).unwrap_err();
    assert!(matches!(error, TrainError::Interrupted { step: 3, total: 8 }));
}

/// The state of a run that is saved in `path` and broken off when it can be, from step `from` on.
fn stopped(
    model: &LanguageModel,
    blocks: &[Block],
    config: &TrainingConfig,
    streams: Streams<'_>,
    (path, from): (&Path, usize),
) -> TrainingState {
    let stop = |p: &mut sigma_train::Progress<'_>| match &mut p.settled {
        Some(run) if p.record.step >= from => {
            run.save(path).unwrap();
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    };
    finetune(model, set(blocks), config, streams, None, stop).unwrap_err();
    TrainingState::read(path).unwrap()
}

#[test]
fn a_run_that_goes_on_from_any_step_ends_with_the_bits_of_one_that_never_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let seeds = Seeds::new(42, "test");
    let streams = Streams { seeds: &seeds, generation: Some(1) };
    for (model, precision, epochs, stops) in [
        (tiny(), Precision::Fp32, 2, vec![1, 2, 3, 4, 5]),
        (tiny(), Precision::Fp16, 2, vec![1, 2, 3, 4, 5]),
        // a GPU is given 16 steps at a time
        (on_gpu(), Precision::Fp16, 12, vec![16, 32]),
    ] {
        let config = TrainingConfig { precision, epochs, ..config() };
        let whole = train(&model, &blocks(10), &config).unwrap();
        for last in stops {
            let state = stopped(&model, &blocks(10), &config, streams, (&path, last));
            assert_eq!(state.steps(), last);
            let mut first = None;
            let rest = finetune(&model, set(&blocks(10)), &config, streams, Some(state), |p| {
                first.get_or_insert(p.record.step);
                ControlFlow::Continue(())
            });
            let rest = rest.unwrap();
            assert_eq!(first, Some(last + 1), "finished steps are not done again");
            assert_eq!(rest.curve, whole.curve);
            assert_eq!(rest.model.hash().unwrap(), whole.model.hash().unwrap(), "{precision:?} after step {last}");
        }
    }
}

#[test]
fn steps_that_a_gpu_is_given_together_come_to_what_they_do_one_by_one() {
    let settings = |step: usize| TrainingConfig::default().settings(1e-3 / (1 + step) as f64);
    // more steps than the device keeps the outcomes of
    let steps = 70;
    let run = |asked_every: usize| {
        let mut trainee = Trainee::new(&on_gpu(), DType::F16, DropoutRates::default()).unwrap();
        let mut outcomes = Vec::new();
        for step in 0..steps {
            let ids: Vec<u32> = (0..2 * 5).map(|i| ((step * 31 + i * 11) % 90 + 4) as u32).collect();
            trainee.step(&ids[..8], &ids[2..], 2, None, &settings(step)).unwrap();
            if (step + 1) % asked_every == 0 {
                outcomes.extend(trainee.outcomes().unwrap());
            }
        }
        outcomes.extend(trainee.outcomes().unwrap());
        (outcomes, trainee.into_model().unwrap().hash().unwrap())
    };
    let one_by_one = run(1);
    assert_eq!(one_by_one.0.len(), steps);
    assert_eq!(run(16), one_by_one);
    assert_eq!(run(steps), one_by_one);
}

#[test]
fn a_gpu_skips_steps_that_overflow_and_halves_the_loss_scale_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let seeds = Seeds::new(42, "test");
    let streams = Streams { seeds: &seeds, generation: Some(1) };
    let config = TrainingConfig { precision: Precision::Fp16, dropout: Some(0.0), epochs: 16, ..config() };
    stopped(&on_gpu(), &blocks(8), &config, streams, (&path, 1));
    // the same run with a loss scale that is far too large
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let scalars: Vec<u8> = [16.0f64, 2f64.powi(24), 0.0].into_iter().flat_map(f64::to_le_bytes).collect();
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let data = if name == "scalars" { &scalars[..] } else { view.data() };
        (name, safetensors::tensor::TensorView::new(view.dtype(), view.shape().to_vec(), data).unwrap())
    });
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    safetensors::serialize_to_file(tensors.collect::<Vec<_>>(), header.metadata().clone(), &path).unwrap();
    let state = TrainingState::read(&path).unwrap();

    let exact = TrainingConfig { precision: Precision::Fp32, ..config.clone() };
    let exact = train(&tiny(), &blocks(8), &exact).unwrap();
    let trained =
        finetune(&on_gpu(), set(&blocks(8)), &config, streams, Some(state), |_| ControlFlow::Continue(())).unwrap();
    let skipped = trained.curve.iter().filter(|r| r.gradient_norm.is_none()).count();
    assert!((2..8).contains(&skipped), "{skipped} steps");
    let rest = &trained.curve[16..];
    assert!(rest[..skipped].iter().all(|r| r.gradient_norm.is_none()), "the first ones overflow");
    // nothing moved meanwhile, so the step after them is step 17 of f32 but for its batch; both have the same norm
    let (first, twin) = (&rest[skipped + skipped % 2], &exact.curve[16]);
    let norm = first.gradient_norm.unwrap();
    assert!((norm / twin.gradient_norm.unwrap() - 1.0).abs() < 0.2, "{norm} and {:?}", twin.gradient_norm);
    assert!(rest[skipped..].iter().all(|r| r.gradient_norm.is_some_and(|norm| norm < 10.0)));
}

/// A loss scale of 65,536 divides the gradients of a run that never multiplied them: it would be frozen without a word.
#[test]
fn a_run_of_another_precision_or_device_is_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let seeds = Seeds::new(42, "test");
    let streams = Streams { seeds: &seeds, generation: Some(1) };
    let config = |precision| TrainingConfig { precision, dropout: Some(0.0), epochs: 16, ..config() };
    let cases = [
        (on_gpu(), Precision::Fp16, tiny(), Precision::Fp32, "f16 on a GPU", "f32 on a CPU"),
        (tiny(), Precision::Fp32, on_gpu(), Precision::Fp16, "f32 on a CPU", "f16 on a GPU"),
        (tiny(), Precision::Fp32, on_gpu(), Precision::Fp32, "f32 on a CPU", "f32 on a GPU"),
        (tiny(), Precision::Fp32, tiny(), Precision::Bf16, "f32 on a CPU", "bf16 on a CPU"),
    ];
    for (i, (saved_on, saved_in, on, precision, saved, now)) in cases.into_iter().enumerate() {
        let path = dir.path().join(format!("{i}.safetensors"));
        let state = stopped(&saved_on, &blocks(8), &config(saved_in), streams, (&path, 1));
        let resumed =
            finetune(&on, set(&blocks(8)), &config(precision), streams, Some(state), |_| ControlFlow::Continue(()));
        let error = resumed.unwrap_err();
        assert!(matches!(error, TrainError::StateArithmetic { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(saved) && message.contains(now), "{message}");
    }
}

#[test]
fn perplexity_is_the_exponential_of_the_training_loss_and_counts_what_is_asked_for() {
    let go_on = |_| ControlFlow::Continue(());
    let model = tiny();
    let bos = BOS;
    let blocks = blocks(40);
    let text = |block: &Block, scored| Scored { tokens: [&[bos], &block.tokens[..]].concat(), scored };
    let all: Vec<Scored> = blocks.iter().map(|block| text(block, 0)).collect();
    let found = perplexity(&model, &all, go_on).unwrap().unwrap();
    // the loss of one batch without dropout is the same mean
    let config = TrainingConfig { epochs: 1, batch_size: 40, dropout: Some(0.0), ..config() };
    let loss = f64::from(train(&model, &blocks, &config).unwrap().curve[0].loss);
    assert!((found.ln() - loss).abs() < 1e-5, "{} {loss}", found.ln());

    // without BOS the first token of a block is read and not predicted, in training as here
    let bare: Vec<Scored> = blocks.iter().map(|block| Scored { tokens: block.tokens.clone(), scored: 0 }).collect();
    let without = perplexity(&model, &bare, go_on).unwrap().unwrap();
    let seeds = Seeds::new(42, "test");
    let streams = Streams { seeds: &seeds, generation: Some(1) };
    let set = TrainingSet { blocks: &blocks, bos: None };
    let trained = finetune(&model, set, &config, streams, None, |_| ControlFlow::Continue(())).unwrap();
    assert!((without.ln() - f64::from(trained.curve[0].loss)).abs() < 1e-5);
    assert_eq!(trained.tokens, 40 * 15);
    assert!((without - found).abs() > 1e-3, "the two losses differ");

    // the mean over the second halves and over the first ones, of equal size, give that over all
    let second: Vec<Scored> = blocks.iter().map(|block| text(block, 9)).collect();
    let first: Vec<Scored> =
        blocks.iter().map(|block| Scored { tokens: text(block, 0).tokens[..9].to_vec(), scored: 0 }).collect();
    let of = |texts: &[Scored]| perplexity(&model, texts, go_on).unwrap().unwrap().ln();
    assert!(((of(&first) + of(&second)) / 2.0 - found.ln()).abs() < 1e-6);
    let lonely = Scored { tokens: vec![bos], scored: 0 };
    assert_eq!(perplexity(&model, &[lonely], go_on).unwrap(), None);
    assert_eq!(perplexity(&model, &[], go_on).unwrap(), None);
    let stop = |_| ControlFlow::Break(());
    assert!(matches!(perplexity(&model, &all, stop), Err(TrainError::Interrupted { .. })));
}

#[test]
fn a_damaged_or_foreign_state_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let seeds = Seeds::new(42, "test");
    let streams = Streams { seeds: &seeds, generation: Some(1) };
    finetune(&tiny(), set(&blocks(8)), &config(), streams, None, |p| {
        p.settled.as_mut().unwrap().save(&path).unwrap();
        ControlFlow::Continue(())
    })
    .unwrap();
    let other = LanguageModel::load(&goldens().join("opt_post_norm"), &Device::Cpu).unwrap();
    let state = TrainingState::read(&path).unwrap();
    let error = finetune(&other, set(&blocks(8)), &config(), streams, Some(state), |_| ControlFlow::Continue(()));
    assert!(matches!(error, Err(TrainError::StateShape { .. })), "{error:?}");
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 7, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(matches!(TrainingState::read(&path), Err(TrainError::State { .. })), "{length}");
    }
    assert!(matches!(TrainingState::read(&dir.path().join("none")), Err(TrainError::State { .. })));
}

#[test]
fn unequal_or_missing_blocks_and_wrong_settings_are_errors() {
    let mut uneven = blocks(3);
    uneven[2].tokens.pop();
    assert!(matches!(train(&tiny(), &uneven, &config()), Err(TrainError::BlockLength { expected: 16, got: 15, .. })));
    assert!(matches!(train(&tiny(), &[], &config()), Err(TrainError::NoBlocks)));
    for (field, wrong) in [
        ("epochs", TrainingConfig { epochs: 0, ..config() }),
        ("batch_size", TrainingConfig { batch_size: 0, ..config() }),
        ("learning_rate", TrainingConfig { learning_rate: f64::NAN, ..config() }),
        ("weight_decay", TrainingConfig { weight_decay: -0.1, ..config() }),
        ("beta2", TrainingConfig { beta2: 1.0, ..config() }),
        ("dropout", TrainingConfig { dropout: Some(1.5), ..config() }),
    ] {
        assert!(
            matches!(train(&tiny(), &blocks(3), &wrong), Err(TrainError::Config { field: f, .. }) if f == field),
            "{field}"
        );
    }
}
