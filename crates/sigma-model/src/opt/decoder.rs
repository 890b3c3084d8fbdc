//! A batch of texts that grow token by token: prompts go in, logits of the next token come out, rows leave when they
//! are finished. It knows nothing of sampling.

use sigma_kernels::linear::Threads;

use super::host::{HostCache, Inference, Pass};
use super::{Opt, OptConfig, Weights, host_values};
use crate::ModelError;
use crate::decoder::{self, DecoderInference};
use crate::reference::{KvCache, Reference};

/// Rows that are being written, with the keys and values of their tokens.
#[derive(Debug)]
pub struct Decoder<'a> {
    vocab_size: usize,
    engine: Engine<'a>,
    logits: Vec<f32>,
}

/// A model's parameters with the cache that goes with them.
#[derive(Debug)]
enum Engine<'a> {
    Host(&'a OptConfig, Inference<'a>, Box<HostCache>),
    Family(&'a DecoderInference, Box<decoder::KvCache>),
    Reference(&'a Reference, KvCache),
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
        let engine = match &self.weights {
            Weights::Host { parameters, packed } => {
                let cache = HostCache::new(&self.config, prompts.len(), longest + new_tokens, threads);
                let model = Inference { parameters, packed: packed.as_deref() };
                Engine::Host(&self.config, model, Box::new(cache))
            }
            Weights::Gpu(_) => return Err(ModelError::OnGpu { what: "a decoder whose logits are read" }),
            Weights::Reference(reference) => return reference.decoder(prompts),
        };
        let mut decoder = Decoder { vocab_size: self.config.vocab_size, engine, logits: Vec::new() };
        decoder.run(prompts, Pass::Whole)?;
        Ok(decoder)
    }
}

impl Reference {
    /// Runs the prompts, each at least one token.
    ///
    /// # Errors
    /// As [`Reference::start`].
    pub fn decoder(&self, prompts: &[&[u32]]) -> Result<Decoder<'_>, ModelError> {
        let (cache, logits) = self.start(prompts)?;
        let engine = Engine::Reference(self, cache);
        Ok(Decoder { vocab_size: self.spec().vocab_size, engine, logits: host_values(&logits)? })
    }
}

impl<'a> Decoder<'a> {
    /// Runs the prompts, each at least one token, with room for `capacity` tokens in each row.
    pub(crate) fn of_family(
        model: &'a DecoderInference,
        prompts: &[&[u32]],
        capacity: usize,
        threads: Threads,
    ) -> Result<Self, ModelError> {
        if prompts.iter().any(|prompt| prompt.is_empty()) || prompts.is_empty() {
            return Err(ModelError::EmptyPrompt);
        }
        for prompt in prompts {
            decoder::check(model.spec(), prompt, prompt.len())?;
        }
        let engine = Engine::Family(model, Box::new(model.cache(prompts.len(), capacity, threads)));
        let mut decoder = Decoder { vocab_size: model.spec().vocab_size, engine, logits: Vec::new() };
        decoder.run(prompts, Pass::Whole)?;
        Ok(decoder)
    }
}

impl Decoder<'_> {
    pub fn rows(&self) -> usize {
        match &self.engine {
            Engine::Host(_, _, cache) => cache.rows(),
            Engine::Family(_, cache) => cache.lens().len(),
            Engine::Reference(_, cache) => cache.rows(),
        }
    }

    /// Logits `[rows, V]` of the next token of each row. They may be overwritten: the next step makes new ones.
    pub fn logits(&mut self) -> &mut [f32] {
        &mut self.logits
    }

    /// Appends one token to each row.
    pub fn step(&mut self, tokens: &[u32]) -> Result<(), ModelError> {
        let rows: Vec<&[u32]> = tokens.chunks(1).collect();
        if rows.len() != self.rows() {
            return Err(ModelError::Batch { inputs: tokens.len(), labels: tokens.len(), rows: self.rows() });
        }
        if let Engine::Host(config, _, cache) = &self.engine {
            config.check_ids(tokens)?;
            config.check_length(cache.lens().iter().copied().max().unwrap_or(0) + 1)?;
        }
        if let Engine::Family(model, cache) = &self.engine {
            decoder::check(model.spec(), tokens, cache.lens().iter().copied().max().unwrap_or(0) + 1)?;
        }
        self.run(&rows, Pass::Step)
    }

    /// Keeps only these rows, in ascending order; the logits of the others are gone with them.
    pub fn keep_rows(&mut self, rows: &[usize]) -> Result<(), ModelError> {
        match &mut self.engine {
            Engine::Host(_, _, cache) => cache.keep_rows(rows),
            Engine::Family(_, cache) => cache.keep_rows(rows),
            Engine::Reference(_, cache) => cache.keep_rows(rows)?,
        }
        let vocabulary = self.vocab_size;
        for (to, from) in rows.iter().enumerate() {
            self.logits.copy_within(from * vocabulary..(from + 1) * vocabulary, to * vocabulary);
        }
        self.logits.truncate(rows.len() * vocabulary);
        Ok(())
    }

    /// Runs new tokens of each row, and computes the logits after the last of each.
    fn run(&mut self, new: &[&[u32]], pass: Pass) -> Result<(), ModelError> {
        match &mut self.engine {
            Engine::Host(config, model, cache) => {
                let width = config.embedding_width();
                let lens: Vec<usize> = new.iter().map(|ids| ids.len()).collect();
                let hidden = cache.extend(*model, config, (&new.concat(), &lens), pass);
                let last = last_of_rows(hidden, &lens, width);
                cache.head(&mut self.logits, *model, config, &last);
            }
            Engine::Family(model, cache) => {
                let lens: Vec<usize> = new.iter().map(|ids| ids.len()).collect();
                let hidden = model.extend(cache, &new.concat(), &lens);
                let last = last_of_rows(hidden, &lens, model.spec().hidden_size);
                model.head(&mut self.logits, &last, cache.threads());
            }
            Engine::Reference(reference, cache) => {
                self.logits = host_values(&reference.step(cache, &new.concat())?)?;
            }
        }
        Ok(())
    }
}

/// The hidden states of the last new token of each row.
fn last_of_rows(hidden: &[f32], lens: &[usize], width: usize) -> Vec<f32> {
    let mut last = Vec::with_capacity(lens.len() * width);
    let mut end = 0;
    for len in lens {
        end += len;
        last.extend_from_slice(&hidden[(end - 1) * width..end * width]);
    }
    last
}
