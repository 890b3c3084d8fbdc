//! Causal attention of whole sequences, forward and backward: short sequences by one kernel for all pairs of a sequence
//! and a head, longer ones by batched products with a softmax between them. It knows nothing of what comes before and
//! after it in a layer.

use std::sync::Arc;

use sigma_kernels::gpu::{BatchedOperand, Buffer, Dtype, GemmBatched, Gpu, GpuError, View};

use crate::launches::Kernels;
use crate::opt::OptConfig;

/// How the matrices of (sequence, head) pairs lie in the buffers of a batch.
#[derive(Debug, Clone, Copy)]
struct Pairs {
    batch: usize,
    time: usize,
    heads: usize,
    /// Width of a head.
    head: usize,
}

/// Attention in every layer of a pass over sequences.
#[derive(Debug)]
pub(super) struct Attention {
    pairs: Pairs,
    dtype: Dtype,
    /// `None` where the sequences are short.
    squares: Option<Squares>,
}

/// What batched products need: scores and probabilities `[batch, heads, time, stride]`, and where the matrices of each
/// pair begin, as addresses in device memory, one list for each role.
#[derive(Debug)]
struct Squares {
    stride: usize,
    p: Vec<Arc<Buffer>>,
    /// Scores of one layer, and in the backward pass the gradients of probabilities, f32.
    scores: Buffer,
    addresses: Buffer,
}

/// What the backward pass needs besides.
#[derive(Debug)]
pub(super) struct AttentionGradients {
    squares: Option<SquareGradients>,
}

#[derive(Debug)]
struct SquareGradients {
    /// By the scores before the softmax, in the precision of products.
    dscores: Buffer,
    /// Of gradients by queries, keys, values, results and scores.
    addresses: Buffer,
}

/// Role of a list of addresses: of each layer, or of all.
#[derive(Debug, Clone, Copy)]
enum Role {
    Query(usize),
    Key(usize),
    Value(usize),
    Attended(usize),
    Probabilities(usize),
    Scores,
}

/// Elements from one row of scores to the next: products of half precision want every matrix to begin at 16 bytes.
fn row_stride(time: usize) -> usize {
    time.next_multiple_of(8)
}

impl Pairs {
    fn new(config: &OptConfig, (batch, time): (usize, usize)) -> Self {
        let heads = config.num_attention_heads;
        Self { batch, time, heads, head: config.hidden_size / heads }
    }

    fn count(self) -> usize {
        self.batch * self.heads
    }

    fn width(self) -> usize {
        self.heads * self.head
    }

    fn sizes(self) -> (usize, usize, usize) {
        (self.time, self.heads, self.head)
    }

    fn square(self) -> usize {
        self.time * row_stride(self.time)
    }

    /// Where each pair's columns begin in rows `stride` apart, of which the first head's begin at `from`.
    fn columns(self, buffer: &Buffer, stride: usize, from: usize) -> impl Iterator<Item = u64> {
        let (address, bytes) = (buffer.view().address(), buffer.dtype().size());
        let at = move |pair: usize| pair / self.heads * self.time * stride + from + pair % self.heads * self.head;
        (0..self.count()).map(move |pair| address + (at(pair) * bytes) as u64)
    }

    /// Where each pair's square of scores begins.
    fn squares(self, buffer: &Buffer) -> impl Iterator<Item = u64> {
        let (address, bytes) = (buffer.view().address(), buffer.dtype().size());
        (0..self.count()).map(move |pair| address + (pair * self.square() * bytes) as u64)
    }
}

impl Attention {
    /// Device memory of one token, about.
    pub(super) fn bytes_per_token(config: &OptConfig, dtype: Dtype, time: usize) -> usize {
        config.num_attention_heads * row_stride(time) * (dtype.size() + 4)
    }

