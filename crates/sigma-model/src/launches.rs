//! The GPU's kernels and products with the sizes of their launches, one function each; what they compute is said in
//! `sigma-kernels/cuda`.

mod attention;
mod update;

pub(crate) use attention::Texts;

use sigma_kernels::gpu::{Arg, Buffer, Dtype, Gemm, Gpu, GpuError, Operand, View};

type Done = Result<(), GpuError>;

/// Threads of a block in which each handles its own element.
const BLOCK: u32 = 256;
/// Rows, a warp each, of one block.
const WARPS: u32 = 4;
/// Threads of a block that handles one row of logits.
const LOGITS_BLOCK: u32 = 512;
/// Threads of a block that sums over the rows of a few columns, and the bytes of these in a row (column_sums.cu).
const SUMS_BLOCK: u32 = 512;
const SUMS_BYTES: usize = 64;
/// Blocks that go through all parameters together.
const UPDATE_BLOCKS: u32 = 16_384;

/// Dropout of one sub-block: where its key stands in device memory, and the probability.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropped<'a> {
    pub(crate) key: View<'a>,
    pub(crate) p: f64,
}

/// A norm over rows: weight, bias, and epsilon.
pub(crate) type Norm<'a> = (View<'a>, View<'a>, f64);

/// Where a norm's results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normed<'a> {
    /// In the precision of products.
    pub(crate) n: View<'a>,
    /// The same in f32.
    pub(crate) exact: Option<View<'a>>,
    /// Mean and 1 / deviation of each row, for a backward pass.
    pub(crate) moments: Option<View<'a>>,
}

impl<'a> Normed<'a> {
    pub(crate) fn to(n: View<'a>) -> Self {
        Self { n, exact: None, moments: None }
    }
}

/// Launches on `gpu`, with products in `dtype`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernels<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) dtype: Dtype,
}

/// Sizes come from buffers that exist; kernels count the elements of activations in 32 bits, and those of all
/// parameters in 64.
fn count(n: usize) -> Arg<'static> {
    Arg::U32(u32::try_from(n).unwrap_or(u32::MAX))
}

fn blocks(n: usize, of: u32) -> u32 {
    u32::try_from(n.div_ceil(of as usize)).unwrap_or(u32::MAX)
}

