//! Products of linear maps against their reference, with factors of f32 and rounded to bf16.

use candle_core::DType;
use sigma_kernels::linear::{Factors, Then, Threads};
use sigma_kernels::packed::Packed;
use sigma_kernels::{bias, cross_entropy, linear, relu};

use crate::{BOTH, by_autograd, difference, flat, tensor, used_once, values};

fn close(factors: Factors, name: &str, a: &[f32], b: &[f32], tolerance: f32) {
    let worst = difference(a, b);
    assert!(worst < tolerance, "{factors:?}: {name} differs by {worst}");
}

/// To the nearest number of bf16, ties to even.
fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(|x| half::bf16::from_f32(*x).to_f32()).collect()
}

#[test]
fn linear_equals_its_reference() {
    // 1030 terms of size up to 1: a sum of that many f32 products. More than 512 outputs, and more or fewer of them
    // than inputs, are rearranged in other ways for the gradient of the weight
    for (rows, inputs, outputs) in [
        (1, 1, 1),
        (1, 31, 33),
        (3, 769, 5),
        (40, 600, 70),
        (128, 128, 512),
        (2, 1030, 300),
        (530, 70, 601),
        (40, 700, 601),
    ] {
        let (x, w, b) = (values(rows * inputs, 1), values(outputs * inputs, 2), values(outputs, 3));
        let dy = values(rows * outputs, 4);
        for factors in BOTH {
            let seen = |values: &[f32]| if factors == Factors::Bf16 { rounded(values) } else { values.to_vec() };
            let (x_seen, w_seen, dy_seen) = (seen(&x), seen(&w), seen(&dy));
            let shapes: [(&[f32], &[usize]); 3] =
                [(&x_seen, &[rows, inputs]), (&w_seen, &[outputs, inputs]), (&b, &[outputs])];
            let (expected, gradients) =
                by_autograd(&shapes, Some(&dy_seen), |t| linear::reference(&t[0], &t[1], Some(&t[2])));
            let mut y = vec![f32::NAN; rows * outputs];
            for threads in [Threads::One, Threads::All] {
                linear::forward(&mut y, &x, &w, inputs, (factors, threads));
                bias::add(&mut y, &b);
                close(factors, "y", &y, &expected, 2e-6);
                Packed::new(&w, inputs, factors).forward_then(&mut y, &x, Then::Bias(&b), threads);
                close(factors, "y, of a packed weight", &y, &expected, 2e-6);
            }
            let mut dx = vec![f32::NAN; x.len()];
            linear::backward_input(&mut dx, &dy, &w, inputs, factors);
            close(factors, "dx", &dx, &gradients[0], 5e-6);
            let (mut dw, mut db) = (vec![0f32; w.len()], vec![0f32; b.len()]);
            for _ in 0..2 {
                linear::backward_weight(&mut dw, &dy, &x, inputs, factors);
                linear::add_column_sums(&mut db, &dy_seen);
            }
            let halved = |g: &[f32]| g.iter().map(|g| g / 2.0).collect::<Vec<_>>();
            close(factors, "dw, added twice", &halved(&dw), &gradients[1], 5e-6);
            close(factors, "db, added twice", &halved(&db), &gradients[2], 5e-6);
        }
    }
}

