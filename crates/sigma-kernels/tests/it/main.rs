//! Every fused function against its reference twin: values and gradients, odd sizes, other dtypes, and the bits that
//! must not depend on batch or threads.
#![allow(clippy::unwrap_used)]

mod attention_on_gpu;
mod emulator;
mod gated_and_turned;
mod gpu;
mod invariance;
mod operations_on_gpu;
mod oracle;
mod products;
mod recordings_on_gpu;
mod updates_on_gpu;

use candle_core::{Device, Tensor, Var};
use sigma_kernels::linear::{self, Factors, Then, Threads};
use sigma_kernels::packed;

const BOTH: [Factors; 2] = [Factors::F32, Factors::Bf16];

/// Deterministic values in [-1, 1), different for each seed.
fn values(n: usize, seed: u64) -> Vec<f32> {
    (0..n as u64)
        .map(|i| {
            let mut z = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed << 32);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// y = x W^T as a packed weight should give it, for one that is not.
fn used_once(x: &[f32], w: &[f32], inputs: usize, then: Then<'_>, factors: Factors) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.len() / inputs * (w.len() / inputs)];
    match factors {
        Factors::F32 => packed::forward_once(&mut y, x, w, inputs, then, Threads::All),
        Factors::Bf16 => linear::forward_then(&mut y, x, w, inputs, then, (factors, Threads::All)),
    }
    y
}

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference, relative to the larger of 1 and the largest reference value.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1f32, |m, x| m.max(x.abs()));
    a.iter().zip(b).map(|(x, y)| (x - y).abs() / scale).fold(0.0, |m, d| if d.is_nan() { f32::NAN } else { m.max(d) })
}

/// The result of `reference` on these inputs, and the gradient of each input if the result has gradient `dy`.
fn by_autograd(
    inputs: &[(&[f32], &[usize])],
    dy: Option<&[f32]>,
    reference: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let vars: Vec<Var> = inputs.iter().map(|(v, shape)| Var::from_tensor(&tensor(v, shape)).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = reference(&tensors).unwrap();
    let loss = match dy {
        Some(dy) => (&y * tensor(dy, y.dims())).unwrap().sum_all().unwrap(),
        None => y.clone(),
    };
    let gradients = loss.backward().unwrap();
    (flat(&y), vars.iter().map(|v| flat(gradients.get(v).expect("every input has a gradient"))).collect())
}

/// On a CPU with a matrix unit the tests of products would else say nothing of the code for all others.
#[test]
fn the_oracles_hold_without_the_matrix_unit_and_without_bf16_vectors_too() {
    if std::env::var_os("SIGMA_EXP_AMX").is_some() {
        return;
    }
    for allowed in ["dot", "0"] {
        let tests = std::env::current_exe().unwrap();
        let output = std::process::Command::new(tests)
            .args(["oracle::", "products::", "invariance::"])
            .env("SIGMA_EXP_AMX", allowed)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !text.contains("running 0 tests"), "{allowed}: {text}");
    }
}
