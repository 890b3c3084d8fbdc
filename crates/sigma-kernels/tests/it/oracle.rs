//! Fused functions and references give the same values and the same gradients.

use candle_core::{Device, Tensor, Var};
use sigma_kernels::attention::Sizes;
use sigma_kernels::cached_attention::{Cache, Columns, Heads};
use sigma_kernels::dropout::Mask;
use sigma_kernels::linear::Factors;
use sigma_kernels::{
    adamw, attention, bias, bidirectional_attention, cross_entropy, dropout, embedding, gelu, layer_norm, norm, relu,
    residual, residual_norm,
};

use crate::{by_autograd, difference, flat, tensor, values};

fn close(name: &str, a: &[f32], b: &[f32], tolerance: f32) {
    let worst = difference(a, b);
    assert!(worst < tolerance, "{name} differs by {worst}");
}

#[test]
fn layer_norm_equals_its_reference() {
    for (rows, d) in [(1, 2), (5, 31), (33, 128), (17, 769)] {
        let (x, w, b, dy) = (values(rows * d, 1), values(d, 2), values(d, 3), values(rows * d, 4));
        let shapes: [(&[f32], &[usize]); 3] = [(&x, &[rows, d]), (&w, &[d]), (&b, &[d])];
        let (expected, gradients) =
            by_autograd(&shapes, Some(&dy), |t| layer_norm::reference(&t[0], &t[1], &t[2], 1e-5));
        let mut y = vec![0f32; x.len()];
        layer_norm::forward(&mut y, &x, &w, &b, 1e-5);
        close("y", &y, &expected, 2e-6);
        let (mut dx, mut dw, mut db) = (vec![f32::NAN; x.len()], vec![0f32; d], vec![0f32; d]);
        layer_norm::backward((&mut dx, false), &mut dw, &mut db, &dy, &x, &w, 1e-5);
        close("dx", &dx, &gradients[0], 5e-6);
        close("dw", &dw, &gradients[1], 5e-6);
        close("db", &db, &gradients[2], 5e-6);
        let mut onto = vec![3f32; x.len()];
        layer_norm::backward((&mut onto, true), &mut dw, &mut db, &dy, &x, &w, 1e-5);
        let added: Vec<f32> = onto.iter().map(|x| x - 3.0).collect();
        close("dx, added", &added, &gradients[0], 1e-5);
    }
}

#[test]
fn relu_equals_its_reference_and_has_no_gradient_at_zero() {
    let (x, dy) = (values(999, 1), values(999, 2));
    let (expected, gradients) = by_autograd(&[(&x, &[3, 333])], Some(&dy), |t| relu::reference(&t[0]));
    let (mut y, mut dx) = (x.clone(), dy.clone());
    relu::forward(&mut y, &[0.0; 333]);
    relu::backward(&mut dx, &y);
    assert_eq!((&y, &dx), (&expected, &gradients[0]));

    let (y, g) = by_autograd(&[(&[-1.0, 0.0, 2.0], &[3])], Some(&[1.0; 3]), |t| relu::reference(&t[0]));
    assert_eq!((y, g[0].clone()), (vec![0.0, 0.0, 2.0], vec![0.0, 0.0, 1.0]));
    let (mut y, mut dx) = (vec![-2.0, -1.0, f32::NAN], vec![1.0; 3]);
    relu::forward(&mut y, &[1.0, 1.0, 0.0]);
    assert!(y[0] == 0.0 && y[1] == 0.0 && y[2].is_nan(), "a NaN must not be hidden: {y:?}");
    relu::backward(&mut dx, &[0.0, 1.0, 0.0]);
    assert_eq!(dx, [0.0, 1.0, 0.0]);
}

