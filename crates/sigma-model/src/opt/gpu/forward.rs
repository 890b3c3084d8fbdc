//! The forward pass over whole sequences of one length, for training, prompts and hidden states. Names are those of `host::training`:
//! s are the states of the residual stream, n what the sub-blocks read.

use std::sync::Arc;

use sigma_kernels::gpu::{BatchedOperand, Buffer, Dtype, GemmBatched, Gpu, GpuError, View};

use super::{GpuParameters, Weights};
use crate::launches::{Dropped, Kernels, Normed};
use crate::opt::OptConfig;
use crate::opt::config::POSITION_OFFSET;
use crate::padding::pad_right;

/// Tokens of one pass where nothing is kept for a backward pass.
const TOKENS: usize = 16_384;

/// Elements from one row of scores to the next.
fn row_stride(time: usize) -> usize {
    time.next_multiple_of(8)
}

/// Everything that a pass over `batch` sequences of `time` tokens computes in. Where nothing is kept for a backward pass, all
/// layers share the same buffers.
#[derive(Debug)]
pub(super) struct Sequences {
    pub(super) batch: usize,
    pub(super) time: usize,
    /// From one row of a pair's scores to the next: products of half precision want every matrix to begin at 16 bytes.
    pub(super) stride: usize,
    /// Token ids `[R]`.
    pub(super) ids: Buffer,
    positions: Buffer,
    /// Token embeddings before `project_in`, in the precision of products.
    pub(super) tokens: Option<Buffer>,
    /// States of the stream, f32 `[R, D]`.
    pub(super) s: Vec<Arc<Buffer>>,
    /// What the sub-blocks read, and in the end what the final norm makes for the head, in the precision of products.
    pub(super) n: Vec<Arc<Buffer>>,
    /// n in f32, where norms come after and n is the base of the next state; otherwise the last of them, if hidden states are wanted.
    exact: Vec<Option<Arc<Buffer>>>,
    /// Mean and 1 / deviation of the rows of each state, for a backward pass `[2 L + 1, R, 2]`.
    moments: Buffer,
    pub(super) qkv: Vec<Arc<Buffer>>,
    /// Attention probabilities `[batch, heads, time, stride]`.
    pub(super) p: Vec<Arc<Buffer>>,
    pub(super) attended: Vec<Arc<Buffer>>,
    pub(super) inner: Vec<Arc<Buffer>>,
    /// A sub-block's result before the bias, f32.
    pub(super) y: Buffer,
    /// Scores of one layer, and in the backward pass their gradients, f32.
    pub(super) scores: Buffer,
    pub(super) projected: Option<Buffer>,
    pub(super) pairs: Pairs,
}

/// How the matrices of (sequence, head) pairs lie in the buffers of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairedBatch {
    batch: usize,
    time: usize,
    heads: usize,
    /// Width of a head.
    head: usize,
}

impl PairedBatch {
    pub(super) fn new(config: &OptConfig, (batch, time): (usize, usize)) -> Self {
        let heads = config.num_attention_heads;
        Self { batch, time, heads, head: config.hidden_size / heads }
    }

    fn pairs(self) -> usize {
        self.batch * self.heads
    }

    /// Where each pair's columns begin in rows `stride` apart, of which the first head's begin at `from`.
    pub(super) fn columns(self, buffer: &Buffer, stride: usize, from: usize) -> impl Iterator<Item = u64> {
        let (address, bytes) = (buffer.view().address(), buffer.dtype().size());
        let at = move |pair: usize| pair / self.heads * self.time * stride + from + pair % self.heads * self.head;
        (0..self.pairs()).map(move |pair| address + (at(pair) * bytes) as u64)
    }

    /// Where each pair's square of scores begins.
    pub(super) fn squares(self, buffer: &Buffer) -> impl Iterator<Item = u64> {
        let (address, bytes) = (buffer.view().address(), buffer.dtype().size());
        let square = self.time * row_stride(self.time) * bytes;
        (0..self.pairs()).map(move |pair| address + (pair * square) as u64)
    }
}

