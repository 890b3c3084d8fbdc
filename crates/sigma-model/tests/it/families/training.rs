//! Twenty steps of AdamW by the reference's gradients are those of torch.

use candle_core::{DType, Tensor};
use sigma_kernels::adamw::{self, Settings};
use sigma_kernels::norm;

use super::{flat, floats, golden, ids, models, reference, relative, shifted};

#[test]
fn twenty_adamw_steps_follow_those_of_pytorch() {
    let settings =
        Settings { learning_rate: 1e-3, weight_decay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-5, clip_norm: 1.0 };
    for (name, model) in models() {
        let golden = golden(&name);
        let (trained, variables) = reference(&model, DType::F32).trainable(DType::F32).unwrap();
        let mut moments: Vec<(Tensor, Tensor)> =
            variables.iter().map(|(_, x)| (x.zeros_like().unwrap(), x.zeros_like().unwrap())).collect();
        let batches = ids(&golden["train.batches"]);
        let mut losses = Vec::new();
        for (step, batch) in batches.chunks(4 * 12).enumerate() {
            let (inputs, labels) = shifted(batch);
            let loss = trained.loss(&inputs, &labels, 4, None).unwrap();
            losses.push(floats(&loss)[0]);
            let store = loss.backward().unwrap();
            let gradients: Vec<Tensor> =
                variables.iter().map(|(_, x)| store.get(x).unwrap().contiguous().unwrap()).collect();
            let length = norm::reference(&gradients.iter().collect::<Vec<_>>()).unwrap();
            let step = settings.step(step + 1, length, 1.0);
            for (((_, x), (m, v)), gradient) in variables.iter().zip(&mut moments).zip(&gradients) {
                adamw::reference(x, gradient, m, v, &step).unwrap();
            }
        }
        let difference = relative(&losses, &flat(&golden["train.losses"]));
        assert!(difference < 1e-4, "{name}: {difference}");

        let ours = model.stored(trained.parameters()).unwrap();
        let start = model.stored(&model.parameters).unwrap();
        let length = |a: &dyn Fn(&str) -> Vec<f32>, b: &dyn Fn(&str) -> Vec<f32>| {
            let squares =
                |name: &String| -> f64 { a(name).iter().zip(b(name)).map(|(a, b)| f64::from(a - b).powi(2)).sum() };
            ours.keys().map(squares).sum::<f64>().sqrt()
        };
        let travelled = f64::from(flat(&golden["train.distance"])[0]);
        let after = |name: &str| flat(&ours[name]);
        let moved = length(&after, &|name| flat(&start[name]));
        assert!((moved / travelled - 1.0).abs() < 0.01, "{name}: {moved} against {travelled}");
        if golden.keys().any(|key| key.starts_with("trained.")) {
            let apart = length(&after, &|name| flat(&golden[&format!("trained.{name}")]));
            assert!(apart < 0.01 * travelled, "{name}: {apart} apart after {travelled}");
        }
    }
}