#[test]
fn a_bias_and_relu_in_the_products_pass_give_the_bits_of_passes_of_their_own() {
    let sizes = [(1, 5, 3), (9, 33, 70), (70, 600, 64), (13, 40, 2047)];
    for ((rows, inputs, outputs), factors) in sizes.into_iter().flat_map(|sizes| BOTH.map(|factors| (sizes, factors))) {
        let (mut x, w, b) = (values(rows * inputs, 1), values(outputs * inputs, 2), values(outputs, 3));
        x[0] = f32::NAN;
        let packed = Packed::new(&w, inputs, factors);
        let mut plain = vec![0f32; rows * outputs];
        linear::forward(&mut plain, &x, &w, inputs, (factors, Threads::All));
        for (then, mut expected) in [(Then::Bias(&b), plain.clone()), (Then::BiasRelu(&b), plain.clone())] {
            match then {
                Then::BiasRelu(b) => relu::forward(&mut expected, b),
                _ => bias::add(&mut expected, &b),
            }
            let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
            let mut y = vec![0f32; rows * outputs];
            linear::forward_then(&mut y, &x, &w, inputs, then, (factors, Threads::All));
            assert!(
                y[0].is_nan() && bits(&y) == bits(&expected),
                "{rows} x {inputs} -> {outputs}, {then:?}, {factors:?}"
            );
            y.fill(0.0);
            let once = used_once(&x, &w, inputs, then, factors);
            packed.forward_then(&mut y, &x, then, Threads::One);
            assert!(
                y[0].is_nan() && bits(&y) == bits(&once),
                "packed, {rows} x {inputs} -> {outputs}, {then:?}, {factors:?}"
            );
        }
    }
}

#[test]
fn the_first_gradient_of_a_weight_overwrites_what_was_there() {
    for (rows, inputs, outputs) in [(1, 1, 1), (530, 70, 601), (40, 700, 601), (64, 33, 40)] {
        let (x, dy) = (values(rows * inputs, 1), values(rows * outputs, 2));
        for factors in BOTH {
            let (mut added, mut first) = (vec![0f32; outputs * inputs], vec![f32::NAN; outputs * inputs]);
            linear::backward_weight(&mut added, &dy, &x, inputs, factors);
            linear::backward_weight_first(&mut first, &dy, &x, inputs, factors);
            assert_eq!(first, added);
        }
    }
    let mut none = vec![f32::NAN; 12];
    linear::backward_weight_first(&mut none, &[], &[], 3, Factors::F32);
    assert_eq!(none, [0.0; 12]);
}

#[test]
fn the_reference_of_linear_keeps_leading_dimensions_and_the_dtype() {
    let y = linear::reference(&tensor(&values(48, 1), &[2, 3, 8]), &tensor(&values(40, 2), &[5, 8]), None).unwrap();
    assert_eq!(y.dims(), [2, 3, 5]);
    let half = tensor(&values(48, 1), &[6, 8]).to_dtype(DType::F16).unwrap();
    let y_half = linear::reference(&half, &tensor(&values(40, 2), &[5, 8]), None).unwrap();
    assert_eq!(y_half.dtype(), DType::F16);
    close(Factors::F32, "half", &flat(&y_half.to_dtype(DType::F32).unwrap()), &flat(&y), 5e-3);
}

#[test]
fn the_heads_gradients_in_bf16_are_near_those_in_f32_but_not_the_same() {
    let (rows, d, vocabulary) = (70, 48, 300);
    let (hidden, table) = (values(rows * d, 1), values(vocabulary * d, 2));
    let labels: Vec<u32> = (0..rows as u32).map(|i| i * 7 % vocabulary as u32).collect();
    let [exact, coarse] = BOTH.map(|factors| {
        let (mut dhidden, mut dtable) = (vec![f32::NAN; rows * d], vec![f32::NAN; vocabulary * d]);
        let mut scratch = cross_entropy::Scratch::default();
        let table_gradient = (&mut dtable[..], false);
        let how = (factors, &mut scratch);
        let loss = cross_entropy::loss_and_gradients(&mut dhidden, table_gradient, &hidden, &table, &labels, how);
        (loss, dhidden, dtable)
    });
    assert!((exact.0 - coarse.0).abs() < 1e-2 * exact.0 && exact.0 != coarse.0, "{} {}", exact.0, coarse.0);
    for (exact, coarse) in [(&exact.1, &coarse.1), (&exact.2, &coarse.2)] {
        let square = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
        let apart = square(&mut exact.iter().zip(coarse).map(|(a, b)| a - b)) / square(&mut exact.iter().copied());
        assert!(apart > 1e-5 && apart < 3e-2, "{apart}");
    }
}
