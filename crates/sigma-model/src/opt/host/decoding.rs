//! Forward passes that need no gradient: prompts and new tokens of rows that each have their own length.

use sigma_kernels::cached_attention::{Cache, Heads};
use sigma_kernels::linear::{Then, Threads};
use sigma_kernels::residual;
use sigma_kernels::threads::on_a_worker;

use super::{Inference, Pass, sized};
use crate::opt::OptConfig;

/// Keys and values of the rows of a batch, and the space that a step computes in.
#[derive(Debug)]
pub(in crate::opt) struct HostCache {
    layers: Vec<Cache>,
    threads: Threads,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    positions: Vec<u32>,
    position_rows: Vec<u32>,
    tokens: Vec<f32>,
    stream: Vec<f32>,
    next: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
    hidden: Vec<f32>,
}

impl HostCache {
    /// Room for `rows` rows of `capacity` tokens.
    pub(in crate::opt) fn new(config: &OptConfig, rows: usize, capacity: usize, threads: Threads) -> Self {
        let (heads, width) = (config.num_attention_heads, config.hidden_size);
        let layers =
            (0..config.num_hidden_layers).map(|_| Cache::new(rows, capacity, Heads::equal(heads, width))).collect();
        Self { layers, threads, scratch: Scratch::default() }
    }

    pub(in crate::opt) fn rows(&self) -> usize {
        self.lens().len()
    }

    /// Tokens that each row holds.
    pub(in crate::opt) fn lens(&self) -> &[usize] {
        self.layers.first().map_or(&[], Cache::lens)
    }

    /// Keeps only these rows (ascending numbers).
    pub(in crate::opt) fn keep_rows(&mut self, rows: &[usize]) {
        self.layers.iter_mut().for_each(|layer| layer.keep_rows(rows));
    }

    /// Appends `new[r]` tokens to row r (`ids` holds the rows one after another) and returns their hidden states after
    /// the last layer, `[R, width]`.
    pub(in crate::opt) fn extend(
        &mut self,
        model: Inference<'_>,
        config: &OptConfig,
        (ids, new): (&[u32], &[usize]),
        pass: Pass,
    ) -> &[f32] {
        match self.threads {
            Threads::One => self.run(model, config, (ids, new), pass),
            Threads::All => on_a_worker(|| self.run(model, config, (ids, new), pass)),
        }
    }

    fn run(&mut self, model: Inference<'_>, config: &OptConfig, (ids, new): (&[u32], &[usize]), pass: Pass) -> &[f32] {
        let (d, ffn) = (config.hidden_size, config.ffn_dim);
        let (r, pre, threads) = (ids.len(), config.do_layer_norm_before, self.threads);
        let how = (pass, threads);
        let parameters = model.parameters;
        let layout = &parameters.layout;
        let values = |range: &std::ops::Range<usize>| &parameters.values[range.clone()];
        let s = &mut self.scratch;
        s.positions.clear();
        for (len, new) in self.layers.first().map_or(&[][..], Cache::lens).iter().zip(new) {
            s.positions.extend((*len..len + new).map(|p| p as u32));
        }
        let scratch = (&mut s.position_rows, &mut s.tokens);
        let embedded = sized(&mut s.stream, r * d);
        parameters.embed(embedded, config, (ids, &s.positions), scratch, (model.factors(), threads));
        for buffer in [&mut s.next, &mut s.normed, &mut s.attended] {
            sized(buffer, r * d);
        }
        sized(&mut s.qkv, r * 3 * d);
        sized(&mut s.inner, r * ffn);

        for (layer, cache) in layout.layers.iter().zip(&mut self.layers) {
            if pre {
                parameters.layer_norm(&mut s.normed, &s.stream, &layer.self_attn_layer_norm);
            }
            let x = if pre { &s.normed } else { &s.stream };
            let bias = Then::Bias(values(&layer.qkv.bias));
            model.product(&mut s.qkv, x, (&layer.qkv.weight, d), bias, how);
            cache.attend(&mut s.attended, &s.qkv, new);
            model.product(&mut s.normed, &s.attended, (&layer.out_proj.weight, d), Then::Nothing, how);
            residual::add(&mut s.next, &s.stream, &mut s.normed, values(&layer.out_proj.bias), None);
            if pre {
                std::mem::swap(&mut s.stream, &mut s.next);
                parameters.layer_norm(&mut s.normed, &s.stream, &layer.final_layer_norm);
            } else {
                parameters.layer_norm(&mut s.stream, &s.next, &layer.self_attn_layer_norm);
            }
            let x = if pre { &s.normed } else { &s.stream };
            let bias = Then::BiasRelu(values(&layer.fc1.bias));
            model.product(&mut s.inner, x, (&layer.fc1.weight, d), bias, how);
            model.product(&mut s.normed, &s.inner, (&layer.fc2.weight, ffn), Then::Nothing, how);
            residual::add(&mut s.next, &s.stream, &mut s.normed, values(&layer.fc2.bias), None);
            if pre {
                std::mem::swap(&mut s.stream, &mut s.next);
            } else {
                parameters.layer_norm(&mut s.stream, &s.next, &layer.final_layer_norm);
            }
        }
        let last = match &layout.final_layer_norm {
            Some(norm) => {
                parameters.layer_norm(&mut s.normed, &s.stream, norm);
                &s.normed
            }
            None => &s.stream,
        };
        match &layout.projections {
            Some((_, project_out)) => {
                let hidden = sized(&mut s.hidden, r * config.embedding_width());
                model.product(hidden, last, (project_out, d), Then::Nothing, how);
                &s.hidden
            }
            None => last,
        }
    }

    /// Logits `[rows, V]` of hidden states `[rows, width]`.
    pub(in crate::opt) fn head(&self, logits: &mut Vec<f32>, model: Inference<'_>, config: &OptConfig, hidden: &[f32]) {
        head(logits, model, config, hidden, self.threads);
    }
}

/// Logits of hidden states `[R, width]`, of which a decoder has one a row, whatever the pass.
pub(in crate::opt) fn head(
    logits: &mut Vec<f32>,
    model: Inference<'_>,
    config: &OptConfig,
    hidden: &[f32],
    threads: Threads,
) {
    let width = config.embedding_width();
    let logits = sized(logits, hidden.len() / width * config.vocab_size);
    let table = (&model.parameters.layout.embed_tokens, width);
    model.product(logits, hidden, table, Then::Nothing, (Pass::Step, threads));
}

/// Last hidden states `[R, width]` of whole rows, one after another.
pub(in crate::opt) fn hidden_states(
    model: Inference<'_>,
    config: &OptConfig,
    rows: &[&[u32]],
    threads: Threads,
) -> Vec<f32> {
    let lens: Vec<usize> = rows.iter().map(|row| row.len()).collect();
    let longest = lens.iter().copied().max().unwrap_or(0);
    let mut cache = HostCache::new(config, rows.len(), longest, threads);
    cache.extend(model, config, (&rows.concat(), &lens), Pass::Whole).to_vec()
}
