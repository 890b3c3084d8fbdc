//! Texts of models that the reference computes.

use std::ops::ControlFlow;
use std::path::PathBuf;

use candle_core::DType;
use sigma_data::seeds::{Seeds, Stage};
use sigma_generate::{Completion, Request, generate};
use sigma_model::{Device, LanguageModel};

use crate::decoding::options;

fn model(name: &str) -> LanguageModel {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sigma-model/tests/goldens/families").join(name);
    LanguageModel::load(&folder, &Device::Cpu).unwrap().for_inference(DType::F32).unwrap()
}

fn requests() -> Vec<Request> {
    let seeds = Seeds::new(42, "test");
    let prompt = |i: u32| (0..1 + i % 5).map(|t| (3 + i + t) % 40).collect();
    (0..8)
        .map(|i| Request {
            id: format!("r{i}"),
            prompt: prompt(i),
            stream: seeds.stream(Stage::Regeneration, Some(1), &format!("r{i}")),
        })
        .collect()
}

fn run(model: &LanguageModel, batch_size: usize, stop_at_eos: bool) -> Vec<Completion> {
    generate(model, requests(), &options(batch_size, stop_at_eos), |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn tokens_of_every_family_do_not_depend_on_the_batch_size() {
    for name in ["llama", "gemma2", "gpt2", "qwen3_old"] {
        let model = model(name);
        let alone = run(&model, 1, false);
        assert_eq!(run(&model, 5, false), alone, "{name}");
        let eos = model.eos();
        assert!(alone.iter().all(|text| text.tokens.len() == 40), "{name}");
        assert!(alone.iter().flat_map(|text| &text.tokens).all(|token| !eos.contains(token)), "{name}: {eos:?}");
    }
}
