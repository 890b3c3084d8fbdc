//! All texts through the encoder, in batches of similar length. On the CPU a text's row does not depend on its batch.

use std::ops::ControlFlow;

use sigma_model::Encoder;

use crate::EmbedError;

/// One row of `encoder.dim()` values of L2 norm 1 per text, in the order of `texts`. After each batch `observe` gets
/// the number of finished texts and may break off, which is [`EmbedError::Interrupted`].
pub fn embed(
    encoder: &Encoder,
    texts: &[&str],
    batch_size: usize,
    mut observe: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<f32>, EmbedError> {
    let tokens = encoder.tokenize(texts)?;
    // texts of similar length side by side: equal work for threads, little padding where a device needs it
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|i| (tokens[*i].len(), *i));
    let dim = encoder.dim();
    let mut rows = vec![0f32; texts.len() * dim];
    let mut finished = 0;
    for batch in order.chunks(batch_size.max(1)) {
        let ids: Vec<&[u32]> = batch.iter().map(|i| tokens[*i].as_slice()).collect();
        let embedded = encoder.forward(&ids)?;
        for (row, i) in embedded.chunks_exact(dim).zip(batch) {
            rows[i * dim..][..dim].copy_from_slice(row);
        }
        finished += batch.len();
        if observe(finished).is_break() && finished < texts.len() {
            return Err(EmbedError::Interrupted { finished, total: texts.len() });
        }
    }
    Ok(rows)
}