#[test]
fn gelu_equals_its_reference_from_the_far_tails_to_the_middle() {
    let x: Vec<f32> = (-40_000..40_000).map(|i| (i as f32 / 40_000.0).powi(3) * 20.0).collect();
    let expected = flat(&gelu::reference(&tensor(&x, &[x.len()])).unwrap());
    let mut y = x.clone();
    gelu::forward(&mut y, &[0.0; 16]);
    for ((x, y), e) in x.iter().zip(&y).zip(&expected) {
        assert!((y - e).abs() <= 2e-7 * (1.0 + x.abs()), "gelu({x}) is {y}, not {e}");
        assert!(e.abs() < 1e-6 || (y / e - 1.0).abs() < 1e-6, "gelu({x}) is {y}, not {e}");
    }
    let (x, b) = (values(3 * 333, 1), values(333, 2));
    let shifted = (tensor(&x, &[3, 333]).broadcast_add(&tensor(&b, &[333]))).unwrap();
    let mut y = x;
    gelu::forward(&mut y, &b);
    close("with bias", &y, &flat(&gelu::reference(&shifted).unwrap()), 2e-7);
    let mut odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0];
    gelu::forward(&mut odd, &[0.0; 4]);
    assert!(odd[0].is_nan() && odd[1..] == [f32::INFINITY, 0.0, 0.0], "{odd:?}");
}

#[test]
fn a_residual_with_its_norm_equals_its_reference() {
    // 1e-12 is the epsilon of BERT
    for (rows, d) in [(1, 2), (5, 31), (33, 384)] {
        let (x, y, rest) = (values(rows * d, 1), values(rows * d, 2), values(3 * d, 3));
        let (b, w, nb) = (&rest[..d], &rest[d..2 * d], &rest[2 * d..]);
        let [bt, wt, nbt] = [b, w, nb].map(|v| tensor(v, &[d]));
        let (xt, yt) = (tensor(&x, &[rows, d]), tensor(&y, &[rows, d]));
        let expected = flat(&residual_norm::reference(&xt, &yt, &bt, (&wt, &nbt), 1e-12).unwrap());
        let mut out = x;
        residual_norm::forward(&mut out, &y, b, (w, nb), 1e-12);
        close("x", &out, &expected, 2e-6);
    }
}

#[test]
fn dropout_equals_its_reference() {
    let (x, dy) = (values(7007, 1), values(7007, 2));
    for p in [0.1, 0.5] {
        let mask = Mask { p, key: 5 };
        let (expected, gradients) = by_autograd(&[(&x, &[7, 1001])], Some(&dy), |t| dropout::reference(&t[0], mask));
        let (mut y, mut dx) = (x.clone(), vec![f32::NAN; dy.len()]);
        mask.apply(&mut y);
        mask.applied(&mut dx, &dy);
        close("y", &y, &expected, 1e-6);
        close("dx", &dx, &gradients[0], 1e-6);
    }
    let x = tensor(&x, &[7007]);
    assert_eq!(flat(&dropout::reference(&x, Mask { p: 0.0, key: 1 }).unwrap()), flat(&x));
}

#[test]
fn dropout_drops_the_asked_share_and_keeps_the_mean_and_the_expected_variance() {
    let draw = |key| {
        let mut y = vec![1f32; 400_000];
        Mask { p: 0.1, key }.apply(&mut y);
        y
    };
    let y = draw(77);
    let n = y.len() as f64;
    let dropped = y.iter().filter(|y| **y == 0.0).count() as f64 / n;
    // standard deviation of the share: sqrt(0.09 / 400000) = 0.0005
    assert!((dropped - 0.1).abs() < 0.0025, "{dropped}");
    assert!(y.iter().all(|y| *y == 0.0 || (*y - 1.0 / 0.9).abs() < 1e-6));
    let mean = y.iter().map(|y| f64::from(*y)).sum::<f64>() / n;
    let variance = y.iter().map(|y| (f64::from(*y) - mean).powi(2)).sum::<f64>() / n;
    // p / (1 - p) = 1/9
    assert!((mean - 1.0).abs() < 0.003 && (variance - 1.0 / 9.0).abs() < 0.003, "mean {mean}, variance {variance}");
    let both = y.iter().zip(&draw(78)).filter(|(a, b)| **a == 0.0 && **b == 0.0).count() as f64 / n;
    assert!((both - 0.01).abs() < 0.001, "masks of neighbouring keys are related: {both}");
}

