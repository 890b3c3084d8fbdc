//! Time of each kernel at the sizes of OPT-125M (`125m`) and of the bundled model (`tiny`): a batch of 16 blocks of 64
//! tokens in training, 32 rows in decoding. Throughput is in floating-point operations for products and in elements for
//! the rest.
//!
//!     cargo bench -p sigma-kernels -- linear
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sigma_kernels::adamw::{self, adamw};
use sigma_kernels::attention::{self, Sizes};
use sigma_kernels::cached_attention::{Cache, Heads};
use sigma_kernels::cross_entropy::{self, Scratch};
use sigma_kernels::dropout::Mask;
use sigma_kernels::linear::{self, Factors, Then, Threads};
use sigma_kernels::packed::Packed;
use sigma_kernels::{bidirectional_attention, embedding, gelu, layer_norm, norm, relu, residual, residual_norm};

#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    width: usize,
    ffn: usize,
    heads: usize,
    vocabulary: usize,
}

const SHAPES: [Shape; 2] = [
    Shape { name: "125m", width: 768, ffn: 3072, heads: 12, vocabulary: 50_272 },
    Shape { name: "tiny", width: 128, ffn: 512, heads: 4, vocabulary: 2_048 },
];
const BATCH: usize = 16;
const TIME: usize = 64;
const TOKENS: usize = BATCH * TIME;
const DECODED_ROWS: usize = 32;

/// Values in [-0.5, 0.5) that no branch predictor or denormal could favour.
fn values(n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32 - 0.5).collect()
}

fn bench(c: &mut Criterion, kernel: &str, shape: Shape, work: usize, mut f: impl FnMut()) {
    let mut group = c.benchmark_group(kernel);
    group.throughput(Throughput::Elements(work as u64));
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.bench_function(shape.name, |b| b.iter(&mut f));
    group.finish();
}

fn products(c: &mut Criterion) {
    let both = [(Factors::F32, ""), (Factors::Bf16, ", bf16")];
    for (shape, (factors, suffix)) in SHAPES.into_iter().flat_map(|shape| both.map(|factors| (shape, factors))) {
        let Shape { width: d, ffn, .. } = shape;
        let (x, w, mut y) = (values(TOKENS * d), values(ffn * d), vec![0f32; TOKENS * ffn]);
        let flops = 2 * TOKENS * d * ffn;
        bench(c, &format!("linear::forward{suffix}"), shape, flops, || {
            linear::forward(&mut y, black_box(&x), &w, d, (factors, Threads::All))
        });
        let bias = values(ffn);
        bench(c, &format!("linear::forward_then, bias and ReLU{suffix}"), shape, flops, || {
            linear::forward_then(&mut y, black_box(&x), &w, d, Then::BiasRelu(&bias), (factors, Threads::All));
        });
        let mut dx = vec![0f32; TOKENS * d];
        bench(c, &format!("linear::backward_input{suffix}"), shape, flops, || {
            linear::backward_input(&mut dx, black_box(&y), &w, d, factors)
        });
        let mut dw = vec![0f32; ffn * d];
        bench(c, &format!("linear::backward_weight{suffix}"), shape, flops, || {
            linear::backward_weight(&mut dw, black_box(&y), &x, d, factors)
        });
        bench(c, &format!("linear::backward_weight_first{suffix}"), shape, flops, || {
            linear::backward_weight_first(&mut dw, black_box(&y), &x, d, factors);
        });
        let (x, mut y) = (&x[..DECODED_ROWS * d], vec![0f32; DECODED_ROWS * ffn]);
        let flops = 2 * DECODED_ROWS * d * ffn;
        let packed = Packed::new(&w, d, factors);
        for (threads, name) in [(Threads::One, "one thread"), (Threads::All, "all threads")] {
            bench(c, &format!("32 rows, linear::forward, {name}{suffix}"), shape, flops, || {
                linear::forward(&mut y, black_box(x), &w, d, (factors, threads));
            });
            bench(c, &format!("32 rows, packed::forward, {name}{suffix}"), shape, flops, || {
                packed.forward(&mut y, black_box(x), threads);
            });
        }
    }
}

fn attention(c: &mut Criterion) {
    for shape in SHAPES {
        let Shape { width: d, heads, .. } = shape;
        let sizes = Sizes { batch: BATCH, time: TIME, width: d, heads };
        let (qkv, mut out, mut dqkv) = (values(TOKENS * 3 * d), values(TOKENS * d), vec![0f32; TOKENS * 3 * d]);
        let elements = BATCH * heads * TIME * TIME;
        bench(c, "attention::forward", shape, elements, || attention::forward(&mut out, black_box(&qkv), sizes));
        let dout = values(TOKENS * d);
        bench(c, "attention::backward", shape, elements, || {
            attention::backward(&mut dqkv, black_box(&dout), &qkv, sizes);
        });
        let new = vec![1; DECODED_ROWS];
        let mut out = vec![0f32; DECODED_ROWS * d];
        bench(c, "cached_attention::attend, 64 to 128 tokens", shape, DECODED_ROWS * heads * 96 * 64, || {
            let mut cache = Cache::new(DECODED_ROWS, 129, Heads::equal(heads, d));
            let mut prompt = vec![0f32; DECODED_ROWS * 64 * d];
            cache.attend(&mut prompt, black_box(&values(DECODED_ROWS * 64 * 3 * d)), &[64; DECODED_ROWS]);
            for _ in 0..64 {
                cache.attend(&mut out, black_box(&qkv[..DECODED_ROWS * 3 * d]), &new);
            }
        });
    }
}

