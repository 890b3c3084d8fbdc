//! Completion of requests on a GPU: a row that is finished is given the next request, until none is left. Steps run in
//! groups, after which the host looks at the rows; sampling itself stays on the device
//! (`sigma-kernels/cuda/nucleus.cu`).

use std::collections::VecDeque;
use std::ops::ControlFlow;

use sigma_data::answers::FinishReason;
use sigma_model::opt::{RowState, Sampling, Slot};
use sigma_model::{LanguageModel, Opt};

use crate::GenerateError;
use crate::decode::{Completion, Observer, Options, Progress, Request, Whole};

/// Rows of a step at most, unless the caller chooses.
const ROWS: usize = 2048;
/// Steps between two looks of the host.
const STEPS: usize = 16;

/// Rows for so many texts: as few rounds as possible, of equal size.
fn rows(texts: usize) -> usize {
    let rounds = texts.div_ceil(ROWS).max(1);
    texts.div_ceil(rounds).next_multiple_of(8)
}

/// Rows that the GPU of `model` decodes together where nobody chooses: as many as its whole memory holds, whatever is
/// free today. `None` on the CPU.
pub fn decode_rows(model: &LanguageModel, whole: Whole, max_new_tokens: usize) -> Result<Option<usize>, GenerateError> {
    match model {
        LanguageModel::Opt(model) => rows_on_gpu(model, whole, max_new_tokens),
        LanguageModel::Family(_) => Ok(None),
    }
}

fn rows_on_gpu(model: &Opt, whole: Whole, max_new_tokens: usize) -> Result<Option<usize>, GenerateError> {
    Ok(model.gpu_decoder_rows(rows(whole.requests), whole.longest_prompt, max_new_tokens)?)
}

/// Completes every request, in the order given, on the GPU that `model` is on.
pub(crate) fn complete<F: FnMut(Progress<'_>) -> ControlFlow<()>>(
    model: &Opt,
    requests: &[Request],
    options: &Options,
    observer: &Observer<F>,
) -> Result<Vec<Completion>, GenerateError> {
    let (temperature, top_p) = options.nucleus.parameters();
    let Options { max_new_tokens, stop_at_eos, vocab_size, .. } = *options;
    let sampling = Sampling { temperature, top_p, max_new_tokens, stop_at_eos, vocab_size };
    let given = Whole::of(requests);
    let whole = options.whole.unwrap_or(given);
    let longest = whole.longest_prompt.max(given.longest_prompt);
    let rows = match options.batch_size {
        Some(rows) => rows,
        None => rows_on_gpu(model, Whole { longest_prompt: longest, ..whole }, max_new_tokens)?.unwrap_or(1),
    };
    let mut decoder = model.gpu_decoder(rows, longest, sampling)?;
    let mut waiting: VecDeque<usize> = (0..requests.len()).collect();
    // the request of each row, and how many of its tokens were reported
    let mut rows: Vec<Option<(usize, usize)>> = vec![None; decoder.rows()];
    let mut completions: Vec<Option<Completion>> = vec![None; requests.len()];
    loop {
        for (row, held) in rows.iter_mut().enumerate().filter(|(_, held)| held.is_none()) {
            let Some(index) = waiting.pop_front() else { break };
            let (key, drawn) = requests[index].stream.position();
            decoder.place(row, Slot { prompt: &requests[index].prompt, key, drawn })?;
            *held = Some((index, 0));
        }
        if rows.iter().all(Option::is_none) {
            return Ok(completions.into_iter().flatten().collect());
        }
        let states = decoder.run(STEPS)?;
        let (mut drawn, mut saved, mut written) = (0, 0, Vec::new());
        for (row, (held, (state, count))) in rows.iter_mut().zip(states).enumerate() {
            let Some((index, reported)) = held else { continue };
            // eos was drawn too, and is not counted
            let ended = usize::from(state == RowState::AtEos);
            drawn += count + ended - *reported;
            *reported = count;
            let finish_reason = match state {
                RowState::Running | RowState::Idle => continue,
                RowState::AtEos => FinishReason::Eos,
                RowState::Full => FinishReason::Length,
                RowState::WithoutDistribution => {
                    let id = requests[*index].id.clone();
                    return Err(GenerateError::Logits { id, position: count + 1 });
                }
            };
            saved += max_new_tokens - count - ended;
            let completion = Completion { tokens: decoder.tokens(row)?, finish_reason };
            written.push((*index, completion.clone()));
            completions[*index] = Some(completion);
            *held = None;
        }
        observer.report(&written, drawn, saved)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_in_rounds_of_equal_size() {
        assert_eq!([1, 8, 200, 1100, 2048, 2200, 4097].map(rows), [8, 8, 200, 1104, 2048, 1104, 1368]);
    }
}
