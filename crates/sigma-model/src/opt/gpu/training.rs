//! Fine-tuning on a GPU: loss and gradients of a batch as one graph of launches, AdamW over all parameters in one more.
//! Steps follow each other on the device without waiting for the host, which may ask later what they found.

use std::collections::HashMap;
use std::sync::Arc;

use sigma_kernels::adamw::Settings;
use sigma_kernels::gpu::{Buffer, Dtype, Gpu, View};
use sigma_kernels::loss_scale::{GROWTH_INTERVAL, LossScale};

use super::backward::Gradients;
use super::forward::Sequences;
use super::recorded::Recorded;
use super::{GpuParameters, Weights};
use crate::ModelError;
use crate::launches::{Dropped, Kernels};
use crate::opt::parameters::{Layout, named};
use crate::opt::{Dropout, Opt, OptConfig};

/// Steps whose losses and norms the device keeps until they are asked for.
const KEPT: usize = 64;
/// Numbers that an update is made with, and whether it is made (`cuda/plan_update.cu`).
const FACTORS: usize = 10;

/// What a step found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Mean cross-entropy before the update.
    pub loss: f32,
    /// L2 norm over all gradients, which carry the loss scale.
    pub scaled_norm: f64,
}

/// A model that is being trained on a GPU: parameters, gradients, AdamW's moments.
#[derive(Debug)]
pub struct GpuTraining {
    config: OptConfig,
    parameters: GpuParameters,
    /// f32, of the parameters' layout, times the loss scale.
    gradients: Buffer,
    m: Buffer,
    v: Buffer,
    norm_parts: Buffer,
    /// Two numbers of f64: the loss and the norm of the gradients.
    found: Buffer,
    /// f64: the loss scale, the good steps since it moved, the updates made.
    state: Buffer,
    /// What was `found` in each step under way.
    outcomes: Buffer,
    factors: Buffer,
    /// Good steps after which the loss scale is doubled; 0 if it stays as it is.
    growth_interval: usize,
    /// Steps that the device was given since [`Self::found`] was called last, but for those in `fetched`.
    under_way: usize,
    fetched: Vec<Found>,
    /// By rows and time steps of a batch; the last batch of an epoch may be smaller.
    plans: HashMap<(usize, usize), Plan>,
    /// Time steps of the last batch.
    time: usize,
}

/// Batches of one shape, and the launches of a step but the optimizer's.
#[derive(Debug)]
struct Plan {
    batch: Batch,
    launches: Recorded,
}

/// Space and inputs of a batch.
#[derive(Debug)]
struct Batch {
    sequences: Sequences,
    backward: Gradients,
    /// Keys of the dropout masks, one for each sub-block.
    keys: Buffer,
    /// Dropout probability that the launches hold; `None`: without dropout.
    p: Option<f64>,
}

impl GpuTraining {
    /// A copy of `parameters` to be trained with products in `dtype`, at a loss scale of 1 that does not move.
    pub(in crate::opt) fn new(config: OptConfig, parameters: &GpuParameters, dtype: Dtype) -> Result<Self, ModelError> {
        let gpu = &parameters.gpu;
        let n = parameters.values.len();
        let values = gpu.alloc(Dtype::F32, n)?;
        values.copy_from(0, parameters.values.view())?;
        let own = GpuParameters { values: Arc::new(values), operands: None, ..parameters.clone() };
        let mut training = Self {
            gradients: gpu.alloc(Dtype::F32, n)?,
            m: gpu.alloc(Dtype::F32, n)?,
            v: gpu.alloc(Dtype::F32, n)?,
            norm_parts: gpu.alloc(Dtype::F64, Kernels::norm_parts(n))?,
            found: gpu.alloc(Dtype::F64, 2)?,
            state: gpu.alloc(Dtype::F64, 3)?,
            outcomes: gpu.alloc(Dtype::F64, 2 * KEPT)?,
            factors: gpu.alloc(Dtype::F32, FACTORS)?,
            growth_interval: 0,
            under_way: 0,
            fetched: Vec::new(),
            parameters: own.in_precision(dtype)?,
            plans: HashMap::new(),
            time: 0,
            config,
        };
        training.begin_at(&LossScale::new(false), 0)?;
        Ok(training)
    }

