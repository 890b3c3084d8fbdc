//! The GPU's kernels and products with the sizes of their launches, one function each; what they compute is said in
//! `sigma-kernels/cuda`.

mod update;

use sigma_kernels::gpu::{Arg, Dtype, Gemm, Gpu, GpuError, Operand, View};

type Done = Result<(), GpuError>;

/// Threads of a block in which each handles its own element.
const BLOCK: u32 = 256;
/// Rows, a warp each, of one block.
const WARPS: u32 = 4;
/// Threads of a block that attends for one head: ATTENTION_WARPS of cached_attention.cu.
const ATTENTION_BLOCK: u32 = 128;
/// Threads of a block that handles one row of logits.
const LOGITS_BLOCK: u32 = 512;
/// Rows whose sums over columns one thread makes.
pub(crate) const PIECE: usize = 32;
/// Blocks that go through all parameters together.
const UPDATE_BLOCKS: u32 = 2048;

/// Dropout of one sub-block: where its key stands in device memory, and the probability.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropped<'a> {
    pub(crate) key: View<'a>,
    pub(crate) p: f64,
}

/// Launches on `gpu`, with products in `dtype`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernels<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) dtype: Dtype,
}

/// Sizes come from buffers that exist; kernels count the elements of activations in 32 bits, and those of all parameters in 64.
fn count(n: usize) -> Arg<'static> {
    Arg::U32(u32::try_from(n).unwrap_or(u32::MAX))
}

fn blocks(n: usize, of: u32) -> u32 {
    u32::try_from(n.div_ceil(of as usize)).unwrap_or(u32::MAX)
}

