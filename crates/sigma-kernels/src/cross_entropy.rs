//! Language-model head and mean cross-entropy in one operation: logits = hidden W^T are made a few rows at a time,
//! turned into their gradient in place, and multiplied back at once, so the full `[tokens, vocabulary]` matrix never
//! exists.

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use crate::lanes;
use crate::linear::{Factors, Threads};
use crate::panels::Right;
use crate::product::{Arithmetic, Sizes, Target, multiply, multiply_transposed};
use crate::tile::Then;

/// Rows of logits that exist at a time.
const ROWS: usize = 512;
/// Rows whose contributions to the gradient of W, and to the loss, are summed before they are added to the rest.
const SUMMED: usize = 256;

/// The space that [`loss_and_gradients`] computes in, kept from step to step.
#[derive(Debug, Default)]
pub struct Scratch {
    logits: Vec<f32>,
}

/// Mean over the rows of `-log softmax(hidden W^T)[label]`: hidden `[rows, d]`, W `[vocabulary, d]`, every label below
/// the vocabulary. Writes d loss / d hidden to `dhidden` and d loss / d W to `dweight` (or adds it where `accumulate`).
pub fn loss_and_gradients(
    dhidden: &mut [f32],
    (dweight, accumulate): (&mut [f32], bool),
    hidden: &[f32],
    weight: &[f32],
    labels: &[u32],
    (factors, scratch): (Factors, &mut Scratch),
) -> f32 {
    let rows = labels.len();
    let d = hidden.len() / rows.max(1);
    let vocabulary = weight.len() / d.max(1);
    assert!(hidden.len() == rows * d && dhidden.len() == hidden.len() && dweight.len() == weight.len());
    // rows a power of two apart would all fall into the same few cache sets when they are read by columns
    let stride = vocabulary.next_multiple_of(16) + 16;
    scratch.logits.resize(ROWS.min(rows) * stride, 0.0);
    let mut loss = 0f64;
    let mean = 1.0 / rows as f32;
    for from in (0..rows).step_by(ROWS) {
        let n = ROWS.min(rows - from);
        let x = &hidden[from * d..][..n * d];
        let logits = &mut scratch.logits[..n * stride];
        let target = Target { values: logits, stride, add: false };
        let sizes = Sizes { rows: n, columns: vocabulary, inner: d };
        multiply(
            target,
            (x, d),
            Right::Transposed(weight, d),
            sizes,
            Then::Nothing,
            (Arithmetic::Best(factors), Threads::All),
        );
        let losses: Vec<f64> = logits
            .par_chunks_mut(stride)
            .zip(&labels[from..][..n])
            .map(|(row, label)| {
                lanes::vectorized(
                    #[inline(always)]
                    || to_gradient(&mut row[..vocabulary], *label as usize, mean),
                )
            })
            .collect();
        for losses in losses.chunks(SUMMED) {
            loss += losses.iter().sum::<f64>();
        }
        let target = Target { values: &mut dhidden[from * d..][..n * d], stride: d, add: false };
        let sizes = Sizes { rows: n, columns: d, inner: vocabulary };
        multiply(
            target,
            (logits, stride),
            Right::AsIs(weight, d),
            sizes,
            Then::Nothing,
            (Arithmetic::Best(factors), Threads::All),
        );
        let target = Target { values: dweight, stride: d, add: accumulate || from > 0 };
        let sizes = Sizes { rows: vocabulary, columns: d, inner: n };
        multiply_transposed(target, (logits, stride), x, sizes, SUMMED, (factors, Threads::All));
    }
    (loss / rows as f64) as f32
}

/// Turns a row of logits into (softmax - one_hot(label)) * mean, and returns the row's loss.
#[inline(always)]
fn to_gradient(row: &mut [f32], label: usize, mean: f32) -> f64 {
    let top = lanes::max(row);
    let at_label = f64::from(row[label]);
    let total = lanes::exp_sum(row, top);
    lanes::scale(row, mean / total);
    row[label] -= mean;
    // a NaN logit may hide from `max` but not from the sum
    f64::from(top) + f64::from(total).ln() - at_label
}

/// The same by a full matmul and candle's composed log-softmax in f32, differentiable by candle.
pub fn reference(hidden: &Tensor, weight: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let vocabulary = weight.dim(0)?;
    if labels.is_empty() || labels.len() != hidden.dim(0)? {
        candle_core::bail!("cross-entropy: {} labels for {:?}", labels.len(), hidden.shape());
    }
    if let Some(label) = labels.iter().find(|l| **l as usize >= vocabulary) {
        candle_core::bail!("cross-entropy: label {label} is outside the vocabulary of {vocabulary}");
    }
    let logits = hidden.matmul(&weight.to_dtype(hidden.dtype())?.t()?)?.to_dtype(DType::F32)?;
    let labels = Tensor::from_slice(labels, labels.len(), hidden.device())?;
    candle_nn::loss::cross_entropy(&logits, &labels)
}
