//! Loss and gradients by an explicit forward and backward pass.
//!
//! A layer is two sub-blocks, attention and feed-forward, so with L layers there are 2 L of them and 2 L + 1 states s
//! of the residual stream. With norms before (most sizes), n_j = Norm_j(s_j) and s_{j+1} = s_j + Dropout(f_j(n_j)).
//! With norms after (350m), n_0 = s_0, s_{j+1} = n_j + Dropout(f_j(n_j)) and n_{j+1} = Norm_j(s_{j+1}).

use std::ops::Range;

use sigma_kernels::attention::{self, Sizes};
use sigma_kernels::dropout::Mask;
use sigma_kernels::linear::{self, Factors, Then, Threads};
use sigma_kernels::threads::on_a_worker;
use sigma_kernels::{cross_entropy, embedding, layer_norm, relu, residual};

use super::sized;
use crate::ModelError;
use crate::opt::parameters::{Affine, Layout, Parameters, named};
use crate::opt::{Dropout, NORM_EPS, Opt, OptConfig};

/// A model that is being trained: parameters, their gradients, and what the forward pass keeps for the backward pass.
#[derive(Debug)]
pub struct HostTraining {
    config: OptConfig,
    factors: Factors,
    parameters: Parameters,
    gradients: Vec<f32>,
    kept: Kept,
    flowing: Flowing,
}

/// What the forward pass keeps; see the module's text for s and n.
#[derive(Debug)]
struct Kept {
    position_rows: Vec<u32>,
    /// Token embeddings before `project_in`.
    tokens: Vec<f32>,
    s: Vec<Vec<f32>>,
    n: Vec<Vec<f32>>,
    qkv: Vec<Vec<f32>>,
    attended: Vec<Vec<f32>>,
    /// Feed-forward activations after ReLU.
    inner: Vec<Vec<f32>>,
    /// Result of the final layer norm.
    normed: Vec<f32>,
    /// Result of `project_out`.
    projected: Vec<f32>,
}

/// Gradients on their way back, and other space that is free again after each sub-block.
#[derive(Debug, Default)]
struct Flowing {
    y: Vec<f32>,
    d: Vec<f32>,
    dn: Vec<f32>,
    dwide: Vec<f32>,
    dhidden: Vec<f32>,
    head: cross_entropy::Scratch,
}

impl HostTraining {
    pub(in crate::opt) fn new(config: OptConfig, parameters: Parameters, factors: Factors) -> Self {
        let layers = config.num_hidden_layers;
        let empty = |n: usize| vec![Vec::new(); n];
        Self {
            gradients: vec![0.0; parameters.values.len()],
            kept: Kept {
                position_rows: Vec::new(),
                tokens: Vec::new(),
                s: empty(2 * layers + 1),
                n: empty(2 * layers + 1),
                qkv: empty(layers),
                attended: empty(layers),
                inner: empty(layers),
                normed: Vec::new(),
                projected: Vec::new(),
            },
            flowing: Flowing::default(),
            config,
            factors,
            parameters,
        }
    }

    /// Mean next-token cross-entropy over `batch` sequences, whose gradients [`Self::gradients`] then holds. `inputs`
    /// and `labels` are `[batch * T]`, row by row, and `labels[i]` is what should follow `inputs[..=i]` in its row.
    pub fn loss_and_gradients(
        &mut self,
        inputs: &[u32],
        labels: &[u32],
        batch: usize,
        dropout: Option<Dropout<'_>>,
    ) -> Result<f32, ModelError> {
        let config = &self.config;
        let time = config.check_batch(inputs, labels, batch)?;
        let sizes = Sizes { batch, time, width: config.hidden_size, heads: config.num_attention_heads };
        let masks: Vec<Option<Mask>> = match dropout {
            Some(Dropout { p, stream }) if p > 0.0 => {
                (0..2 * config.num_hidden_layers).map(|_| Some(Mask { p, key: stream.next_u64() })).collect()
            }
            _ => vec![None; 2 * config.num_hidden_layers],
        };
        let loss = on_a_worker(|| {
            self.forward(inputs, sizes, &masks);
            clear_sums(&mut self.gradients, &self.parameters.layout);
            let loss = self.head(labels);
            self.backward(inputs, sizes, &masks);
            loss
        });
        Ok(loss)
    }

    /// All gradients, in the order of [`Self::parameters_and_gradients`].
    pub fn gradients(&self) -> &[f32] {
        &self.gradients
    }

    /// Parameters, to be changed by an optimizer, and their gradients, element by element.
    pub fn parameters_and_gradients(&mut self) -> (&mut [f32], &[f32]) {
        (&mut self.parameters.values, &self.gradients)
    }

    /// Name and gradient of every parameter.
    pub fn named_gradients(&self) -> impl Iterator<Item = (&str, &[f32])> {
        named(&self.parameters.layout, &self.gradients).map(|(name, _, values)| (name, values))
    }

