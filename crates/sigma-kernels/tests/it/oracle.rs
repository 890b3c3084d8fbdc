//! Fused and reference give the same values and the same gradients.

use candle_core::{DType, Device, Result, Tensor, Var};
use sigma_kernels::{
    adamw, attention, cached_attention, cross_entropy, dropout, embedding, layer_norm, linear, norm, relu,
};

use crate::{difference, flat, values};

/// Runs `fused` and `reference` on the same inputs; compares results, and gradients of a fixed weighting of the result.
fn check(
    inputs: &[Tensor],
    fused: impl Fn(&[Tensor]) -> Result<Tensor>,
    reference: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let run = |f: &dyn Fn(&[Tensor]) -> Result<Tensor>| {
        let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let y = f(&tensors).unwrap();
        let loss = (&y * values(y.dims(), 99).reshape(y.shape()).unwrap()).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let gradients: Vec<Tensor> =
            vars.iter().map(|v| gradients.get(v).expect("every input has a gradient").clone()).collect();
        (y, gradients)
    };
    let ((y, g), (y_ref, g_ref)) = (run(&fused), run(&reference));
    assert!(difference(&y, &y_ref) < 2e-6, "values differ by {}", difference(&y, &y_ref));
    for (i, (g, g_ref)) in g.iter().zip(&g_ref).enumerate() {
        assert!(difference(g, g_ref) < 5e-6, "gradient {i} differs by {}", difference(g, g_ref));
    }
}

#[test]
fn linear_equals_its_reference() {
    for (rows, inner, out) in [(1, 1, 1), (1, 31, 33), (3, 769, 5), (40, 600, 70), (128, 128, 512), (2, 1030, 300)] {
        let inputs = [values(&[rows, inner], 1), values(&[out, inner], 2), values(&[out], 3)];
        // 1030 terms of size up to 1: a sum of that many f32 products
        check(&inputs, |t| linear::linear(&t[0], &t[1], Some(&t[2])), |t| linear::reference(&t[0], &t[1], Some(&t[2])));
        check(&inputs[..2], |t| linear::linear(&t[0], &t[1], None), |t| linear::reference(&t[0], &t[1], None));
    }
}

#[test]
fn linear_keeps_leading_dimensions() {
    let y = linear::linear(&values(&[2, 3, 8], 1), &values(&[5, 8], 2), None).unwrap();
    assert_eq!(y.dims(), [2, 3, 5]);
}

#[test]
fn layer_norm_equals_its_reference() {
    for (rows, d) in [(1, 2), (5, 31), (33, 128), (17, 769)] {
        let inputs = [values(&[rows, d], 1), values(&[d], 2), values(&[d], 3)];
        check(
            &inputs,
            |t| layer_norm::layer_norm(&t[0], &t[1], &t[2], 1e-5),
            |t| layer_norm::reference(&t[0], &t[1], &t[2], 1e-5),
        );
    }
}

#[test]
fn relu_equals_its_reference_and_has_no_gradient_at_zero() {
    check(&[values(&[3, 333], 1)], |t| relu::relu(&t[0]), |t| relu::reference(&t[0]));
    for f in [relu::relu, relu::reference] {
        let x = Var::new(&[-1f32, 0.0, 2.0], &Device::Cpu).unwrap();
        let gradients = f(&x).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(flat(gradients.get(&x).unwrap()), [0.0, 0.0, 1.0]);
    }
    let nan = relu::relu(&Tensor::new(&[f32::NAN], &Device::Cpu).unwrap()).unwrap();
    assert!(flat(&nan)[0].is_nan(), "a NaN must not be hidden");
}

#[test]
fn dropout_equals_its_reference() {
    for p in [0.0, 0.1, 0.5] {
        check(&[values(&[7, 1001], 1)], |t| dropout::dropout(&t[0], p, 5), |t| dropout::reference(&t[0], p, 5));
    }
}

#[test]
fn dropout_drops_the_asked_share_and_keeps_the_mean() {
    let ones = Tensor::ones(400_000, DType::F32, &Device::Cpu).unwrap();
    let y = flat(&dropout::dropout(&ones, 0.1, 77).unwrap());
    let dropped = y.iter().filter(|y| **y == 0.0).count() as f64 / y.len() as f64;
    // standard deviation of the share: sqrt(0.09 / 400000) = 0.0005
    assert!((dropped - 0.1).abs() < 0.0025, "{dropped}");
    assert!(y.iter().all(|y| *y == 0.0 || (*y - 1.0 / 0.9).abs() < 1e-6));
    let other = flat(&dropout::dropout(&ones, 0.1, 78).unwrap());
    let both = y.iter().zip(&other).filter(|(a, b)| **a == 0.0 && **b == 0.0).count() as f64 / y.len() as f64;
    assert!((both - 0.01).abs() < 0.001, "masks of neighbouring keys are related: {both}");
}

#[test]
fn embedding_equals_its_reference_and_padding_gets_no_gradient() {
    let ids = [3u32, 1, 1, 0, 3];
    for padding in [None, Some(1)] {
        check(
            &[values(&[5, 33], 1)],
            |t| embedding::embedding(&t[0], &ids, padding),
            |t| embedding::reference(&t[0], &ids, padding),
        );
    }
    let table = Var::from_tensor(&values(&[5, 2], 1)).unwrap();
    let y = embedding::embedding(&table, &ids, Some(1)).unwrap();
    assert_eq!(flat(&y.get(1).unwrap()), flat(&table.get(1).unwrap()));
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(flat(gradients.get(&table).unwrap()), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0]);
    assert!(embedding::embedding(&table, &[5], None).is_err());
}

