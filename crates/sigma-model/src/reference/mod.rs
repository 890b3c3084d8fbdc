//! Any decoder in candle's tensors, differentiable by candle: slow and obvious, the oracle of every fast path.
//!
//! The residual stream, norms, rotation, softmax and loss have the type of the parameters (f32 or f64), products that
//! of `compute`,
//! as under PyTorch's autocast. candle's fused layer norm and softmax have no backward pass and are not used.
//!
//! Legend: B rows of a batch, T new tokens of a row, C columns of the cache, D hidden size, H heads, V vocabulary.

mod attention;
mod block;
mod cache;
mod norm;
mod rotation;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, Var};
use sigma_data::seeds::Stream;
use sigma_kernels::dropout::{self, Mask};
use sigma_kernels::{embedding, linear};

pub use cache::KvCache;
use cache::Places;

use crate::ModelError;
use crate::spec::{DecoderSpec, DropoutRates, Part, Slot};

/// A decoder's spec and its parameters.
#[derive(Debug, Clone)]
pub struct Reference {
    spec: Arc<DecoderSpec>,
    parameters: BTreeMap<Slot, Tensor>,
    /// Parameters of products that are in `compute` already, see [`Reference::for_inference`].
    prepared: BTreeMap<Slot, Tensor>,
    compute: DType,
}

/// Dropout of one training step: each place in the network draws its own mask key from the stream.
#[derive(Debug)]
pub struct Dropout<'a> {
    pub rates: DropoutRates,
    pub stream: &'a mut Stream,
}

impl Dropout<'_> {
    fn apply(dropout: &mut Option<Self>, rate: impl Fn(&DropoutRates) -> Option<f64>, x: Tensor) -> Result<Tensor> {
        let Some(Dropout { rates, stream }) = dropout else { return Ok(x) };
        match rate(rates) {
            Some(p) if p > 0.0 => dropout::reference(&x, Mask { p, key: stream.next_u64() }),
            _ => Ok(x),
        }
    }
}

impl Reference {
    /// Over `parameters`, which must be f32 or f64, all of one type, and exactly those of [`DecoderSpec::parameters`].
    /// Products are
    /// made in `compute`.
    ///
    /// # Errors
    /// A parameter that is missing or of another shape.
    pub fn new(spec: DecoderSpec, parameters: BTreeMap<Slot, Tensor>, compute: DType) -> Result<Self> {
        let expected = spec.parameters();
        for (slot, shape) in &expected {
            match parameters.get(slot) {
                Some(tensor) if tensor.dims() == shape => {}
                Some(tensor) => candle_core::bail!("parameter {slot} has shape {:?}, not {shape:?}", tensor.dims()),
                None => candle_core::bail!("parameter {slot} is missing"),
            }
        }
        if parameters.len() != expected.len() {
            candle_core::bail!("{} parameters for {} places", parameters.len(), expected.len());
        }
        Ok(Self { spec: Arc::new(spec), parameters, prepared: BTreeMap::new(), compute })
    }

    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    pub fn parameters(&self) -> &BTreeMap<Slot, Tensor> {
        &self.parameters
    }

    /// A copy whose parameters are variables of type `dtype`.
    pub fn trainable(&self, dtype: DType) -> Result<(Self, Vec<(Slot, Var)>)> {
        let mut variables = Vec::new();
        let mut parameters = BTreeMap::new();
        for (slot, tensor) in &self.parameters {
            let variable = Var::from_tensor(&tensor.detach().to_dtype(dtype)?.copy()?)?;
            parameters.insert(*slot, variable.as_tensor().clone());
            variables.push((*slot, variable));
        }
        let prepared = BTreeMap::new();
        Ok((Self { spec: self.spec.clone(), parameters, prepared, compute: self.compute }, variables))
    }

    /// The same weights outside of any gradient bookkeeping, those of products cast once to their precision.
    pub fn for_inference(&self, compute: DType) -> Result<Self> {
        let parameters: BTreeMap<Slot, Tensor> =
            self.parameters.iter().map(|(slot, tensor)| (*slot, tensor.detach())).collect();
        let mut prepared = BTreeMap::new();
        if compute != self.wide() {
            for (slot, tensor) in &parameters {
                if !slot.part.is_norm() && slot.part != Part::EmbedPositions {
                    prepared.insert(*slot, tensor.to_dtype(compute)?);
                }
            }
        }
        Ok(Self { spec: self.spec.clone(), parameters, prepared, compute })
    }

