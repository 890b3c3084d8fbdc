//! Loss and gradients of a decoder by an explicit forward and backward pass over buffers that are allocated once, in the
//! manner of llm.c. The reference computes the same slowly and is the oracle in the tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use sigma_kernels::linear::{Factors, Threads};
use sigma_kernels::threads::on_a_worker;
use sigma_kernels::{cross_entropy, embedding};

use super::block::{Activations, Block, Scratch, Trained};
use super::heads::Tables;
use super::layout::Layout;
use super::norm;
use super::weights::Weights;
use crate::buffer::sized;
use crate::opt::host_values;
use crate::spec::Slot;
use crate::{Checkpoint, ModelError};

/// A model that is being trained: parameters, their gradients, and what the forward pass keeps for the backward pass.
#[derive(Debug)]
pub struct DecoderTraining {
    start: Arc<Checkpoint>,
    layout: Layout,
    values: Vec<f32>,
    gradients: Vec<f32>,
    factors: Factors,
    tables: Tables,
    positions: Vec<u32>,
    /// The residual stream before each layer and after the last, `[R, D]`.
    stream: Vec<Vec<f32>>,
    layers: Vec<Activations>,
    normed: Vec<f32>,
    dhidden: Vec<f32>,
    dstream: Vec<f32>,
    scratch: Scratch,
    head: cross_entropy::Scratch,
}

impl DecoderTraining {
    /// A copy of `start`, which [`super::supports`].
    ///
    /// # Errors
    /// A parameter that cannot be read.
    pub(crate) fn new(start: Arc<Checkpoint>, factors: Factors) -> Result<Self, ModelError> {
        let layout = Layout::new(&start.spec);
        let mut values = Vec::with_capacity(layout.len);
        for (slot, _, _) in &layout.slots {
            values.extend(host_values(&start.parameters[slot])?);
        }
        let layers = start.spec.layers.len();
        Ok(Self {
            gradients: vec![0.0; values.len()],
            stream: vec![Vec::new(); layers + 1],
            layers: (0..layers).map(|_| Activations::default()).collect(),
            start,
            layout,
            values,
            factors,
            tables: Tables::default(),
            positions: Vec::new(),
            normed: Vec::new(),
            dhidden: Vec::new(),
            dstream: Vec::new(),
            scratch: Scratch::default(),
            head: cross_entropy::Scratch::default(),
        })
    }

    /// Mean next-token cross-entropy over `batch` sequences, whose gradients [`Self::gradients`] then holds. `inputs`
    /// and `labels` are `[batch * T]`, row by row, and `labels[i]` is what should follow `inputs[..=i]` in its row.
    ///
    /// # Errors
    /// An id outside the vocabulary, more tokens than positions, or labels that do not fit the inputs.
    pub fn loss_and_gradients(&mut self, inputs: &[u32], labels: &[u32], batch: usize) -> Result<f32, ModelError> {
        let spec = &self.start.spec;
        let time = inputs.len() / batch.max(1);
        super::check(spec, inputs, time)?;
        super::check(spec, labels, 0)?;
        if labels.len() != inputs.len() || time * batch != inputs.len() || inputs.is_empty() {
            return Err(ModelError::Batch { inputs: inputs.len(), labels: labels.len(), rows: batch });
        }
        self.tables.grow(spec, time);
        self.positions.clear();
        self.positions.extend((0..inputs.len()).map(|i| (i % time) as u32));
        self.gradients.fill(0.0);
        Ok(on_a_worker(|| {
            self.forward(inputs, batch);
            let loss = self.head(labels);
            self.backward(inputs, batch);
            loss
        }))
    }

