//! Writing texts on a GPU: a fixed number of rows advance together by one token per step, and sampling and the choice
//! of the next input stay on the device. A step is a graph of launches that never changes, the pass over new prompts
//! before it (`prompts`) is another, and a row that is finished idles until another text takes its place. So all
//! products have one shape, and a row's numbers do not depend on what the other rows hold. It knows nothing of why
//! texts are written.

use std::ops::Range;

use sigma_kernels::gpu::{Buffer, Dtype, GpuError};

use super::prompts::{Prompts, Shape};
use super::recorded::Recorded;
use super::rows::State;
use super::{GpuParameters, Weights as Operands};
use crate::ModelError;
use crate::launches::{Kernels, Normed};
use crate::opt::config::POSITION_OFFSET;
use crate::opt::{Opt, OptConfig, Weights};

/// Bytes a parameter that may lie on a GPU beside a decoder: the base, the generation before and the newest one in f32,
/// and the one that writes in its own precision.
const RESIDENT: usize = 16;
/// Share of the total memory that all of this may take: encoder, libraries and other programs need some.
const MEMORY: f64 = 0.9;

/// How every row is continued.
#[derive(Debug, Clone, Copy)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f64,
    /// In (0, 1]; 1 keeps everything.
    pub top_p: f64,
    pub max_new_tokens: usize,
    /// Whether eos ends a row; if not, it is never drawn.
    pub stop_at_eos: bool,
    /// Tokens from this id on are never drawn.
    pub vocab_size: usize,
}

/// A text to be written: what it begins with, and where its random stream stands.
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a> {
    /// At least one token.
    pub prompt: &'a [u32],
    /// Key of a ChaCha8 stream.
    pub key: [u8; 32],
    /// Numbers of 64 bits that the stream has given already.
    pub drawn: u64,
}

/// What has become of a row; the numbers are those of `nucleus.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    Running,
    /// eos was drawn; it is not among the row's tokens.
    AtEos,
    /// `max_new_tokens` were written.
    Full,
    /// The logits were NaN, or gave no token any probability.
    WithoutDistribution,
    /// No text is being written here.
    Idle,
}

impl RowState {
    fn of(number: u32) -> Self {
        match number {
            0 => RowState::Running,
            1 => RowState::AtEos,
            2 => RowState::Full,
            3 => RowState::WithoutDistribution,
            _ => RowState::Idle,
        }
    }
}

/// Rows of texts that are being written.
#[derive(Debug)]
pub struct GpuDecoder<'a> {
    batch: Batch<'a>,
    longest: usize,
    /// `None` where every prompt is one token.
    prompts: Option<Prompts>,
    step: Recorded,
}

/// What a step reads and changes.
#[derive(Debug)]
struct Batch<'a> {
    config: &'a OptConfig,
    parameters: &'a GpuParameters,
    sampling: Sampling,
    rows: usize,
    capacity: usize,
    space: Space,
    state: State,
}

/// Buffers that a step computes in, and the keys and values of each layer.
#[derive(Debug)]
struct Space {
    caches: Vec<(Buffer, Buffer)>,
    tokens: Option<Buffer>,
    stream: Buffer,
    normed: Buffer,
    qkv: Buffer,
    attended: Buffer,
    inner: Buffer,
    y: Buffer,
    projected: Option<Buffer>,
    logits: Buffer,
}

impl Opt {
    /// Room for `rows` texts at a time with prompts of up to `longest` tokens. Fewer rows would change last bits, and
    /// with them texts.
    ///
    /// # Errors
    /// Prompts and new tokens that exceed the model's positions, a GPU without free memory for so many rows, or a model
    /// on the CPU.
    pub fn gpu_decoder(&self, rows: usize, longest: usize, sampling: Sampling) -> Result<GpuDecoder<'_>, ModelError> {
        let Weights::Gpu(parameters) = &self.weights else {
            return Err(ModelError::OnCpu { what: "a decoder of the GPU" });
        };
        let config = &self.config;
        // the last token that is drawn is not fed
        let capacity = longest + sampling.max_new_tokens.saturating_sub(1);
        config.check_length(capacity)?;
        let (gpu, dtype) = (&parameters.gpu, parameters.dtype());
        let shape = Shape::of(config, rows, longest);
        let prompts = shape.map_or(0, |shape| shape.bytes(config, dtype));
        let needed = (prompts + rows * Space::bytes_per_row(config, dtype, capacity)) as u64;
        let (free, _) = gpu.memory()?;
        if needed > free {
            return Err(ModelError::DecoderMemory { rows, needed, free });
        }
        let space = Space::new(parameters, config, rows, capacity)?;
        let state = State::new(gpu, rows, sampling.max_new_tokens)?;
        let prompts = shape.map(|shape| Prompts::new(gpu, config, dtype, shape)).transpose()?;
        let batch = Batch { config, parameters, sampling, rows, capacity, space, state };
        Ok(GpuDecoder { batch, longest, prompts, step: Recorded::default() })
    }
}