    /// Hidden states `[sum of lengths, embedding width]` after each token of `rows`, one row after another.
    ///
    /// # Errors
    /// An id outside the vocabulary, or more tokens than positions.
    pub fn hidden_states(&self, rows: &[&[u32]]) -> std::result::Result<Tensor, ModelError> {
        let (ids, places) = KvCache::new(0, rows.len()).places(rows);
        self.check(&ids, places.longest())?;
        let hidden = self.hidden(&ids, &places, None, &mut None)?;
        let time = ids.len() / rows.len().max(1);
        let real = rows.iter().enumerate().flat_map(|(row, ids)| row * time..row * time + ids.len());
        let real: Vec<u32> = real.map(|i| i as u32).collect();
        Ok(hidden.index_select(&Tensor::from_slice(&real, real.len(), self.device())?, 0)?)
    }

    /// Logits `[sum of lengths, V]` after each token of `rows`, one row after another.
    ///
    /// # Errors
    /// As [`Self::hidden_states`].
    pub fn logits(&self, rows: &[&[u32]]) -> std::result::Result<Tensor, ModelError> {
        Ok(self.head(&self.hidden_states(rows)?)?)
    }

    /// Mean next-token cross-entropy of `rows` sequences, a differentiable scalar: `inputs` and `labels` are `[rows *
    /// time]`, and each
    /// label is what comes after the input at its place.
    ///
    /// # Errors
    /// An id outside the vocabulary, more tokens than positions, or labels that do not fit the inputs.
    pub fn loss(
        &self,
        inputs: &[u32],
        labels: &[u32],
        rows: usize,
        mut dropout: Option<Dropout<'_>>,
    ) -> std::result::Result<Tensor, ModelError> {
        let time = inputs.len() / rows.max(1);
        self.check(inputs, time)?;
        self.check(labels, 0)?;
        if labels.len() != inputs.len() || time * rows != inputs.len() || inputs.is_empty() {
            return Err(ModelError::Batch { inputs: inputs.len(), labels: labels.len(), rows });
        }
        let hidden = self.hidden(inputs, &Places::whole(rows, time), None, &mut dropout)?;
        let labels = Tensor::from_slice(labels, labels.len(), self.device())?;
        Ok(candle_nn::loss::cross_entropy(&self.head(&hidden)?, &labels)?)
    }

    /// Runs prompts of any lengths (each at least one token); gives their cache, and logits `[rows, V]` of the next
    /// token of each.
    ///
    /// # Errors
    /// An empty prompt, an id outside the vocabulary, or a prompt with more tokens than positions.
    pub fn start(&self, prompts: &[&[u32]]) -> std::result::Result<(KvCache, Tensor), ModelError> {
        if prompts.iter().any(|prompt| prompt.is_empty()) || prompts.is_empty() {
            return Err(ModelError::EmptyPrompt);
        }
        let mut cache = KvCache::new(self.spec.layers.len(), prompts.len());
        let logits = self.extend(&mut cache, prompts)?;
        Ok((cache, logits))
    }

    /// Appends one token to each row; gives logits `[rows, V]` of the next.
    ///
    /// # Errors
    /// Another number of tokens than of rows, an id outside the vocabulary, or no position left.
    pub fn step(&self, cache: &mut KvCache, tokens: &[u32]) -> std::result::Result<Tensor, ModelError> {
        if tokens.len() != cache.rows() {
            return Err(ModelError::Batch { inputs: tokens.len(), labels: tokens.len(), rows: cache.rows() });
        }
        let rows: Vec<&[u32]> = tokens.chunks(1).collect();
        self.extend(cache, &rows)
    }

    fn extend(&self, cache: &mut KvCache, new: &[&[u32]]) -> std::result::Result<Tensor, ModelError> {
        let (ids, places) = cache.places(new);
        self.check(&ids, places.longest())?;
        let hidden = self.hidden(&ids, &places, Some(cache), &mut None)?;
        let time = ids.len() / new.len().max(1);
        let last: Vec<u32> = new.iter().enumerate().map(|(row, ids)| (row * time + ids.len() - 1) as u32).collect();
        let last = Tensor::from_vec(last, new.len(), self.device())?;
        Ok(self.head(&hidden.index_select(&last, 0)?)?)
    }

