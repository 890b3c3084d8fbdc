//! Writing texts on a GPU: a fixed number of rows advance together by one token per step, and sampling and the choice of the next
//! input stay on the device. A step is a graph of launches that never changes: prompts are fed token by token by the same step, and a
//! row that is finished idles until another text takes its place. So all products have one shape, and a row's numbers do not
//! depend on what the other rows hold. It knows nothing of why texts are written.

use sigma_kernels::gpu::{Arg, Buffer, Dtype, GpuError, Graph};

use super::rows::State;
use super::{GpuParameters, Weights as Operands};
use crate::ModelError;
use crate::launches::Kernels;
use crate::opt::config::POSITION_OFFSET;
use crate::opt::{Opt, OptConfig, Weights};

/// A cache's capacity is a multiple of this many tokens, which its keys lie in groups of.
const GROUP: usize = 32;
/// Share of the free memory that a decoder may take.
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
    config: &'a OptConfig,
    parameters: &'a GpuParameters,
    sampling: Sampling,
    rows: usize,
    capacity: usize,
    longest: usize,
    space: Space,
    state: State,
    /// A step whose rows are all within their prompts, which needs no logits, and a step that draws.
    silent: Step,
    drawing: Step,
}

/// A recorded step, once it has been launched kernel by kernel.
#[derive(Debug, Default)]
struct Step {
    warm: bool,
    graph: Option<Graph>,
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
    /// Room for `rows` texts at a time, or as many as fit into the GPU's memory, with prompts of up to `longest` tokens.
    ///
    /// # Errors
    /// Prompts and new tokens that exceed the model's positions, a GPU without memory for one row, or a model on the CPU.
    pub fn gpu_decoder(&self, rows: usize, longest: usize, sampling: Sampling) -> Result<GpuDecoder<'_>, ModelError> {
        let Weights::Gpu(parameters) = &self.weights else {
            return Err(ModelError::OnCpu { what: "a decoder of the GPU" });
        };
        let config = &self.config;
        // the last token that is drawn is not fed
        let fed = longest + sampling.max_new_tokens.saturating_sub(1);
        config.check_length(fed)?;
        let capacity = fed.next_multiple_of(GROUP);
        let (free, _) = parameters.gpu.memory()?;
        let each = Space::bytes_per_row(config, parameters.dtype(), capacity);
        let rows = rows.min((free as f64 * MEMORY / each as f64) as usize).max(1);
        let space = Space::new(parameters, config, rows, capacity)?;
        let state = State::new(&parameters.gpu, rows, longest, sampling.max_new_tokens)?;
        let (silent, drawing) = (Step::default(), Step::default());
        Ok(GpuDecoder { config, parameters, sampling, rows, capacity, longest, space, state, silent, drawing })
    }
}

