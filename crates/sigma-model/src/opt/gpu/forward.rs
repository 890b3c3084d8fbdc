//! The forward pass over whole sequences of one length, for training, prompts and hidden states. Names are those of
//! `host::training`: s are the states of the residual stream, n what the sub-blocks read.

use std::sync::Arc;

use sigma_kernels::gpu::{Buffer, Dtype, Gpu, GpuError, View};

use super::attention::Attention;
use super::{GpuParameters, Weights};
use crate::launches::{Dropped, Kernels, Normed};
use crate::opt::OptConfig;
use crate::opt::config::POSITION_OFFSET;
use crate::padding::pad_right;

/// Tokens of one pass where nothing is kept for a backward pass.
const TOKENS: usize = 16_384;

/// Everything that a pass over `batch` sequences of `time` tokens computes in. Where nothing is kept for a backward
/// pass, all layers share the same buffers.
#[derive(Debug)]
pub(super) struct Sequences {
    pub(super) batch: usize,
    pub(super) time: usize,
    /// Token ids `[R]`.
    pub(super) ids: Buffer,
    positions: Buffer,
    /// Token embeddings before `project_in`, in the precision of products.
    pub(super) tokens: Option<Buffer>,
    /// States of the stream, f32 `[R, D]`.
    pub(super) s: Vec<Arc<Buffer>>,
    /// What the sub-blocks read, and in the end what the final norm makes for the head, in the precision of products.
    pub(super) n: Vec<Arc<Buffer>>,
    /// n in f32, where norms come after and n is the base of the next state; otherwise the last of them, if hidden
    /// states are wanted.
    exact: Vec<Option<Arc<Buffer>>>,
    /// Mean and 1 / deviation of the rows of each state, for a backward pass `[2 L + 1, R, 2]`.
    moments: Buffer,
    pub(super) qkv: Vec<Arc<Buffer>>,
    pub(super) attended: Vec<Arc<Buffer>>,
    pub(super) inner: Vec<Arc<Buffer>>,
    /// A sub-block's result before the bias, f32.
    pub(super) y: Buffer,
    pub(super) projected: Option<Buffer>,
    pub(super) attention: Attention,
}

impl Sequences {
    /// Device memory of one token of a pass that keeps nothing, about.
    pub(super) fn bytes_per_token(config: &OptConfig, dtype: Dtype, time: usize) -> usize {
        let (d, size) = (config.hidden_size, dtype.size());
        let exact = if config.do_layer_norm_before { 3 } else { 4 };
        let operands = 5 * d + config.ffn_dim + 2 * config.embedding_width();
        operands * size + 4 * exact * d + Attention::bytes_per_token(config, dtype, time)
    }

    /// `keep`: for a backward pass; otherwise the last hidden states are made in f32.
    pub(super) fn new(
        gpu: &Gpu,
        config: &OptConfig,
        dtype: Dtype,
        (batch, time): (usize, usize),
        keep: bool,
    ) -> Result<Self, GpuError> {
        let (r, d, layers) = (batch * time, config.hidden_size, config.num_hidden_layers);
        let buffers = |count: usize, dtype: Dtype, len: usize| -> Result<Vec<Arc<Buffer>>, GpuError> {
            if keep {
                return (0..count).map(|_| Ok(Arc::new(gpu.alloc(dtype, len)?))).collect();
            }
            let one = Arc::new(gpu.alloc(dtype, len)?);
            Ok(vec![one; count])
        };
        let positions: Vec<u32> = (0..r).map(|i| (i % time) as u32).collect();
        let width = config.embedding_width();
        let projected = |len: usize| if width == d { Ok(None) } else { gpu.alloc(dtype, len).map(Some) };
        let states = 2 * layers + 1;
        let mut exact = vec![None; states];
        if !config.do_layer_norm_before {
            exact = buffers(states, Dtype::F32, r * d)?.into_iter().map(Some).collect();
        } else if !keep {
            exact[states - 1] = Some(Arc::new(gpu.alloc(Dtype::F32, r * d)?));
        }
        let (qkv, attended) = (buffers(layers, dtype, r * 3 * d)?, buffers(layers, dtype, r * d)?);
        let kernels = Kernels { gpu, dtype };
        let attention = Attention::new(&kernels, config, (batch, time), (&qkv, &attended), keep)?;
        Ok(Self {
            batch,
            time,
            ids: gpu.alloc(Dtype::U32, r)?,
            positions: gpu.upload(&positions)?,
            tokens: projected(r * width)?,
            s: buffers(states, Dtype::F32, r * d)?,
            n: buffers(states, dtype, r * d)?,
            exact,
            moments: gpu.alloc(Dtype::F32, states * 2 * r)?,
            qkv,
            attended,
            inner: buffers(layers, dtype, r * config.ffn_dim)?,
            y: gpu.alloc(Dtype::F32, r * d)?,
            projected: projected(r * width)?,
            attention,
        })
    }

