//! A decoder of any family on the CPU, computed by the reference: slow, but whole. It stands where a fast engine for
//! all families will.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Var};
use rayon::prelude::*;

use crate::checkpoint::Checkpoint;
use crate::opt::{NamedParameters, host_values, negative_log_likelihood};
use crate::reference::Reference;
use crate::{Decoder, ModelError};

/// Cloning shares the parameters.
#[derive(Debug, Clone)]
pub struct FamilyModel {
    checkpoint: Arc<Checkpoint>,
    reference: Arc<Reference>,
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
        Ok(Self { checkpoint: Arc::new(checkpoint), reference: Arc::new(reference) })
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The same model, whose texts end at any of these tokens.
    pub fn with_ends(mut self, ends: Vec<u32>) -> Self {
        Arc::make_mut(&mut self.checkpoint).spec.special_tokens.eos = ends;
        self
    }

    /// The same weights with products in `compute` precision.
    ///
    /// # Errors
    /// A type that candle cannot cast to.
    pub fn for_inference(&self, compute: DType) -> Result<Self, ModelError> {
        let reference = Arc::new(self.reference.for_inference(compute)?);
        Ok(Self { checkpoint: self.checkpoint.clone(), reference })
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
        host_values(&self.reference.logits(rows)?)
    }

    /// Runs the prompts (each at least one token), and checks that `new_tokens` more fit into each row.
    ///
    /// # Errors
    /// An empty prompt, an id outside the vocabulary, or too few positions.
    pub fn decoder(&self, prompts: &[&[u32]], new_tokens: usize) -> Result<Decoder<'_>, ModelError> {
        let needed = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0) + new_tokens;
        let max = self.checkpoint.spec.max_positions;
        if needed > max { Err(ModelError::TooLong { needed, max }) } else { self.reference.decoder(prompts) }
    }
}
