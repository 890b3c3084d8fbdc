//! What the tied head makes of hidden states outside of training: logits for comparisons, and the losses of given tokens.

use sigma_kernels::gpu::{Buffer, Dtype, GpuError};

use super::GpuParameters;
use super::backward::HEAD_ROWS;
use crate::opt::config::OptConfig;

/// The logits `[R, V]` of hidden states `[R, width]`, in device memory.
fn logits_on_device(parameters: &GpuParameters, config: &OptConfig, hidden: &[f32]) -> Result<Buffer, GpuError> {
    let (gpu, weights, width) = (&parameters.gpu, parameters.weights(), config.embedding_width());
    let kernels = weights.kernels();
    let exact = gpu.upload(hidden)?;
    let operand = gpu.alloc(kernels.dtype, hidden.len())?;
    kernels.cast(operand.view(), exact.view())?;
    let logits = gpu.alloc(Dtype::F32, hidden.len() / width * config.vocab_size)?;
    kernels.product(logits.view(), operand.view(), weights.operand(&weights.layout.embed_tokens), width)?;
    Ok(logits)
}

/// Logits `[R, V]` of hidden states `[R, width]`.
pub(in crate::opt) fn logits(
    parameters: &GpuParameters,
    config: &OptConfig,
    hidden: &[f32],
) -> Result<Vec<f32>, GpuError> {
    let logits = logits_on_device(parameters, config, hidden)?;
    logits.read(0..logits.len())
}

/// -log softmax(logits)[label] for each of the rows of `hidden` `[R, width]`. Logits stay on the device, of a thousand rows at a time.
pub(in crate::opt) fn losses(
    parameters: &GpuParameters,
    config: &OptConfig,
    hidden: &[f32],
    labels: &[u32],
) -> Result<Vec<f32>, GpuError> {
    let (gpu, kernels) = (&parameters.gpu, parameters.weights().kernels());
    let mut all = Vec::with_capacity(labels.len());
    for (hidden, labels) in hidden.chunks(HEAD_ROWS * config.embedding_width()).zip(labels.chunks(HEAD_ROWS)) {
        let logits = logits_on_device(parameters, config, hidden)?;
        let (losses, labels) = (gpu.alloc(Dtype::F32, labels.len())?, gpu.upload(labels)?);
        kernels.losses(losses.view(), logits.view(), labels.view())?;
        all.extend(losses.read::<f32>(0..losses.len())?);
    }
    Ok(all)
}
