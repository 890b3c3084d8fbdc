//! The pass over the prompts of a decoder's rows: many tokens at once, whose keys and values go into the rows' caches.
//! It always has one shape, whichever prompts there are, so that a product's rounding does not depend on them.

use sigma_kernels::gpu::{Buffer, Dtype, Gpu, GpuError};

use super::Weights;
use super::forward::Sequences;
use super::recorded::Recorded;
use crate::opt::OptConfig;

/// Tokens of one pass: enough to keep a GPU busy, few enough that a single prompt costs no more than a few steps.
const TOKENS: usize = 4096;

/// The sizes of a pass over prompts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    batch: usize,
    time: usize,
}

impl Shape {
    /// For a decoder of `rows` rows whose prompts have up to `longest` tokens, of which the last is not among those of
    /// this pass: it is the input of the row's first step. `None` if none is left.
    pub(super) fn of(config: &OptConfig, rows: usize, longest: usize) -> Option<Self> {
        let time = longest.checked_sub(1).filter(|time| *time > 0)?;
        // NVIDIA's advice for products of half precision
        let time = time.next_multiple_of(8).min(config.max_position_embeddings);
        Some(Self { batch: (TOKENS / time).clamp(1, rows.max(1)), time })
    }

    /// Device memory of a pass, about.
    pub(super) fn bytes(self, config: &OptConfig, dtype: Dtype) -> usize {
        self.batch * self.time * Sequences::bytes_per_token(config, dtype, self.time)
    }
}

/// Space and launches of a pass, and the prompts that wait for one.
#[derive(Debug)]
pub(super) struct Prompts {
    sequences: Sequences,
    /// The row of each prompt, and its tokens.
    targets: Buffer,
    lens: Buffer,
    launches: Recorded,
    /// Row, and the prompt without its last token.
    waiting: Vec<(usize, Vec<u32>)>,
}

impl Prompts {
    pub(super) fn new(gpu: &Gpu, config: &OptConfig, dtype: Dtype, shape: Shape) -> Result<Self, GpuError> {
        Ok(Self {
            sequences: Sequences::new(gpu, config, dtype, (shape.batch, shape.time), false)?,
            targets: gpu.alloc(Dtype::U32, shape.batch)?,
            lens: gpu.alloc(Dtype::U32, shape.batch)?,
            launches: Recorded::default(),
            waiting: Vec::new(),
        })
    }

    /// A prompt without its last token, for the next [`Self::run`], in place of any that waits for the same row.
    pub(super) fn wait(&mut self, row: usize, tokens: &[u32]) {
        self.waiting.retain(|(other, _)| *other != row);
        if !tokens.is_empty() {
            self.waiting.push((row, tokens.to_vec()));
        }
    }

    /// Fills the caches of all rows whose prompts wait. `caches` are the keys and values of each layer.
    pub(super) fn run(
        &mut self,
        weights: &Weights<'_>,
        config: &OptConfig,
        (caches, capacity): (&[(Buffer, Buffer)], usize),
    ) -> Result<(), GpuError> {
        let Self { sequences, targets, lens, launches, waiting } = self;
        for some in waiting.chunks(sequences.batch) {
            let (batch, time) = (sequences.batch, sequences.time);
            // what is computed beyond a prompt's end, or where there is none, is not stored
            let mut ids = vec![config.filler(); batch * time];
            let (mut rows, mut found) = (vec![0u32; batch], vec![0u32; batch]);
            for (place, (row, tokens)) in some.iter().enumerate() {
                ids[place * time..][..tokens.len()].copy_from_slice(tokens);
                (rows[place], found[place]) = (*row as u32, tokens.len() as u32);
            }
            sequences.ids.write(0, &ids)?;
            targets.write(0, &rows)?;
            lens.write(0, &found)?;
            launches.run(weights.gpu, || {
                let kernels = weights.kernels();
                let none = vec![None; 2 * config.num_hidden_layers];
                sequences.forward(weights, config, &none, |layer, qkv| {
                    let (keys, values) = &caches[layer];
                    let heads = (config.num_attention_heads, capacity);
                    let which = (targets.view(), lens.view());
                    kernels.fill_cache((keys.view(), values.view()), (qkv, sequences.time), which, heads)
                })
            })?;
        }
        waiting.clear();
        Ok(())
    }
}
