//! Each operation of the models in CUDA against the CPU's, at sizes that fill neither warps nor blocks, in every
//! precision; on the emulator, and on the CUDA device that `SIGMA_EXP_GPU` names.

use sigma_kernels::dropout::Mask;
use sigma_kernels::gpu::{Arg, Buffer, Dtype, Gpu};
use sigma_kernels::linear::Factors;
use sigma_kernels::{bias, cross_entropy, embedding, layer_norm, linear, relu, residual};

use crate::gpu::{as_f32, gpus, rounded};
use crate::{difference, values};

pub(crate) const BLOCK: u32 = 128;
pub(crate) const PRECISIONS: [(Dtype, f32); 3] = [(Dtype::F32, 1e-5), (Dtype::F16, 2e-3), (Dtype::Bf16, 1.6e-2)];

pub(crate) fn n(count: usize) -> Arg<'static> {
    Arg::U32(count as u32)
}

/// A thread for each of `threads`.
fn each(gpu: &Gpu, kernel: &str, threads: usize, args: &[Arg<'_>]) {
    gpu.launch(kernel, (threads.div_ceil(BLOCK as usize) as u32, 1), BLOCK, 0, args).unwrap();
}

/// A warp for each of `rows`, with `floats` of shared memory.
pub(crate) fn each_row(gpu: &Gpu, kernel: &str, rows: usize, floats: usize, args: &[Arg<'_>]) {
    let warps = BLOCK / 32;
    gpu.launch(kernel, (rows.div_ceil(warps as usize) as u32, 1), BLOCK, 4 * warps * floats as u32, args).unwrap();
}

pub(crate) fn each_block(gpu: &Gpu, kernel: &str, blocks: usize, args: &[Arg<'_>]) {
    gpu.launch(kernel, (blocks as u32, 1), BLOCK, 0, args).unwrap();
}

pub(crate) fn typed(kernel: &str, dtype: Dtype) -> String {
    format!("{kernel}_{}", dtype.suffix())
}

pub(crate) fn close(what: &str, ours: &Buffer, expected: &[f32], tolerance: f32) {
    let apart = difference(&as_f32(ours), expected);
    assert!(apart < tolerance, "{what}, {}: {apart}", ours.dtype());
}

/// Key, threshold and scale of a mask, of which the key is in device memory.
fn masked<'a>(mask: Option<Mask>, key: &'a Buffer) -> [Arg<'a>; 3] {
    let p = mask.map_or(0.0, |mask| mask.p);
    let key = if mask.is_some() { key.into() } else { Arg::Null };
    [key, Arg::U64((p * 4_294_967_296.0) as u64), Arg::F32((1.0 / (1.0 - p)) as f32)]
}

const MASKS: [Option<Mask>; 3] = [None, Some(Mask { p: 0.1, key: 42 }), Some(Mask { p: 0.9, key: u64::MAX - 3 })];

/// A block for as many columns as 64 bytes hold.
fn each_sum(gpu: &Gpu, kernel: &str, columns: usize, dtype: Dtype, args: &[Arg<'_>]) {
    each_block(gpu, kernel, columns.div_ceil(64 / dtype.size()), args);
}

#[test]
fn layer_norm_and_its_gradients() {
    for gpu in gpus() {
        for (rows, d) in [(1, 7), (5, 33), (70, 100)] {
            let (x, dy) = (values(rows * d, 1), values(rows * d, 2));
            let (weight, shift) = (values(d, 3), values(d, 4));
            let upload = |values: &[f32]| gpu.upload(values).unwrap();
            let (on_x, on_dy, on_weight, on_shift) = (upload(&x), upload(&dy), upload(&weight), upload(&shift));
            let moments = gpu.alloc(Dtype::F32, 2 * rows).unwrap();
            let mut expected = vec![0f32; rows * d];
            layer_norm::forward(&mut expected, &x, &weight, &shift, 1e-5);
            for (dtype, tolerance) in PRECISIONS {
                let (y, exact) = (gpu.alloc(dtype, rows * d).unwrap(), gpu.alloc(Dtype::F32, rows * d).unwrap());
                let args = [&y, &exact, &moments, &on_x, &on_weight, &on_shift].map(Arg::from);
                let args = [&args[..], &[n(rows), n(d), Arg::F32(1e-5)]].concat();
                each_row(&gpu, &typed("layer_norm", dtype), rows, 0, &args);
                close("norm", &y, &expected, tolerance);
                close("exact norm", &exact, &expected, 1e-5);
            }
            for (accumulate, mask) in [false, true].into_iter().flat_map(|add| MASKS.map(|mask| (add, mask))) {
                let start = values(rows * d, 5);
                let mut dx = start.clone();
                let (mut dweight, mut dshift) = (vec![0f32; d], vec![0f32; d]);
                layer_norm::backward((&mut dx, accumulate), &mut dweight, &mut dshift, &dy, &x, &weight, 1e-5);
                let mut dropped = dx.clone();
                if let Some(mask) = mask {
                    mask.apply(&mut dropped);
                }
                let key = gpu.upload(&[mask.map_or(0, |mask| mask.key)]).unwrap();
                for (dtype, tolerance) in PRECISIONS {
                    let (on_dx, on_dropped) = (upload(&start), gpu.alloc(dtype, rows * d).unwrap());
                    let args = [&on_dx, &on_dropped, &on_dy, &on_x, &moments, &on_weight].map(Arg::from);
                    let args = [&args[..], &[n(d), n(usize::from(accumulate))], &masked(mask, &key)].concat();
                    each_block(&gpu, &typed("layer_norm_backward", dtype), rows, &args);
                    close("dx", &on_dx, &dx, 1e-4);
                    close("dropped dx", &on_dropped, &dropped, 1e-4 + tolerance);
                }
                let total = gpu.alloc(Dtype::F32, 2 * d).unwrap();
                let args = [&total, &moments, &on_dy, &on_x].map(Arg::from);
                let args = [&args[..], &[n(rows), n(d)]].concat();
                each_sum(&gpu, "layer_norm_parameters", d, Dtype::F32, &args);
                close("dweight, dbias", &total, &[dweight, dshift].concat(), 1e-4);
            }
        }
    }
}

/// Widths whose rows begin in the middle of a pair that shares a draw, and one with whole 16 bytes.
#[test]
fn a_residual_and_the_norm_after_it_are_those_two_one_after_the_other() {
    for gpu in gpus() {
        for (rows, d) in [(1, 7), (13, 21), (5, 640)] {
            let inputs = [(rows * d, 1), (rows * d, 2), (d, 3), (d, 4), (d, 5)].map(|(len, seed)| values(len, seed));
            let [x, y, bias, weight, shift] = &inputs;
            let [on_x, on_y, on_bias, on_weight, on_shift] = &inputs.each_ref().map(|v| gpu.upload(v).unwrap());
            for (mask, (dtype, tolerance)) in MASKS.into_iter().flat_map(|mask| PRECISIONS.map(|case| (mask, case))) {
                let (mut sum, mut scratch, mut normed) = (vec![0f32; rows * d], y.clone(), vec![0f32; rows * d]);
                residual::add(&mut sum, x, &mut scratch, bias, mask);
                layer_norm::forward(&mut normed, &sum, weight, shift, 1e-5);
                let key = gpu.upload(&[mask.map_or(0, |mask| mask.key)]).unwrap();
                let alloc = |dtype, len| gpu.alloc(dtype, len).unwrap();
                let (out, to, exact) =
                    (alloc(Dtype::F32, rows * d), alloc(dtype, rows * d), alloc(Dtype::F32, rows * d));
                let moments = alloc(Dtype::F32, 2 * rows);
                let launch = |[out, exact, moments]: [Arg<'_>; 3], base: &Buffer| {
                    let args = [out, (&to).into(), exact, moments, base.into(), on_y.into(), on_bias.into()];
                    let norm = [on_weight.into(), on_shift.into(), n(d), Arg::F32(1e-5)];
                    let args = [&args[..], &masked(mask, &key), &norm].concat();
                    gpu.launch(&typed("residual_norm", dtype), (rows as u32, 1), BLOCK, 4 * d as u32, &args).unwrap();
                };
                launch([(&out).into(), (&exact).into(), (&moments).into()], on_x);
                close("sum", &out, &sum, 1e-6);
                close("norm", &to, &normed, tolerance + 1e-5);
                close("exact norm", &exact, &normed, 2e-5);
                for (row, moments) in as_f32(&moments).chunks(2).enumerate() {
                    let own = sum[row * d..][..d].iter().map(|x| f64::from(*x));
                    let mean = own.clone().sum::<f64>() / d as f64;
                    let variance = own.map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
                    let expected = [mean as f32, (1.0 / (variance + 1e-5).sqrt()) as f32];
                    assert!(difference(moments, &expected) < 1e-5, "{moments:?} {expected:?}");
                }
                // in place: with norms after, the normalised states are the stream
                to.clear().unwrap();
                out.copy_from(0, on_x.view()).unwrap();
                launch([Arg::Null, (&out).into(), Arg::Null], &out);
                close("norm in place", &to, &normed, tolerance + 1e-5);
                close("exact norm in place", &out, &normed, 2e-5);
            }
        }
    }
}

/// Rows of whole 16 bytes, and others.
#[test]
fn biases_activations_and_column_sums() {
    for (gpu, (rows, d)) in
        gpus().into_iter().flat_map(|gpu| [(37, 45), (70, 48), (3, 1)].map(|size| (gpu.clone(), size)))
    {
        for (dtype, tolerance) in PRECISIONS {
            let (input, x) = rounded(&gpu, &values(rows * d, 1), dtype);
            let shift = values(d, 2);
            let on_shift = gpu.upload(&shift).unwrap();
            let apply = |kernel: &str| {
                let y = gpu.alloc(dtype, rows * d).unwrap();
                y.copy_from(0, input.view()).unwrap();
                let args = [(&y).into(), (&on_shift).into(), n(rows * d), n(d)];
                each(&gpu, &typed(kernel, dtype), (rows * d).div_ceil(16 / dtype.size()), &args);
                y
            };
            let mut expected = x.clone();
            bias::add(&mut expected, &shift);
            close("bias", &apply("bias"), &expected, tolerance);
            let gelu = |x: &f32| {
                let x = f64::from(*x);
                // the error function by its series, which converges for arguments of this size
                let z = x / 2f64.sqrt();
                let (mut term, mut sum) = (z, z);
                for k in 1..60 {
                    term *= -z * z / f64::from(k);
                    sum += term / f64::from(2 * k + 1);
                }
                (0.5 * x * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)) as f32
            };
            close("gelu", &apply("bias_gelu"), &expected.iter().map(gelu).collect::<Vec<_>>(), tolerance);
            let mut expected = x.clone();
            relu::forward(&mut expected, &shift);
            let y = apply("bias_relu");
            close("relu", &y, &expected, tolerance);
            let total = gpu.alloc(Dtype::F32, d).unwrap();
            let (dy, mut dx) = rounded(&gpu, &values(rows * d, 3), dtype);
            relu::backward(&mut dx, &as_f32(&y));
            let args = [(&total).into(), (&dy).into(), (&y).into(), n(rows), n(d)];
            each_sum(&gpu, &typed("relu_backward", dtype), d, dtype, &args);
            close("relu backward", &dy, &dx, 1e-6);
            let mut sums = vec![0f32; d];
            linear::add_column_sums(&mut sums, &dx);
            close("sums of relu backward", &total, &sums, 1e-5);

            let mut sums = vec![0f32; d];
            linear::add_column_sums(&mut sums, &x);
            let args = [(&total).into(), (&input).into(), n(rows), n(d)];
            each_sum(&gpu, &typed("column_sums", dtype), d, dtype, &args);
            close("column sums", &total, &sums, 1e-5);
        }
    }
}

#[test]
fn residuals_drop_the_cpu_s_elements_on_both_ways() {
    for gpu in gpus() {
        // an odd number of elements: the last has no partner
        let (rows, d) = (13, 21);
        let (x, y, shift) = (values(rows * d, 1), values(rows * d, 2), values(d, 3));
        let on = [&x, &y, &shift].map(|values| gpu.upload(values).unwrap());
        for mask in MASKS {
            let (mut expected, mut scratch) = (vec![0f32; rows * d], y.clone());
            residual::add(&mut expected, &x, &mut scratch, &shift, mask);
            let key = gpu.upload(&[mask.map_or(0, |mask| mask.key)]).unwrap();
            let out = gpu.alloc(Dtype::F32, rows * d).unwrap();
            let args = [(&out).into(), (&on[0]).into(), (&on[1]).into(), (&on[2]).into(), n(rows * d), n(d)];
            each(&gpu, "residual", rows * d, &[&args[..], &masked(mask, &key)].concat());
            close("residual", &out, &expected, 1e-6);
            let mut expected = x.clone();
            if let Some(mask) = mask {
                mask.apply(&mut expected);
            }
            for (dtype, tolerance) in PRECISIONS {
                let dy = gpu.alloc(dtype, rows * d).unwrap();
                let args = [&[(&dy).into(), (&on[0]).into(), n(rows * d)][..], &masked(mask, &key)].concat();
                each(&gpu, &typed("residual_backward", dtype), rows * d, &args);
                close("residual backward", &dy, &expected, tolerance);
            }
        }
        each(&gpu, "accumulate", rows * d, &[(&on[0]).into(), (&on[1]).into(), n(rows * d)]);
        let mut sum = x.clone();
        residual::accumulate(&mut sum, &y);
        close("accumulate", &on[0], &sum, 1e-7);
    }
}

#[test]
fn embeddings_and_their_gradients() {
    for gpu in gpus() {
        let (vocabulary, d, batch, time) = (11, 19, 3, 5);
        let rows = batch * time;
        let (table, positions, dy) = (values(vocabulary * d, 1), values((time + 2) * d, 2), values(rows * d, 3));
        let ids: Vec<u32> = (0..rows as u32).map(|i| i * 7 % 4 + 1).collect();
        let at: Vec<u32> = (0..rows).map(|i| (i % time) as u32).collect();
        let on = [&table, &positions, &dy].map(|values| gpu.upload(values).unwrap());
        let (on_ids, on_at) = (gpu.upload(&ids).unwrap(), gpu.upload(&at).unwrap());
        let mut expected = vec![0f32; rows * d];
        embedding::forward(&mut expected, &table, &ids, d);
        for (dtype, tolerance) in PRECISIONS {
            let y = gpu.alloc(dtype, rows * d).unwrap();
            let args = [(&y).into(), (&on[0]).into(), (&on_ids).into(), n(d)];
            each_block(&gpu, &typed("gather", dtype), rows, &args);
            close("gather", &y, &expected, tolerance);
        }
        let places: Vec<u32> = at.iter().map(|i| i + 2).collect();
        embedding::add(&mut expected, &positions, &places, d);
        let stream = gpu.alloc(Dtype::F32, rows * d).unwrap();
        let args = [(&stream).into(), (&on[0]).into(), (&on[1]).into(), (&on_ids).into(), (&on_at).into(), n(2), n(d)];
        each_block(&gpu, "embed", rows, &args);
        close("embed", &stream, &expected, 1e-7);

        let mut gradient = values(vocabulary * d, 4);
        let on_gradient = gpu.upload(&gradient).unwrap();
        embedding::backward(&mut gradient, &dy, &ids, d, Some(1));
        let mut order: Vec<u32> = (0..rows as u32).filter(|i| ids[*i as usize] != 1).collect();
        order.sort_by_key(|i| ids[*i as usize]);
        let starts: Vec<u32> = (0..=order.len() as u32)
            .filter(|i| {
                let id = |i: u32| order.get(i as usize).map(|row| ids[*row as usize]);
                *i == 0 || id(*i) != id(i - 1)
            })
            .collect();
        let distinct: Vec<u32> = starts[..starts.len() - 1].iter().map(|i| ids[order[*i as usize] as usize]).collect();
        let count = gpu.upload(&[distinct.len() as u32]).unwrap();
        let lists = [&distinct, &starts, &order].map(|list| gpu.upload(list).unwrap());
        let args = [(&on_gradient).into(), (&on[2]).into(), (&lists[0]).into(), (&lists[1]).into(), (&lists[2]).into()];
        // more blocks than distinct ids, as a captured launch has
        each_block(&gpu, "embedding_backward", rows, &[&args[..], &[(&count).into(), n(d)]].concat());
        close("embedding backward", &on_gradient, &gradient, 1e-6);

        let mut gradient = vec![0f32; (time + 2) * d];
        embedding::backward(&mut gradient, &dy, &places, d, None);
        let on_gradient = gpu.alloc(Dtype::F32, (time + 2) * d).unwrap();
        let args = [(&on_gradient).into(), (&on[2]).into(), n(batch), n(time), n(2), n(d)];
        each_block(&gpu, "position_backward", time, &args);
        close("position backward", &on_gradient, &gradient, 1e-6);
    }
}

#[test]
fn cross_entropy_and_its_gradient() {
    for (gpu, vocabulary) in gpus().into_iter().flat_map(|gpu| [301, 4096].map(|size| (gpu.clone(), size))) {
        let (rows, d) = (6, 5);
        let (hidden, table) = (values(rows * d, 1), values(vocabulary * d, 2));
        let labels: Vec<u32> = (0..rows as u32).map(|i| i * 60).collect();
        let (mut dhidden, mut dtable) = (vec![0f32; rows * d], vec![0f32; vocabulary * d]);
        let mut scratch = cross_entropy::Scratch::default();
        let table_gradient = (&mut dtable[..], false);
        let how = (Factors::F32, &mut scratch);
        let loss = cross_entropy::loss_and_gradients(&mut dhidden, table_gradient, &hidden, &table, &labels, how);
        let mut logits = vec![0f32; rows * vocabulary];
        linear::forward(&mut logits, &hidden, &table, d, (Factors::F32, linear::Threads::One));
        let (on_logits, on_labels) = (gpu.upload(&logits).unwrap(), gpu.upload(&labels).unwrap());
        let scale = gpu.upload(&[1.0f64]).unwrap();
        for (dtype, tolerance) in PRECISIONS {
            let losses = gpu.alloc(Dtype::F32, rows).unwrap();
            let gradient = gpu.alloc(dtype, rows * vocabulary).unwrap();
            let args =
                [(&losses).into(), (&gradient).into(), (&on_logits).into(), (&on_labels).into(), (&scale).into()];
            each_block(&gpu, &typed("cross_entropy", dtype), rows, &[&args[..], &[n(rows), n(vocabulary)]].concat());
            let mean = gpu.alloc(Dtype::F64, 1).unwrap();
            each_block(&gpu, "mean", 1, &[(&mean).into(), (&losses).into(), n(rows)]);
            assert!((mean.read::<f64>(0..1).unwrap()[0] - f64::from(loss)).abs() < 1e-5);
            // by the hidden states: the gradient of the logits times the table
            let mut by_hidden = vec![0f32; rows * d];
            linear::backward_input(&mut by_hidden, &as_f32(&gradient), &table, d, Factors::F32);
            assert!(difference(&by_hidden, &dhidden) < tolerance, "{dtype}");
        }
    }
}
