//! The backward pass that belongs to [`Sequences::forward`]: head and loss first, then the layers from the last to the
//! first.

use sigma_kernels::gpu::{Buffer, Dtype, Gpu, GpuError, View};

use super::Weights;
use super::attention::AttentionGradients;
use super::forward::Sequences;
use crate::launches::{Dropped, Kernels};
use crate::opt::OptConfig;
use crate::opt::config::POSITION_OFFSET;
use crate::opt::parameters::Affine;

/// Rows of logits that exist at a time.
pub(super) const HEAD_ROWS: usize = 1024;

/// Labels of a batch, and the space that gradients flow through on their way back.
#[derive(Debug)]
pub(super) struct Gradients {
    labels: Buffer,
    /// Distinct input ids, where the rows of each begin in `order`, and how many there are.
    ids: Buffer,
    starts: Buffer,
    order: Buffer,
    distinct: Buffer,
    losses: Buffer,
    logits: Buffer,
    dlogits: Buffer,
    /// By what goes into the head, f32.
    dhidden: Buffer,
    /// By the stream, f32.
    ds: Buffer,
    /// By what a sub-block reads, f32.
    dn: Buffer,
    /// By a sub-block's result, in the precision of products.
    dy: Buffer,
    dattended: Buffer,
    dqkv: Buffer,
    dinner: Buffer,
    /// By the token embeddings before `project_in`.
    dtokens: Option<Buffer>,
    attention: AttentionGradients,
}

impl Gradients {
    pub(super) fn new(gpu: &Gpu, config: &OptConfig, sequences: &Sequences, dtype: Dtype) -> Result<Self, GpuError> {
        let (batch, time) = (sequences.batch, sequences.time);
        let (r, d, ffn, width) = (batch * time, config.hidden_size, config.ffn_dim, config.embedding_width());
        let head_rows = HEAD_ROWS.min(r);
        let (dqkv, dattended) = (gpu.alloc(dtype, r * 3 * d)?, gpu.alloc(dtype, r * d)?);
        let attention = sequences.attention.gradients(gpu, &dqkv, &dattended)?;
        Ok(Self {
            labels: gpu.alloc(Dtype::U32, r)?,
            ids: gpu.alloc(Dtype::U32, r)?,
            starts: gpu.alloc(Dtype::U32, r + 1)?,
            order: gpu.alloc(Dtype::U32, r)?,
            distinct: gpu.alloc(Dtype::U32, 1)?,
            losses: gpu.alloc(Dtype::F32, r)?,
            logits: gpu.alloc(Dtype::F32, head_rows * config.vocab_size)?,
            dlogits: gpu.alloc(dtype, head_rows * config.vocab_size)?,
            dhidden: gpu.alloc(Dtype::F32, r * width)?,
            ds: gpu.alloc(Dtype::F32, r * d)?,
            dn: gpu.alloc(Dtype::F32, r * d)?,
            dy: gpu.alloc(dtype, r * d.max(width))?,
            dattended,
            dqkv,
            dinner: gpu.alloc(dtype, r * ffn)?,
            dtokens: if width == d { None } else { Some(gpu.alloc(Dtype::F32, r * width)?) },
            attention,
        })
    }

    /// Labels, and which rows have the same input id (padding gives its embedding no gradient).
    pub(super) fn write_batch(&self, config: &OptConfig, inputs: &[u32], labels: &[u32]) -> Result<(), GpuError> {
        let mut order: Vec<u32> =
            (0..inputs.len() as u32).filter(|i| Some(inputs[*i as usize]) != config.pad_token_id).collect();
        order.sort_by_key(|i| inputs[*i as usize]);
        let (mut ids, mut starts) = (Vec::new(), Vec::new());
        for (place, i) in order.iter().enumerate() {
            let id = inputs[*i as usize];
            if ids.last() != Some(&id) {
                ids.push(id);
                starts.push(place as u32);
            }
        }
        starts.push(order.len() as u32);
        self.labels.write(0, labels)?;
        self.distinct.write(0, &[ids.len() as u32])?;
        self.ids.write(0, &ids)?;
        self.starts.write(0, &starts)?;
        self.order.write(0, &order)
    }

    /// The mean loss, to `loss`, and its gradients by the hidden states and by the table of the tied head, times the
    /// loss scale at `scale`.
    pub(super) fn head(
        &self,
        weights: &Weights<'_>,
        sequences: &Sequences,
        gradients: &Buffer,
        (loss, scale): (View<'_>, View<'_>),
    ) -> Result<(), GpuError> {
        let kernels = weights.kernels();
        let table = &weights.layout.embed_tokens;
        let rows = self.labels.len();
        let width = self.dhidden.len() / rows;
        let vocabulary = table.len() / width;
        for from in (0..rows).step_by(HEAD_ROWS) {
            let to = rows.min(from + HEAD_ROWS);
            let hidden = sequences.hidden().slice(from * width..to * width);
            let logits = self.logits.slice(0..(to - from) * vocabulary);
            let dlogits = self.dlogits.slice(0..(to - from) * vocabulary);
            kernels.product(logits, hidden, weights.operand(table), width)?;
            let what = (logits, self.labels.slice(from..to));
            kernels.cross_entropy(self.losses.slice(from..to), dlogits, what, (scale, rows))?;
            let dhidden = self.dhidden.slice(from * width..to * width);
            kernels.product_input(dhidden, dlogits, weights.operand(table), width)?;
            kernels.product_weight((gradients.slice(table.clone()), from > 0), dlogits, hidden, width)?;
        }
        kernels.mean(loss, self.losses.view())
    }

