//! A batch of texts that grow token by token: prompts go in, logits of the next token come out, rows leave when they are
//! finished. It knows nothing of sampling.

use candle_core::Tensor;
use sigma_kernels::linear::Threads;

use super::host::{HostCache, Inference, Pass};
use super::tape::{Tape, TapeCache};
use super::{Opt, OptConfig, Weights, host_values};
use crate::ModelError;
use crate::padding::pad_right;

/// Rows that are being written, with the keys and values of their tokens.
#[derive(Debug)]
pub struct Decoder<'a> {
    config: &'a OptConfig,
    engine: Engine<'a>,
    logits: Vec<f32>,
}

/// A model's parameters with the cache that goes with them.
#[derive(Debug)]
enum Engine<'a> {
    Host(Inference<'a>, Box<HostCache>),
    Tape(&'a Tape, TapeCache),
}

impl Opt {
    /// Runs the prompts (each at least one token), and leaves room for `new_tokens` more in each row. `threads` says
    /// whether other batches are decoded at the same time; it changes nothing but speed.
    pub fn decoder(&self, prompts: &[&[u32]], new_tokens: usize, threads: Threads) -> Result<Decoder<'_>, ModelError> {
        let longest = prompts.iter().map(|p| p.len()).max().unwrap_or(0);
        for prompt in prompts {
            self.config.check_ids(prompt)?;
            if prompt.is_empty() {
                return Err(ModelError::EmptyPrompt);
            }
        }
        self.config.check_length(longest + new_tokens)?;
        let lens: Vec<usize> = prompts.iter().map(|p| p.len()).collect();
        let engine = match &self.weights {
            Weights::Host { parameters, packed } => {
                let cache = HostCache::new(&self.config, prompts.len(), longest + new_tokens, threads);
                Engine::Host(Inference { parameters, packed: packed.as_deref() }, Box::new(cache))
            }
            Weights::Gpu(_) => return Err(ModelError::OnGpu { what: "a decoder whose logits are read" }),
            Weights::Tape(tape) => Engine::Tape(tape, TapeCache::new(tape, &lens, new_tokens)?),
        };
        let mut decoder = Decoder { config: &self.config, engine, logits: Vec::new() };
        decoder.run(prompts, &lens, Pass::Whole)?;
        Ok(decoder)
    }
}

impl Decoder<'_> {
    pub fn rows(&self) -> usize {
        match &self.engine {
            Engine::Host(_, cache) => cache.rows(),
            Engine::Tape(_, cache) => cache.rows(),
        }
    }

    /// Logits `[rows, V]` of the next token of each row. They may be overwritten: the next step makes new ones.
    pub fn logits(&mut self) -> &mut [f32] {
        &mut self.logits
    }

    /// Appends one token to each row.
    pub fn step(&mut self, tokens: &[u32]) -> Result<(), ModelError> {
        self.config.check_ids(tokens)?;
        let rows: Vec<&[u32]> = tokens.chunks(1).collect();
        if rows.len() != self.rows() {
            return Err(ModelError::Batch { inputs: tokens.len(), labels: tokens.len(), rows: self.rows() });
        }
        let longest = match &self.engine {
            Engine::Host(_, cache) => cache.lens().iter().copied().max().unwrap_or(0),
            Engine::Tape(_, cache) => cache.longest(),
        };
        self.config.check_length(longest + 1)?;
        self.run(&rows, &vec![1; rows.len()], Pass::Step)
    }

    /// Keeps only these rows, in ascending order; the logits of the others are gone with them.
    pub fn keep_rows(&mut self, rows: &[usize]) -> Result<(), ModelError> {
        match &mut self.engine {
            Engine::Host(_, cache) => cache.keep_rows(rows),
            Engine::Tape(_, cache) => cache.keep_rows(rows)?,
        }
        let vocabulary = self.config.vocab_size;
        for (to, from) in rows.iter().enumerate() {
            self.logits.copy_within(from * vocabulary..(from + 1) * vocabulary, to * vocabulary);
        }
        self.logits.truncate(rows.len() * vocabulary);
        Ok(())
    }

    /// Runs new tokens of each row, and computes the logits after the last of each.
    fn run(&mut self, new: &[&[u32]], lens: &[usize], pass: Pass) -> Result<(), ModelError> {
        let config = self.config;
        let width = config.embedding_width();
        match &mut self.engine {
            Engine::Host(model, cache) => {
                let hidden = cache.extend(*model, config, (&new.concat(), lens), pass);
                let mut last = Vec::with_capacity(lens.len() * width);
                let mut end = 0;
                for len in lens {
                    end += len;
                    last.extend_from_slice(&hidden[(end - 1) * width..end * width]);
                }
                cache.head(&mut self.logits, *model, config, &last);
            }
            Engine::Tape(tape, cache) => {
                let (ids, _) = pad_right(new, config.pad_token_id);
                let time = ids.len() / lens.len().max(1);
                let starts = cache.next_positions();
                let positions: Vec<u32> = starts.iter().flat_map(|s| (0..time).map(move |i| (s + i) as u32)).collect();
                let hidden = tape.extend(&ids, &positions, cache)?.reshape((ids.len(), width))?;
                let last: Vec<u32> = lens.iter().enumerate().map(|(row, len)| (row * time + len - 1) as u32).collect();
                let last = Tensor::from_vec(last, lens.len(), tape.device())?;
                self.logits = host_values(&tape.head(&hidden.index_select(&last, 0)?)?)?;
            }
        }
        Ok(())
    }
}
