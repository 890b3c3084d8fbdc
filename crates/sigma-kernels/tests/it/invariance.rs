//! A row's bits do not depend on the rest of the batch, and no result depends on the number of threads.

use sigma_kernels::attention::{self, Sizes};
use sigma_kernels::cached_attention::{Cache, Heads};
use sigma_kernels::linear::{self, Factors, Then, Threads};
use sigma_kernels::packed::Packed;
use sigma_kernels::{bidirectional_attention, cross_entropy, layer_norm, residual_norm};

use crate::{BOTH, used_once, values};

#[test]
fn a_row_of_linear_has_the_same_bits_in_every_batch_on_one_thread_and_on_all() {
    let sizes = [(32, 8), (16, 96), (128, 2048), (768, 768), (3072, 768)];
    for ((inputs, outputs), factors) in sizes.into_iter().flat_map(|sizes| BOTH.map(|factors| (sizes, factors))) {
        let (x, w) = (values(130 * inputs, 1), values(outputs * inputs, 2));
        let run = |x: &[f32], threads| {
            let mut y = vec![f32::NAN; x.len() / inputs * outputs];
            linear::forward(&mut y, x, &w, inputs, (factors, threads));
            y
        };
        let whole = run(&x, Threads::All);
        for rows in [1, 2, 3, 7, 16, 64, 65, 129] {
            for threads in [Threads::One, Threads::All] {
                let part = run(&x[..rows * inputs], threads);
                assert!(
                    part == whole[..rows * outputs],
                    "{inputs} -> {outputs}, {rows} rows, {threads:?}, {factors:?}"
                );
            }
        }
        // the same rows at another place of the batch
        let moved = run(&x[5 * inputs..25 * inputs], Threads::All);
        assert!(moved == whole[5 * outputs..25 * outputs], "{inputs} -> {outputs}, moved, {factors:?}");
    }
}

#[test]
fn a_packed_weight_gives_the_bits_of_one_that_is_used_once_for_any_rows_and_threads() {
    let sizes = [(1, 1), (32, 8), (16, 96), (128, 2048), (768, 768), (3072, 768), (513, 33), (100, 17)];
    for ((inputs, outputs), factors) in sizes.into_iter().flat_map(|sizes| BOTH.map(|factors| (sizes, factors))) {
        let (x, w) = (values(67 * inputs, 1), values(outputs * inputs, 2));
        let packed = Packed::new(&w, inputs, factors);
        for rows in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 31, 64, 67] {
            let x = &x[..rows * inputs];
            let expected = used_once(x, &w, inputs, Then::Nothing, factors);
            for threads in [Threads::One, Threads::All] {
                let mut y = vec![f32::NAN; rows * outputs];
                packed.forward(&mut y, x, threads);
                assert!(y == expected, "{inputs} -> {outputs}, {rows} rows, {threads:?}, {factors:?}");
            }
        }
    }
}

#[test]
fn cached_attention_of_a_row_ignores_the_other_rows_and_their_lengths() {
    let (heads, d) = (2, 32);
    let (row, other) = (values(40 * 3 * d, 1), values(60 * 3 * d, 2));
    let run = |with_other: bool| {
        let mut cache = Cache::new(1 + usize::from(with_other), 64, Heads::equal(heads, d));
        let mut all = Vec::new();
        // the row gets 37 tokens and then one at a time; the other one has its own length
        let mut at = (0, 0);
        for (n, m) in [(37, 50), (1, 1), (1, 1), (1, 1)] {
            let mut qkv = Vec::new();
            let mut new = Vec::new();
            if with_other {
                qkv.extend_from_slice(&other[at.1 * 3 * d..][..m * 3 * d]);
                new.push(m);
            }
            qkv.extend_from_slice(&row[at.0 * 3 * d..][..n * 3 * d]);
            new.push(n);
            let mut out = vec![f32::NAN; new.iter().sum::<usize>() * d];
            cache.attend(&mut out, &qkv, &new);
            all.extend_from_slice(&out[out.len() - n * d..]);
            at = (at.0 + n, at.1 + m);
        }
        all
    };
    assert!(run(false) == run(true));
}

