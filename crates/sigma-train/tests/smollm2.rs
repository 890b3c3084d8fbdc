//! A real small model against transformers and torch, where SIGMA_SMOLLM2 names its folder (scripts/fetch_smollm2.sh).
//! The goldens are those of scripts/goldens/smollm2_model.py.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use serde::Deserialize;
use sigma_data::Tokenizer;
use sigma_kernels::linear::Threads;
use sigma_model::spec::DropoutRates;
use sigma_model::{Device, LanguageModel};
use sigma_train::{Scored, Trainee, TrainingConfig, perplexity};

/// The model's folder and the goldens.
fn real_model() -> Option<(PathBuf, HashMap<String, Tensor>)> {
    let Some(folder) = std::env::var_os("SIGMA_SMOLLM2") else {
        eprintln!("NOT TESTED: SIGMA_SMOLLM2 names no folder of scripts/fetch_smollm2.sh");
        return None;
    };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/smollm2.safetensors");
    Some((folder.into(), candle_core::safetensors::load(golden, &candle_core::Device::Cpu).unwrap()))
}

fn ids(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_dtype(DType::U32).unwrap().to_vec1().unwrap()
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

#[test]
fn smollm2_reads_predicts_and_continues_real_text_as_transformers_does() {
    #[derive(Deserialize)]
    struct Document {
        text: String,
    }
    let Some((folder, golden)) = real_model() else { return };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/fin/corpus.jsonl");
    let tokenizer = Tokenizer::load(&folder).unwrap();
    let tokens = std::fs::read_to_string(corpus).unwrap();
    let tokens: Vec<u32> = tokens
        .lines()
        .take(8)
        .flat_map(|line| tokenizer.encode(&serde_json::from_str::<Document>(line).unwrap().text).unwrap())
        .collect();
    let blocks = ids(&golden["blocks"]);
    assert_eq!(tokens[..blocks.len()], blocks);

    let model = LanguageModel::load(&folder, &Device::Cpu).unwrap();
    let texts: Vec<Scored> = blocks.chunks(64).map(|block| Scored { tokens: block.to_vec(), scored: 0 }).collect();
    let found = perplexity(&model, &texts, |_| ControlFlow::Continue(())).unwrap().unwrap();
    let expected = floats(&golden["perplexity"])[0];
    assert!((found / expected - 1.0).abs() < 1e-4, "{found} against {expected}");

    let writer = model.for_inference(DType::F32).unwrap();
    for (row, length) in [5, 17, 40].into_iter().enumerate() {
        let expected = ids(&golden[&format!("greedy.{row}")]);
        let prompt = &blocks[64 * row..64 * row + length];
        let mut decoder = writer.decoder(&[prompt], expected.len() - 1, Threads::All).unwrap();
        let mut written = Vec::new();
        loop {
            let logits = decoder.logits();
            // a text of the golden has no end
            writer.eos().iter().for_each(|end| logits[*end as usize] = f32::NEG_INFINITY);
            let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap() as u32;
            written.push(best);
            if written.len() == expected.len() {
                break;
            }
            decoder.step(&[best]).unwrap();
        }
        assert_eq!(written, expected, "after {length} tokens");
    }
}

#[test]
fn five_steps_move_smollm2_as_torch_moves_it() {
    let Some((folder, golden)) = real_model() else { return };
    let start = LanguageModel::load(&folder, &Device::Cpu).unwrap();
    let blocks = ids(&golden["blocks"]);
    let config = TrainingConfig::default();
    let mut trainee = Trainee::new(&start, DType::F32, DropoutRates::default()).unwrap();
    let (losses, norms) = (floats(&golden["losses"]), floats(&golden["norms"]));
    for step in 0..5 {
        let batch = &blocks[256 * (step % 4)..][..256];
        let part = |from: usize, to: usize| batch.chunks(64).flat_map(|row| row[from..to].to_vec()).collect::<Vec<_>>();
        trainee.step(&part(0, 63), &part(1, 64), 4, None, &config.settings(2e-5)).unwrap();
        let outcome = &trainee.outcomes().unwrap()[0];
        let apart = [f64::from(outcome.loss) / losses[step] - 1.0, outcome.gradient_norm / norms[step] - 1.0];
        assert!(apart[0].abs() < 1e-4 && apart[1].abs() < 1e-3, "step {step}: {apart:?}");
    }
    let (before, after) = (start.parameters().unwrap(), trainee.into_model().unwrap().parameters().unwrap());
    let (mut difference, mut distance, mut worst) = (0.0, 0.0, (0.0, ""));
    for (name, (_, after)) in &after {
        let expected = floats(&golden[&format!("moved.{name}")]);
        let before = &before[name].1;
        let moved = ids(&golden[&format!("at.{name}")]).into_iter().map(|at| {
            let at = at as usize;
            f64::from(after[at]) - f64::from(before[at])
        });
        let apart: f64 = moved.zip(&expected).map(|(a, b)| (a - b).powi(2)).sum();
        let far: f64 = expected.iter().map(|b| b * b).sum();
        (difference, distance) = (difference + apart, distance + far);
        if apart / far > worst.0 {
            worst = (apart / far, name);
        }
    }
    assert_eq!(after.len(), 272);
    let (share, worst) = ((difference / distance).sqrt(), (worst.0.sqrt(), worst.1));
    println!("SmolLM2: five steps end within {share:.1e} of the distance; {} within {:.1e}", worst.1, worst.0);
    assert!(share <= 0.01, "{share}");
    // Adam turns a gradient of rounding noise into a whole step, and one of those among 128 places is seen
    assert!(worst.0 <= 0.05, "{worst:?}");
}
