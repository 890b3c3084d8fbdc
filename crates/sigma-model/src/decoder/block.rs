//! One layer: attention and MLP, each a branch of the residual stream x, with norms where the spec has them. The forward
//! pass is the same for training, prompts and single steps; only who attends differs.
//!
//! Gradients of parameters are added (+=), those of activations are overwritten (=). R is tokens of all rows of a batch.

use sigma_kernels::attention::{self, Sizes};
use sigma_kernels::gated::{self, Gate};
use sigma_kernels::linear::{self, Factors, Threads};
use sigma_kernels::{relu, residual};

use super::heads::{self, HeadSteps, Tables};
use super::layout::{LayerLayout, Matrix, NormRange};
use super::norm;
use super::weights::Weights;
use crate::buffer::sized;
use crate::spec::{Activation, DecoderSpec, NormPlace, QkNorm, Residual};

/// What a layer makes on its way forward, all `[R, width]`. The backward pass reads it.
#[derive(Debug, Default)]
pub(super) struct Activations {
    /// What the product of queries, keys and values reads.
    attention_in: Vec<f32>,
    /// Queries, keys and values side by side as the product gives them, where heads have norms.
    raw_qkv: Vec<f32>,
    /// The same, normed and turned.
    pub(super) qkv: Vec<f32>,
    /// With a copy of each head of keys and values per query head, where there are fewer of them.
    wide_qkv: Vec<f32>,
    attended: Vec<f32>,
    /// The attention branch before its norm, where it has one.
    attention_out: Vec<f32>,
    /// The stream between the branches.
    between: Vec<f32>,
    mlp_in: Vec<f32>,
    /// Gate and up side by side, where the MLP is gated.
    up: Vec<f32>,
    inner: Vec<f32>,
    /// The MLP branch before its norm, where it has one.
    mlp_out: Vec<f32>,
}

/// Space that is free again after a layer.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    branch: Vec<f32>,
    normed: Vec<f32>,
    heads: [Vec<f32>; 2],
    dbranch: Vec<f32>,
    dattention_in: Vec<f32>,
    dmlp_in: Vec<f32>,
    dinner: Vec<f32>,
    dup: Vec<f32>,
    dattended: Vec<f32>,
    dwide: Vec<f32>,
    dqkv: Vec<f32>,
    dheads: [Vec<f32>; 3],
}

/// One layer of a model.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) spec: &'a DecoderSpec,
    pub(super) index: usize,
    pub(super) layout: &'a LayerLayout,
    pub(super) tables: &'a Tables,
    /// Of each of the R tokens.
    pub(super) positions: &'a [u32],
}

/// Parameters and their gradients, in a layout's order.
pub(super) struct Trained<'a> {
    pub(super) values: &'a [f32],
    pub(super) gradients: &'a mut [f32],
    pub(super) factors: Factors,
}

fn gate(activation: Activation) -> Gate {
    match activation {
        Activation::GeluTanh => Gate::GeluTanh,
        _ => Gate::Silu,
    }
}