#[test]
fn a_residual_is_bias_dropout_and_addition() {
    // long enough for several tasks, of odd width
    let (rows, d) = (1200, 33);
    let (x, y, b) = (values(rows * d, 1), values(rows * d, 2), values(d, 3));
    for mask in [None, Some(Mask { p: 0.3, key: 9 })] {
        let mut expected = y.clone();
        bias::add(&mut expected, &b);
        if let Some(mask) = mask {
            mask.apply(&mut expected);
        }
        residual::accumulate(&mut expected, &x);
        let (mut out, mut y) = (vec![f32::NAN; rows * d], y.clone());
        residual::add(&mut out, &x, &mut y, &b, mask);
        assert_eq!(out, expected);
    }
}

#[test]
fn embedding_equals_its_reference_and_padding_gets_no_gradient() {
    let ids = [3u32, 1, 1, 0, 3];
    let (table, dy) = (values(5 * 33, 1), values(5 * 33, 2));
    for padding in [None, Some(1)] {
        let (expected, gradients) =
            by_autograd(&[(&table, &[5, 33])], Some(&dy), |t| embedding::reference(&t[0], &ids, padding));
        let (mut y, mut dtable) = (vec![0f32; 5 * 33], vec![0f32; 5 * 33]);
        embedding::forward(&mut y, &table, &ids, 33);
        assert_eq!(y, expected);
        embedding::backward(&mut dtable, &dy, &ids, 33, padding);
        close("dtable", &dtable, &gradients[0], 1e-6);
        let mut twice = y.clone();
        embedding::add(&mut twice, &table, &ids, 33);
        assert!(twice.iter().zip(&y).all(|(a, b)| *a == 2.0 * b));
    }
    let mut dtable = vec![0f32; 10];
    embedding::backward(&mut dtable, &[1.0; 10], &ids, 2, Some(1));
    assert_eq!(dtable, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0]);
    assert!(embedding::reference(&tensor(&table, &[5, 33]), &[5], None).is_err());
}

/// q, k and v `[B, T, D]` out of rows that hold all three.
fn split(qkv: &Tensor, b: usize, t: usize, d: usize) -> [Tensor; 3] {
    let qkv = qkv.reshape((b, t, 3 * d)).unwrap();
    [0, 1, 2].map(|i| qkv.narrow(2, i * d, d).unwrap().contiguous().unwrap())
}

#[test]
fn causal_attention_equals_its_reference() {
    for (b, t, heads, h) in [(1, 1, 1, 4), (2, 7, 3, 5), (3, 64, 4, 32), (1, 65, 2, 64), (2, 530, 1, 8)] {
        let d = heads * h;
        let (qkv, dout) = (values(b * t * 3 * d, 1), values(b * t * d, 2));
        let (expected, gradients) = by_autograd(&[(&qkv, &[b * t, 3 * d])], Some(&dout), |x| {
            let [q, k, v] = split(&x[0], b, t, d);
            attention::reference(&q, &k, &v, heads, &attention::causal_mask(t, &Device::Cpu)?)
        });
        let sizes = Sizes { batch: b, time: t, width: d, heads };
        let (mut out, mut dqkv) = (vec![f32::NAN; b * t * d], vec![f32::NAN; qkv.len()]);
        attention::forward(&mut out, &qkv, sizes);
        attention::backward(&mut dqkv, &dout, &qkv, sizes);
        close("out", &out, &expected, 2e-6);
        close("dqkv", &dqkv, &gradients[0], 5e-6);
    }
}