fn optional(view: Option<View<'_>>) -> Arg<'_> {
    view.map_or(Arg::Null, Arg::View)
}

impl Kernels<'_> {
    fn typed(&self, kernel: &str) -> String {
        format!("{kernel}_{}", self.dtype.suffix())
    }

    /// A thread for each of `n` elements.
    pub(crate) fn each(&self, kernel: &str, n: usize, args: &[Arg<'_>]) -> Done {
        self.gpu.launch(kernel, (blocks(n, BLOCK), 1), BLOCK, 0, args)
    }

    /// A warp for each of `n` rows, which has `floats` numbers of shared memory.
    fn each_row(&self, kernel: &str, n: usize, floats: usize, args: &[Arg<'_>]) -> Done {
        let shared = u32::try_from(4 * WARPS as usize * floats).unwrap_or(u32::MAX);
        self.gpu.launch(kernel, (blocks(n, WARPS), 1), 32 * WARPS, shared, args)
    }

    /// A block for each of `n` rows.
    fn each_block(&self, kernel: &str, n: usize, args: &[Arg<'_>]) -> Done {
        self.gpu.launch(kernel, (blocks(n, 1), 1), BLOCK, 0, args)
    }

    /// A block for each of `n` rows of logits.
    pub(crate) fn each_row_of_logits(&self, kernel: &str, n: usize, args: &[Arg<'_>]) -> Done {
        self.gpu.launch(kernel, (blocks(n, 1), 1), LOGITS_BLOCK, 0, args)
    }

    /// f32 to the precision of products.
    pub(crate) fn cast(&self, to: View<'_>, from: View<'_>) -> Done {
        let grid = blocks(from.len(), BLOCK).min(UPDATE_BLOCKS);
        let args = [to.into(), from.into(), Arg::U64(from.len() as u64)];
        self.gpu.launch(&self.typed("cast"), (grid, 1), BLOCK, 0, &args)
    }

    /// Token and position embeddings, positions looked up `offset` rows further down; where `tokens` is missing, `stream` holds the token embeddings already.
    pub(crate) fn embed(
        &self,
        stream: View<'_>,
        (tokens, positions): (Option<View<'_>>, View<'_>),
        (ids, at, offset): (View<'_>, View<'_>, usize),
        d: usize,
    ) -> Done {
        let offset = count(offset);
        let args = [stream.into(), optional(tokens), positions.into(), ids.into(), at.into(), offset, count(d)];
        self.each_block("embed", stream.len() / d, &args)
    }

    pub(crate) fn gather(&self, y: View<'_>, table: View<'_>, ids: View<'_>, width: usize) -> Done {
        self.each_block(&self.typed("gather"), ids.len(), &[y.into(), table.into(), ids.into(), count(width)])
    }

    pub(crate) fn embedding_backward(
        &self,
        gradient: View<'_>,
        dy: View<'_>,
        (ids, starts, order, distinct): (View<'_>, View<'_>, View<'_>, View<'_>),
        width: usize,
    ) -> Done {
        let rows = dy.len() / width;
        let args = [gradient.into(), dy.into(), ids.into(), starts.into(), order.into(), distinct.into(), count(width)];
        self.each_block("embedding_backward", rows, &args)
    }

    pub(crate) fn position_backward(
        &self,
        gradient: View<'_>,
        dy: View<'_>,
        (batch, time, offset): (usize, usize, usize),
        d: usize,
    ) -> Done {
        let args = [gradient.into(), dy.into(), count(batch), count(time), count(offset), count(d)];
        self.each_block("position_backward", time, &args)
    }

    /// `exact` gets the result in f32 too.
    pub(crate) fn layer_norm(
        &self,
        y: View<'_>,
        exact: Option<View<'_>>,
        x: View<'_>,
        (weight, bias, eps): (View<'_>, View<'_>, f64),
    ) -> Done {
        let (d, eps) = (weight.len(), Arg::F32(eps as f32));
        let rows = x.len() / d;
        let args = [y.into(), optional(exact), x.into(), weight.into(), bias.into(), count(rows), count(d), eps];
        self.each_row(&self.typed("layer_norm"), rows, 0, &args)
    }

    /// `gradient` is that of weight and bias, which lie side by side; `parts` has room for their sums over pieces of rows, and
    /// `moments` for two numbers of each row.
    pub(crate) fn layer_norm_backward(
        &self,
        (dx, accumulate): (View<'_>, bool),
        gradient: View<'_>,
        (dy, x, weight, eps): (View<'_>, View<'_>, View<'_>, f64),
        (parts, moments): (View<'_>, View<'_>),
    ) -> Done {
        let (d, eps) = (weight.len(), Arg::F32(eps as f32));
        let rows = x.len() / d;
        let accumulate = Arg::U32(u32::from(accumulate));
        let (n, width) = (count(rows), count(d));
        let args = [dx.into(), moments.into(), dy.into(), x.into(), weight.into(), n, width, eps, accumulate];
        self.each_row("layer_norm_backward", rows, 0, &args)?;
        let parts = parts.slice(0..rows.div_ceil(PIECE) * 2 * d);
        let args = [parts.into(), moments.into(), dy.into(), x.into(), n, width, count(PIECE)];
        let grid = (blocks(d, BLOCK), blocks(rows, PIECE as u32));
        self.gpu.launch("layer_norm_parameters", grid, BLOCK, 0, &args)?;
        self.column_sums_finish(gradient, parts)
    }

    /// total = the sums of x over its rows, with `total.len()` columns.
    pub(crate) fn column_sums(&self, total: View<'_>, x: View<'_>, parts: View<'_>) -> Done {
        let columns = total.len();
        let rows = x.len() / columns;
        let parts = parts.slice(0..rows.div_ceil(PIECE) * columns);
        let args = [parts.into(), x.into(), count(rows), count(columns), count(PIECE)];
        let grid = (blocks(columns, BLOCK), blocks(rows, PIECE as u32));
        self.gpu.launch(&self.typed("column_sums"), grid, BLOCK, 0, &args)?;
        self.column_sums_finish(total, parts)
    }

    fn column_sums_finish(&self, total: View<'_>, parts: View<'_>) -> Done {
        let columns = total.len();
        let args = [total.into(), parts.into(), count(parts.len() / columns), count(columns)];
        self.each("column_sums_finish", columns, &args)
    }

    pub(crate) fn bias(&self, y: View<'_>, bias: View<'_>) -> Done {
        let args = [y.into(), bias.into(), count(y.len()), count(bias.len())];
        self.each(&self.typed("bias"), y.len(), &args)
    }

    pub(crate) fn bias_gelu(&self, y: View<'_>, bias: View<'_>) -> Done {
        let args = [y.into(), bias.into(), count(y.len()), count(bias.len())];
        self.each(&self.typed("bias_gelu"), y.len(), &args)
    }

    pub(crate) fn bias_relu(&self, y: View<'_>, bias: View<'_>) -> Done {
        let args = [y.into(), bias.into(), count(y.len()), count(bias.len())];
        self.each(&self.typed("bias_relu"), y.len(), &args)
    }

    pub(crate) fn relu_backward(&self, dy: View<'_>, y: View<'_>) -> Done {
        self.each(&self.typed("relu_backward"), y.len(), &[dy.into(), y.into(), count(y.len())])
    }

    pub(crate) fn residual(
        &self,
        out: View<'_>,
        (x, y): (View<'_>, View<'_>),
        bias: View<'_>,
        dropped: Option<Dropped<'_>>,
    ) -> Done {
        let (n, key, p) = (y.len(), optional(dropped.map(|d| d.key)), dropped.map_or(0.0, |d| d.p));
        let args = [out.into(), x.into(), y.into(), bias.into(), count(n), count(bias.len()), key, Arg::F64(p)];
        self.each("residual", n.div_ceil(2), &args)
    }

    /// The gradient of a sub-block's result, in the precision of products, from that of the stream.
    pub(crate) fn residual_backward(&self, dy: View<'_>, ds: View<'_>, dropped: Option<Dropped<'_>>) -> Done {
        let (n, key, p) = (ds.len(), optional(dropped.map(|d| d.key)), dropped.map_or(0.0, |d| d.p));
        let args = [dy.into(), ds.into(), count(n), key, Arg::F64(p)];
        self.each(&self.typed("residual_backward"), n.div_ceil(2), &args)
    }

    /// y += x.
    pub(crate) fn accumulate(&self, y: View<'_>, x: View<'_>) -> Done {
        self.each("accumulate", y.len(), &[y.into(), x.into(), count(y.len())])
    }

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

    /// Attention of one new token per row; `keys` and `values` hold `capacity` tokens of each.
    pub(crate) fn cached_attention(
        &self,
        out: View<'_>,
        (keys, values): (View<'_>, View<'_>),
        (qkv, lens): (View<'_>, View<'_>),
        (heads, capacity): (usize, usize),
    ) -> Done {
        let rows = lens.len();
        let width = out.len() / rows / heads;
        let buffers = [out.into(), keys.into(), values.into(), qkv.into(), lens.into()];
        let sizes = [heads, width, capacity].map(count);
        let per_lane = 16 / self.dtype.size();
        if width.is_multiple_of(per_lane) && width <= 32 * per_lane {
            let lanes = count((width / per_lane).next_power_of_two());
            let (blocks, shared) = (blocks(rows * heads, 1), u32::try_from(4 * capacity).unwrap_or(u32::MAX));
            let args = [&buffers[..], &sizes, &[lanes]].concat();
            return self.gpu.launch(&self.typed("cached_attention_wide"), (blocks, 1), ATTENTION_BLOCK, shared, &args);
        }
        let args = [&buffers[..], &[count(rows)], &sizes].concat();
        self.each_row(&self.typed("cached_attention"), rows * heads, capacity + width, &args)
    }

    /// The keys and values of `qkv`, which holds prompts of `time` tokens: the first `lens[i]` of prompt i, to row `targets[i]`.
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

    /// Attention in which every token of a text sees every other; the text of token i are the tokens begins[i] .. ends[i].
    pub(crate) fn full_attention(
        &self,
        out: View<'_>,
        qkv: View<'_>,
        (begins, ends): (View<'_>, View<'_>),
        (heads, longest): (usize, usize),
    ) -> Done {
        let tokens = begins.len();
        let width = count(out.len() / tokens / heads);
        let (n, heads_arg, most) = (count(tokens), count(heads), count(longest));
        let args = [out.into(), qkv.into(), begins.into(), ends.into(), n, heads_arg, width, most];
        self.each_row(&self.typed("full_attention"), tokens * heads, longest, &args)
    }

    /// The mean of the states of each text, which begin at starts[i] and end at starts[i + 1].
    pub(crate) fn mean_pool(&self, pooled: View<'_>, states: View<'_>, starts: View<'_>, d: usize) -> Done {
        let args = [pooled.into(), states.into(), starts.into(), count(d)];
        self.each_block("mean_pool", starts.len() - 1, &args)
    }

    /// y `[rows, outputs]` = x `[rows, inputs]` times the transpose of weight `[outputs, inputs]`.
    pub(crate) fn product(&self, y: View<'_>, x: View<'_>, weight: View<'_>, inputs: usize) -> Done {
        let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
        let (a, b) = (as_stored(x, inputs), transposed(weight, inputs));
        self.multiply((rows, outputs, inputs), a, b, (y, false))
    }

    /// dx `[rows, inputs]` = dy `[rows, outputs]` times weight `[outputs, inputs]`.
    pub(crate) fn product_input(&self, dx: View<'_>, dy: View<'_>, weight: View<'_>, inputs: usize) -> Done {
        let outputs = weight.len() / inputs;
        let (a, b) = (as_stored(dy, outputs), as_stored(weight, inputs));
        self.multiply((dy.len() / outputs, inputs, outputs), a, b, (dx, false))
    }

    /// dweight `[outputs, inputs]` = (or +=) the transpose of dy `[rows, outputs]` times x `[rows, inputs]`.
    pub(crate) fn product_weight(
        &self,
        (dweight, accumulate): (View<'_>, bool),
        dy: View<'_>,
        x: View<'_>,
        inputs: usize,
    ) -> Done {
        let (outputs, rows) = (dweight.len() / inputs, x.len() / inputs);
        let (a, b) = (transposed(dy, outputs), as_stored(x, inputs));
        self.multiply((outputs, inputs, rows), a, b, (dweight, accumulate))
    }

    /// c `[m, n]` = (or +=) a `[m, k]` times b `[k, n]`.
    fn multiply(
        &self,
        (m, n, k): (usize, usize, usize),
        a: Operand<'_>,
        b: Operand<'_>,
        (c, accumulate): (View<'_>, bool),
    ) -> Done {
        self.gpu.gemm(&Gemm { m, n, k, a, b, c, c_stride: n, scale: 1.0, accumulate })
    }
}

fn as_stored(view: View<'_>, stride: usize) -> Operand<'_> {
    Operand { view, stride, transposed: false }
}

/// The transpose of what is stored.
fn transposed(view: View<'_>, stride: usize) -> Operand<'_> {
    Operand { view, stride, transposed: true }
}