    fn forward(&mut self, inputs: &[u32], batch: usize) {
        let Self { start, layout, values, tables, positions, stream, layers, normed, scratch, factors, .. } = self;
        let (spec, r) = (&start.spec, inputs.len());
        let weights = Weights::Flat { values, factors: *factors };
        super::embed(sized(&mut stream[0], r * spec.hidden_size), inputs, positions, spec, (layout, weights));
        for (index, (range, activations)) in layout.layers.iter().zip(layers).enumerate() {
            let (before, after) = stream.split_at_mut(index + 1);
            let block = Block { spec, index, layout: range, tables, positions };
            let out = sized(&mut after[0], r * spec.hidden_size);
            let mut wide = std::mem::take(activations.wide());
            block.forward(out, &before[index], (weights, Threads::All), activations, scratch, |attended, qkv| {
                block.attend_whole(attended, qkv, &mut wide, batch);
            });
            *activations.wide() = wide;
        }
        if let Some(range) = &layout.final_norm {
            let last = &stream[spec.layers.len()];
            norm::forward(sized(normed, last.len()), last, spec.norm, range, weights);
        }
    }

    /// The loss; leaves the gradient of the hidden states in `dhidden`.
    fn head(&mut self, labels: &[u32]) -> f32 {
        let Self { start, layout, values, gradients, stream, normed, dhidden, head, factors, .. } = self;
        let hidden = if layout.final_norm.is_some() { normed } else { &stream[start.spec.layers.len()] };
        let table = layout.head.clone();
        cross_entropy::loss_and_gradients(
            sized(dhidden, hidden.len()),
            (&mut gradients[table.clone()], true),
            hidden,
            &values[table],
            labels,
            (*factors, head),
        )
    }

    fn backward(&mut self, inputs: &[u32], batch: usize) {
        let Self { start, layout, values, gradients, tables, positions, stream, layers, scratch, .. } = self;
        let (spec, d) = (&start.spec, start.spec.hidden_size);
        let ds = sized(&mut self.dstream, inputs.len() * d);
        match &layout.final_norm {
            Some(range) => {
                let last = &stream[spec.layers.len()];
                norm::backward((ds, false), gradients, &self.dhidden, last, spec.norm, (range, values));
            }
            None => ds.copy_from_slice(&self.dhidden),
        }
        for (index, (range, activations)) in layout.layers.iter().zip(layers).enumerate().rev() {
            let block = Block { spec, index, layout: range, tables, positions };
            let mut trained = Trained { values, gradients, factors: self.factors };
            block.backward(ds, &stream[index], &mut trained, (activations, batch), scratch);
        }
        if let (Some(range), Some(table)) = (&layout.embed_positions, spec.position_table) {
            let rows: Vec<u32> = positions.iter().map(|position| position + table.offset as u32).collect();
            embedding::backward(&mut gradients[range.clone()], ds, &rows, d, None);
        }
        if spec.embedding_scale != 1.0 {
            ds.iter_mut().for_each(|x| *x *= spec.embedding_scale as f32);
        }
        embedding::backward(&mut gradients[layout.embed_tokens.clone()], ds, inputs, d, spec.padding_row);
    }

    /// All gradients, in the order of [`Self::parameters_and_gradients`].
    pub fn gradients(&self) -> &[f32] {
        &self.gradients
    }

    /// Parameters, to be changed by an optimizer, and their gradients, element by element.
    pub fn parameters_and_gradients(&mut self) -> (&mut [f32], &[f32]) {
        (&mut self.values, &self.gradients)
    }

    /// The gradient of every parameter.
    ///
    /// # Errors
    /// None that is known.
    pub fn gradients_by_slot(&self) -> Result<BTreeMap<Slot, Tensor>, ModelError> {
        self.by_slot(&self.gradients)
    }

    /// The model with its present parameters.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn into_checkpoint(self) -> Result<Checkpoint, ModelError> {
        Ok(self.start.with_parameters(self.by_slot(&self.values)?))
    }

    fn by_slot(&self, all: &[f32]) -> Result<BTreeMap<Slot, Tensor>, ModelError> {
        let tensor = |(slot, range, shape): &(Slot, std::ops::Range<usize>, Vec<usize>)| {
            Ok((*slot, Tensor::from_slice(&all[range.clone()], shape.as_slice(), &Device::Cpu)?))
        };
        self.layout.slots.iter().map(tensor).collect()
    }
}