#[test]
fn rows_that_leave_a_cache_do_not_change_those_that_stay() {
    let (heads, d) = (2, 32);
    let qkv = values(3 * 4 * 3 * d, 1);
    let next = values(2 * 3 * d, 2);
    let run = |rows: &[usize]| {
        let mut cache = Cache::new(3, 16, Heads::equal(heads, d));
        cache.attend(&mut vec![0.0; 3 * 4 * d], &qkv, &[4, 4, 4]);
        if rows.len() < 3 {
            cache.keep_rows(rows);
        }
        let mut out = vec![f32::NAN; rows.len() * d];
        let tokens: Vec<f32> = rows.iter().flat_map(|r| next[r / 2 * 3 * d..][..3 * d].to_vec()).collect();
        cache.attend(&mut out, &tokens, &vec![1; rows.len()]);
        out
    };
    let (all, kept) = (run(&[0, 1, 2]), run(&[0, 2]));
    assert!(kept[..d] == all[..d] && kept[d..] == all[2 * d..]);
}

#[test]
fn bidirectional_attention_and_a_residual_with_its_norm_ignore_the_other_rows_and_their_place() {
    let (heads, d) = (3, 96);
    let (bias, x) = (values(3 * d, 1), values(200 * 3 * d, 2));
    let run = |lens: &[usize], first: usize| {
        let tokens: usize = lens.iter().sum();
        let mut qkv = x[first * 3 * d..][..tokens * 3 * d].to_vec();
        let mut out = vec![f32::NAN; tokens * d];
        bidirectional_attention::forward(&mut out, &mut qkv, &bias, lens, heads, &mut Default::default());
        residual_norm::forward(
            &mut out,
            &x[first * d..][..tokens * d],
            &bias[..d],
            (&bias[d..2 * d], &bias[2 * d..]),
            1e-12,
        );
        out
    };
    let lens = [7, 1, 64, 33, 20];
    let whole = run(&lens, 0);
    let mut first = 0;
    for len in lens {
        assert!(run(&[len], first) == whole[first * d..][..len * d], "the row of {len} tokens");
        first += len;
    }
}

#[test]
fn results_and_gradients_have_the_same_bits_on_one_two_and_five_threads() {
    let run = || {
        let sizes = Sizes { batch: 2, time: 75, width: 64, heads: 4 };
        let (x, g, b, w) = (values(150 * 192, 1), values(192, 3), values(192, 4), values(300 * 64, 2));
        let mut qkv = vec![0f32; x.len()];
        layer_norm::forward(&mut qkv, &x, &g, &b, 1e-5);
        let mut h = vec![0f32; 150 * 64];
        attention::forward(&mut h, &qkv, sizes);
        let labels: Vec<u32> = (0..150).collect();
        let (mut dh, mut dw, mut scratch) = (vec![0f32; h.len()], vec![0f32; w.len()], Default::default());
        let loss =
            cross_entropy::loss_and_gradients(&mut dh, (&mut dw, true), &h, &w, &labels, (Factors::F32, &mut scratch));
        let mut dqkv = vec![0f32; qkv.len()];
        attention::backward(&mut dqkv, &dh, &qkv, sizes);
        let (mut dx, mut dg, mut db) = (vec![0f32; x.len()], vec![0f32; 192], vec![0f32; 192]);
        layer_norm::backward((&mut dx, false), &mut dg, &mut db, &dqkv, &x, &g, 1e-5);
        let (mut din, mut dwide) = (vec![0f32; 150 * 64], vec![0f32; 192 * 64]);
        linear::backward_input(&mut din, &dqkv, &values(192 * 64, 5), 64, Factors::F32);
        linear::backward_weight(&mut dwide, &dqkv, &h, 64, Factors::F32);
        // more outputs than are read as they lie
        let (dy, mut dlarge) = (values(150 * 600, 6), vec![0f32; 600 * 64]);
        linear::backward_weight(&mut dlarge, &dy, &h, 64, Factors::F32);
        (loss, dw, dx, dg, db, din, dwide, dlarge)
    };
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    let one = on(1);
    assert!(one == on(2) && one == on(5));
}
