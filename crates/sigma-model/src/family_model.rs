//! A decoder of any family but OPT on the CPU: computed by the engine of `decoder` where that knows what the family
//! needs, and else by the reference, which is slow and knows everything. The choice is made here.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Var};
use rayon::prelude::*;
use sigma_kernels::linear::Threads;

use crate::checkpoint::Checkpoint;
use crate::decoder::{self, DecoderInference, DecoderTraining};
use crate::opt::{NamedParameters, factors_on_cpu, host_values, negative_log_likelihood};
use crate::reference::Reference;
use crate::spec::DropoutRates;
use crate::{Decoder, ModelError};

/// Cloning shares the parameters.
#[derive(Debug, Clone)]
pub struct FamilyModel {
    checkpoint: Arc<Checkpoint>,
    reference: Arc<Reference>,
    /// Where the model was made ready for inference on the engine.
    inference: Option<Arc<DecoderInference>>,
}

impl FamilyModel {
    /// Loads `folder` as f32.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        Self::new(Checkpoint::load(folder)?)
    }

    fn new(checkpoint: Checkpoint) -> Result<Self, ModelError> {
        let reference = Reference::new(checkpoint.spec.clone(), checkpoint.parameters.clone(), DType::F32)?;
        Ok(Self { checkpoint: Arc::new(checkpoint), reference: Arc::new(reference), inference: None })
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The same model, whose texts end at any of these tokens.
    pub fn with_ends(mut self, ends: Vec<u32>) -> Self {
        Arc::make_mut(&mut self.checkpoint).spec.special_tokens.eos = ends;
        self
    }

    /// What the engine lacks for this model, if anything: then the reference computes it.
    pub fn lacks(&self) -> Option<&'static str> {
        decoder::supports(&self.checkpoint.spec).err()
    }

    /// Whether the engine computes it: then a row has the same bits in every batch.
    pub fn is_fast(&self) -> bool {
        self.inference.is_some()
    }

    /// The same weights with products in `compute` precision.
    ///
    /// # Errors
    /// A type that candle cannot cast to.
    pub fn for_inference(&self, compute: DType) -> Result<Self, ModelError> {
        let checkpoint = self.checkpoint.clone();
        if let (None, Some(factors)) = (self.lacks(), factors_on_cpu(compute)) {
            let inference = Some(Arc::new(DecoderInference::new(checkpoint.clone(), factors)?));
            return Ok(Self { checkpoint, reference: self.reference.clone(), inference });
        }
        let reference = Arc::new(self.reference.for_inference(compute)?);
        Ok(Self { checkpoint, reference, inference: None })
    }

    /// A copy for training on the engine; `None` where the reference must do it: in f16, with dropout, or for what the
    /// engine lacks.
    ///
    /// # Errors
    /// A parameter that cannot be read.
    pub fn decoder_training(&self, compute: DType, rates: DropoutRates) -> Result<Option<DecoderTraining>, ModelError> {
        match (self.lacks(), factors_on_cpu(compute)) {
            (None, Some(factors)) if rates.is_none() => {
                Ok(Some(DecoderTraining::new(self.checkpoint.clone(), factors)?))
            }
            _ => Ok(None),
        }
    }

    /// What [`Self::decoder_training`] has trained.
    ///
    /// # Errors
    /// What candle fails at.
    pub fn of_training(training: DecoderTraining) -> Result<Self, ModelError> {
        Self::new(training.into_checkpoint()?)
    }

    /// A copy for training by candle's autograd, its parameters as variables with their names, products in `compute`
    /// precision.
    ///
    /// # Errors
    /// What candle fails at.
    pub fn training(&self, compute: DType) -> Result<(Reference, Vec<(String, Var)>), ModelError> {
        let Checkpoint { spec, parameters, .. } = &*self.checkpoint;
        let (reference, variables) =
            Reference::new(spec.clone(), parameters.clone(), compute)?.trainable(DType::F32)?;
        Ok((reference, variables.into_iter().map(|(slot, variable)| (slot.to_string(), variable)).collect()))
    }

    /// What [`Self::training`] of this model has trained.
    ///
    /// # Errors
    /// What candle fails at.
    pub fn trained(&self, reference: &Reference) -> Result<Self, ModelError> {
        let parameters = reference.parameters().iter().map(|(slot, tensor)| Ok((*slot, tensor.detach().copy()?)));
        Self::new(self.checkpoint.with_parameters(parameters.collect::<Result<_, ModelError>>()?))
    }

    /// Name, shape and values of every tensor of the model's file, in the order of names.
    ///
    /// # Errors
    /// What candle fails at.
    pub fn parameters(&self) -> Result<NamedParameters, ModelError> {
        let stored = self.checkpoint.stored(&self.checkpoint.parameters)?;
        stored.into_iter().map(|(name, t)| Ok((name, (t.dims().to_vec(), host_values(&t)?)))).collect()
    }

    /// -log p(label), in nats, of the label that belongs to each token of `rows`; see [`crate::Opt::losses`].
    ///
    /// # Errors
    /// An id that the model does not have, or a row that is longer than its positions.
    pub fn losses(&self, rows: &[&[u32]], labels: &[u32]) -> Result<Vec<f64>, ModelError> {
        let vocabulary = self.checkpoint.spec.vocab_size;
        if let Some(id) = labels.iter().find(|id| **id as usize >= vocabulary) {
            return Err(ModelError::TokenId { id: *id, vocabulary });
        }
        let logits = self.logits(rows)?;
        let rows = logits.par_chunks(vocabulary).zip(labels);
        Ok(rows.map(|(logits, label)| negative_log_likelihood(logits, *label as usize)).collect())
    }

    /// Logits `[sum of lengths, V]` after every token of `rows`, one row after another.
    ///
    /// # Errors
    /// As [`Reference::logits`].
    pub fn logits(&self, rows: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        match &self.inference {
            Some(inference) => inference.logits(rows),
            None => host_values(&self.reference.logits(rows)?),
        }
    }

    /// Runs the prompts (each at least one token), and checks that `new_tokens` more fit into each row.
    ///
    /// # Errors
    /// An empty prompt, an id outside the vocabulary, or too few positions.
    pub fn decoder(&self, prompts: &[&[u32]], new_tokens: usize, threads: Threads) -> Result<Decoder<'_>, ModelError> {
        let needed = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0) + new_tokens;
        let max = self.checkpoint.spec.max_positions;
        match &self.inference {
            _ if needed > max => Err(ModelError::TooLong { needed, max }),
            Some(inference) => Decoder::of_family(inference, prompts, needed, threads),
            None => self.reference.decoder(prompts),
        }
    }
}