fn head_and_table(c: &mut Criterion) {
    for shape in SHAPES {
        let Shape { width: d, vocabulary, .. } = shape;
        let (hidden, table) = (values(TOKENS * d), values(vocabulary * d));
        let labels: Vec<u32> = (0..TOKENS).map(|i| (i * 7919 % vocabulary) as u32).collect();
        let (mut dhidden, mut dtable) = (vec![0f32; TOKENS * d], vec![0f32; vocabulary * d]);
        let mut scratch = Scratch::default();
        bench(c, "cross_entropy::loss_and_gradients", shape, 6 * TOKENS * d * vocabulary, || {
            black_box(cross_entropy::loss_and_gradients(
                &mut dhidden,
                (&mut dtable, true),
                &hidden,
                &table,
                &labels,
                (Factors::F32, &mut scratch),
            ));
        });
        bench(c, "embedding::forward", shape, TOKENS * d, || {
            embedding::forward(&mut dhidden, black_box(&table), &labels, d);
        });
        bench(c, "embedding::backward", shape, TOKENS * d, || {
            embedding::backward(&mut dtable, black_box(&hidden), &labels, d, Some(1));
        });
    }
}

fn rows(c: &mut Criterion) {
    for shape in SHAPES {
        let Shape { width: d, ffn, .. } = shape;
        let (x, mut y, mut dx) = (values(TOKENS * d), values(TOKENS * d), vec![0f32; TOKENS * d]);
        let (weight, bias) = (values(d), values(d));
        let (mut dweight, mut dbias) = (vec![0f32; d], vec![0f32; d]);
        bench(c, "layer_norm::forward", shape, TOKENS * d, || {
            layer_norm::forward(&mut y, black_box(&x), &weight, &bias, 1e-5);
        });
        let dy = values(TOKENS * d);
        bench(c, "layer_norm::backward", shape, TOKENS * d, || {
            layer_norm::backward((&mut dx, false), &mut dweight, &mut dbias, black_box(&dy), &x, &weight, 1e-5);
        });
        let mask = Some(Mask { p: 0.1, key: 7 });
        bench(c, "residual::add, dropout 0.1", shape, TOKENS * d, || residual::add(&mut dx, &x, &mut y, &bias, mask));
        bench(c, "residual::add", shape, TOKENS * d, || residual::add(&mut dx, &x, &mut y, &bias, None));
        let (mut inner, inner_bias) = (values(TOKENS * ffn), values(ffn));
        bench(c, "relu::forward", shape, TOKENS * ffn, || relu::forward(black_box(&mut inner), &inner_bias));
    }
}

fn optimizer(c: &mut Criterion) {
    for (shape, n) in SHAPES.into_iter().zip([125_239_296, 1_121_536]) {
        let (mut theta, g) = (values(n), values(n));
        let (mut m, mut v) = (vec![0f32; n], vec![0f32; n]);
        let settings = adamw::Settings {
            learning_rate: 5e-5,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: 0.0,
        };
        let step = adamw::Step { settings, number: 10, gradient_scale: 0.5 };
        bench(c, "adamw", shape, n, || adamw(&mut theta, black_box(&g), &mut m, &mut v, &step));
        bench(c, "norm::global_norm", shape, n, || {
            black_box(norm::global_norm(black_box(&g)));
        });
    }
}

/// What the sentence encoder adds, at all-MiniLM-L6-v2's sizes: six texts of 64 tokens, one group of a thread.
fn encoder(c: &mut Criterion) {
    const MINILM: Shape = Shape { name: "minilm", width: 384, ffn: 1536, heads: 12, vocabulary: 30_522 };
    let Shape { width: d, ffn, heads, .. } = MINILM;
    let lens = [TIME; 6];
    let tokens = lens.iter().sum::<usize>();
    let (mut qkv, bias, mut out) = (values(tokens * 3 * d), values(3 * d), vec![0f32; tokens * d]);
    let mut space = Default::default();
    bench(c, "bidirectional_attention", MINILM, 4 * tokens * TIME * d, || {
        bidirectional_attention::forward(black_box(&mut out), &mut qkv, &bias, &lens, heads, &mut space);
        // the bias is added in place at every call
        qkv.iter_mut().for_each(|x| *x *= 0.5);
    });
    let (mut inner, bias) = (values(tokens * ffn), values(ffn));
    bench(c, "gelu", MINILM, tokens * ffn, || gelu::forward(black_box(&mut inner), &bias));
    let (mut x, y) = (values(tokens * d), values(tokens * d));
    let (bias, weight, shift) = (values(d), values(d), values(d));
    bench(c, "residual_norm", MINILM, tokens * d, || {
        residual_norm::forward(black_box(&mut x), &y, &bias, (&weight, &shift), 1e-12)
    });
}

criterion_group!(kernels, products, attention, head_and_table, rows, optimizer, encoder);
criterion_main!(kernels);