    /// The loss scale of the next step, and the updates that were made before it.
    pub fn begin_at(&mut self, scale: &LossScale, updates: usize) -> Result<(), ModelError> {
        self.growth_interval = if scale.is_dynamic() { GROWTH_INTERVAL } else { 0 };
        Ok(self.state.write(0, &[scale.value(), scale.good_steps() as f64, updates as f64])?)
    }

    /// Mean next-token cross-entropy of `batch` rows (see [`crate::opt::HostTraining::loss_and_gradients`]) and its
    /// gradients, which carry the loss scale. It waits for the device.
    pub fn loss_and_gradients(
        &mut self,
        inputs: &[u32],
        labels: &[u32],
        batch: usize,
        dropout: Option<Dropout<'_>>,
    ) -> Result<Found, ModelError> {
        self.give(inputs, labels, batch, dropout)?;
        Ok(Found::of(&self.found.read(0..2)?))
    }

    /// One step: loss, gradients, and an update of every parameter if both are finite. It does not wait for the device;
    /// [`Self::found`] does.
    pub fn step(
        &mut self,
        inputs: &[u32],
        labels: &[u32],
        batch: usize,
        dropout: Option<Dropout<'_>>,
        settings: &Settings,
    ) -> Result<(), ModelError> {
        if self.under_way == KEPT {
            self.fetch()?;
        }
        self.give(inputs, labels, batch, dropout)?;
        let Weights { gpu, values, operands, .. } = self.parameters.weights();
        let dtype = operands.dtype();
        let copy = (dtype != Dtype::F32).then(|| operands.view());
        let kernels = Kernels { gpu, dtype };
        let outcome = self.outcomes.slice(2 * self.under_way..2 * self.under_way + 2);
        let (plan, found) = ((self.factors.view(), self.state.view()), (outcome, self.found.view()));
        kernels.plan_update(plan, found, self.growth_interval, settings)?;
        let moments = (self.m.view(), self.v.view());
        kernels.adamw((values.view(), copy), self.gradients.view(), moments, self.factors.view())?;
        self.under_way += 1;
        Ok(())
    }

    /// What each [`Self::step`] found since this was called last, in order. It waits for the device.
    pub fn found(&mut self) -> Result<Vec<Found>, ModelError> {
        self.fetch()?;
        Ok(std::mem::take(&mut self.fetched))
    }

    fn fetch(&mut self) -> Result<(), ModelError> {
        let outcomes: Vec<f64> = self.outcomes.read(0..2 * self.under_way)?;
        self.fetched.extend(outcomes.chunks_exact(2).map(Found::of));
        self.under_way = 0;
        Ok(())
    }