/// Where the matrices of each (sequence, head) pair begin: addresses in device memory, one list for each role.
#[derive(Debug)]
pub(super) struct Pairs {
    addresses: Buffer,
    count: usize,
    /// Lists of each layer: queries, keys, values, results.
    layers: usize,
}

/// Role of a list of addresses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Query(usize),
    Key(usize),
    Value(usize),
    Attended(usize),
    Probabilities(usize),
    Scores,
}

impl Pairs {
    const PER_LAYER: usize = 5;

    fn new(gpu: &Gpu, batch: PairedBatch, width: usize, sequences: &SequencesOf<'_>) -> Result<Self, GpuError> {
        let mut all = Vec::new();
        for ((qkv, attended), p) in sequences.qkv.iter().zip(sequences.attended).zip(sequences.p) {
            for from in [0, width, 2 * width] {
                all.extend(batch.columns(qkv, 3 * width, from));
            }
            all.extend(batch.columns(attended, width, 0));
            all.extend(batch.squares(p));
        }
        all.extend(batch.squares(sequences.scores));
        Ok(Self { addresses: gpu.upload(&all)?, count: batch.pairs(), layers: sequences.qkv.len() })
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn of(&self, role: Role) -> View<'_> {
        let list = match role {
            Role::Query(layer) => layer * Self::PER_LAYER,
            Role::Key(layer) => layer * Self::PER_LAYER + 1,
            Role::Value(layer) => layer * Self::PER_LAYER + 2,
            Role::Attended(layer) => layer * Self::PER_LAYER + 3,
            Role::Probabilities(layer) => layer * Self::PER_LAYER + 4,
            Role::Scores => self.layers * Self::PER_LAYER,
        };
        self.addresses.slice(list * self.count..(list + 1) * self.count)
    }
}

/// The buffers whose parts [`Pairs`] lists.
struct SequencesOf<'a> {
    qkv: &'a [Arc<Buffer>],
    attended: &'a [Arc<Buffer>],
    p: &'a [Arc<Buffer>],
    scores: &'a Buffer,
}

impl Sequences {
    /// Device memory of one token of a pass that keeps nothing, about.
    pub(super) fn bytes_per_token(config: &OptConfig, dtype: Dtype, time: usize) -> usize {
        let (d, size) = (config.hidden_size, dtype.size());
        let exact = if config.do_layer_norm_before { 3 } else { 4 };
        let squares = config.num_attention_heads * row_stride(time);
        let operands = 5 * d + config.ffn_dim + 2 * config.embedding_width() + squares;
        operands * size + 4 * (exact * d + squares)
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
        let squares = batch * config.num_attention_heads * time * row_stride(time);
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
        let (p, scores) = (buffers(layers, dtype, squares)?, gpu.alloc(Dtype::F32, squares)?);
        let parts = SequencesOf { qkv: &qkv, attended: &attended, p: &p, scores: &scores };
        let pairs = Pairs::new(gpu, PairedBatch::new(config, (batch, time)), d, &parts)?;
        Ok(Self {
            batch,
            time,
            stride: row_stride(time),
            ids: gpu.alloc(Dtype::U32, r)?,
            positions: gpu.upload(&positions)?,
            tokens: projected(r * width)?,
            s: buffers(states, Dtype::F32, r * d)?,
            n: buffers(states, dtype, r * d)?,
            exact,
            moments: gpu.alloc(Dtype::F32, states * 2 * r)?,
            qkv,
            p,
            attended,
            inner: buffers(layers, dtype, r * config.ffn_dim)?,
            y: gpu.alloc(Dtype::F32, r * d)?,
            scores,
            projected: projected(r * width)?,
            pairs,
        })
    }