fn optional(view: Option<View<'_>>) -> Arg<'_> {
    view.map_or(Arg::Null, Arg::View)
}

/// Key, threshold and scale of a mask as dropout.cu wants them, and as `sigma_kernels::dropout` makes them.
fn mask(dropped: Option<Dropped<'_>>) -> [Arg<'_>; 3] {
    let p = dropped.map_or(0.0, |dropped| dropped.p);
    let threshold = (p * (1u64 << 32) as f64) as u64;
    [optional(dropped.map(|dropped| dropped.key)), Arg::U64(threshold), Arg::F32((1.0 / (1.0 - p)) as f32)]
}

/// Threads of a block for a row of `d` numbers, each of which handles four.
fn row_block(d: usize) -> u32 {
    blocks(d, 4).next_multiple_of(32).clamp(32, LOGITS_BLOCK)
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
    fn each_row_of_logits(&self, kernel: &str, n: usize, args: &[Arg<'_>]) -> Done {
        self.gpu.launch(kernel, (blocks(n, 1), 1), LOGITS_BLOCK, 0, args)
    }

    /// f32 to the precision of products.
    pub(crate) fn cast(&self, to: View<'_>, from: View<'_>) -> Done {
        let grid = blocks(from.len(), BLOCK).min(UPDATE_BLOCKS);
        let args = [to.into(), from.into(), Arg::U64(from.len() as u64)];
        self.gpu.launch(&self.typed("cast"), (grid, 1), BLOCK, 0, &args)
    }

    /// Token and position embeddings, positions looked up `offset` rows further down; where `tokens` is missing,
    /// `stream` holds the token embeddings already.
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

    pub(crate) fn layer_norm(&self, to: Normed<'_>, x: View<'_>, (weight, bias, eps): Norm<'_>) -> Done {
        let (d, eps) = (weight.len(), Arg::F32(eps as f32));
        let rows = x.len() / d;
        let args = [to.n.into(), optional(to.exact), optional(to.moments), x.into(), weight.into(), bias.into()];
        let args = [&args[..], &[count(rows), count(d), eps]].concat();
        self.each_row(&self.typed("layer_norm"), rows, 0, &args)
    }

    /// The end of a sub-block and the norm after it: [`Self::residual`], and [`Self::layer_norm`] of what it leaves,
    /// which `out` gets where somebody asks for it.
    pub(crate) fn residual_norm(
        &self,
        (out, to): (Option<View<'_>>, Normed<'_>),
        (x, y, bias): (View<'_>, View<'_>, View<'_>),
        dropped: Option<Dropped<'_>>,
        (weight, shift, eps): Norm<'_>,
    ) -> Done {
        let d = weight.len();
        let results = [optional(out), to.n.into(), optional(to.exact), optional(to.moments)];
        let norm = [weight.into(), shift.into(), count(d), Arg::F32(eps as f32)];
        let args = [&results[..], &[x.into(), y.into(), bias.into()], &mask(dropped), &norm].concat();
        let (grid, shared) = (blocks(x.len() / d, 1), u32::try_from(4 * d).unwrap_or(u32::MAX));
        self.gpu.launch(&self.typed("residual_norm"), (grid, 1), row_block(d), shared, &args)
    }

    /// `dx` = (or +=) the gradient of a norm's input `x`, and to `dropped` what of dx goes into the sub-block before,
    /// as in [`Self::residual_backward`]; `gradient` is that of weight and bias, which lie side by side.
    pub(crate) fn layer_norm_backward(
        &self,
        (dx, accumulate): (View<'_>, bool),
        (dy, x, moments, weight): (View<'_>, View<'_>, View<'_>, View<'_>),
        gradient: View<'_>,
        (dropped, how): (View<'_>, Option<Dropped<'_>>),
    ) -> Done {
        let d = weight.len();
        let rows = x.len() / d;
        let accumulate = Arg::U32(u32::from(accumulate));
        let args = [dx.into(), dropped.into(), dy.into(), x.into(), moments.into(), weight.into()];
        let args = [&args[..], &[count(d), accumulate], &mask(how)].concat();
        self.gpu.launch(&self.typed("layer_norm_backward"), (blocks(rows, 1), 1), row_block(d), 0, &args)?;
        let args = [gradient.into(), moments.into(), dy.into(), x.into(), count(rows), count(d)];
        self.each_sum("layer_norm_parameters", d, Dtype::F32, &args)
    }

    /// A block for as many of `columns` columns of a matrix as are read together.
    fn each_sum(&self, kernel: &str, columns: usize, dtype: Dtype, args: &[Arg<'_>]) -> Done {
        let grid = columns.div_ceil(SUMS_BYTES / dtype.size());
        self.gpu.launch(kernel, (blocks(grid, 1), 1), SUMS_BLOCK, 0, args)
    }

    /// total = the sums of x over its rows, with `total.len()` columns.
    pub(crate) fn column_sums(&self, total: View<'_>, x: View<'_>) -> Done {
        let columns = total.len();
        let args = [total.into(), x.into(), count(x.len() / columns), count(columns)];
        self.each_sum(&self.typed("column_sums"), columns, self.dtype, &args)
    }

    /// An element for each of `n`, of which a thread handles 16 bytes in the precision of products.
    fn each_wide(&self, kernel: &str, n: usize, args: &[Arg<'_>]) -> Done {
        self.each(&self.typed(kernel), n.div_ceil(16 / self.dtype.size()), args)
    }

    pub(crate) fn bias(&self, y: View<'_>, bias: View<'_>) -> Done {
        let args = [y.into(), bias.into(), count(y.len()), count(bias.len())];
        self.each_wide("bias", y.len(), &args)
    }

    pub(crate) fn bias_gelu(&self, y: View<'_>, bias: View<'_>) -> Done {
        let args = [y.into(), bias.into(), count(y.len()), count(bias.len())];
        self.each_wide("bias_gelu", y.len(), &args)
    }

    pub(crate) fn bias_relu(&self, y: View<'_>, bias: View<'_>) -> Done {
        let args = [y.into(), bias.into(), count(y.len()), count(bias.len())];
        self.each_wide("bias_relu", y.len(), &args)
    }

    /// dy becomes the gradient of the input of ReLU, whose result is y, and `total` the sums of that over its rows.
    pub(crate) fn relu_backward(&self, total: View<'_>, dy: View<'_>, y: View<'_>) -> Done {
        let columns = total.len();
        let args = [total.into(), dy.into(), y.into(), count(y.len() / columns), count(columns)];
        self.each_sum(&self.typed("relu_backward"), columns, self.dtype, &args)
    }

    pub(crate) fn residual(
        &self,
        out: View<'_>,
        (x, y, bias): (View<'_>, View<'_>, View<'_>),
        dropped: Option<Dropped<'_>>,
    ) -> Done {
        let args = [out.into(), x.into(), y.into(), bias.into(), count(y.len()), count(bias.len())];
        self.each("residual", y.len(), &[&args[..], &mask(dropped)].concat())
    }

    /// The gradient of a sub-block's result, in the precision of products, from that of the stream.
    pub(crate) fn residual_backward(&self, dy: View<'_>, ds: View<'_>, dropped: Option<Dropped<'_>>) -> Done {
        let args = [&[dy.into(), ds.into(), count(ds.len())][..], &mask(dropped)].concat();
        self.each(&self.typed("residual_backward"), ds.len(), &args)
    }

    /// y += x.
    pub(crate) fn accumulate(&self, y: View<'_>, x: View<'_>) -> Done {
        self.each("accumulate", y.len(), &[y.into(), x.into(), count(y.len())])
    }

    /// One draw for each row of logits: see nucleus.cu, whose buffers these are, in its order. `tokens` are the
    /// numbers of logits, of those that may be drawn and of a row's new tokens, and the ids of eos and of a token that is
    /// never drawn.
    pub(crate) fn nucleus(&self, buffers: [&Buffer; 8], tokens: [u32; 5], (temperature, top_p): (f64, f64)) -> Done {
        // beside the row there is what the kernel declares itself: less than 4 KB
        let row = tokens[0].saturating_mul(4);
        let held = row.saturating_add(4096) <= self.gpu.most_shared_bytes();
        let how = [Arg::F64(temperature), Arg::F64(top_p), Arg::U32(u32::from(held))];
        let args = [&buffers.map(Arg::from)[..], &tokens.map(Arg::U32), &how].concat();
        let grid = (blocks(buffers[0].len() / tokens[0] as usize, 1), 1);
        self.gpu.launch("nucleus", grid, LOGITS_BLOCK, if held { row } else { 0 }, &args)
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
