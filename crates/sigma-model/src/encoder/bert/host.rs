//! BERT on the CPU in f32: an explicit forward pass over buffers that are used again, rows one after another without
//! padding. A row's result depends on nothing but that row. It computes on the calling thread; candle-transformers'
//! BERT is the oracle in the tests.
//!
//! Legend: R tokens of all rows, D hidden size, F feed-forward size.

use sigma_kernels::linear::{self, Factors, Threads};
use sigma_kernels::{bidirectional_attention, gelu, relu, residual_norm};

use super::config::{Activation, BertConfig};
use super::parameters::{Affine, BertParameters, Norm};
use crate::buffer::sized;

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
            next[at..at + row.len() * d].copy_from_slice(&self.positions[..row.len() * d]);
            for id in *row {
                stream[at..at + d].copy_from_slice(&self.words[*id as usize * d..][..d]);
                at += d;
            }
        }
        // the sum of word, position and type has the form of a residual: x, y and a bias
        add_and_norm(stream, next, &self.token_types[..d], &self.embedding_norm, eps);
        for layer in &self.layers {
            layer.qkv.product(qkv, stream);
            let heads = config.num_attention_heads;
            bidirectional_attention::forward(attended, qkv, &layer.qkv.bias, &s.lens, heads, &mut s.attention);
            layer.attention_output.product(next, attended);
            add_and_norm(stream, next, &layer.attention_output.bias, &layer.attention_norm, eps);
            layer.intermediate.product(inner, stream);
            match config.activation() {
                Some(Activation::Relu) => relu::forward(inner, &layer.intermediate.bias),
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
