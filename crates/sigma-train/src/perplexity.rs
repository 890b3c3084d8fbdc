//! How well a model predicts texts: the perplexity per token. Nothing is trained here.

use std::ops::ControlFlow;

use sigma_model::LanguageModel;

use crate::TrainError;

/// So many tokens are given to the model at once: on the CPU, where their logits are all made together, and on a GPU.
const TOKENS_AT_ONCE: usize = 1024;
const TOKENS_ON_GPU: usize = 16_384;

/// A text whose tokens from `scored` on are predicted from everything before them; the first token is never scored.
#[derive(Debug, Clone)]
pub struct Scored {
    pub tokens: Vec<u32>,
    pub scored: usize,
}

/// exp of the mean negative log-likelihood (nats) over the scored tokens of all texts; `None` if there are none. After
/// every batch of texts `observe` is told how many are done and may break off, which is [`TrainError::Interrupted`].
///
/// # Errors
/// A text that the model cannot take, or logits that are not finite.
pub fn perplexity(
    model: &LanguageModel,
    texts: &[Scored],
    mut observe: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<Option<f64>, TrainError> {
    let at_once = if model.device().is_gpu() { TOKENS_ON_GPU } else { TOKENS_AT_ONCE };
    let (mut sum, mut count) = (0.0, 0usize);
    let mut done = 0;
    while done < texts.len() {
        // at least one text, and no more than fit
        let mut end = done + 1;
        let mut tokens = texts[done].tokens.len();
        while end < texts.len() && tokens + texts[end].tokens.len() <= at_once {
            tokens += texts[end].tokens.len();
            end += 1;
        }
        let batch: Vec<&Scored> = texts[done..end].iter().filter(|text| text.tokens.len() > 1).collect();
        let inputs: Vec<&[u32]> = batch.iter().map(|text| &text.tokens[..text.tokens.len() - 1]).collect();
        if !inputs.is_empty() {
            let labels: Vec<u32> = batch.iter().flat_map(|text| text.tokens[1..].iter().copied()).collect();
            let scored = batch.iter().flat_map(|text| (1..text.tokens.len()).map(|i| i >= text.scored));
            let losses = model.losses(&inputs, &labels)?;
            let losses: Vec<f64> =
                losses.into_iter().zip(scored).filter_map(|(loss, scored)| scored.then_some(loss)).collect();
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