impl Block<'_> {
    fn head_steps(&self) -> HeadSteps<'_> {
        HeadSteps {
            spec: self.spec,
            layer: &self.spec.layers[self.index],
            layout: self.layout,
            table: self.tables.of(self.index),
            positions: self.positions,
        }
    }

    /// `out` = the stream after this layer, from `x` before it. `attend` gives what the queries of `qkv` find.
    pub(super) fn forward(
        &self,
        out: &mut [f32],
        x: &[f32],
        (weights, threads): (Weights<'_>, Threads),
        a: &mut Activations,
        scratch: &mut Scratch,
        attend: impl FnOnce(&mut [f32], &[f32]),
    ) {
        let (spec, layout) = (self.spec, self.layout);
        let (r, d) = (self.positions.len(), spec.hidden_size);
        let heads = heads::of(spec);
        let branch = sized(&mut scratch.branch, r * d);

        let attention_in = sized(&mut a.attention_in, r * d);
        match &layout.attention_norm {
            Some(range) => norm::forward(attention_in, x, spec.norm, range, weights),
            None => attention_in.copy_from_slice(x),
        }
        let qkv = sized(&mut a.qkv, r * heads.row());
        weights.product(qkv, attention_in, &layout.qkv, threads);
        if spec.attention.qk_norm != QkNorm::None {
            a.raw_qkv.clone_from(&a.qkv);
        }
        self.head_steps().forward(&mut a.qkv, weights, &mut scratch.heads);
        let attended = sized(&mut a.attended, r * heads.query_width());
        attend(attended, &a.qkv);
        weights.product(branch, attended, &layout.o, threads);
        let between = sized(&mut a.between, r * d);
        between.copy_from_slice(x);
        match &layout.attention_post_norm {
            Some(range) => {
                a.attention_out.clone_from(&scratch.branch);
                let normed = sized(&mut scratch.normed, r * d);
                norm::forward(normed, &a.attention_out, spec.norm, range, weights);
                residual::accumulate(between, normed);
            }
            None => residual::accumulate(between, branch),
        }

        let read = if spec.residual == Residual::Parallel { x } else { &*between };
        let mlp_in = sized(&mut a.mlp_in, r * d);
        match &layout.mlp_norm {
            Some(range) => norm::forward(mlp_in, read, spec.norm, range, weights),
            None => mlp_in.copy_from_slice(read),
        }
        let width = spec.mlp.width;
        let inner = sized(&mut a.inner, r * width);
        if spec.mlp.gated {
            let up = sized(&mut a.up, r * 2 * width);
            weights.product(up, mlp_in, &layout.up, threads);
            gated::forward(inner, up, width, gate(spec.mlp.activation));
        } else {
            weights.product(inner, mlp_in, &layout.up, threads);
            inner.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x });
        }
        let branch = sized(&mut scratch.branch, r * d);
        weights.product(branch, inner, &layout.down, threads);
        out.copy_from_slice(between);
        match &layout.mlp_post_norm {
            Some(range) => {
                a.mlp_out.clone_from(&scratch.branch);
                let normed = sized(&mut scratch.normed, r * d);
                norm::forward(normed, &a.mlp_out, spec.norm, range, weights);
                residual::accumulate(out, normed);
            }
            None => residual::accumulate(out, branch),
        }
    }

    /// Attention over whole sequences of one length, for [`Self::forward`].
    pub(super) fn attend_whole(&self, attended: &mut [f32], qkv: &[f32], wide: &mut Vec<f32>, batch: usize) {
        let heads = heads::of(self.spec);
        if heads.group() == 1 {
            attention::forward(attended, qkv, self.sizes(batch));
        } else {
            let wide = sized(wide, self.positions.len() * 3 * heads.query_width());
            heads::widen(wide, qkv, heads);
            attention::forward(attended, wide, self.sizes(batch));
        }
    }

    fn sizes(&self, batch: usize) -> Sizes {
        let heads = heads::of(self.spec);
        let time = self.positions.len() / batch;
        Sizes { batch, time, width: heads.query_width(), heads: heads.queries }
    }

    /// Turns `ds`, the gradient of the stream after this layer, into that of the stream `x` before it.
    pub(super) fn backward(
        &self,
        ds: &mut [f32],
        x: &[f32],
        trained: &mut Trained<'_>,
        (a, batch): (&mut Activations, usize),
        scratch: &mut Scratch,
    ) {
        let (spec, layout) = (self.spec, self.layout);
        let n = ds.len();
        let parallel = spec.residual == Residual::Parallel;

        // MLP
        let read = if parallel { x } else { &a.between };
        let dmlp_in = sized(&mut scratch.dmlp_in, n);
        let dbranch = sized(&mut scratch.dbranch, n);
        dbranch.copy_from_slice(ds);
        if let Some(range) = &layout.mlp_post_norm {
            let values = (range, trained.values);
            norm::backward((dbranch, false), trained.gradients, ds, &a.mlp_out, spec.norm, values);
        }
        let dinner = sized(&mut scratch.dinner, a.inner.len());
        trained.matrix((dinner, dbranch), &a.inner, &layout.down);
        if spec.mlp.gated {
            let dup = sized(&mut scratch.dup, a.up.len());
            gated::backward(dup, dinner, &a.up, spec.mlp.width, gate(spec.mlp.activation));
            trained.matrix((dmlp_in, dup), &a.mlp_in, &layout.up);
        } else {
            relu::backward(dinner, &a.inner);
            trained.matrix((dmlp_in, dinner), &a.mlp_in, &layout.up);
        }
        if !parallel {
            self.add_to_stream(ds, trained, (dmlp_in, read), &layout.mlp_norm);
        }

        // attention
        dbranch.copy_from_slice(ds);
        if let Some(range) = &layout.attention_post_norm {
            let values = (range, trained.values);
            norm::backward((dbranch, false), trained.gradients, ds, &a.attention_out, spec.norm, values);
        }
        let heads = heads::of(spec);
        let dattended = sized(&mut scratch.dattended, a.attended.len());
        trained.matrix((dattended, dbranch), &a.attended, &layout.o);
        let dqkv = sized(&mut scratch.dqkv, a.qkv.len());
        if heads.group() == 1 {
            attention::backward(dqkv, dattended, &a.qkv, self.sizes(batch));
        } else {
            let dwide = sized(&mut scratch.dwide, a.wide_qkv.len());
            attention::backward(dwide, dattended, &a.wide_qkv, self.sizes(batch));
            heads::narrow(dqkv, dwide, heads);
        }
        let both = (trained.values, &mut *trained.gradients);
        self.head_steps().backward(dqkv, &a.raw_qkv, both, &mut scratch.dheads);
        let dattention_in = sized(&mut scratch.dattention_in, n);
        trained.matrix((dattention_in, dqkv), &a.attention_in, &layout.qkv);
        if parallel {
            self.add_to_stream(ds, trained, (dmlp_in, x), &layout.mlp_norm);
        }
        self.add_to_stream(ds, trained, (dattention_in, x), &layout.attention_norm);
    }

    /// ds += the gradient that a branch sends back to the stream `x` that it reads.
    fn add_to_stream(
        &self,
        ds: &mut [f32],
        trained: &mut Trained<'_>,
        (dbranch_in, x): (&[f32], &[f32]),
        range: &Option<NormRange>,
    ) {
        match range {
            Some(range) => {
                let values = (range, trained.values);
                norm::backward((ds, true), trained.gradients, dbranch_in, x, self.spec.norm, values);
            }
            None => residual::accumulate(ds, dbranch_in),
        }
    }
}

