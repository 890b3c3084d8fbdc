//! A row's bits do not depend on the rest of the batch, and no result depends on the number of threads.

use candle_core::Tensor;
use sigma_kernels::cached_attention::Columns;
use sigma_kernels::{cached_attention, causal_attention, layer_norm, linear, lm_head_loss};

use crate::{flat, values};

#[test]
fn a_row_of_linear_has_the_same_bits_in_every_batch() {
    for (inner, out) in [(32, 8), (16, 96), (128, 2048), (768, 768), (3072, 768)] {
        let (x, w, b) = (values(&[130, inner], 1), values(&[out, inner], 2), values(&[out], 3));
        let whole = linear(&x, &w, Some(&b)).unwrap();
        for rows in [1, 2, 3, 7, 16, 64, 65, 129] {
            let part = linear(&x.narrow(0, 0, rows).unwrap(), &w, Some(&b)).unwrap();
            assert_eq!(flat(&part), flat(&whole.narrow(0, 0, rows).unwrap()), "{inner} -> {out}, {rows} rows");
        }
        // the same row at another place of the batch
        let moved = linear(&x.narrow(0, 5, 20).unwrap().contiguous().unwrap(), &w, Some(&b)).unwrap();
        assert_eq!(flat(&moved), flat(&whole.narrow(0, 5, 20).unwrap()), "{inner} -> {out}, moved");
    }
}

#[test]
fn cached_attention_of_a_row_ignores_padding_and_the_other_rows() {
    let (heads, d, prompt) = (2, 16, 3);
    // the row alone: prompt of 3 columns, then two generated columns
    let (k, v, q) = (values(&[1, 5, d], 1), values(&[1, 5, d], 2), values(&[1, 1, d], 3));
    let alone = Columns { prompt_lens: &[prompt], prompt_columns: prompt, first: 4 };
    let alone = cached_attention(&q, &k, &v, heads, alone).unwrap();
    // the same row second in a batch with a prompt of 6 columns: columns 3..6 are padding (here: large values)
    let pad = (values(&[1, 3, d], 9) * 100.0).unwrap();
    let widen = |x: &Tensor| {
        let x = Tensor::cat(&[&x.narrow(1, 0, 3).unwrap(), &pad, &x.narrow(1, 3, 2).unwrap()], 1).unwrap();
        Tensor::cat(&[&values(&[1, 8, d], 7), &x], 0).unwrap()
    };
    let columns = Columns { prompt_lens: &[6, prompt], prompt_columns: 6, first: 7 };
    let q = Tensor::cat(&[&values(&[1, 1, d], 8), &q], 0).unwrap();
    let batched = cached_attention(&q, &widen(&k), &widen(&v), heads, columns).unwrap();
    assert_eq!(flat(&batched.get(1).unwrap()), flat(&alone.get(0).unwrap()));
}

#[test]
fn results_and_gradients_have_the_same_bits_on_one_two_and_five_threads() {
    let run = || {
        let x = candle_core::Var::from_tensor(&values(&[150, 64], 1)).unwrap();
        let w = candle_core::Var::from_tensor(&values(&[300, 64], 2)).unwrap();
        let (g, b) = (values(&[64], 3), values(&[64], 4));
        let h = layer_norm(&x, &g, &b, 1e-5).unwrap().reshape((2, 75, 64)).unwrap();
        let h = causal_attention(&h, &h, &h, 4).unwrap().reshape((150, 64)).unwrap();
        let labels: Vec<u32> = (0..150).collect();
        let loss = lm_head_loss(&h, &w, &labels).unwrap();
        let gradients = loss.backward().unwrap();
        (flat(&loss), flat(gradients.get(&x).unwrap()), flat(gradients.get(&w).unwrap()))
    };
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    let one = on(1);
    assert!(one == on(2) && one == on(5));
}
