//! How well a model predicts texts: the perplexity per token. Nothing is trained here.

use std::ops::ControlFlow;

use rayon::prelude::*;
use sigma_model::Opt;

use crate::TrainError;

/// Logits of so many tokens are held at once.
const TOKENS_AT_ONCE: usize = 1024;

/// A text whose tokens from `scored` on are predicted from everything before them; the first token is never scored.
#[derive(Debug, Clone)]
pub struct Scored {
    pub tokens: Vec<u32>,
    pub scored: usize,
}

/// exp of the mean negative log-likelihood (nats) over the scored tokens of all texts; `None` if there are none. After every batch of
/// texts `observe` is told how many are done and may break off, which is [`TrainError::Interrupted`].
///
/// # Errors
/// A text that the model cannot take, or logits that are not finite.
pub fn perplexity(
    model: &Opt,
    texts: &[Scored],
    mut observe: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<Option<f64>, TrainError> {
    let vocabulary = model.config().vocab_size;
    let (mut sum, mut count) = (0.0, 0usize);
    let mut done = 0;
    while done < texts.len() {
        // at least one text, and no more than fit
        let mut end = done + 1;
        let mut tokens = texts[done].tokens.len();
        while end < texts.len() && tokens + texts[end].tokens.len() <= TOKENS_AT_ONCE {
            tokens += texts[end].tokens.len();
            end += 1;
        }
        let batch: Vec<&Scored> = texts[done..end].iter().filter(|text| text.tokens.len() > 1).collect();
        let inputs: Vec<&[u32]> = batch.iter().map(|text| &text.tokens[..text.tokens.len() - 1]).collect();
        if !inputs.is_empty() {
            let logits = model.logits(&inputs)?;
            let targets: Vec<(bool, u32)> = batch
                .iter()
                .flat_map(|text| text.tokens.iter().enumerate().skip(1).map(|(i, token)| (i >= text.scored, *token)))
                .collect();
            let losses: Vec<f64> = logits
                .par_chunks(vocabulary)
                .zip(&targets)
                .filter(|(_, (scored, _))| *scored)
                .map(|(row, (_, token))| negative_log_likelihood(row, *token as usize))
                .collect();
            count += losses.len();
            // in the order of the texts, so that the sum does not depend on the number of threads
            sum += losses.iter().sum::<f64>();
        }
        done = end;
        if observe(done).is_break() {
            return Err(TrainError::Interrupted { step: done, total: texts.len() });
        }
    }
    if !sum.is_finite() {
        return Err(TrainError::Perplexity { texts: texts.len() });
    }
    Ok((count > 0).then(|| (sum / count as f64).exp()))
}

/// log sum_j exp(x_j) - x_token, in f64.
fn negative_log_likelihood(logits: &[f32], token: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|x| f64::from(x - largest).exp()).sum();
    total.ln() + f64::from(largest) - f64::from(logits[token])
}