    /// Runs the token ids through all layers. `dropped[j]` is the dropout of sub-block j; `attending` may take the
    /// queries, keys and values of each layer away, which the next may overwrite.
    pub(super) fn forward(
        &self,
        weights: &Weights<'_>,
        config: &OptConfig,
        dropped: &[Option<Dropped<'_>>],
        attending: impl Fn(usize, View<'_>) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let kernels = weights.kernels();
        let (d, layout) = (config.hidden_size, weights.layout);
        let positions = weights.value(&layout.embed_positions);
        let ids = (self.ids.view(), self.positions.view(), POSITION_OFFSET);
        let table = weights.value(&layout.embed_tokens);
        match (&layout.projections, &self.tokens) {
            (Some((project_in, _)), Some(tokens)) => {
                let width = config.embedding_width();
                kernels.gather(tokens.view(), table, self.ids.view(), width)?;
                kernels.product(self.s[0].view(), tokens.view(), weights.operand(project_in), width)?;
                kernels.embed(self.s[0].view(), (None, positions), ids, d)?;
            }
            _ => kernels.embed(self.s[0].view(), (Some(table), positions), ids, d)?,
        }
        let before = config.do_layer_norm_before;
        match layout.norm(0, before) {
            Some(norm) => kernels.layer_norm(self.normed(0), self.s[0].view(), weights.norm(norm))?,
            None => self.as_it_is(&kernels, 0)?,
        }
        for (j, dropped) in dropped.iter().enumerate() {
            let layer = &layout.layers[j / 2];
            let (y, n) = (self.y.view(), self.n[j].view());
            let bias = if j % 2 == 0 {
                let qkv = self.qkv[j / 2].view();
                kernels.product(qkv, n, weights.operand(&layer.qkv.weight), d)?;
                kernels.bias(qkv, weights.value(&layer.qkv.bias))?;
                attending(j / 2, qkv)?;
                let attended = self.attended[j / 2].view();
                self.attention.forward(&kernels, attended, qkv, j / 2)?;
                kernels.product(y, attended, weights.operand(&layer.out_proj.weight), d)?;
                &layer.out_proj.bias
            } else {
                let inner = self.inner[j / 2].view();
                kernels.product(inner, n, weights.operand(&layer.fc1.weight), d)?;
                kernels.bias_relu(inner, weights.value(&layer.fc1.bias))?;
                kernels.product(y, inner, weights.operand(&layer.fc2.weight), config.ffn_dim)?;
                &layer.fc2.bias
            };
            let base = match &self.exact[j] {
                Some(exact) if !before => exact,
                _ => &self.s[j],
            };
            let (out, what) = (self.s[j + 1].view(), (base.view(), y, weights.value(bias)));
            match layout.norm(j + 1, before) {
                Some(norm) => {
                    let to = (Some(out), self.normed(j + 1));
                    kernels.residual_norm(to, what, *dropped, weights.norm(norm))?;
                }
                None => {
                    kernels.residual(out, what, *dropped)?;
                    self.as_it_is(&kernels, j + 1)?;
                }
            }
        }
        if let (Some((_, project_out)), Some(projected)) = (&layout.projections, &self.projected) {
            kernels.product(projected.view(), self.last().view(), weights.operand(project_out), d)?;
        }
        Ok(())
    }

    /// Where the norm that reads state k puts its results.
    fn normed(&self, k: usize) -> Normed<'_> {
        Normed {
            n: self.n[k].view(),
            exact: self.exact[k].as_ref().map(|exact| exact.view()),
            moments: Some(self.moments(k)),
        }
    }

    /// State k of the stream in place of what a norm would make of it.
    fn as_it_is(&self, kernels: &Kernels<'_>, k: usize) -> Result<(), GpuError> {
        kernels.cast(self.n[k].view(), self.s[k].view())?;
        self.exact[k].as_ref().map_or(Ok(()), |exact| exact.copy_from(0, self.s[k].view()))
    }

    /// Mean and 1 / deviation of the rows of state k.
    pub(super) fn moments(&self, k: usize) -> View<'_> {
        let each = 2 * self.batch * self.time;
        self.moments.slice(k * each..(k + 1) * each)
    }