#[test]
fn causal_attention_equals_its_reference() {
    for (b, t, heads, h) in [(1, 1, 1, 4), (2, 7, 3, 5), (3, 64, 4, 32), (1, 65, 2, 64)] {
        let inputs: Vec<Tensor> = (1..4).map(|seed| values(&[b, t, heads * h], seed)).collect();
        check(
            &inputs,
            |x| attention::causal_attention(&x[0], &x[1], &x[2], heads),
            |x| attention::reference(&x[0], &x[1], &x[2], heads),
        );
    }
}

#[test]
fn cached_attention_equals_its_reference_for_prompts_and_for_decoding() {
    let (b, heads, d, cache) = (3, 2, 10, 12);
    let (k, v) = (values(&[b, cache, d], 2), values(&[b, cache, d], 3));
    let prompt_lens = [5, 2, 4];
    for (first, queries) in [(0, 5), (5, 1), (8, 1), (9, 3)] {
        let columns = cached_attention::Columns { prompt_lens: &prompt_lens, prompt_columns: 5, first };
        let q = values(&[b, queries, d], 1);
        let fused = cached_attention::cached_attention(&q, &k, &v, heads, columns).unwrap();
        let reference = cached_attention::reference(&q, &k, &v, heads, columns).unwrap();
        assert!(difference(&fused, &reference) < 1e-6, "{first}");
    }
}

#[test]
fn cached_attention_over_a_full_prompt_equals_causal_attention() {
    let (q, k, v) = (values(&[2, 9, 8], 1), values(&[2, 9, 8], 2), values(&[2, 9, 8], 3));
    let columns = cached_attention::Columns { prompt_lens: &[9, 9], prompt_columns: 9, first: 0 };
    let cached = cached_attention::cached_attention(&q, &k, &v, 2, columns).unwrap();
    assert!(difference(&cached, &attention::causal_attention(&q, &k, &v, 2).unwrap()) < 1e-6);
}

#[test]
fn lm_head_loss_equals_its_reference() {
    for (rows, d, vocabulary) in [(1, 3, 2), (5, 33, 97), (300, 16, 130)] {
        let labels: Vec<u32> = (0..rows as u32).map(|i| (i * 31) % vocabulary as u32).collect();
        check(
            &[values(&[rows, d], 1), values(&[vocabulary, d], 2)],
            |t| cross_entropy::lm_head_loss(&t[0], &t[1], &labels),
            |t| cross_entropy::reference(&t[0], &t[1], &labels),
        );
    }
}

#[test]
fn lm_head_loss_refuses_labels_outside_the_vocabulary() {
    let (x, w) = (values(&[2, 4], 1), values(&[3, 4], 2));
    assert!(cross_entropy::lm_head_loss(&x, &w, &[0, 3]).is_err());
    assert!(cross_entropy::lm_head_loss(&x, &w, &[0]).is_err());
    assert!(cross_entropy::lm_head_loss(&x, &w, &[]).is_err());
}

#[test]
fn a_nan_in_the_hidden_states_reaches_the_loss() {
    let x = Tensor::new(&[[f32::NAN, 1.0], [0.0, 1.0]], &Device::Cpu).unwrap();
    let loss = cross_entropy::lm_head_loss(&x, &values(&[3, 2], 1), &[0, 1]).unwrap();
    assert!(loss.to_scalar::<f32>().unwrap().is_nan());
}

#[test]
fn adamw_equals_its_reference_over_several_steps() {
    let start = values(&[40_001], 1);
    let (fused, slow) = (Var::from_tensor(&start).unwrap(), Var::from_tensor(&start).unwrap());
    let mut moments = adamw::Moments::zeros(&fused).unwrap();
    let (mut m, mut v) = (slow.zeros_like().unwrap(), slow.zeros_like().unwrap());
    for number in 1..=5 {
        let step = adamw::Step {
            learning_rate: 1e-2,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            number,
            gradient_scale: 0.5,
        };
        let g = values(&[40_001], 10 + number as u64);
        adamw::adamw(&fused, &g, &mut moments, &step).unwrap();
        adamw::reference(&slow, &g, &mut m, &mut v, &step).unwrap();
    }
    assert!(difference(&fused, &slow) < 1e-6, "{}", difference(&fused, &slow));
    assert!(difference(&fused, &start) > 1e-2, "five steps of 1e-2 moved the parameter");
}

#[test]
fn global_norm_equals_its_reference_and_shows_non_finite_values() {
    let tensors = [values(&[70_001], 1), values(&[3, 5], 2)];
    let tensors: Vec<&Tensor> = tensors.iter().collect();
    let (a, b) = (norm::global_norm(&tensors).unwrap(), norm::reference(&tensors).unwrap());
    assert!((a / b - 1.0).abs() < 1e-5);
    let bad = Tensor::new(&[1.0, f32::INFINITY], &Device::Cpu).unwrap();
    assert!(!norm::global_norm(&[&bad]).unwrap().is_finite());
}

#[test]
fn half_precision_takes_the_reference_path_and_keeps_its_dtype() {
    let x = values(&[4, 16], 1).to_dtype(DType::F16).unwrap();
    let y = linear::linear(&x, &values(&[8, 16], 2), Some(&values(&[8], 3))).unwrap();
    assert_eq!(y.dtype(), DType::F16);
    let exact = linear::linear(&values(&[4, 16], 1), &values(&[8, 16], 2), Some(&values(&[8], 3))).unwrap();
    assert!(difference(&y.to_dtype(DType::F32).unwrap(), &exact) < 5e-3);
}
