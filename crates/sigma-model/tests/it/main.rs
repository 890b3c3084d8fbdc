//! OPT against values that PyTorch and transformers gave (`scripts/goldens/opt.py`), decoding against the full forward
//! pass, and model folders in every layout.
#![allow(clippy::unwrap_used)]

mod bert;
mod bf16;
mod broken_bytes;
mod decoding;
mod encoders;
mod families;
mod folders;
mod gguf;
mod golden;
mod gpu;
// damaged copies of files, as sigma-data's tests make them
#[path = "../../../sigma-data/tests/it/mutations.rs"]
mod mutations;

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::Tensor;
use sigma_kernels::gpu::Gpu;
use sigma_model::{Device, Opt};

fn goldens() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn model(name: &str) -> Opt {
    Opt::load(&goldens().join(name), &Device::Cpu).unwrap()
}

/// A GPU whose kernels the CPU runs.
fn emulated() -> Device {
    Device::Gpu(Gpu::emulated())
}

/// The tensors of `<name>.safetensors`.
fn tensors(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(goldens().join(format!("{name}.safetensors")), &candle_core::Device::Cpu).unwrap()
}

fn ids(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<i64>().unwrap().iter().map(|id| *id as u32).collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference divided by the largest reference value.
fn relative(a: &[f32], reference: &[f32]) -> f32 {
    assert_eq!(a.len(), reference.len());
    let scale = reference.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
    a.iter().zip(reference).fold(0.0, |m, (x, y)| {
        let d = (x - y).abs() / scale;
        if d.is_nan() { f32::NAN } else { d.max(m) }
    })
}

fn argmax(row: &[f32]) -> u32 {
    let best = row.iter().enumerate().fold(0, |best, (i, x)| if *x > row[best] { i } else { best });
    best as u32
}