    /// `count` products of each pair's matrices; see [`GemmBatched`] for the arguments.
    pub(super) fn batched(
        &self,
        weights: &Weights<'_>,
        (m, n, k): (usize, usize, usize),
        a: BatchedOperand<'_>,
        b: BatchedOperand<'_>,
        (c, c_dtype, c_stride): (View<'_>, Dtype, usize),
        scale: f32,
    ) -> Result<(), GpuError> {
        let count = self.pairs.count();
        let accumulate = false;
        weights.gpu.gemm_batched(&GemmBatched { count, m, n, k, a, b, c, c_dtype, c_stride, scale, accumulate })
    }

    /// Runs the token ids through all layers. `dropped[j]` is the dropout of sub-block j; `attending` may take the queries, keys and
    /// values of each layer away, which the next may overwrite.
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
                self.attend(weights, &kernels, config, j / 2)?;
                kernels.product(y, self.attended[j / 2].view(), weights.operand(&layer.out_proj.weight), d)?;
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

    fn attend(
        &self,
        weights: &Weights<'_>,
        kernels: &Kernels<'_>,
        config: &OptConfig,
        layer: usize,
    ) -> Result<(), GpuError> {
        let (d, t, stride, dtype) = (config.hidden_size, self.time, self.stride, kernels.dtype);
        let head = d / config.num_attention_heads;
        let scale = 1.0 / (head as f32).sqrt();
        let operand = |role: Role, stride: usize, transposed: bool| BatchedOperand {
            addresses: self.pairs.of(role),
            dtype,
            stride,
            transposed,
        };
        let (q, k) = (operand(Role::Query(layer), 3 * d, false), operand(Role::Key(layer), 3 * d, true));
        self.batched(weights, (t, t, head), q, k, (self.pairs.of(Role::Scores), Dtype::F32, stride), scale)?;
        kernels.causal_softmax(self.p[layer].view(), self.scores.view(), (t, stride))?;
        let (p, v) = (operand(Role::Probabilities(layer), stride, false), operand(Role::Value(layer), 3 * d, false));
        self.batched(weights, (t, head, t), p, v, (self.pairs.of(Role::Attended(layer)), dtype, d), 1.0)
    }
}

/// Last hidden states `[sum of lengths, width]` of whole rows, one after another. Shorter rows of a pass are filled up on the
/// right, which causal attention never looks at.
pub(in crate::opt) fn hidden_states(
    parameters: &GpuParameters,
    config: &OptConfig,
    rows: &[&[u32]],
) -> Result<Vec<f32>, GpuError> {
    let (weights, width, d) = (parameters.weights(), config.embedding_width(), config.hidden_size);
    let mut all = Vec::new();
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0).max(1);
    for rows in rows.chunks((TOKENS / longest).max(1)) {
        let (ids, lens) = pad_right(rows, config.pad_token_id);
        let time = ids.len() / lens.len();
        if time == 0 {
            continue;
        }
        let sequences = Sequences::new(&parameters.gpu, config, parameters.dtype(), (lens.len(), time), false)?;
        sequences.ids.write(0, &ids)?;
        sequences.forward(&weights, config, &vec![None; 2 * config.num_hidden_layers], |_, _| Ok(()))?;
        let states = match (&weights.layout.projections, sequences.exact.last().and_then(Option::as_ref)) {
            (Some((_, project_out)), _) => {
                let projected = parameters.gpu.alloc(Dtype::F32, ids.len() * width)?;
                let weight = weights.operand(project_out);
                weights.kernels().product(projected.view(), sequences.last().view(), weight, d)?;
                projected.read(0..ids.len() * width)?
            }
            (None, Some(exact)) => exact.read(0..ids.len() * width)?,
            (None, None) => Vec::new(),
        };
        for (row, len) in lens.iter().enumerate() {
            all.extend_from_slice(&states[row * time * width..][..len * width]);
        }
    }
    Ok(all)
}
