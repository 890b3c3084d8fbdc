//! Launches of attention: over whole sequences, short ones and the softmax of longer ones; over a cache; over texts of
//! the encoder.

use sigma_kernels::gpu::{Arg, Buffer, Dtype, Gpu, GpuError, View};

use super::{BLOCK, Done, Kernels, blocks, count};

/// Threads of a block that attends for one head: ATTENTION_WARPS of cached_attention.cu.
const ATTENTION_BLOCK: u32 = 32;
/// What short_attention.cu takes at most, tokens and numbers of a head; and the bytes of its matrices in shared memory:
/// of f32, and of factors in half precision (short_attention_half.cu).
const SHORT: usize = 64;
const SHORT_MATRIX: u32 = 64 * 68 * 4;
const TILE_MATRIX: u32 = 64 * 72 * 2;

/// Texts whose tokens lie one after another, for attention.
#[derive(Debug)]
pub(crate) struct Texts {
    /// Of each token, where its text begins and ends.
    begins: Buffer,
    ends: Buffer,
    longest: usize,
    /// Of each tile of up to 64 tokens of one text: its first, and where the text begins and ends.
    tiles: Buffer,
}

impl Texts {
    pub(crate) fn new(gpu: &Gpu, lens: impl Iterator<Item = usize>) -> Result<Self, GpuError> {
        let (mut begins, mut ends, mut tiles, mut longest) = (Vec::<u32>::new(), Vec::new(), Vec::new(), 0);
        for len in lens {
            let begin = begins.len() as u32;
            let end = begin + len as u32;
            begins.extend((0..len).map(|_| begin));
            ends.extend((0..len).map(|_| end));
            tiles.extend((begin..end).step_by(SHORT).flat_map(|first| [first, begin, end]));
            longest = longest.max(len);
        }
        Ok(Self { begins: gpu.upload(&begins)?, ends: gpu.upload(&ends)?, longest, tiles: gpu.upload(&tiles)? })
    }
}

impl Kernels<'_> {
    /// Rows of `time` scores, `stride` apart.
    pub(crate) fn causal_softmax(&self, p: View<'_>, scores: View<'_>, (time, stride): (usize, usize)) -> Done {
        let rows = p.len() / stride;
        let args = [p.into(), scores.into(), count(rows), count(time), count(stride)];
        self.each_row(&self.typed("causal_softmax"), rows, 0, &args)
    }

    pub(crate) fn causal_softmax_backward(
        &self,
        ds: View<'_>,
        (p, dp): (View<'_>, View<'_>),
        (time, stride): (usize, usize),
    ) -> Done {
        let rows = p.len() / stride;
        let args = [ds.into(), p.into(), dp.into(), count(rows), count(time), count(stride)];
        self.each_row(&self.typed("causal_softmax_backward"), rows, 0, &args)
    }

    /// Whether [`Self::short_attention`] can do it: what its shared memory and the reads of 16 bytes allow.
    pub(crate) fn is_short(&self, time: usize, width: usize) -> bool {
        time <= SHORT && width <= SHORT && width.is_multiple_of(16 / self.dtype.size())
    }

    /// Causal attention of sequences of `time` tokens: out `[R, D]` from the queries, keys and values in qkv `[R, 3
    /// D]`.
    pub(crate) fn short_attention(
        &self,
        out: View<'_>,
        qkv: View<'_>,
        (time, heads, width): (usize, usize, usize),
    ) -> Done {
        let args = [out.into(), qkv.into(), count(heads), count(time), count(width)];
        self.each_pair("short_attention", out.len() / time / width, (3, 3), &args)
    }

    pub(crate) fn short_attention_backward(
        &self,
        dqkv: View<'_>,
        (dout, qkv): (View<'_>, View<'_>),
        (time, heads, width): (usize, usize, usize),
    ) -> Done {
        let args = [dqkv.into(), dout.into(), qkv.into(), count(heads), count(time), count(width)];
        self.each_pair("short_attention_backward", dout.len() / time / width, (5, 6), &args)
    }

    /// A block for each of `pairs` of a sequence and a head, with so many matrices in shared memory in f32, or of
    /// factors beside one of f32.
    fn each_pair(&self, kernel: &str, pairs: usize, (exact, halves): (u32, u32), args: &[Arg<'_>]) -> Done {
        let (block, shared) = match self.dtype {
            Dtype::F16 | Dtype::Bf16 => (BLOCK / 2, SHORT_MATRIX + halves * TILE_MATRIX),
            _ => (BLOCK, exact * SHORT_MATRIX),
        };
        self.gpu.launch(&self.typed(kernel), (blocks(pairs, 1), 1), block, shared, args)
    }

    /// Attention of one new token for each row that is running; `keys` and `values` hold `capacity` tokens of each.
    pub(crate) fn cached_attention(
        &self,
        out: View<'_>,
        (keys, values): (View<'_>, View<'_>),
        (qkv, lens, states): (View<'_>, View<'_>, View<'_>),
        (heads, capacity): (usize, usize),
    ) -> Done {
        let rows = lens.len();
        let width = out.len() / rows / heads;
        let buffers = [out.into(), keys.into(), values.into(), qkv.into(), lens.into(), states.into()];
        let sizes = [heads, width, capacity].map(count);
        let per_lane = 16 / self.dtype.size();
        if width.is_multiple_of(per_lane) && width <= 32 * per_lane {
            let lanes = count((width / per_lane).next_power_of_two());
            let grid = (blocks(rows * heads, 1), 1);
            let args = [&buffers[..], &sizes, &[lanes]].concat();
            return self.gpu.launch(&self.typed("cached_attention_wide"), grid, ATTENTION_BLOCK, 0, &args);
        }
        let args = [&buffers[..], &[count(rows)], &sizes].concat();
        self.each_row(&self.typed("cached_attention"), rows * heads, capacity + width, &args)
    }

    /// The keys and values of `qkv`, which holds prompts of `time` tokens: the first `lens[i]` of prompt i, to row
    /// `targets[i]`.
    pub(crate) fn fill_cache(
        &self,
        (keys, values): (View<'_>, View<'_>),
        (qkv, time): (View<'_>, usize),
        (targets, lens): (View<'_>, View<'_>),
        (heads, capacity): (usize, usize),
    ) -> Done {
        let tokens = lens.len() * time;
        let width = qkv.len() / tokens / 3 / heads;
        let sizes = [time, heads, width, capacity].map(count);
        let args = [keys.into(), values.into(), qkv.into(), targets.into(), lens.into()];
        self.each_block(&self.typed("fill_cache"), tokens, &[&args[..], &sizes[..]].concat())
    }

    /// Attention in which every token of a text sees every other, in f32.
    pub(crate) fn full_attention(&self, out: View<'_>, qkv: View<'_>, texts: &Texts, heads: usize) -> Done {
        let tokens = texts.begins.len();
        let width = out.len() / tokens / heads;
        if self.is_short(1, width) {
            let args = [out.into(), qkv.into(), (&texts.tiles).into(), count(heads), count(width)];
            let grid = (blocks(texts.tiles.len(), 3), blocks(heads, 1));
            return self.gpu.launch("full_attention_tiled", grid, BLOCK, 3 * SHORT_MATRIX, &args);
        }
        let (n, most) = (count(tokens), count(texts.longest));
        let args = [out.into(), qkv.into(), (&texts.begins).into(), (&texts.ends).into()];
        let args = [&args[..], &[n, count(heads), count(width), most]].concat();
        self.each_row(&self.typed("full_attention"), tokens * heads, texts.longest, &args)
    }
}