#[test]
fn bidirectional_attention_equals_its_reference_row_by_row() {
    for (heads, h) in [(1, 4), (3, 5), (4, 32), (2, 64)] {
        let (d, lens) = (heads * h, [3usize, 0, 1, 530, 65, 16]);
        let tokens: usize = lens.iter().sum();
        let (mut qkv, bias) = (values(tokens * 3 * d, 1), values(3 * d, 2));
        let biased = tensor(&qkv, &[tokens, 3 * d]).broadcast_add(&tensor(&bias, &[3 * d])).unwrap();
        let (mut out, mut first) = (vec![f32::NAN; tokens * d], 0);
        bidirectional_attention::forward(&mut out, &mut qkv, &bias, &lens, heads, &mut Default::default());
        for len in lens.into_iter().filter(|len| *len > 0) {
            let [q, k, v] = split(&biased.narrow(0, first, len).unwrap(), 1, len, d).map(|x| x.squeeze(0).unwrap());
            let expected = flat(&bidirectional_attention::reference(&q, &k, &v, heads).unwrap());
            close("row", &out[first * d..][..len * d], &expected, 2e-6);
            first += len;
        }
    }
}

#[test]
fn cached_attention_equals_causal_attention_however_the_tokens_arrive() {
    // widths with and without whole vectors; lengths across groups of keys
    for (heads, h) in [(2, 5), (3, 16), (2, 32), (1, 80), (2, 100)] {
        let (d, t) = (heads * h, 50);
        let qkv = values(t * 3 * d, 1);
        let [q, k, v] = split(&tensor(&qkv, &[t, 3 * d]), 1, t, d);
        let mask = attention::causal_mask(t, &Device::Cpu).unwrap();
        let expected = flat(&attention::reference(&q, &k, &v, heads, &mask).unwrap());
        for pieces in [vec![50], vec![1; 50], vec![17, 1, 31, 1]] {
            let mut cache = Cache::new(1, t, Heads::equal(heads, d));
            let (mut out, mut first) = (vec![f32::NAN; t * d], 0);
            for n in pieces {
                let (out, qkv) = (&mut out[first * d..][..n * d], &qkv[first * 3 * d..][..n * 3 * d]);
                cache.attend(out, qkv, &[n]);
                first += n;
            }
            assert_eq!(cache.lens(), [t]);
            close("out", &out, &expected, 1e-6);
        }
    }
}

#[test]
fn a_masked_cache_with_padding_equals_a_cache_without_it() {
    let (b, heads, d, cache) = (3, 2, 10, 12);
    let (k, v) = (values(b * cache * d, 2), values(b * cache * d, 3));
    let prompt_lens = [5, 2, 4];
    for (first, queries) in [(5, 1), (8, 1), (9, 3)] {
        let columns = Columns { prompt_lens: &prompt_lens, prompt_columns: 5, first };
        let q = values(b * queries * d, 1);
        let seen = |x: &[f32]| tensor(x, &[b, cache, d]).narrow(1, 0, first + queries).unwrap();
        let mask = columns.mask(queries, &Device::Cpu).unwrap();
        let q_all = tensor(&q, &[b, queries, d]);
        let padded = attention::reference(&q_all, &seen(&k), &seen(&v), heads, &mask).unwrap();
        for (row, prompt) in prompt_lens.iter().enumerate() {
            // the row's own tokens, without the columns between its prompt and the generated ones
            let tokens: Vec<usize> = (0..*prompt).chain(5..first + queries).collect();
            let mut alone = Cache::new(1, tokens.len(), Heads::equal(heads, d));
            let mut last = vec![0f32; tokens.len() * d];
            let mut qkv = Vec::new();
            for (i, token) in tokens.iter().enumerate() {
                let at = (row * cache + token) * d;
                let query = (i + queries).checked_sub(tokens.len()).map_or(0, |n| n);
                qkv.extend_from_slice(&q[(row * queries + query) * d..][..d]);
                qkv.extend_from_slice(&k[at..at + d]);
                qkv.extend_from_slice(&v[at..at + d]);
            }
            alone.attend(&mut last, &qkv, &[tokens.len()]);
            let padded = flat(&padded.get(row).unwrap());
            close("row", &last[(tokens.len() - queries) * d..], &padded, 1e-6);
        }
    }
}

