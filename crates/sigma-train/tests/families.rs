//! Models that the reference computes are trained, stopped and resumed like any other.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::path::PathBuf;

use sigma_data::blocks::Block;
use sigma_data::seeds::Seeds;
use sigma_model::{Device, LanguageModel};
use sigma_train::{Precision, Streams, TrainError, Trained, TrainingConfig, TrainingSet, TrainingState, finetune};

const FAMILIES: [&str; 4] = ["llama", "gpt2_old", "gemma2", "gpt_neox"];

fn model(name: &str) -> LanguageModel {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sigma-model/tests/goldens/families").join(name);
    LanguageModel::load(&folder, &Device::Cpu).unwrap()
}

fn blocks() -> Vec<Block> {
    let tokens = |i: usize| (0..12).map(|t| ((i * 7 + t * 5) % 36 + 4) as u32).collect();
    (0..12).map(|i| Block { id: format!("b{i}"), tokens: tokens(i) }).collect()
}

/// Texts begin with no token of their own, as those of SmolLM2 and Qwen.
fn set(blocks: &[Block]) -> TrainingSet<'_> {
    TrainingSet { blocks, bos: None }
}

fn config() -> TrainingConfig {
    TrainingConfig { epochs: 6, batch_size: 4, learning_rate: 3e-3, ..TrainingConfig::default() }
}

fn train(model: &LanguageModel, config: &TrainingConfig, begun: Option<TrainingState>) -> Trained {
    let seeds = Seeds::new(42, "test");
    let streams = Streams { seeds: &seeds, generation: Some(1) };
    finetune(model, set(&blocks()), config, streams, begun, |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn the_loss_of_every_family_falls_and_every_parameter_moves() {
    for name in FAMILIES {
        let start = model(name);
        let trained = train(&start, &config(), None);
        let (first, last) = (trained.curve[0].loss, trained.curve[17].loss);
        assert!(last < first - 0.2, "{name}: {first} to {last}");
        let before = start.parameters().unwrap();
        for (parameter, (_, values)) in trained.model.parameters().unwrap() {
            assert!(values != before[&parameter].1, "{name}: {parameter} stayed");
        }
        assert!(trained.model.distance(&start).unwrap() > 1e-3, "{name}");
    }
}

#[test]
fn a_stopped_run_goes_on_and_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    for name in FAMILIES {
        let (start, seeds) = (model(name), Seeds::new(42, "test"));
        let whole = train(&start, &config(), None);
        let streams = Streams { seeds: &seeds, generation: Some(1) };
        let stopped = finetune(&start, set(&blocks()), &config(), streams, None, |progress| {
            if progress.record.step < 7 {
                return ControlFlow::Continue(());
            }
            progress.settled.as_mut().unwrap().save(&path).unwrap();
            ControlFlow::Break(())
        });
        assert!(matches!(stopped, Err(TrainError::Interrupted { step: 7, .. })), "{name}");
        let resumed = train(&start, &config(), Some(TrainingState::read(&path).unwrap()));
        assert_eq!(resumed.model.hash().unwrap(), whole.model.hash().unwrap(), "{name}");
        assert_eq!(resumed.curve, whole.curve, "{name}");
    }
}

#[test]
fn dropout_is_what_the_config_of_the_family_says_unless_the_training_says_otherwise() {
    let with = |name: &str, dropout| train(&model(name), &TrainingConfig { dropout, ..config() }, None).curve[0].loss;
    // GPT-2's class drops a tenth by default; Llama has dropout of attention alone, which is 0 by default
    assert_ne!(with("gpt2_old", None), with("gpt2_old", Some(0.0)));
    assert_eq!(with("llama", None), with("llama", Some(0.0)));
    assert_ne!(with("llama", None), with("llama", Some(0.1)));
}

#[test]
fn half_precision_trains_close_to_f32() {
    for precision in [Precision::Bf16, Precision::Fp16] {
        let config = |precision| TrainingConfig { precision, dropout: Some(0.0), ..config() };
        for name in FAMILIES {
            let (half, full) =
                (train(&model(name), &config(precision), None), train(&model(name), &config(Precision::Fp32), None));
            let (half, full) = (half.curve[17].loss, full.curve[17].loss);
            assert!((half / full - 1.0).abs() < 0.05, "{name} {precision:?}: {half} against {full}");
        }
    }
}
