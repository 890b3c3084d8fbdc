//! What decoders with gates, rotations and root-mean-square norms add: fused functions and references give the same
//! values and the same gradients, both are right on paper, and threads change nothing.

use sigma_kernels::gated::{self, Gate};
use sigma_kernels::rms_norm::{self, Gain};
use sigma_kernels::rope::{self, Heads, Table};

use crate::{by_autograd, difference, values};

fn close(name: &str, a: &[f32], b: &[f32], tolerance: f32) {
    let worst = difference(a, b);
    assert!(worst < tolerance, "{name} differs by {worst}");
}

/// On one thread.
fn alone<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(work)
}

#[test]
fn rms_norm_equals_its_reference() {
    for gain in [Gain::Weight, Gain::OnePlusWeight] {
        for (rows, d) in [(1, 2), (5, 31), (33, 128), (17, 769)] {
            let (x, w, dy) = (values(rows * d, 1), values(d, 2), values(rows * d, 3));
            let shapes: [(&[f32], &[usize]); 2] = [(&x, &[rows, d]), (&w, &[d])];
            let (expected, gradients) =
                by_autograd(&shapes, Some(&dy), |t| rms_norm::reference(&t[0], &t[1], gain, 1e-5));
            let mut y = vec![f32::NAN; x.len()];
            rms_norm::forward(&mut y, &x, &w, gain, 1e-5);
            close("y", &y, &expected, 2e-6);
            let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![0f32; d]);
            rms_norm::backward((&mut dx, false), &mut dw, &dy, &x, &w, (gain, 1e-5));
            close("dx", &dx, &gradients[0], 5e-6);
            close("dw", &dw, &gradients[1], 5e-6);
            let mut onto = vec![3f32; x.len()];
            rms_norm::backward((&mut onto, true), &mut dw, &dy, &x, &w, (gain, 1e-5));
            let added: Vec<f32> = onto.iter().map(|x| x - 3.0).collect();
            close("dx, added", &added, &gradients[0], 1e-5);
            let halved: Vec<f32> = dw.iter().map(|dw| dw / 2.0).collect();
            close("dw, added", &halved, &gradients[1], 5e-6);
        }
    }
}

#[test]
fn rms_norm_does_not_subtract_the_mean_and_has_eps_inside_the_root() {
    let mut y = [0f32; 2];
    rms_norm::forward(&mut y, &[3.0, 3.0], &[1.0, 0.5], Gain::Weight, 7.0);
    close("y", &y, &[0.75, 0.375], 1e-7);
    rms_norm::forward(&mut y, &[3.0, 3.0], &[1.0, 0.5], Gain::OnePlusWeight, 7.0);
    close("y", &y, &[1.5, 1.125], 1e-7);
}

#[test]
fn gates_equal_their_references() {
    for gate in [Gate::Silu, Gate::GeluTanh] {
        for (rows, width) in [(1, 1), (3, 31), (130, 257)] {
            let gate_up: Vec<f32> = values(rows * 2 * width, 1).iter().map(|x| x * 6.0).collect();
            let dz = values(rows * width, 2);
            let shapes: [(&[f32], &[usize]); 1] = [(&gate_up, &[rows, 2 * width])];
            let (expected, gradients) = by_autograd(&shapes, Some(&dz), |t| gated::reference(&t[0], gate));
            let (mut z, mut gradient) = (vec![f32::NAN; dz.len()], vec![f32::NAN; gate_up.len()]);
            gated::forward(&mut z, &gate_up, width, gate);
            close("z", &z, &expected, 1e-6);
            gated::backward(&mut gradient, &dz, &gate_up, width, gate);
            close("gradient", &gradient, &gradients[0], 2e-6);
        }
    }
}

#[test]
fn gates_are_right_from_the_far_tails_to_the_middle() {
    let exact = |gate, g: f64| match gate {
        Gate::Silu => g / (1.0 + (-g).exp()),
        Gate::GeluTanh => g / (1.0 + (-2.0 * 0.797_884_560_802_865_4 * (g + 0.044_715 * g * g * g)).exp()),
    };
    for gate in [Gate::Silu, Gate::GeluTanh] {
        for i in -4000..4000 {
            let g = (f64::from(i) / 4000.0).powi(3) * 80.0;
            // what the kernel is given
            let g = f64::from(g as f32);
            let mut z = [f32::NAN];
            gated::forward(&mut z, &[g as f32, 1.0], 1, gate);
            let expected = exact(gate, g);
            assert!((f64::from(z[0]) - expected).abs() <= 3e-7 * (1.0 + expected.abs()), "{gate:?}({g}) is {}", z[0]);
            let mut gradient = [f32::NAN; 2];
            gated::backward(&mut gradient, &[1.0], &[g as f32, 1.0], 1, gate);
            let slope = (exact(gate, g + 1e-5) - exact(gate, g - 1e-5)) / 2e-5;
            assert!((f64::from(gradient[0]) - slope).abs() < 2e-6, "{gate:?}'({g}) is {}, not {slope}", gradient[0]);
        }
        let mut z = [0f32];
        gated::forward(&mut z, &[f32::NAN, 1.0], 1, gate);
        assert!(z[0].is_nan(), "a NaN must not be hidden");
    }
}