impl GpuDecoder<'_> {
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Begins a text in a row, whatever the row held.
    ///
    /// # Errors
    /// An empty prompt, one longer than the decoder was made for, or an id outside the vocabulary.
    pub fn place(&mut self, row: usize, slot: Slot<'_>) -> Result<(), ModelError> {
        self.config.check_ids(slot.prompt)?;
        let Some(first) = slot.prompt.first() else { return Err(ModelError::EmptyPrompt) };
        if slot.prompt.len() > self.longest {
            return Err(ModelError::TooLong { needed: slot.prompt.len(), max: self.longest });
        }
        let host = &mut self.state.host;
        host.prompts[row * self.longest..][..slot.prompt.len()].copy_from_slice(slot.prompt);
        host.prompt_lens[row] = slot.prompt.len() as u32;
        for (to, bytes) in host.keys[8 * row..][..8].iter_mut().zip(slot.key.as_chunks::<4>().0) {
            *to = u32::from_le_bytes(*bytes);
        }
        (host.drawn[row], host.lens[row], host.next[row]) = (slot.drawn, 0, *first);
        (host.states[row], host.counts[row]) = (0, 0);
        host.changed = true;
        Ok(())
    }

    /// Advances every row by up to `steps` tokens, those of its prompt included, and returns each row's state and how many tokens
    /// it has drawn.
    pub fn run(&mut self, steps: usize) -> Result<Vec<(RowState, usize)>, ModelError> {
        self.state.write()?;
        let host = &self.state.host;
        // a row draws when the last token of its prompt is fed
        let running = (0..self.rows).filter(|row| host.states[*row] == 0);
        let silent = running.map(|row| (host.prompt_lens[row] - 1).saturating_sub(host.lens[row])).min().unwrap_or(0);
        for step in 0..steps {
            let draws = step >= silent as usize;
            let kind = if draws { &self.drawing } else { &self.silent };
            if let Some(graph) = &kind.graph {
                graph.launch()?;
                continue;
            }
            let graph = if kind.warm {
                let graph = self.parameters.gpu.capture(|| self.enqueue(draws))?;
                graph.launch()?;
                Some(graph)
            } else {
                self.enqueue(draws)?;
                None
            };
            let kind = if draws { &mut self.drawing } else { &mut self.silent };
            *kind = Step { warm: true, graph };
        }
        self.state.read()?;
        let host = &self.state.host;
        let row = |row: usize| (RowState::of(host.states[row]), host.counts[row] as usize);
        Ok((0..self.rows).map(row).collect())
    }

    /// The tokens that a row has drawn so far.
    pub fn tokens(&self, row: usize) -> Result<Vec<u32>, ModelError> {
        let from = row * self.sampling.max_new_tokens;
        Ok(self.state.written.read(from..from + self.state.host.counts[row] as usize)?)
    }

    /// The launches of one step.
    fn enqueue(&self, draws: bool) -> Result<(), GpuError> {
        let Self { config, space: s, state, .. } = self;
        let weights = self.parameters.weights();
        let kernels = weights.kernels();
        let (d, heads, layout) = (config.hidden_size, config.num_attention_heads, weights.layout);
        let (stream, normed, y) = (s.stream.view(), s.normed.view(), s.y.view());
        self.embed(&weights, &kernels)?;
        let pre = config.do_layer_norm_before;
        if !pre {
            kernels.cast(normed, stream)?;
        }
        for (layer, (keys, values)) in layout.layers.iter().zip(&s.caches) {
            let (attention_norm, norm) =
                (weights.norm(&layer.self_attn_layer_norm), weights.norm(&layer.final_layer_norm));
            if pre {
                kernels.layer_norm(normed, None, stream, attention_norm)?;
            }
            kernels.product(s.qkv.view(), normed, weights.operand(&layer.qkv.weight), d)?;
            kernels.bias(s.qkv.view(), weights.value(&layer.qkv.bias))?;
            let (cache, new) = ((keys.view(), values.view()), (s.qkv.view(), state.lens.view()));
            kernels.cached_attention(s.attended.view(), cache, new, (heads, self.capacity))?;
            kernels.product(y, s.attended.view(), weights.operand(&layer.out_proj.weight), d)?;
            kernels.residual(stream, (stream, y), weights.value(&layer.out_proj.bias), None)?;
            // with norms after, the stream itself is normalised: the kernel reads a row before it writes it
            let exact = if pre { None } else { Some(stream) };
            kernels.layer_norm(normed, exact, stream, if pre { norm } else { attention_norm })?;
            kernels.product(s.inner.view(), normed, weights.operand(&layer.fc1.weight), d)?;
            kernels.bias_relu(s.inner.view(), weights.value(&layer.fc1.bias))?;
            kernels.product(y, s.inner.view(), weights.operand(&layer.fc2.weight), config.ffn_dim)?;
            kernels.residual(stream, (stream, y), weights.value(&layer.fc2.bias), None)?;
            if !pre {
                kernels.layer_norm(normed, Some(stream), stream, norm)?;
            }
        }
        if draws {
            match &layout.final_layer_norm {
                Some(norm) => kernels.layer_norm(normed, None, stream, weights.norm(norm))?,
                None => kernels.cast(normed, stream)?,
            }
            let mut hidden = normed;
            if let (Some((_, project_out)), Some(projected)) = (&layout.projections, &s.projected) {
                kernels.product(projected.view(), normed, weights.operand(project_out), d)?;
                hidden = projected.view();
            }
            let table = weights.operand(&layout.embed_tokens);
            kernels.product(s.logits.view(), hidden, table, config.embedding_width())?;
            self.draw(&kernels)?;
        }
        let State { lens, next, states, prompts, prompt_lens, .. } = state;
        let (rows, longest) = (Arg::U32(self.rows as u32), Arg::U32(self.longest as u32));
        let args = [lens.into(), next.into(), states.into(), prompts.into(), prompt_lens.into(), rows, longest];
        kernels.each("advance", self.rows, &args)
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
        let State { written, counts, states, next, drawn, keys, lens, prompt_lens, .. } = &self.state;
        let (config, sampling) = (self.config, self.sampling);
        let vocabulary = config.vocab_size as u32;
        // an id that no token has
        let none = vocabulary;
        let (eos, suppressed) =
            if sampling.stop_at_eos { (config.eos_token_id, none) } else { (none, config.eos_token_id) };
        let args = [
            self.space.logits.view().into(),
            written.into(),
            counts.into(),
            states.into(),
            next.into(),
            drawn.into(),
            keys.into(),
            lens.into(),
            prompt_lens.into(),
            Arg::U32(vocabulary),
            Arg::U32(sampling.max_new_tokens as u32),
            Arg::U32(eos),
            Arg::U32(suppressed),
            Arg::F64(sampling.temperature),
            Arg::F64(sampling.top_p),
        ];
        kernels.each_row_of_logits("nucleus", self.rows, &args)
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