    /// The model with its present parameters.
    pub fn into_model(self) -> Opt {
        Opt::on_host(self.config, self.parameters)
    }

    fn forward(&mut self, inputs: &[u32], sizes: Sizes, masks: &[Option<Mask>]) {
        let (config, parameters, kept) = (&self.config, &self.parameters, &mut self.kept);
        let how = (self.factors, Threads::All);
        let (r, d, ffn) = (inputs.len(), config.hidden_size, config.ffn_dim);
        let layout = &parameters.layout;
        let values = |range: &Range<usize>| &parameters.values[range.clone()];
        let positions: Vec<u32> = (0..r).map(|i| (i % sizes.time) as u32).collect();
        let scratch = (&mut kept.position_rows, &mut kept.tokens);
        parameters.embed(sized(&mut kept.s[0], r * d), config, (inputs, &positions), scratch, how);
        let y = sized(&mut self.flowing.y, r * d);
        if !config.do_layer_norm_before {
            kept.n[0].clone_from(&kept.s[0]);
        }
        for (j, mask) in masks.iter().enumerate() {
            let layer = &layout.layers[j / 2];
            let norm = if j % 2 == 0 { &layer.self_attn_layer_norm } else { &layer.final_layer_norm };
            if config.do_layer_norm_before {
                parameters.layer_norm(sized(&mut kept.n[j], r * d), &kept.s[j], norm);
            }
            let n = &kept.n[j];
            let bias = if j % 2 == 0 {
                let qkv = sized(&mut kept.qkv[j / 2], r * 3 * d);
                let bias = Then::Bias(values(&layer.qkv.bias));
                linear::forward_then(qkv, n, values(&layer.qkv.weight), d, bias, how);
                let attended = sized(&mut kept.attended[j / 2], r * d);
                attention::forward(attended, qkv, sizes);
                linear::forward(y, attended, values(&layer.out_proj.weight), d, how);
                &layer.out_proj.bias
            } else {
                let inner = sized(&mut kept.inner[j / 2], r * ffn);
                let bias = Then::BiasRelu(values(&layer.fc1.bias));
                linear::forward_then(inner, n, values(&layer.fc1.weight), d, bias, how);
                linear::forward(y, inner, values(&layer.fc2.weight), ffn, how);
                &layer.fc2.bias
            };
            let (before, after) = kept.s.split_at_mut(j + 1);
            let base = if config.do_layer_norm_before { &before[j] } else { n };
            residual::add(sized(&mut after[0], r * d), base, y, values(bias), *mask);
            if !config.do_layer_norm_before {
                parameters.layer_norm(sized(&mut kept.n[j + 1], r * d), &after[0], norm);
            }
        }
        if let Some(norm) = &layout.final_layer_norm {
            let last = &kept.s[masks.len()];
            parameters.layer_norm(sized(&mut kept.normed, r * d), last, norm);
        }
        if let Some((_, project_out)) = &layout.projections {
            let mut projected = std::mem::take(&mut kept.projected);
            let out = sized(&mut projected, r * config.embedding_width());
            linear::forward(out, kept.hidden(config, layout), values(project_out), d, how);
            kept.projected = projected;
        }
    }

    /// The loss; leaves its gradient by what goes into the head in `flowing.dhidden`.
    fn head(&mut self, labels: &[u32]) -> f32 {
        let layout = &self.parameters.layout;
        let hidden = match layout.projections {
            Some(_) => &self.kept.projected,
            None => self.kept.hidden(&self.config, layout),
        };
        let table = layout.embed_tokens.clone();
        cross_entropy::loss_and_gradients(
            sized(&mut self.flowing.dhidden, hidden.len()),
            (&mut self.gradients[table.clone()], false),
            hidden,
            &self.parameters.values[table],
            labels,
            (self.factors, &mut self.flowing.head),
        )
    }