impl Opt {
    /// How many of `rows` texts a GPU of this size can decode at a time: the same on every day, because it follows from
    /// the total memory and the sizes alone, not from what others leave free. `None` for a model on the CPU.
    ///
    /// # Errors
    /// A GPU that does not answer.
    pub fn gpu_decoder_rows(
        &self,
        rows: usize,
        longest: usize,
        max_new_tokens: usize,
    ) -> Result<Option<usize>, ModelError> {
        let Weights::Gpu(parameters) = &self.weights else { return Ok(None) };
        let (config, dtype) = (&self.config, parameters.dtype());
        let (_, total) = parameters.gpu.memory()?;
        let prompts = Shape::of(config, rows, longest).map_or(0, |shape| shape.bytes(config, dtype));
        let each = Space::bytes_per_row(config, dtype, longest + max_new_tokens.saturating_sub(1));
        let room = total as f64 * MEMORY - (RESIDENT * self.parameter_count() + prompts) as f64;
        Ok(Some(rows.min((room / each as f64) as usize).max(1)))
    }
}

impl GpuDecoder<'_> {
    pub fn rows(&self) -> usize {
        self.batch.rows
    }

    /// Begins a text in a row, whatever the row held.
    ///
    /// # Errors
    /// An empty prompt, one longer than the decoder was made for, or an id outside the vocabulary.
    pub fn place(&mut self, row: usize, slot: Slot<'_>) -> Result<(), ModelError> {
        self.batch.config.check_ids(slot.prompt)?;
        let Some((last, before)) = slot.prompt.split_last() else { return Err(ModelError::EmptyPrompt) };
        if slot.prompt.len() > self.longest {
            return Err(ModelError::TooLong { needed: slot.prompt.len(), max: self.longest });
        }
        if let Some(prompts) = &mut self.prompts {
            prompts.wait(row, before);
        }
        let host = &mut self.batch.state.host;
        for (to, bytes) in host.keys[8 * row..][..8].iter_mut().zip(slot.key.as_chunks::<4>().0) {
            *to = u32::from_le_bytes(*bytes);
        }
        (host.drawn[row], host.lens[row], host.next[row]) = (slot.drawn, before.len() as u32, *last);
        (host.states[row], host.counts[row]) = (0, 0);
        host.changed = true;
        Ok(())
    }

    /// Advances every row by up to `steps` new tokens, and returns each row's state and how many tokens it has drawn.
    pub fn run(&mut self, steps: usize) -> Result<Vec<(RowState, usize)>, ModelError> {
        let Self { batch, prompts, step, .. } = self;
        batch.state.write()?;
        if let Some(prompts) = prompts {
            prompts.run(&batch.parameters.weights(), batch.config, (&batch.space.caches, batch.capacity))?;
        }
        for _ in 0..steps {
            step.run(&batch.parameters.gpu, || batch.enqueue())?;
        }
        batch.state.read()?;
        let host = &batch.state.host;
        let row = |row: usize| (RowState::of(host.states[row]), host.counts[row] as usize);
        Ok((0..batch.rows).map(row).collect())
    }

    /// The tokens that a row has drawn so far.
    pub fn tokens(&mut self, row: usize) -> Result<Vec<u32>, ModelError> {
        Ok(self.batch.state.tokens(row)?)
    }
}

