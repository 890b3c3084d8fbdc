//! The CPU's own code with factors rounded to bf16: near f32, near what candle's tensors make of bf16, and free of the
//! batch.

use candle_core::DType;
use sigma_kernels::linear::{Factors, Threads};
use sigma_model::Opt;

use crate::{flat, model, relative};

fn in_bf16(name: &str) -> Opt {
    model(name).for_inference(DType::BF16).unwrap()
}

/// The L2 norm of a - b, and that of b.
fn norms<'a>(pairs: impl Iterator<Item = (&'a [f32], &'a [f32])>) -> (f64, f64) {
    let (mut apart, mut size) = (0f64, 0f64);
    for (a, b) in pairs.flat_map(|(a, b)| a.iter().zip(b)) {
        apart += f64::from(a - b).powi(2);
        size += f64::from(*b).powi(2);
    }
    (apart.sqrt(), size.sqrt())
}

#[test]
fn gradients_in_bf16_are_about_as_near_to_those_of_f32_as_autograds_in_bf16() {
    for name in ["opt_tiny", "opt_post_norm"] {
        let (inputs, labels): (Vec<u32>, Vec<u32>) = ((2..35).collect(), (3..36).collect());
        let [(exact, exact_loss), (coarse, loss)] = [Factors::F32, Factors::Bf16].map(|factors| {
            let mut training = model(name).host_training(factors).unwrap();
            let loss = training.loss_and_gradients(&inputs, &labels, 3, None).unwrap();
            (training.gradients().to_vec(), loss)
        });
        assert!(loss != exact_loss && (loss / exact_loss - 1.0).abs() < 3e-3, "{name}: {loss} and {exact_loss}");
        let (apart, size) = norms(std::iter::once((&coarse[..], &exact[..])));
        assert!(apart > 1e-4 * size && apart < 0.1 * size, "{name}: {}", apart / size);

        let gradients = |compute| {
            let (tape, variables) = model(name).reference_training(compute).unwrap();
            let gradients = tape.loss(&inputs, &labels, 3, None).unwrap().backward().unwrap();
            variables.iter().map(|(_, variable)| flat(gradients.get(variable).unwrap())).collect::<Vec<_>>()
        };
        let (exact, coarse) = (gradients(DType::F32), gradients(DType::BF16));
        let (tape_apart, tape_size) = norms(coarse.iter().zip(&exact).map(|(a, b)| (&a[..], &b[..])));
        assert!(apart / size < 1.5 * tape_apart / tape_size, "{name}: {} and {}", apart / size, tape_apart / tape_size);
    }
}

#[test]
fn logits_in_bf16_are_near_those_of_f32_and_leave_the_weights_alone() {
    let rows: [&[u32]; 2] = [&[2, 5, 9, 14, 7, 30, 11], &[2, 30]];
    for name in ["opt_tiny", "opt_post_norm"] {
        let (exact, coarse) = (model(name), in_bf16(name));
        let logits = coarse.logits(&rows).unwrap();
        let difference = relative(&logits, &exact.logits(&rows).unwrap());
        assert!(difference > 1e-4 && difference < 2e-2, "{name}: {difference}");
        let tape = exact.on_reference(DType::BF16).unwrap().logits(&rows).unwrap();
        assert!(relative(&logits, &tape) < 4e-2, "{name}");
        assert_eq!(exact.hash().unwrap(), coarse.hash().unwrap());
    }
}

#[test]
fn decoding_in_bf16_follows_the_full_forward_pass_and_ignores_the_rest_of_the_batch() {
    for name in ["opt_tiny", "opt_post_norm"] {
        let model = in_bf16(name);
        let vocabulary = model.config().vocab_size;
        let row: Vec<u32> = (2..30).collect();
        let steps = |prompts: &[&[u32]]| -> Vec<Vec<f32>> {
            let mut decoder = model.decoder(prompts, 8, Threads::All).unwrap();
            let mut logits = vec![decoder.logits()[..vocabulary].to_vec()];
            for token in &row[20..] {
                decoder.step(&vec![*token; prompts.len()]).unwrap();
                logits.push(decoder.logits()[..vocabulary].to_vec());
            }
            logits
        };
        let alone = steps(&[&row[..20]]);
        assert_eq!(alone, steps(&[&row[..20], &[2, 8, 9], &row[..3]]), "{name}");
        let full = model.logits(&[&row]).unwrap();
        for (step, logits) in alone.iter().enumerate() {
            let difference = relative(logits, &full[(19 + step) * vocabulary..][..vocabulary]);
            assert!(difference < 1e-2, "{name}, step {step}: {difference}");
        }
    }
}
