//! Batched decoding: prompts of a batch are run at once, then one token of every row per step; rows that are finished
//! leave the batch. Every request draws from its own stream, so its tokens depend on nothing else. This is the CPU's
//! way; `on_gpu.rs` is the other.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use sigma_data::answers::FinishReason;
use sigma_data::seeds::Stream;
use sigma_kernels::linear::Threads;
use sigma_model::LanguageModel;

use crate::{GenerateError, Nucleus, on_gpu};

/// One text to write.
#[derive(Debug, Clone)]
pub struct Request {
    /// For messages only.
    pub id: String,
    /// Token ids, BOS included where texts begin with it.
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
    /// Entries of the tokenizer. Models have vocabularies padded with more rows, and those are never drawn.
    pub vocab_size: usize,
    /// Rows decoded together at most; `None` chooses by device.
    pub batch_size: Option<usize>,
    /// What those given are a part of, if they are not all.
    pub whole: Option<Whole>,
}

/// All requests of a task, of which some may be finished. Shapes on a GPU follow from it, and with them last bits,
/// which must not depend on how many are left.
#[derive(Debug, Clone, Copy)]
pub struct Whole {
    pub requests: usize,
    /// In tokens.
    pub longest_prompt: usize,
}

impl Whole {
    pub fn of(requests: &[Request]) -> Self {
        let longest_prompt = requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0);
        Self { requests: requests.len(), longest_prompt }
    }
}

/// What a caller sees after each step.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Texts finished so far.
    pub finished: usize,
    pub total: usize,
    /// Tokens drawn in this step.
    pub tokens: usize,
    /// Share of the work that is done, from 0 to 1: of the tokens that may be drawn at most, those that were drawn and
    /// those that finished texts no longer need.
    pub share: f64,
    /// The texts that this step finished, with the index of their request.
    pub written: &'a [(usize, Completion)],
}

/// Up to this many parameters a step over a batch is short, and threads serve better with a batch each than together.
const SMALL_MODEL: usize = 8_000_000;
/// Rows of a batch by default.
const ROWS: usize = 64;

/// Completes every request, in the order given. `model` should come from [`LanguageModel::for_inference`]. After each
/// step
/// `observe` may break off, which is [`GenerateError::Interrupted`].
pub fn generate(
    model: &LanguageModel,
    mut requests: Vec<Request>,
    options: &Options,
    observe: impl FnMut(Progress<'_>) -> ControlFlow<()> + Send,
) -> Result<Vec<Completion>, GenerateError> {
    let max = model.max_positions();
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
    if options.max_new_tokens == 0 {
        let empty = Completion { tokens: Vec::new(), finish_reason: FinishReason::Length };
        return Ok(vec![empty; requests.len()]);
    }
    let state = Mutex::new(Seen { finished: 0, spent: 0, observe });
    let observer = Observer { total: requests.len(), budget: requests.len() * options.max_new_tokens, state };
    if let LanguageModel::Opt(model) = model
        && model.device().is_gpu()
    {
        let ends = model.config().eos_token_id.ids();
        if ends.len() > 1 {
            return Err(GenerateError::Ends { ends: ends.to_vec() });
        }
        return on_gpu::complete(model, &requests, options, &observer);
    }
    let largest = options.batch_size.unwrap_or(ROWS).max(1);
    // the reference's products may round a row otherwise in another batch, so its texts are written one by one
    let alone = matches!(model, LanguageModel::Family(family) if !family.is_fast());
    let done: Vec<Vec<Completion>> = if alone || model.parameter_count() <= SMALL_MODEL {
        // as many equal batches as keep every thread busy to the end
        let threads = rayon::current_num_threads();
        let rounds = requests.len().div_ceil(threads * largest).max(1);
        let size = if alone { 1 } else { requests.len().div_ceil(threads * rounds).max(1) };
        let batches = requests.par_chunks_mut(size).with_max_len(1).enumerate();
        let complete = |(i, batch): (usize, &mut [Request])| {
            complete_batch(model, batch, i * size, options, &observer, Threads::One)
        };
        batches.map(complete).collect::<Result<_, _>>()?
    } else {
        let batches = requests.chunks_mut(largest).enumerate();
        let complete = |(i, batch): (usize, &mut [Request])| {
            complete_batch(model, batch, i * largest, options, &observer, Threads::All)
        };
        batches.map(complete).collect::<Result<_, _>>()?
    };
    Ok(done.into_iter().flatten().collect())
}

/// Counts finished texts over all batches, and tells the caller.
pub(crate) struct Observer<F> {
    /// Texts.
    total: usize,
    /// Tokens that may be drawn at most.
    budget: usize,
    state: Mutex<Seen<F>>,
}

struct Seen<F> {
    finished: usize,
    /// Of the budget: drawn, or no longer needed.
    spent: usize,
    observe: F,
}

impl<F: FnMut(Progress<'_>) -> ControlFlow<()>> Observer<F> {
    /// A step drew `tokens` and finished `written`, which leave `saved` tokens of the budget unused.
    pub(crate) fn report(
        &self,
        written: &[(usize, Completion)],
        tokens: usize,
        saved: usize,
    ) -> Result<(), GenerateError> {
        let seen = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        seen.finished += written.len();
        seen.spent += tokens + saved;
        let share = seen.spent as f64 / self.budget.max(1) as f64;
        let (finished, total) = (seen.finished, self.total);
        match (seen.observe)(Progress { finished, total, tokens, share, written }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(GenerateError::Interrupted { finished, total }),
        }
    }
}

/// A row that is still being written: its place in the batch of requests, and what it has so far.
struct Row<'a> {
    place: usize,
    id: &'a str,
    stream: &'a mut Stream,
    tokens: Vec<u32>,
    finish_reason: Option<FinishReason>,
}