    /// Gradients of all other parameters.
    pub(super) fn backward(
        &self,
        weights: &Weights<'_>,
        config: &OptConfig,
        sequences: &Sequences,
        gradients: &Buffer,
        dropped: &[Option<Dropped<'_>>],
    ) -> Result<(), GpuError> {
        let kernels = weights.kernels();
        let (layout, d, width) = (weights.layout, config.hidden_size, config.embedding_width());
        let r = self.labels.len();
        let (ds, dn, dy) = (self.ds.view(), self.dn.view(), self.dy.slice(0..r * d));
        let before = config.do_layer_norm_before;
        // back through the norm that reads state k, and through the dropout of the sub-block before it, to dy
        let norm_backward = |k: usize, dx: (View<'_>, bool), dnormed: View<'_>, dropped: Option<Dropped<'_>>| {
            let Some(norm) = layout.norm(k, before) else { return Ok(()) };
            // a norm's bias lies behind its weight
            let gradient = gradients.slice(norm.weight.start..norm.bias.end);
            let weight = weights.value(&norm.weight);
            let what = (dnormed, sequences.s[k].view(), sequences.moments(k), weight);
            kernels.layer_norm_backward(dx, what, gradient, (dy, dropped))
        };
        let dlast = match &layout.projections {
            Some((_, project_out)) => {
                let dprojected = self.dy.slice(0..r * width);
                kernels.cast(dprojected, self.dhidden.view())?;
                let gradient = (gradients.slice(project_out.clone()), false);
                kernels.product_weight(gradient, dprojected, sequences.last().view(), d)?;
                kernels.product_input(dn, dprojected, weights.operand(project_out), d)?;
                dn
            }
            None => self.dhidden.view(),
        };
        let last = dropped.len();
        let above = dropped.last().copied().flatten();
        if layout.final_layer_norm.is_some() {
            norm_backward(last, (ds, false), dlast, above)?;
        } else {
            self.ds.copy_from(0, dlast)?;
            if before {
                kernels.residual_backward(dy, ds, above)?;
            }
        }
        for (j, own) in dropped.iter().enumerate().rev() {
            let layer = &layout.layers[j / 2];
            if !before {
                self.dn.copy_from(0, ds)?;
                norm_backward(j + 1, (ds, false), dn, *own)?;
            }
            let n = sequences.n[j].view();
            if j % 2 == 0 {
                let dattended = self.dattended.view();
                affine_backward(&kernels, gradients, &layer.out_proj, dy, sequences.attended[j / 2].view(), d)?;
                kernels.product_input(dattended, dy, weights.operand(&layer.out_proj.weight), d)?;
                let (dqkv, qkv) = (self.dqkv.view(), sequences.qkv[j / 2].view());
                sequences.attention.backward(&kernels, &self.attention, dqkv, (dattended, qkv), j / 2)?;
                affine_backward(&kernels, gradients, &layer.qkv, dqkv, n, d)?;
                kernels.product_input(dn, dqkv, weights.operand(&layer.qkv.weight), d)?;
            } else {
                let (inner, dinner) = (sequences.inner[j / 2].view(), self.dinner.view());
                affine_backward(&kernels, gradients, &layer.fc2, dy, inner, config.ffn_dim)?;
                kernels.product_input(dinner, dy, weights.operand(&layer.fc2.weight), config.ffn_dim)?;
                kernels.relu_backward(gradients.slice(layer.fc1.bias.clone()), dinner, inner)?;
                kernels.product_weight((gradients.slice(layer.fc1.weight.clone()), false), dinner, n, d)?;
                kernels.product_input(dn, dinner, weights.operand(&layer.fc1.weight), d)?;
            }
            if before {
                norm_backward(j, (ds, true), dn, j.checked_sub(1).and_then(|below| dropped[below]))?;
            } else {
                kernels.accumulate(ds, dn)?;
            }
        }
        let positions = gradients.slice(layout.embed_positions.clone());
        kernels.position_backward(positions, ds, (sequences.batch, sequences.time, POSITION_OFFSET), d)?;
        let dtokens = match (&layout.projections, &sequences.tokens, &self.dtokens) {
            (Some((project_in, _)), Some(tokens), Some(dtokens)) => {
                kernels.cast(dy, ds)?;
                kernels.product_weight((gradients.slice(project_in.clone()), false), dy, tokens.view(), width)?;
                kernels.product_input(dtokens.view(), dy, weights.operand(project_in), width)?;
                dtokens.view()
            }
            _ => ds,
        };
        let groups = (self.ids.view(), self.starts.view(), self.order.view(), self.distinct.view());
        kernels.embedding_backward(gradients.slice(layout.embed_tokens.clone()), dtokens, groups, width)
    }
}

/// Gradients of a linear map's weight and bias, for its input `x` `[R, inputs]`.
fn affine_backward(
    kernels: &Kernels<'_>,
    gradients: &Buffer,
    affine: &Affine,
    dy: View<'_>,
    x: View<'_>,
    inputs: usize,
) -> Result<(), GpuError> {
    kernels.product_weight((gradients.slice(affine.weight.clone()), false), dy, x, inputs)?;
    kernels.column_sums(gradients.slice(affine.bias.clone()), dy)
}
