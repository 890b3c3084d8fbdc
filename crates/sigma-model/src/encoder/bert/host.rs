//! BERT on the CPU in f32: an explicit forward pass over buffers that are used again, rows one after another without
//! padding. A row's result depends on nothing but that row. It computes on the calling thread; candle-transformers'
//! BERT is the oracle in the tests.
//!
//! Legend: R tokens of all rows, D hidden size, F feed-forward size.

use sigma_kernels::bidirectional_attention::{self, ByDistance};
use sigma_kernels::linear::{self, Factors, Threads};
use sigma_kernels::{gelu, relu, residual_norm};

use super::config::BertConfig;
use super::parameters::{Affine, BertParameters, Norm};
use super::relative;
use crate::buffer::sized;
use crate::spec::Activation;

/// The space of one forward pass.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    lens: Vec<usize>,
    stream: Vec<f32>,
    next: Vec<f32>,
    qkv: Vec<f32>,
    attention: bidirectional_attention::Space,
    attended: Vec<f32>,
    inner: Vec<f32>,
}

impl Affine {
    /// y = x W^T; the bias is added by what follows the product.
    fn product(&self, y: &mut [f32], x: &[f32]) {
        linear::forward(y, x, &self.weight, self.weight.len() / self.bias.len(), (Factors::F32, Threads::One));
    }
}

impl BertParameters {
    /// Last hidden states `[R, D]` of `rows`, whose ids and lengths the model has.
    pub(super) fn hidden_states<'a>(
        &self,
        config: &BertConfig,
        rows: &[&[u32]],
        scratch: &'a mut Scratch,
    ) -> &'a [f32] {
        let (d, ffn, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let s = scratch;
        s.lens.clear();
        s.lens.extend(rows.iter().map(|row| row.len()));
        let tokens: usize = s.lens.iter().sum();
        let (stream, next) = (sized(&mut s.stream, tokens * d), sized(&mut s.next, tokens * d));
        let (qkv, attended) = (sized(&mut s.qkv, tokens * 3 * d), sized(&mut s.attended, tokens * d));
        let inner = sized(&mut s.inner, tokens * ffn);

        let mut at = 0;
        for row in rows {
            match config.padding_position {
                None => next[at..at + row.len() * d].copy_from_slice(&self.positions[..row.len() * d]),
                Some(_) => {
                    for (next, position) in next[at..].chunks_exact_mut(d).zip(config.positions(row)) {
                        next.copy_from_slice(&self.positions[position as usize * d..][..d]);
                    }
                }
            }
            for id in *row {
                stream[at..at + d].copy_from_slice(&self.words[*id as usize * d..][..d]);
                at += d;
            }
        }
        // the sum of word, position and type has the form of a residual: x, y and a bias
        add_and_norm(stream, next, &self.token_type, &self.embedding_norm, eps);
        let longest = s.lens.iter().max().copied().unwrap_or(0);
        let heads = config.num_attention_heads;
        let by_distance = self.relative_bias.as_ref().map(|table| relative::by_distance(table, heads, longest));
        let by_distance = by_distance.as_ref().map(|bias| ByDistance { bias, longest });
        for layer in &self.layers {
            layer.qkv.product(qkv, stream);
            let to = (&mut *attended, &mut *qkv);
            bidirectional_attention::forward_with(to, &layer.qkv.bias, &s.lens, heads, by_distance, &mut s.attention);
            layer.attention_output.product(next, attended);
            add_and_norm(stream, next, &layer.attention_output.bias, &layer.attention_norm, eps);
            layer.intermediate.product(inner, stream);
            match config.hidden_act {
                Activation::Relu => relu::forward(inner, &layer.intermediate.bias),
                Activation::GeluTanh => gelu_tanh(inner, &layer.intermediate.bias),
                _ => gelu::forward(inner, &layer.intermediate.bias),
            }
            layer.output.product(next, inner);
            add_and_norm(stream, next, &layer.output.bias, &layer.output_norm, eps);
        }
        stream
    }
}

fn add_and_norm(x: &mut [f32], y: &[f32], bias: &[f32], norm: &Norm, eps: f64) {
    residual_norm::forward(x, y, bias, (&norm.weight, &norm.bias), eps);
}

/// The approximation by tanh that Hugging Face calls `gelu_new`, after the bias.
fn gelu_tanh(y: &mut [f32], bias: &[f32]) {
    for y in y.chunks_exact_mut(bias.len()) {
        for (y, bias) in y.iter_mut().zip(bias) {
            let x = *y + bias;
            let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            *y = 0.5 * x * (1.0 + inner.tanh());
        }
    }
}