    /// Gives the device what [`Self::loss_and_gradients`] describes.
    fn give(
        &mut self,
        inputs: &[u32],
        labels: &[u32],
        batch: usize,
        dropout: Option<Dropout<'_>>,
    ) -> Result<(), ModelError> {
        let config = &self.config;
        let time = config.check_batch(inputs, labels, batch)?;
        let (p, keys) = match dropout {
            Some(Dropout { p, stream }) if p > 0.0 => {
                (Some(p), (0..2 * config.num_hidden_layers).map(|_| stream.next_u64()).collect())
            }
            _ => (None, vec![0; 2 * config.num_hidden_layers]),
        };
        let (gpu, weights) = (&self.parameters.gpu, self.parameters.weights());
        let plan = match self.plans.entry((batch, time)) {
            std::collections::hash_map::Entry::Occupied(plan) => plan.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let batch = Batch::new(gpu, config, weights.kernels().dtype, (batch, time), p)?;
                place.insert(Plan { batch, launches: Recorded::default() })
            }
        };
        // rows of the position table that no time step reaches get no gradient, and nobody writes there
        if std::mem::replace(&mut self.time, time) != time {
            self.gradients.clear()?;
        }
        let Plan { batch, launches } = plan;
        if batch.p != p {
            (batch.p, *launches) = (p, Recorded::default());
        }
        batch.sequences.ids.write(0, inputs)?;
        batch.keys.write::<u64>(0, &keys)?;
        batch.backward.write_batch(config, inputs, labels)?;
        let results = (&self.gradients, &self.found, &self.norm_parts);
        Ok(launches.run(gpu, || batch.enqueue(&weights, config, self.state.slice(0..1), results))?)
    }

    /// Name and gradient of every parameter, times the loss scale.
    pub fn named_gradients(&self) -> Result<Vec<(String, Vec<f32>)>, ModelError> {
        let values: Vec<f32> = self.gradients.read(0..self.gradients.len())?;
        let layout: &Layout = &self.parameters.layout;
        Ok(named(layout, &values).map(|(name, _, values)| (name.to_string(), values.to_vec())).collect())
    }

    /// Parameters and first and second moments.
    pub fn arrays(&self) -> Result<[Vec<f32>; 3], ModelError> {
        let all = [&self.parameters.values, &self.m, &self.v].map(|buffer| buffer.read(0..buffer.len()));
        let [theta, m, v] = all;
        Ok([theta?, m?, v?])
    }

    /// Takes over what [`Self::arrays`] gave; each of [`Self::parameter_count`] numbers.
    pub fn restore(&mut self, [theta, m, v]: [&[f32]; 3]) -> Result<(), ModelError> {
        self.parameters.values.write(0, theta)?;
        self.m.write(0, m)?;
        self.v.write(0, v)?;
        let Weights { gpu, values, operands, .. } = self.parameters.weights();
        if operands.dtype() != Dtype::F32 {
            Kernels { gpu, dtype: operands.dtype() }.cast(operands.view(), values.view())?;
        }
        Ok(())
    }

    /// How many numbers the parameters are.
    pub fn parameter_count(&self) -> usize {
        self.parameters.values.len()
    }

    /// The model with its present parameters.
    pub fn into_model(self) -> Opt {
        Opt::on_gpu(self.config, GpuParameters { operands: None, ..self.parameters })
    }
}

impl Found {
    fn of(pair: &[f64]) -> Self {
        Self { loss: pair[0] as f32, scaled_norm: pair[1] }
    }
}

impl Batch {
    fn new(
        gpu: &Gpu,
        config: &OptConfig,
        dtype: Dtype,
        sizes: (usize, usize),
        p: Option<f64>,
    ) -> Result<Self, ModelError> {
        let sequences = Sequences::new(gpu, config, dtype, sizes, true)?;
        let backward = Gradients::new(gpu, config, &sequences, dtype)?;
        let keys = gpu.alloc(Dtype::U64, 2 * config.num_hidden_layers)?;
        Ok(Self { sequences, backward, keys, p })
    }

    /// Every launch that makes loss, gradients and their norm.
    fn enqueue(
        &self,
        weights: &Weights<'_>,
        config: &OptConfig,
        scale: View<'_>,
        (gradients, found, norm_parts): (&Buffer, &Buffer, &Buffer),
    ) -> Result<(), sigma_kernels::gpu::GpuError> {
        let dropped: Vec<Option<Dropped<'_>>> =
            (0..self.keys.len()).map(|j| self.p.map(|p| Dropped { key: self.keys.slice(j..j + 1), p })).collect();
        self.sequences.forward(weights, config, &dropped, |_, _| Ok(()))?;
        self.backward.head(weights, &self.sequences, gradients, (found.slice(0..1), scale))?;
        self.backward.backward(weights, config, &self.sequences, gradients, &dropped)?;
        weights.kernels().norm(found.slice(1..2), gradients.view(), norm_parts.view())
    }
}
