//! What the reference computes for token ids of a model folder of any family, as one safetensors file, for comparison
//! with
//! another implementation.
//!
//!     family_forward FOLDER IDS.json OUT.safetensors
//!
//! IDS.json is `{"rows": [[id, ...], ...], "greedy": n}`, the rows of equal length. OUT holds `logits` `[rows * T, V]`,
//! `loss`
//! and the family's `grad.<name>` of predicting each row's tokens 1.. from its tokens ..T-1, and `greedy`, the n most
//! probable tokens after the first row (as f32, like everything else).

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::Path;

use candle_core::{DType, Tensor};
use sigma_model::{Checkpoint, Reference};

#[derive(serde::Deserialize)]
struct Ids {
    rows: Vec<Vec<u32>>,
    greedy: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, ids, out] = arguments.as_slice() else {
        return Err("usage: family_forward FOLDER IDS.json OUT.safetensors".into());
    };
    let Ids { rows, greedy } = serde_json::from_str(&std::fs::read_to_string(ids)?)?;
    let model = Checkpoint::load(Path::new(folder))?;
    let reference = Reference::new(model.spec.clone(), model.parameters.clone(), DType::F32)?;
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    let slices: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    tensors.insert("logits".to_string(), reference.logits(&slices)?);

    let inputs: Vec<u32> = rows.iter().flat_map(|row| row[..row.len() - 1].to_vec()).collect();
    let labels: Vec<u32> = rows.iter().flat_map(|row| row[1..].to_vec()).collect();
    let (trained, variables) = reference.trainable(DType::F32)?;
    let loss = trained.loss(&inputs, &labels, rows.len(), None)?;
    let store = loss.backward()?;
    tensors.insert("loss".to_string(), loss.detach().reshape(1)?);
    let mut gradients = BTreeMap::new();
    for (slot, variable) in &variables {
        gradients.insert(*slot, store.get(variable).ok_or(format!("{slot} has no gradient"))?.clone());
    }
    for (name, gradient) in model.stored(&gradients)? {
        tensors.insert(format!("grad.{name}"), gradient);
    }

    let (mut cache, mut logits) = reference.start(&slices[..1])?;
    let mut tokens = Vec::new();
    for _ in 0..greedy {
        let best = logits.argmax(1)?.to_vec1::<u32>()?;
        tokens.push(best[0] as f32);
        logits = reference.step(&mut cache, &best)?;
    }
    tensors.insert("greedy".to_string(), Tensor::new(tokens, &candle_core::Device::Cpu)?);
    candle_core::safetensors::save(&tensors, out)?;
    Ok(())
}