fn frequencies(half: usize) -> Vec<f32> {
    (0..half).map(|j| 10_000f32.powf(-(j as f32) / half as f32)).collect()
}

#[test]
fn turned_heads_equal_their_reference_and_nothing_else_moves() {
    // whole heads, and the first part of each; alone in the rows, and between other things
    for (half, dim, count, start, behind) in [(4, 8, 3, 0, 0), (2, 8, 2, 5, 7), (16, 32, 1, 32, 1), (1, 5, 2, 0, 3)] {
        let (rows, width) = (37, start + count * dim + behind);
        let heads = Heads { width, start, count, dim };
        let positions: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 50).collect();
        let table = Table::new(&frequencies(half), 50, 1.0);
        let inside = |x: &[f32]| -> Vec<f32> {
            x.chunks_exact(width).flat_map(|row| row[start..start + count * dim].to_vec()).collect()
        };
        let (x, dy) = (values(rows * width, 1), values(rows * width, 2));
        let shapes: [(&[f32], &[usize]); 1] = [(&inside(&x), &[rows, count, dim])];
        let (expected, gradients) =
            by_autograd(&shapes, Some(&inside(&dy)), |t| rope::reference(&t[0], &positions, &table));
        let (mut y, mut dx) = (x.clone(), dy.clone());
        rope::forward(&mut y, heads, &positions, &table);
        close("y", &inside(&y), &expected, 1e-6);
        rope::backward(&mut dx, heads, &positions, &table);
        close("dx", &inside(&dx), &gradients[0], 1e-6);
        for (before, after) in [(&x, &y), (&dy, &dx)] {
            for (before, after) in before.chunks_exact(width).zip(after.chunks_exact(width)) {
                let end = start + count * dim;
                assert_eq!((&before[..start], &before[end..]), (&after[..start], &after[end..]));
                for head in (start..end).step_by(dim) {
                    assert_eq!(before[head + 2 * half..head + dim], after[head + 2 * half..head + dim]);
                }
            }
        }
    }
}

#[test]
fn an_element_is_turned_with_the_one_half_a_rotation_further() {
    // a quarter turn per position
    let table = Table::new(&[std::f32::consts::FRAC_PI_2, 0.0], 3, 1.0);
    let heads = Heads { width: 5, start: 0, count: 1, dim: 5 };
    let mut x = [1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    rope::forward(&mut x, heads, &[0, 1], &table);
    close("x", &x, &[1.0, 2.0, 3.0, 4.0, 5.0, -3.0, 2.0, 1.0, 4.0, 5.0], 1e-6);
    rope::backward(&mut x, heads, &[0, 1], &table);
    close("back", &x, &[1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 4.0, 5.0], 1e-6);
    assert_eq!((table.half(), table.positions()), (2, 3));
    let doubled = Table::new(&[std::f32::consts::FRAC_PI_2, 0.0], 3, 2.0);
    let mut x = [1.0, 2.0, 3.0, 4.0, 5.0];
    rope::forward(&mut x, heads, &[1], &doubled);
    close("scaled", &x, &[-6.0, 4.0, 2.0, 8.0, 5.0], 1e-6);
}

#[test]
fn threads_and_batches_change_no_bit_of_gates_rotations_and_root_mean_square_norms() {
    let (rows, d) = (131, 96);
    let (x, w, dy) = (values(rows * d, 1), values(d, 2), values(rows * d, 3));
    let positions: Vec<u32> = (0..rows as u32).collect();
    let table = Table::new(&frequencies(8), rows, 1.0);
    let heads = Heads { width: d, start: 0, count: 6, dim: 16 };
    let all = || {
        let mut y = vec![0f32; x.len()];
        rms_norm::forward(&mut y, &x, &w, Gain::Weight, 1e-6);
        let (mut dx, mut dw) = (vec![0f32; x.len()], vec![0f32; d]);
        rms_norm::backward((&mut dx, false), &mut dw, &dy, &x, &w, (Gain::Weight, 1e-6));
        let (mut z, mut gradient) = (vec![0f32; x.len() / 2], vec![0f32; x.len()]);
        gated::forward(&mut z, &x, d / 2, Gate::Silu);
        gated::backward(&mut gradient, &dy[..z.len()], &x, d / 2, Gate::Silu);
        let mut turned = x.clone();
        rope::forward(&mut turned, heads, &positions, &table);
        [y, dx, dw, z, gradient, turned]
    };
    assert_eq!(all(), alone(all));
    let [y, _, _, z, _, turned] = all();
    let row = 77;
    let one = row * d..(row + 1) * d;
    let (mut y1, mut z1, mut turned1) = (vec![0f32; d], vec![0f32; d / 2], x[one.clone()].to_vec());
    rms_norm::forward(&mut y1, &x[one.clone()], &w, Gain::Weight, 1e-6);
    gated::forward(&mut z1, &x[one.clone()], d / 2, Gate::Silu);
    rope::forward(&mut turned1, heads, &positions[row..=row], &table);
    assert_eq!((&y1[..], &z1[..], &turned1[..]), (&y[one.clone()], &z[row * d / 2..(row + 1) * d / 2], &turned[one]));
}