impl Activations {
    /// The two buffers that attention over whole sequences writes, beside what it reads.
    pub(super) fn wide(&mut self) -> &mut Vec<f32> {
        &mut self.wide_qkv
    }
}

impl Trained<'_> {
    /// The gradients of y = x W^T + b for that of y: dW +=, db +=, dx =.
    fn matrix(&mut self, (dx, dy): (&mut [f32], &[f32]), x: &[f32], matrix: &Matrix) {
        let dweight = &mut self.gradients[matrix.weight.clone()];
        linear::backward_weight(dweight, dy, x, matrix.inputs, self.factors);
        if let Some(bias) = &matrix.bias {
            linear::add_column_sums(&mut self.gradients[bias.clone()], dy);
        }
        linear::backward_input(dx, dy, &self.values[matrix.weight.clone()], matrix.inputs, self.factors);
    }
}

/// Whether the MLP's inside is known here.
pub(super) fn knows_mlp(spec: &DecoderSpec) -> bool {
    match spec.mlp.activation {
        Activation::Relu => !spec.mlp.gated,
        Activation::Silu | Activation::GeluTanh => spec.mlp.gated,
        Activation::Gelu => false,
    }
}

/// Whether the norms stand where they can here.
pub(super) fn knows_norms(spec: &DecoderSpec) -> bool {
    spec.norm_place != NormPlace::AfterSum
}