/// `first` is the index of the batch's first request among all.
fn complete_batch<F: FnMut(Progress<'_>) -> ControlFlow<()>>(
    model: &LanguageModel,
    requests: &mut [Request],
    first: usize,
    options: &Options,
    observer: &Observer<F>,
    threads: Threads,
) -> Result<Vec<Completion>, GenerateError> {
    let mut completions: Vec<Option<Completion>> = vec![None; requests.len()];
    let (mut prompts, mut rows): (Vec<&[u32]>, Vec<Row<'_>>) = (Vec::new(), Vec::new());
    for (place, Request { id, prompt, stream }) in requests.iter_mut().enumerate() {
        prompts.push(prompt);
        rows.push(Row { place, id, stream, tokens: Vec::new(), finish_reason: None });
    }
    let mut decoder = model.decoder(&prompts, options.max_new_tokens - 1, threads)?;
    let pad = model.pad();
    let mut drawn = 0;
    loop {
        let running: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].finish_reason.is_none()).collect();
        draw(model, decoder.logits(), &mut rows, options)?;
        drawn += 1;
        let live: Vec<usize> = running.iter().copied().filter(|i| rows[*i].finish_reason.is_none()).collect();
        let written: Vec<(usize, Completion)> = running
            .iter()
            .filter_map(|i| {
                let Row { place, tokens, finish_reason, .. } = &rows[*i];
                Some((first + place, Completion { tokens: tokens.clone(), finish_reason: (*finish_reason)? }))
            })
            .collect();
        observer.report(&written, running.len(), written.len() * (options.max_new_tokens - drawn))?;
        // moving rows costs a copy of the cache, so it waits until a quarter of the batch is idle
        if live.is_empty() || live.len() * 4 <= rows.len() * 3 {
            rows.retain_mut(|row| match row.finish_reason {
                Some(finish_reason) => {
                    let tokens = std::mem::take(&mut row.tokens);
                    completions[row.place] = Some(Completion { tokens, finish_reason });
                    false
                }
                None => true,
            });
            if rows.is_empty() {
                return Ok(completions.into_iter().flatten().collect());
            }
            decoder.keep_rows(&live)?;
        }
        // a finished row that still waits in the batch is fed padding; what follows it is never looked at
        let tokens: Vec<u32> = rows
            .iter()
            .map(|row| if row.finish_reason.is_none() { row.tokens.last().copied().unwrap_or(pad) } else { pad })
            .collect();
        decoder.step(&tokens)?;
    }
}

/// Draws one token for every running row from its logits `[rows, V]`.
fn draw(
    model: &LanguageModel,
    logits: &mut [f32],
    rows: &mut [Row<'_>],
    options: &Options,
) -> Result<(), GenerateError> {
    let eos = model.eos();
    let vocabulary = model.vocab_size();
    let drawable = options.vocab_size.min(vocabulary);
    logits.par_chunks_mut(vocabulary).zip(rows.par_iter_mut()).try_for_each(|(logits, row)| {
        if row.finish_reason.is_some() {
            return Ok(());
        }
        if !options.stop_at_eos {
            for eos in &eos {
                if let Some(eos) = logits.get_mut(*eos as usize) {
                    *eos = f32::NEG_INFINITY;
                }
            }
        }
        let Some(token) = options.nucleus.draw(&mut logits[..drawable], row.stream) else {
            return Err(GenerateError::Logits { id: row.id.to_string(), position: row.tokens.len() + 1 });
        };
        if options.stop_at_eos && eos.contains(&token) {
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