#[test]
fn lm_head_loss_equals_its_reference() {
    for (rows, d, vocabulary) in [(1, 3, 2), (5, 33, 97), (300, 16, 130), (520, 8, 2048)] {
        let labels: Vec<u32> = (0..rows as u32).map(|i| (i * 31) % vocabulary as u32).collect();
        let (x, w) = (values(rows * d, 1), values(vocabulary * d, 2));
        let shapes: [(&[f32], &[usize]); 2] = [(&x, &[rows, d]), (&w, &[vocabulary, d])];
        let (expected, gradients) = by_autograd(&shapes, None, |t| cross_entropy::reference(&t[0], &t[1], &labels));
        let (mut dx, mut dw, mut scratch) = (vec![f32::NAN; x.len()], vec![0f32; w.len()], Default::default());
        let mut first = vec![f32::NAN; w.len()];
        cross_entropy::loss_and_gradients(&mut dx, (&mut first, false), &x, &w, &labels, (Factors::F32, &mut scratch));
        let loss =
            cross_entropy::loss_and_gradients(&mut dx, (&mut dw, true), &x, &w, &labels, (Factors::F32, &mut scratch));
        assert_eq!(first, dw, "what was there is overwritten");
        close("loss", &[loss], &expected, 2e-6);
        close("dx", &dx, &gradients[0], 5e-6);
        close("dw", &dw, &gradients[1], 5e-6);
    }
}

#[test]
fn the_reference_of_the_loss_refuses_labels_outside_the_vocabulary() {
    let (x, w) = (tensor(&values(8, 1), &[2, 4]), tensor(&values(12, 2), &[3, 4]));
    assert!(cross_entropy::reference(&x, &w, &[0, 3]).is_err());
    assert!(cross_entropy::reference(&x, &w, &[0]).is_err());
    assert!(cross_entropy::reference(&x, &w, &[]).is_err());
}

#[test]
fn a_nan_in_the_hidden_states_reaches_the_loss() {
    let (mut dx, mut dw, mut scratch) = (vec![0f32; 4], vec![0f32; 6], Default::default());
    let x = [f32::NAN, 1.0, 0.0, 1.0];
    let loss = cross_entropy::loss_and_gradients(
        &mut dx,
        (&mut dw, true),
        &x,
        &values(6, 1),
        &[0, 1],
        (Factors::F32, &mut scratch),
    );
    assert!(loss.is_nan());
}

#[test]
fn adamw_equals_its_reference_over_several_steps() {
    let start = values(40_001, 1);
    let mut theta = start.clone();
    let (mut m, mut v) = (vec![0f32; theta.len()], vec![0f32; theta.len()]);
    let slow = Var::from_tensor(&tensor(&start, &[40_001])).unwrap();
    let (mut slow_m, mut slow_v) = (slow.zeros_like().unwrap(), slow.zeros_like().unwrap());
    for number in 1..=5 {
        let settings = adamw::Settings {
            learning_rate: 1e-2,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: 0.0,
        };
        let step = adamw::Step { settings, number, gradient_scale: 0.5 };
        let g = values(40_001, 10 + number as u64);
        adamw::adamw(&mut theta, &g, &mut m, &mut v, &step);
        adamw::reference(&slow, &tensor(&g, &[40_001]), &mut slow_m, &mut slow_v, &step).unwrap();
    }
    close("theta", &theta, &flat(&slow), 1e-6);
    assert!(difference(&theta, &start) > 1e-2, "five steps of 1e-2 moved the parameter");
}

#[test]
fn global_norm_equals_its_reference_and_shows_non_finite_values() {
    let all = values(70_001, 1);
    let (a, b) = (tensor(&all[..70_000], &[70_000]), tensor(&all[70_000..], &[1]));
    let reference = norm::reference(&[&a, &b]).unwrap();
    assert!((norm::global_norm(&all) / reference - 1.0).abs() < 1e-5);
    assert!(!norm::global_norm(&[1.0, f32::INFINITY]).is_finite());
    let bad = Tensor::new(&[1.0, f32::INFINITY], &Device::Cpu).unwrap();
    assert!(!norm::reference(&[&bad]).unwrap().is_finite());
    assert_eq!(norm::reference(&[]).unwrap(), 0.0);
}
