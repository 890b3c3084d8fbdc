//! How well a model predicts given tokens, one by one. Nothing is trained here.

use rayon::prelude::*;

use super::{Opt, Weights, gpu};
use crate::ModelError;

impl Opt {
    /// -log p(label), in nats, of the label that belongs to each token of `rows` `[sum of lengths]`: what comes after
    /// it, as a rule.
    ///
    /// # Errors
    /// An id that the model does not have, or a row that is longer than its positions. A loss may be NaN or infinite.
    pub fn losses(&self, rows: &[&[u32]], labels: &[u32]) -> Result<Vec<f64>, ModelError> {
        assert_eq!(labels.len(), rows.iter().map(|row| row.len()).sum::<usize>());
        self.config.check_ids(labels)?;
        self.config.check_rows(rows)?;
        if let Weights::Gpu(parameters) = &self.weights {
            let losses = gpu::losses(parameters, &self.config, rows, labels)?;
            return Ok(losses.into_iter().map(f64::from).collect());
        }
        let logits = self.logits(rows)?;
        let rows = logits.par_chunks(self.config.vocab_size).zip(labels);
        Ok(rows.map(|(logits, label)| negative_log_likelihood(logits, *label as usize)).collect())
    }
}

/// log sum_j exp(x_j) - x_label, in f64.
pub(crate) fn negative_log_likelihood(logits: &[f32], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|x| f64::from(x - largest).exp()).sum();
    total.ln() + f64::from(largest) - f64::from(logits[label])
}