    fn backward(&mut self, inputs: &[u32], sizes: Sizes, masks: &[Option<Mask>]) {
        let Self { config, factors, parameters, gradients, kept, flowing } = self;
        let factors = *factors;
        let (r, d, ffn, width) = (inputs.len(), config.hidden_size, config.ffn_dim, config.embedding_width());
        let layout = &parameters.layout;
        let values = |range: &Range<usize>| &parameters.values[range.clone()];
        let Flowing { y: dy, d: ds, dn, dwide, dhidden, .. } = flowing;
        let (ds, dn, dy) = (sized(ds, r * d), sized(dn, r * d), sized(dy, r * d));

        // ds: the gradient by the stream's last state (by n, where norms come after)
        match &layout.projections {
            Some((_, project_out)) => {
                let hidden = kept.hidden(config, layout);
                linear::backward_weight_first(&mut gradients[project_out.clone()], dhidden, hidden, d, factors);
                linear::backward_input(dn, dhidden, values(project_out), d, factors);
            }
            None => dn.copy_from_slice(dhidden),
        }
        match &layout.final_layer_norm {
            Some(norm) => norm_backward((ds, false), gradients, norm, dn, &kept.s[masks.len()], &parameters.values),
            None => ds.copy_from_slice(dn),
        }
        for (j, mask) in masks.iter().enumerate().rev() {
            let layer = &layout.layers[j / 2];
            let norm = if j % 2 == 0 { &layer.self_attn_layer_norm } else { &layer.final_layer_norm };
            if !config.do_layer_norm_before {
                dn.copy_from_slice(ds);
                norm_backward((ds, false), gradients, norm, dn, &kept.s[j + 1], &parameters.values);
            }
            let dy: &[f32] = match mask {
                Some(mask) => {
                    mask.applied(dy, ds);
                    dy
                }
                None => ds,
            };
            let n = &kept.n[j];
            if j % 2 == 0 {
                affine_backward(gradients, &layer.out_proj, dy, &kept.attended[j / 2], d, factors);
                linear::backward_input(dn, dy, values(&layer.out_proj.weight), d, factors);
                let dqkv = sized(dwide, r * 3 * d);
                attention::backward(dqkv, dn, &kept.qkv[j / 2], sizes);
                affine_backward(gradients, &layer.qkv, dqkv, n, d, factors);
                linear::backward_input(dn, dqkv, values(&layer.qkv.weight), d, factors);
            } else {
                let inner = &kept.inner[j / 2];
                affine_backward(gradients, &layer.fc2, dy, inner, ffn, factors);
                let dinner = sized(dwide, r * ffn);
                linear::backward_input(dinner, dy, values(&layer.fc2.weight), ffn, factors);
                relu::backward(dinner, inner);
                affine_backward(gradients, &layer.fc1, dinner, n, d, factors);
                linear::backward_input(dn, dinner, values(&layer.fc1.weight), d, factors);
            }
            if config.do_layer_norm_before {
                norm_backward((ds, true), gradients, norm, dn, &kept.s[j], &parameters.values);
            } else {
                residual::accumulate(ds, dn);
            }
        }
        embedding::backward(&mut gradients[layout.embed_positions.clone()], ds, &kept.position_rows, d, None);
        let dtokens: &[f32] = match &layout.projections {
            Some((project_in, _)) => {
                linear::backward_weight_first(&mut gradients[project_in.clone()], ds, &kept.tokens, width, factors);
                let dtokens = sized(dwide, r * width);
                linear::backward_input(dtokens, ds, values(project_in), width, factors);
                dtokens
            }
            None => ds,
        };
        let padding = config.pad_token_id;
        embedding::backward(&mut gradients[layout.embed_tokens.clone()], dtokens, inputs, width, padding);
    }
}

impl Kept {
    /// What comes out of the stack of layers and the final norm.
    fn hidden(&self, config: &OptConfig, layout: &Layout) -> &Vec<f32> {
        let last = 2 * config.num_hidden_layers;
        match &layout.final_layer_norm {
            Some(_) => &self.normed,
            None if config.do_layer_norm_before => &self.s[last],
            None => &self.n[last],
        }
    }
}

/// Sets to zero what the backward pass adds to. It writes the gradients of matrices as they first come.
fn clear_sums(gradients: &mut [f32], layout: &Layout) {
    let both = |norm: &Affine| [norm.weight.clone(), norm.bias.clone()];
    let mut sums = vec![layout.embed_positions.clone()];
    sums.extend(layout.final_layer_norm.iter().flat_map(both));
    for layer in &layout.layers {
        sums.extend([&layer.self_attn_layer_norm, &layer.final_layer_norm].into_iter().flat_map(both));
        sums.extend([&layer.qkv, &layer.out_proj, &layer.fc1, &layer.fc2].map(|affine| affine.bias.clone()));
    }
    for range in sums {
        gradients[range].fill(0.0);
    }
}

/// Gradients of a linear map's weight and bias, for its input `x` `[R, inputs]`.
fn affine_backward(gradients: &mut [f32], affine: &Affine, dy: &[f32], x: &[f32], inputs: usize, factors: Factors) {
    linear::backward_weight_first(&mut gradients[affine.weight.clone()], dy, x, inputs, factors);
    linear::add_column_sums(&mut gradients[affine.bias.clone()], dy);
}

fn norm_backward(dx: (&mut [f32], bool), gradients: &mut [f32], norm: &Affine, dy: &[f32], x: &[f32], values: &[f32]) {
    // a norm's bias lies behind its weight
    let (dweight, dbias) = gradients[norm.weight.start..norm.bias.end].split_at_mut(norm.weight.len());
    layer_norm::backward(dx, dweight, dbias, dy, x, &values[norm.weight.clone()], NORM_EPS);
}