impl Batch<'_> {
    /// The launches of one step.
    fn enqueue(&self) -> Result<(), GpuError> {
        let Self { config, space: s, state, .. } = self;
        let weights = self.parameters.weights();
        let kernels = weights.kernels();
        let (d, heads, layout) = (config.hidden_size, config.num_attention_heads, weights.layout);
        let (stream, normed, y) = (s.stream.view(), s.normed.view(), s.y.view());
        self.embed(&weights, &kernels)?;
        let before = config.do_layer_norm_before;
        match layout.norm(0, before) {
            Some(norm) => kernels.layer_norm(Normed::to(normed), stream, weights.norm(norm))?,
            None => kernels.cast(normed, stream)?,
        }
        // with norms after, the normalised states are the stream
        let (out, exact) = if before { (Some(stream), None) } else { (None, Some(stream)) };
        let residual = |k: usize, bias: &Range<usize>| match layout.norm(k, before) {
            Some(norm) => {
                let to = (out, Normed { n: normed, exact, moments: None });
                kernels.residual_norm(to, (stream, y, weights.value(bias)), None, weights.norm(norm))
            }
            None => {
                kernels.residual(stream, (stream, y, weights.value(bias)), None)?;
                kernels.cast(normed, stream)
            }
        };
        for (i, (layer, (keys, values))) in layout.layers.iter().zip(&s.caches).enumerate() {
            kernels.product(s.qkv.view(), normed, weights.operand(&layer.qkv.weight), d)?;
            kernels.bias(s.qkv.view(), weights.value(&layer.qkv.bias))?;
            let cache = (keys.view(), values.view());
            let new = (s.qkv.view(), state.lens.view(), state.states.view());
            kernels.cached_attention(s.attended.view(), cache, new, (heads, self.capacity))?;
            kernels.product(y, s.attended.view(), weights.operand(&layer.out_proj.weight), d)?;
            residual(2 * i + 1, &layer.out_proj.bias)?;
            kernels.product(s.inner.view(), normed, weights.operand(&layer.fc1.weight), d)?;
            kernels.bias_relu(s.inner.view(), weights.value(&layer.fc1.bias))?;
            kernels.product(y, s.inner.view(), weights.operand(&layer.fc2.weight), config.ffn_dim)?;
            residual(2 * i + 2, &layer.fc2.bias)?;
        }
        let mut hidden = normed;
        if let (Some((_, project_out)), Some(projected)) = (&layout.projections, &s.projected) {
            kernels.product(projected.view(), normed, weights.operand(project_out), d)?;
            hidden = projected.view();
        }
        kernels.product(s.logits.view(), hidden, weights.operand(&layout.embed_tokens), config.embedding_width())?;
        self.draw(&kernels)
    }

    fn embed(&self, weights: &Operands<'_>, kernels: &Kernels<'_>) -> Result<(), GpuError> {
        let (s, state, layout, d) = (&self.space, &self.state, weights.layout, self.config.hidden_size);
        let (table, positions) = (weights.value(&layout.embed_tokens), weights.value(&layout.embed_positions));
        let ids = (state.next.view(), state.lens.view(), POSITION_OFFSET);
        match (&layout.projections, &s.tokens) {
            (Some((project_in, _)), Some(tokens)) => {
                let width = self.config.embedding_width();
                kernels.gather(tokens.view(), table, state.next.view(), width)?;
                kernels.product(s.stream.view(), tokens.view(), weights.operand(project_in), width)?;
                kernels.embed(s.stream.view(), (None, positions), ids, d)
            }
            _ => kernels.embed(s.stream.view(), (Some(table), positions), ids, d),
        }
    }

    fn draw(&self, kernels: &Kernels<'_>) -> Result<(), GpuError> {
        let State { written, counts, states, next, drawn, keys, lens, .. } = &self.state;
        let (config, sampling) = (self.config, self.sampling);
        let vocabulary = config.vocab_size as u32;
        // an id that no token has
        let none = vocabulary;
        // there is no more than one: `generate` refuses others
        let end = config.eos_token_id.ids().first().copied().unwrap_or(none);
        let (eos, suppressed) = if sampling.stop_at_eos { (end, none) } else { (none, end) };
        let buffers = [&self.space.logits, written, counts, states, next, drawn, keys, lens];
        let drawable = sampling.vocab_size.min(config.vocab_size) as u32;
        let tokens = [vocabulary, drawable, sampling.max_new_tokens as u32, eos, suppressed];
        kernels.nucleus(buffers, tokens, (sampling.temperature, sampling.top_p))
    }
}

impl Space {
    fn bytes_per_row(config: &OptConfig, dtype: Dtype, capacity: usize) -> usize {
        let (d, width) = (config.hidden_size, config.embedding_width());
        let cached = 2 * config.num_hidden_layers * capacity * d;
        let operands = cached + d * 5 + config.ffn_dim + 2 * width;
        operands * dtype.size() + 4 * (2 * d + config.vocab_size)
    }

    fn new(parameters: &GpuParameters, config: &OptConfig, rows: usize, capacity: usize) -> Result<Self, GpuError> {
        let (gpu, dtype) = (&parameters.gpu, parameters.dtype());
        let (d, width) = (config.hidden_size, config.embedding_width());
        let cache = || gpu.alloc(dtype, rows * capacity * d);
        let projected = || if width == d { Ok(None) } else { gpu.alloc(dtype, rows * width).map(Some) };
        Ok(Self {
            caches: (0..config.num_hidden_layers).map(|_| Ok((cache()?, cache()?))).collect::<Result<_, GpuError>>()?,
            tokens: projected()?,
            stream: gpu.alloc(Dtype::F32, rows * d)?,
            normed: gpu.alloc(dtype, rows * d)?,
            qkv: gpu.alloc(dtype, rows * 3 * d)?,
            attended: gpu.alloc(dtype, rows * d)?,
            inner: gpu.alloc(dtype, rows * config.ffn_dim)?,
            y: gpu.alloc(Dtype::F32, rows * d)?,
            projected: projected()?,
            logits: gpu.alloc(Dtype::F32, rows * config.vocab_size)?,
        })
    }
}
