//! What the tied head makes of hidden states outside of training: logits for comparisons, and the losses of given
//! tokens.

use sigma_kernels::gpu::{Dtype, GpuError};

use super::GpuParameters;
use super::backward::HEAD_ROWS;
use super::forward::passes;
use crate::opt::config::OptConfig;

/// Logits `[R, V]` of hidden states `[R, width]`.
pub(in crate::opt) fn logits(
    parameters: &GpuParameters,
    config: &OptConfig,
    hidden: &[f32],
) -> Result<Vec<f32>, GpuError> {
    let (gpu, weights, width) = (&parameters.gpu, parameters.weights(), config.embedding_width());
    let kernels = weights.kernels();
    let exact = gpu.upload(hidden)?;
    let operand = gpu.alloc(kernels.dtype, hidden.len())?;
    kernels.cast(operand.view(), exact.view())?;
    let logits = gpu.alloc(Dtype::F32, hidden.len() / width * config.vocab_size)?;
    kernels.product(logits.view(), operand.view(), weights.operand(&weights.layout.embed_tokens), width)?;
    logits.read(0..logits.len())
}

/// -log softmax(logits)[label] of the label that belongs to each token of `rows`. Neither states nor logits leave the
/// device.
pub(in crate::opt) fn losses(
    parameters: &GpuParameters,
    config: &OptConfig,
    rows: &[&[u32]],
    labels: &[u32],
) -> Result<Vec<f32>, GpuError> {
    let (gpu, weights) = (&parameters.gpu, parameters.weights());
    let (kernels, width, table) = (weights.kernels(), config.embedding_width(), &weights.layout.embed_tokens);
    let (mut all, mut labels) = (Vec::with_capacity(labels.len()), labels);
    passes(parameters, config, rows, |sequences, lens| {
        let (time, count) = (sequences.time, sequences.batch * sequences.time);
        let mut padded = vec![config.filler(); count];
        for (row, len) in padded.chunks_mut(time).zip(lens) {
            let (own, others) = labels.split_at(*len);
            row[..*len].copy_from_slice(own);
            labels = others;
        }
        let (losses, padded) = (gpu.alloc(Dtype::F32, count)?, gpu.upload(&padded)?);
        let logits = gpu.alloc(Dtype::F32, HEAD_ROWS.min(count) * config.vocab_size)?;
        for from in (0..count).step_by(HEAD_ROWS) {
            let to = count.min(from + HEAD_ROWS);
            let logits = logits.slice(0..(to - from) * config.vocab_size);
            let hidden = sequences.hidden().slice(from * width..to * width);
            kernels.product(logits, hidden, weights.operand(table), width)?;
            kernels.losses(losses.slice(from..to), logits, padded.slice(from..to))?;
        }
        let losses = losses.read::<f32>(0..count)?;
        lens.iter().enumerate().for_each(|(row, len)| all.extend_from_slice(&losses[row * time..][..*len]));
        Ok(())
    })?;
    Ok(all)
}
