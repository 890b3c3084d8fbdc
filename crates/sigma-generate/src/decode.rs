//! Batched decoding with a KV cache: prompts of a batch are run at once, then one token of every row per step; rows that
//! are finished leave the batch. Every request draws from its own stream, so its tokens depend on nothing else.

use std::ops::ControlFlow;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use sigma_data::answers::FinishReason;
use sigma_data::seeds::Stream;
use sigma_model::{KvCache, Opt};

use crate::{GenerateError, Nucleus};

/// One text to write.
#[derive(Debug, Clone)]
pub struct Request {
    /// For messages only.
    pub id: String,
    /// Token ids, BOS included.
    pub prompt: Vec<u32>,
    pub stream: Stream,
}

/// What was written: eos itself is not among the tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub tokens: Vec<u32>,
    pub finish_reason: FinishReason,
}

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub nucleus: Nucleus,
    pub max_new_tokens: usize,
    /// Whether a text may end at eos; if not, eos is never drawn and every text has `max_new_tokens` tokens.
    pub stop_at_eos: bool,
    /// Rows decoded together; `None` chooses by device.
    pub batch_size: Option<usize>,
}

/// What a caller sees after each step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Texts finished so far.
    pub finished: usize,
    pub total: usize,
    /// Tokens drawn in this step.
    pub tokens: usize,
}

/// Completes every request, in the order given. `model` should come from [`Opt::for_inference`]. After each step
/// `observe` may break off, which is [`GenerateError::Interrupted`].
pub fn generate(
    model: &Opt,
    mut requests: Vec<Request>,
    options: &Options,
    mut observe: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<Completion>, GenerateError> {
    let max = model.config().max_position_embeddings;
    for request in &requests {
        let (id, prompt, new) = (request.id.clone(), request.prompt.len(), options.max_new_tokens);
        if prompt == 0 {
            return Err(GenerateError::EmptyPrompt { id });
        }
        // the last token drawn is never run through the model
        if prompt + new.saturating_sub(1) > max {
            return Err(GenerateError::TooLong { id, prompt, new, max });
        }
    }
    let total = requests.len();
    let batch_size = options.batch_size.unwrap_or(if model.device().is_cuda() { 256 } else { 64 }).max(1);
    let mut completions = Vec::with_capacity(total);
    for batch in requests.chunks_mut(batch_size) {
        let done = completions.len();
        let report = |finished: usize, tokens| observe(Progress { finished: done + finished, total, tokens });
        completions.extend(complete_batch(model, batch, options, report, (done, total))?);
    }
    Ok(completions)
}

/// A row that is still being written: its place in the batch of requests, and what it has so far.
struct Row<'a> {
    place: usize,
    request: &'a mut Request,
    tokens: Vec<u32>,
    finish_reason: Option<FinishReason>,
}

fn complete_batch(
    model: &Opt,
    requests: &mut [Request],
    options: &Options,
    mut report: impl FnMut(usize, usize) -> ControlFlow<()>,
    (done, total): (usize, usize),
) -> Result<Vec<Completion>, GenerateError> {
    let lens: Vec<usize> = requests.iter().map(|r| r.prompt.len()).collect();
    let mut cache = KvCache::new(model, &lens, options.max_new_tokens.saturating_sub(1))?;
    let columns = cache.prompt_columns();
    let pad = model.config().pad_token_id;
    let prompts: Vec<u32> = requests
        .iter()
        .flat_map(|r| r.prompt.iter().copied().chain(std::iter::repeat_n(pad, columns - r.prompt.len())))
        .collect();
    let mut completions: Vec<Option<Completion>> = vec![None; requests.len()];
    let mut rows: Vec<Row<'_>> = requests
        .iter_mut()
        .enumerate()
        .map(|(place, request)| Row { place, request, tokens: Vec::new(), finish_reason: None })
        .collect();
    if options.max_new_tokens == 0 {
        let empty = Completion { tokens: Vec::new(), finish_reason: FinishReason::Length };
        return Ok(vec![empty; rows.len()]);
    }
    let mut logits = model.prefill(&prompts, &mut cache)?;
    loop {
        let running = rows.iter().filter(|row| row.finish_reason.is_none()).count();
        draw(model, &logits, &mut rows, options)?;
        let live: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].finish_reason.is_none()).collect();
        let finished = completions.len() - live.len();
        if report(finished, running).is_break() {
            return Err(GenerateError::Interrupted { finished: done + finished, total });
        }
        // moving rows costs a copy of the cache, so it waits until a quarter of the batch is idle
        if live.is_empty() || live.len() * 4 <= rows.len() * 3 {
            if !live.is_empty() {
                cache.keep_rows(&live)?;
            }
            rows.retain_mut(|row| match row.finish_reason {
                Some(finish_reason) => {
                    let tokens = std::mem::take(&mut row.tokens);
                    completions[row.place] = Some(Completion { tokens, finish_reason });
                    false
                }
                None => true,
            });
        }
        if rows.is_empty() {
            return Ok(completions.into_iter().flatten().collect());
        }
        // a finished row that still waits in the batch is fed padding; what follows it is never looked at
        let tokens: Vec<u32> = rows
            .iter()
            .map(|row| if row.finish_reason.is_none() { row.tokens.last().copied().unwrap_or(pad) } else { pad })
            .collect();
        logits = model.step(&tokens, &mut cache)?;
    }
}

/// Draws one token for every running row from its logits `[rows, V]`.
fn draw(model: &Opt, logits: &Tensor, rows: &mut [Row<'_>], options: &Options) -> Result<(), GenerateError> {
    let eos = model.config().eos_token_id;
    let vocabulary = model.config().vocab_size;
    let mut values = logits.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    values.par_chunks_mut(vocabulary).zip(rows.par_iter_mut()).try_for_each(|(logits, row)| {
        if row.finish_reason.is_some() {
            return Ok(());
        }
        if !options.stop_at_eos
            && let Some(eos) = logits.get_mut(eos as usize)
        {
            *eos = f32::NEG_INFINITY;
        }
        let Some(token) = options.nucleus.draw(logits, &mut row.request.stream) else {
            return Err(GenerateError::Logits { id: row.request.id.clone(), position: row.tokens.len() + 1 });
        };
        if options.stop_at_eos && token == eos {
            row.finish_reason = Some(FinishReason::Eos);
        } else {
            row.tokens.push(token);
            if row.tokens.len() == options.max_new_tokens {
                row.finish_reason = Some(FinishReason::Length);
            }
        }
        Ok(())
    })
}