    /// For queries, keys and values in `qkv` and results in `attended`, one buffer of each for every layer. Where
    /// nothing is to be kept for a backward pass, all layers share their probabilities.
    pub(super) fn new(
        kernels: &Kernels<'_>,
        config: &OptConfig,
        shape: (usize, usize),
        (qkv, attended): (&[Arc<Buffer>], &[Arc<Buffer>]),
        keep: bool,
    ) -> Result<Self, GpuError> {
        let (pairs, dtype) = (Pairs::new(config, shape), kernels.dtype);
        let squares = if kernels.is_short(pairs.time, pairs.head) {
            None
        } else {
            Some(Squares::new(kernels.gpu, pairs, dtype, (qkv, attended), keep)?)
        };
        Ok(Self { pairs, dtype, squares })
    }

    /// The results of one layer's queries, keys and values.
    pub(super) fn forward(
        &self,
        kernels: &Kernels<'_>,
        attended: View<'_>,
        qkv: View<'_>,
        layer: usize,
    ) -> Result<(), GpuError> {
        let Some(squares) = &self.squares else {
            return kernels.short_attention(attended, qkv, self.pairs.sizes());
        };
        let Pairs { time: t, head, .. } = self.pairs;
        let (d, stride) = (self.pairs.width(), squares.stride);
        let of = |role: Role| squares.of(role, self.pairs);
        let (q, k) = (self.rows(of(Role::Query(layer)), 3 * d), self.columns(of(Role::Key(layer)), 3 * d));
        self.products(kernels.gpu, (t, t, head), q, k, (of(Role::Scores), Dtype::F32, stride), self.scale())?;
        kernels.causal_softmax(squares.p[layer].view(), squares.scores.view(), (t, stride))?;
        let (p, v) = (self.rows(of(Role::Probabilities(layer)), stride), self.rows(of(Role::Value(layer)), 3 * d));
        self.products(kernels.gpu, (t, head, t), p, v, (of(Role::Attended(layer)), self.dtype, d), 1.0)
    }

    /// Space for [`Self::backward`] with these buffers.
    pub(super) fn gradients(
        &self,
        gpu: &Gpu,
        dqkv: &Buffer,
        dattended: &Buffer,
    ) -> Result<AttentionGradients, GpuError> {
        let Some(squares) = &self.squares else { return Ok(AttentionGradients { squares: None }) };
        let (d, dscores) = (self.pairs.width(), gpu.alloc(self.dtype, squares.scores.len())?);
        let mut addresses = Vec::new();
        for from in [0, d, 2 * d] {
            addresses.extend(self.pairs.columns(dqkv, 3 * d, from));
        }
        addresses.extend(self.pairs.columns(dattended, d, 0));
        addresses.extend(self.pairs.squares(&dscores));
        let addresses = gpu.upload(&addresses)?;
        Ok(AttentionGradients { squares: Some(SquareGradients { dscores, addresses }) })
    }

    /// From the gradient of one layer's results to that of its queries, keys and values: dV = P^T dO, dP = dO V^T,
    /// dS = P * (dP - rowsum(P * dP)), dQ = dS K / sqrt(h), dK = dS^T Q / sqrt(h).
    pub(super) fn backward(
        &self,
        kernels: &Kernels<'_>,
        gradients: &AttentionGradients,
        dqkv: View<'_>,
        (dattended, qkv): (View<'_>, View<'_>),
        layer: usize,
    ) -> Result<(), GpuError> {
        let (Some(squares), Some(dsquares)) = (&self.squares, &gradients.squares) else {
            return kernels.short_attention_backward(dqkv, (dattended, qkv), self.pairs.sizes());
        };
        let (gpu, count, Pairs { time: t, head, .. }) = (kernels.gpu, self.pairs.count(), self.pairs);
        let (d, stride) = (self.pairs.width(), squares.stride);
        let kept = |role: Role| squares.of(role, self.pairs);
        let list = |number: usize| dsquares.addresses.slice(number * count..(number + 1) * count);
        let (dq, dk, dv, dout, ds) = (list(0), list(1), list(2), list(3), list(4));
        let result = |addresses| (addresses, self.dtype, 3 * d);
        let p = self.columns(kept(Role::Probabilities(layer)), stride);
        self.products(gpu, (t, head, t), p, self.rows(dout, d), result(dv), 1.0)?;
        let (v, dp) = (self.columns(kept(Role::Value(layer)), 3 * d), (kept(Role::Scores), Dtype::F32, stride));
        self.products(gpu, (t, t, head), self.rows(dout, d), v, dp, 1.0)?;
        let what = (squares.p[layer].view(), squares.scores.view());
        kernels.causal_softmax_backward(dsquares.dscores.view(), what, (t, stride))?;
        let (k, q) = (self.rows(kept(Role::Key(layer)), 3 * d), self.rows(kept(Role::Query(layer)), 3 * d));
        self.products(gpu, (t, head, t), self.rows(ds, stride), k, result(dq), self.scale())?;
        self.products(gpu, (t, head, t), self.columns(ds, stride), q, result(dk), self.scale())
    }

