//! Everything that an OPT folder computes for given token ids, as one safetensors file, for comparison with another
//! implementation: logits, loss, every gradient, and a greedy continuation.
//!
//!     opt_forward FOLDER IDS.json OUT.safetensors
//!
//! IDS.json is `{"rows": [[id, ...], ...], "greedy": n}`, the rows of equal length. OUT holds `logits` `[rows * T, V]`,
//! `loss` and `grad.<name>` of predicting each row's tokens 1.. from its tokens ..T-1, and `greedy`, the n most
//! probable tokens after the first row (as f32, like everything else).

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::Path;

use candle_core::Tensor;
use sigma_kernels::linear::{Factors, Threads};
use sigma_model::{Device, Opt};

#[derive(serde::Deserialize)]
struct Ids {
    rows: Vec<Vec<u32>>,
    greedy: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, ids, out] = arguments.as_slice() else {
        return Err("usage: opt_forward FOLDER IDS.json OUT.safetensors".into());
    };
    let Ids { rows, greedy } = serde_json::from_str(&std::fs::read_to_string(ids)?)?;
    let model = Opt::load(Path::new(folder), &Device::Cpu)?;
    let vocabulary = model.config().vocab_size;
    let vector = |values: Vec<f32>| Tensor::new(values, &candle_core::Device::Cpu);
    let mut tensors: HashMap<String, Tensor> = HashMap::new();

    let slices: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let logits = model.logits(&slices)?;
    tensors.insert("logits".to_string(), vector(logits)?.reshape(((), vocabulary))?);

    let inputs: Vec<u32> = rows.iter().flat_map(|row| row[..row.len() - 1].to_vec()).collect();
    let labels: Vec<u32> = rows.iter().flat_map(|row| row[1..].to_vec()).collect();
    let shapes: BTreeMap<String, Vec<usize>> = model.config().parameters().into_iter().collect();
    let mut training = model.host_training(Factors::F32)?;
    let loss = training.loss_and_gradients(&inputs, &labels, rows.len(), None)?;
    tensors.insert("loss".to_string(), vector(vec![loss])?);
    for (name, gradient) in training.named_gradients() {
        let shape = shapes.get(name).ok_or("a gradient without a parameter")?.clone();
        tensors.insert(format!("grad.{name}"), vector(gradient.to_vec())?.reshape(shape)?);
    }

    let mut tokens = Vec::new();
    let mut decoder = model.decoder(&slices[..1], greedy, Threads::All)?;
    for _ in 0..greedy {
        let row = decoder.logits();
        let best = (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        tokens.push(best as f32);
        decoder.step(&[best as u32])?;
    }
    tensors.insert("greedy".to_string(), vector(tokens)?);
    candle_core::safetensors::save(&tensors, out)?;
    Ok(())
}