    fn check(&self, ids: &[u32], positions: usize) -> std::result::Result<(), ModelError> {
        let (vocabulary, max) = (self.spec.vocab_size, self.spec.max_positions);
        if let Some(id) = ids.iter().find(|id| **id as usize >= vocabulary) {
            return Err(ModelError::TokenId { id: *id, vocabulary });
        }
        if positions > max { Err(ModelError::TooLong { needed: positions, max }) } else { Ok(()) }
    }

    pub fn device(&self) -> &Device {
        self.get(Slot::weight(None, Part::EmbedTokens)).map_or(&Device::Cpu, Tensor::device)
    }

    /// Type of the residual stream.
    fn wide(&self) -> DType {
        self.get(Slot::weight(None, Part::EmbedTokens)).map_or(DType::F32, Tensor::dtype)
    }

    fn get(&self, slot: Slot) -> Option<&Tensor> {
        self.parameters.get(&slot)
    }

    fn weight(&self, layer: Option<usize>, part: Part) -> Result<&Tensor> {
        let slot = Slot::weight(layer, part);
        match self.get(slot) {
            Some(tensor) => Ok(tensor),
            None => candle_core::bail!("parameter {slot} is missing"),
        }
    }

    /// x W^T + b in `compute`, with the bias if there is one.
    fn linear(&self, x: &Tensor, layer: Option<usize>, part: Part) -> Result<Tensor> {
        let get = |slot| self.prepared.get(&slot).or_else(|| self.get(slot));
        let slot = Slot::weight(layer, part);
        let Some(weight) = get(slot) else { candle_core::bail!("parameter {slot} is missing") };
        linear::reference(&x.to_dtype(self.compute)?, weight, get(Slot::bias(layer, part)))
    }

    /// The stack of layers: ids `[B * T]` to hidden states `[B * T, embedding width]`.
    fn hidden(
        &self,
        ids: &[u32],
        places: &Places,
        mut cache: Option<&mut KvCache>,
        dropout: &mut Option<Dropout<'_>>,
    ) -> Result<Tensor> {
        let spec = &*self.spec;
        let tokens = embedding::reference(self.weight(None, Part::EmbedTokens)?, ids, spec.padding_row)?;
        let mut x = if spec.embedding_scale == 1.0 { tokens } else { (tokens * spec.embedding_scale)? };
        if spec.embedding_width != spec.hidden_size {
            x = self.linear(&x, None, Part::ProjectIn)?.to_dtype(self.wide())?;
        }
        if let Some(table) = spec.position_table {
            let rows: Vec<u32> = places.positions().map(|position| position + table.offset as u32).collect();
            x = (x + embedding::reference(self.weight(None, Part::EmbedPositions)?, &rows, None)?)?;
        }
        x = Dropout::apply(dropout, |rates| rates.embedding, x)?;
        x = x.reshape((places.rows(), (), spec.hidden_size))?;
        for layer in 0..spec.layers.len() {
            x = self.block(&x, layer, places, cache.as_deref_mut(), dropout)?;
        }
        if let Some(cache) = cache {
            cache.advance(places);
        }
        if spec.final_norm {
            x = self.norm(&x, None, Part::FinalNorm)?;
        }
        x = x.reshape((ids.len(), spec.hidden_size))?;
        if spec.embedding_width != spec.hidden_size {
            x = self.linear(&x, None, Part::ProjectOut)?.to_dtype(self.wide())?;
        }
        Ok(x)
    }

    /// Logits `[N, V]` of hidden states `[N, embedding width]`, in the type of the residual stream.
    pub fn head(&self, hidden: &Tensor) -> Result<Tensor> {
        let part = if self.spec.tied { Part::EmbedTokens } else { Part::Head };
        let logits = self.linear(hidden, None, part)?.to_dtype(self.wide())?;
        capped(logits, self.spec.final_logit_cap)
    }
}

/// cap * tanh(x / cap)
fn capped(x: Tensor, cap: Option<f64>) -> Result<Tensor> {
    match cap {
        Some(cap) => (x / cap)?.tanh()? * cap,
        None => Ok(x),
    }
}