    /// The last hidden states, in the precision of products.
    pub(super) fn last(&self) -> &Buffer {
        &self.n[self.n.len() - 1]
    }

    /// What goes into the head, in the precision of products.
    pub(super) fn hidden(&self) -> &Buffer {
        self.projected.as_ref().unwrap_or(self.last())
    }
}

/// Runs `rows` through all layers in passes of similar size, and hands over each with the lengths of its rows. Shorter
/// rows of a pass are filled up on the right, which causal attention never looks at.
pub(super) fn passes(
    parameters: &GpuParameters,
    config: &OptConfig,
    rows: &[&[u32]],
    mut then: impl FnMut(&Sequences, &[usize]) -> Result<(), GpuError>,
) -> Result<(), GpuError> {
    let weights = parameters.weights();
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0).max(1);
    for rows in rows.chunks((TOKENS / longest).max(1)) {
        let (ids, lens) = pad_right(rows, config.filler());
        let time = ids.len() / lens.len();
        if time == 0 {
            continue;
        }
        let sequences = Sequences::new(&parameters.gpu, config, parameters.dtype(), (lens.len(), time), false)?;
        sequences.ids.write(0, &ids)?;
        sequences.forward(&weights, config, &vec![None; 2 * config.num_hidden_layers], |_, _| Ok(()))?;
        then(&sequences, &lens)?;
    }
    Ok(())
}

/// Last hidden states `[sum of lengths, width]` of whole rows, one after another.
pub(in crate::opt) fn hidden_states(
    parameters: &GpuParameters,
    config: &OptConfig,
    rows: &[&[u32]],
) -> Result<Vec<f32>, GpuError> {
    let (weights, width, d) = (parameters.weights(), config.embedding_width(), config.hidden_size);
    let mut all = Vec::new();
    passes(parameters, config, rows, |sequences, lens| {
        let len = sequences.batch * sequences.time * width;
        let states = match (&weights.layout.projections, sequences.exact.last().and_then(Option::as_ref)) {
            (Some((_, project_out)), _) => {
                let projected = parameters.gpu.alloc(Dtype::F32, len)?;
                let weight = weights.operand(project_out);
                weights.kernels().product(projected.view(), sequences.last().view(), weight, d)?;
                projected.read(0..len)?
            }
            (None, Some(exact)) => exact.read(0..len)?,
            (None, None) => Vec::new(),
        };
        for (row, len) in lens.iter().enumerate() {
            all.extend_from_slice(&states[row * sequences.time * width..][..len * width]);
        }
        Ok(())
    })?;
    Ok(all)
}
