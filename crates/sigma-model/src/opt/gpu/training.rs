//! Fine-tuning on a GPU: loss and gradients of a batch as one graph of launches, and AdamW over all parameters in one more.

use std::collections::HashMap;
use std::sync::Arc;

use sigma_kernels::adamw;
use sigma_kernels::gpu::{Buffer, Dtype, Gpu, Graph};

use super::backward::Gradients;
use super::forward::Sequences;
use super::{GpuParameters, Weights};
use crate::ModelError;
use crate::launches::{Dropped, Kernels};
use crate::opt::parameters::{Layout, named};
use crate::opt::{Dropout, Opt, OptConfig};

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
    outcome: Buffer,
    /// By rows and time steps of a batch; the last batch of an epoch may be smaller.
    plans: HashMap<(usize, usize), Plan>,
    /// Time steps of the last batch.
    time: usize,
    norm: f64,
}

/// Space, inputs and launches for batches of one shape.
#[derive(Debug)]
struct Plan {
    sequences: Sequences,
    backward: Gradients,
    /// Keys of the dropout masks, one for each sub-block.
    keys: Buffer,
    /// Dropout probability that the launches hold; `None`: without dropout.
    p: Option<f64>,
    /// The first step is launched kernel by kernel, which loads them; then the launches are recorded.
    steps: usize,
    graph: Option<Graph>,
}

impl GpuTraining {
    /// A copy of `parameters` to be trained with products in `dtype`.
    pub(in crate::opt) fn new(config: OptConfig, parameters: &GpuParameters, dtype: Dtype) -> Result<Self, ModelError> {
        let gpu = &parameters.gpu;
        let n = parameters.values.len();
        let values = gpu.alloc(Dtype::F32, n)?;
        values.copy_from(0, parameters.values.view())?;
        let own = GpuParameters { values: Arc::new(values), operands: None, ..parameters.clone() };
        Ok(Self {
            gradients: gpu.alloc(Dtype::F32, n)?,
            m: gpu.alloc(Dtype::F32, n)?,
            v: gpu.alloc(Dtype::F32, n)?,
            norm_parts: gpu.alloc(Dtype::F64, Kernels::norm_parts(n))?,
            outcome: gpu.alloc(Dtype::F64, 2)?,
            parameters: own.in_precision(dtype)?,
            plans: HashMap::new(),
            time: 0,
            norm: f64::NAN,
            config,
        })
    }

    /// Mean next-token cross-entropy of `batch` rows (see [`crate::opt::HostTraining::loss_and_gradients`]); the gradients that
    /// follow are those of `scale` times the loss.
    pub fn loss_and_gradients(
        &mut self,
        inputs: &[u32],
        labels: &[u32],
        batch: usize,
        dropout: Option<Dropout<'_>>,
        scale: f64,
    ) -> Result<f32, ModelError> {
        let config = &self.config;
        let time = config.check_batch(inputs, labels, batch)?;
        let (p, keys) = match dropout {
            Some(Dropout { p, stream }) if p > 0.0 => {
                (Some(p), (0..2 * config.num_hidden_layers).map(|_| stream.next_u64()).collect())
            }
            _ => (None, vec![0; 2 * config.num_hidden_layers]),
        };
        let Self { parameters, gradients, outcome, norm_parts, plans, time: last_time, .. } = self;
        let (gpu, weights) = (&parameters.gpu, parameters.weights());
        let plan = match plans.entry((batch, time)) {
            std::collections::hash_map::Entry::Occupied(plan) => plan.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Plan::new(gpu, config, weights.kernels().dtype, (batch, time), p)?)
            }
        };
        // rows of the position table that no time step reaches get no gradient, and nobody writes there
        if std::mem::replace(last_time, time) != time {
            gradients.clear()?;
        }
        if plan.p != p {
            (plan.p, plan.graph, plan.steps) = (p, None, 0);
        }
        plan.sequences.ids.write(0, inputs)?;
        plan.keys.write::<u64>(0, &keys)?;
        plan.backward.write_batch(config, inputs, labels, scale)?;
        match &plan.graph {
            Some(graph) => graph.launch()?,
            None => {
                let enqueue = || plan.enqueue(&weights, config, (gradients, outcome, norm_parts));
                if plan.steps == 0 {
                    enqueue()?;
                } else {
                    let graph = gpu.capture(enqueue)?;
                    graph.launch()?;
                    plan.graph = Some(graph);
                }
            }
        }
        plan.steps += 1;
        let outcome = outcome.read::<f64>(0..2)?;
        self.norm = outcome[1];
        Ok(outcome[0] as f32)
    }

    /// L2 norm over all gradients, which carry the loss scale.
    pub fn gradient_norm(&self) -> f64 {
        self.norm
    }

    /// Name and gradient of every parameter, times the loss scale.
    pub fn named_gradients(&self) -> Result<Vec<(String, Vec<f32>)>, ModelError> {
        let values: Vec<f32> = self.gradients.read(0..self.gradients.len())?;
        let layout: &Layout = &self.parameters.layout;
        Ok(named(layout, &values).map(|(name, _, values)| (name.to_string(), values.to_vec())).collect())
    }

    /// One update of every parameter.
    pub fn step(&mut self, step: &adamw::Step) -> Result<(), ModelError> {
        let Weights { gpu, values, operands, .. } = self.parameters.weights();
        let dtype = operands.dtype();
        let copy = (dtype != Dtype::F32).then(|| operands.view());
        let moments = (self.m.view(), self.v.view());
        Ok(Kernels { gpu, dtype }.adamw((values.view(), copy), self.gradients.view(), moments, step)?)
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

impl Plan {
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
        Ok(Self { sequences, backward, keys, p, steps: 0, graph: None })
    }

    /// Every launch of a step but the optimizer's.
    fn enqueue(
        &self,
        weights: &Weights<'_>,
        config: &OptConfig,
        (gradients, outcome, norm_parts): (&Buffer, &Buffer, &Buffer),
    ) -> Result<(), sigma_kernels::gpu::GpuError> {
        let dropped: Vec<Option<Dropped<'_>>> =
            (0..self.keys.len()).map(|j| self.p.map(|p| Dropped { key: self.keys.slice(j..j + 1), p })).collect();
        self.sequences.forward(weights, config, &dropped)?;
        self.backward.head(weights, &self.sequences, gradients, outcome.slice(0..1))?;
        self.backward.backward(weights, config, &self.sequences, gradients, &dropped)?;
        weights.kernels().norm(outcome.slice(1..2), gradients.view(), norm_parts.view())
    }
}