    fn scale(&self) -> f32 {
        1.0 / (self.pairs.head as f32).sqrt()
    }

    /// Matrices as they are stored.
    fn rows<'a>(&self, addresses: View<'a>, stride: usize) -> BatchedOperand<'a> {
        BatchedOperand { addresses, dtype: self.dtype, stride, transposed: false }
    }

    /// The transposes of what is stored.
    fn columns<'a>(&self, addresses: View<'a>, stride: usize) -> BatchedOperand<'a> {
        BatchedOperand { addresses, dtype: self.dtype, stride, transposed: true }
    }

    /// One product for each pair; see [`GemmBatched`] for the arguments.
    fn products(
        &self,
        gpu: &Gpu,
        (m, n, k): (usize, usize, usize),
        a: BatchedOperand<'_>,
        b: BatchedOperand<'_>,
        (c, c_dtype, c_stride): (View<'_>, Dtype, usize),
        scale: f32,
    ) -> Result<(), GpuError> {
        let (count, accumulate) = (self.pairs.count(), false);
        gpu.gemm_batched(&GemmBatched { count, m, n, k, a, b, c, c_dtype, c_stride, scale, accumulate })
    }
}

impl Squares {
    const PER_LAYER: usize = 5;

    fn new(
        gpu: &Gpu,
        pairs: Pairs,
        dtype: Dtype,
        (qkv, attended): (&[Arc<Buffer>], &[Arc<Buffer>]),
        keep: bool,
    ) -> Result<Self, GpuError> {
        let (d, len) = (pairs.width(), pairs.count() * pairs.square());
        let layers = qkv.len();
        let p = if keep {
            (0..layers).map(|_| Ok(Arc::new(gpu.alloc(dtype, len)?))).collect::<Result<Vec<_>, GpuError>>()?
        } else {
            let one = Arc::new(gpu.alloc(dtype, len)?);
            vec![one; layers]
        };
        let scores = gpu.alloc(Dtype::F32, len)?;
        let mut addresses = Vec::new();
        for ((qkv, attended), p) in qkv.iter().zip(attended).zip(&p) {
            for from in [0, d, 2 * d] {
                addresses.extend(pairs.columns(qkv, 3 * d, from));
            }
            addresses.extend(pairs.columns(attended, d, 0));
            addresses.extend(pairs.squares(p));
        }
        addresses.extend(pairs.squares(&scores));
        Ok(Self { stride: row_stride(pairs.time), p, scores, addresses: gpu.upload(&addresses)? })
    }

    fn of(&self, role: Role, pairs: Pairs) -> View<'_> {
        let list = match role {
            Role::Query(layer) => layer * Self::PER_LAYER,
            Role::Key(layer) => layer * Self::PER_LAYER + 1,
            Role::Value(layer) => layer * Self::PER_LAYER + 2,
            Role::Attended(layer) => layer * Self::PER_LAYER + 3,
            Role::Probabilities(layer) => layer * Self::PER_LAYER + 4,
            Role::Scores => self.p.len() * Self::PER_LAYER,
        };
        let count = pairs.count();
        self.addresses.slice(list * count..(list + 1) * count)
    }
}
