//! Attention in CUDA against the CPU's and against plain loops, in every precision; on the emulator, and on the CUDA
//! device that `SIGMA_EXP_GPU` names.

use sigma_kernels::cached_attention::{Cache, Heads};
use sigma_kernels::gpu::{Arg, Dtype};

use crate::gpu::{as_f32, gpus, rounded};
use crate::operations_on_gpu::{PRECISIONS, close, each_block, each_row, n, typed};
use crate::{difference, values};

/// 70 tokens: more than a warp has lanes, and more than twice what a block reads at once.
#[test]
fn attention_over_a_cache_that_grows_token_by_token() {
    for gpu in gpus() {
        let (rows, heads, capacity) = (3, 2, 71);
        for ((dtype, tolerance), width) in PRECISIONS.into_iter().flat_map(|case| [5, 12, 64, 80].map(|w| (case, w))) {
            let (d, per_lane) = (heads * width, 16 / dtype.size());
            let mut cache = Cache::new(rows, capacity, Heads::equal(heads, d));
            let space = || gpu.alloc(dtype, rows * capacity * d).unwrap();
            let caches = [[space(), space()], [space(), space()]];
            let out = gpu.alloc(dtype, rows * d).unwrap();
            // all of them run
            let states = gpu.alloc(Dtype::U32, rows).unwrap();
            for step in 0..70 {
                let (qkv, values_of_step) = rounded(&gpu, &values(rows * 3 * d, 100 + step as u64), dtype);
                let lens = gpu.upload(&vec![step as u32; rows]).unwrap();
                let mut expected = vec![0f32; rows * d];
                cache.attend(&mut expected, &values_of_step, &vec![1; rows]);
                let args = |cache: usize, sizes: &[usize]| -> Vec<Arg<'_>> {
                    let [keys, values] = &caches[cache];
                    let buffers = [&out, keys, values, &qkv, &lens, &states].map(Arg::from);
                    buffers.into_iter().chain(sizes.iter().map(|size| n(*size))).collect()
                };
                let sizes = [rows, heads, width, capacity];
                let kernel = typed("cached_attention", dtype);
                each_row(&gpu, &kernel, rows * heads, capacity + width, &args(0, &sizes));
                close(&format!("{dtype} {width} step {step}"), &out, &expected, tolerance);
                if width % per_lane == 0 {
                    out.clear().unwrap();
                    let lanes = (width / per_lane).next_power_of_two();
                    let args = args(1, &[heads, width, capacity, lanes]);
                    let (kernel, blocks) = (typed("cached_attention_wide", dtype), (rows * heads) as u32);
                    gpu.launch(&kernel, (blocks, 1), 32, 0, &args).unwrap();
                    close(&format!("wide: {dtype} {width} step {step}"), &out, &expected, tolerance);
                }
            }
            // the last step again, while a row idles
            states.write(1, &[4u32]).unwrap();
            let (qkv, _) = rounded(&gpu, &values(rows * 3 * d, 169), dtype);
            let lens = gpu.upload(&vec![69u32; rows]).unwrap();
            for (cache, kernel) in [(0, "cached_attention"), (1, "cached_attention_wide")] {
                if cache == 1 && width % per_lane != 0 {
                    continue;
                }
                let before = as_f32(&out);
                out.clear().unwrap();
                let [keys, values] = &caches[cache];
                let args = [&out, keys, values, &qkv, &lens, &states].map(Arg::from);
                let sizes = [rows, heads, width, capacity, (width / per_lane).next_power_of_two()].map(n);
                if cache == 0 {
                    let args = [&args[..], &sizes[..4]].concat();
                    each_row(&gpu, &typed(kernel, dtype), rows * heads, capacity + width, &args);
                } else {
                    let args = [&args[..], &sizes[1..]].concat();
                    gpu.launch(&typed(kernel, dtype), ((rows * heads) as u32, 1), 32, 0, &args).unwrap();
                }
                let after = as_f32(&out);
                assert!(after[d..2 * d].iter().all(|x| *x == 0.0), "{kernel}: the row that idles was written");
                for row in [0, 2] {
                    let own = row * d..(row + 1) * d;
                    assert!(difference(&after[own.clone()], &before[own]) < tolerance, "{kernel}: row {row}");
                }
                let (whole, _) = rounded(&gpu, &before, dtype);
                out.copy_from(0, whole.view()).unwrap();
            }
        }
    }
}

/// Texts of less than a tile of 64 tokens, of a tile, and of more, and heads that are read 16 bytes at a time, and
/// others.
#[test]
fn attention_of_whole_texts_and_their_means() {
    for (gpu, width) in gpus().into_iter().flat_map(|gpu| [10, 12, 64].map(|width| (gpu.clone(), width))) {
        let (heads, lens) = (3, [5usize, 1, 64, 140]);
        let (d, tokens) = (heads * width, lens.iter().sum::<usize>());
        let (qkv, x) = rounded(&gpu, &values(tokens * 3 * d, 1), Dtype::F32);
        let (mut begins, mut ends, mut starts, mut tiles) = (Vec::new(), Vec::new(), vec![0u32], Vec::new());
        let mut expected = vec![0f32; tokens * d];
        let mut begin = 0;
        for len in lens {
            for query in begin..begin + len {
                for head in 0..heads {
                    let part = |token: usize, kind: usize| &x[token * 3 * d + kind * d + head * width..][..width];
                    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                    let score = |key| (dot(part(query, 0), part(key, 1)) / (width as f64).sqrt()).exp();
                    let scores: Vec<f64> = (begin..begin + len).map(score).collect();
                    let total: f64 = scores.iter().sum();
                    for (key, score) in (begin..).zip(&scores) {
                        for (out, v) in expected[query * d + head * width..].iter_mut().zip(part(key, 2)) {
                            *out += (score / total) as f32 * v;
                        }
                    }
                }
                begins.push(begin as u32);
                ends.push((begin + len) as u32);
            }
            let text = [begin as u32, (begin + len) as u32];
            tiles.extend((text[0]..text[1]).step_by(64).flat_map(|first| [first, text[0], text[1]]));
            begin += len;
            starts.push(begin as u32);
        }
        let out = gpu.alloc(Dtype::F32, tokens * d).unwrap();
        let lists = [&begins, &ends, &starts].map(|list| gpu.upload(list).unwrap());
        let args = [(&out).into(), (&qkv).into(), (&lists[0]).into(), (&lists[1]).into()];
        let args = [&args[..], &[n(tokens), n(heads), n(width), n(140)]].concat();
        each_row(&gpu, "full_attention_f32", tokens * heads, 140, &args);
        close("attention", &out, &expected, 1e-5);
        if width % 4 == 0 {
            out.clear().unwrap();
            let on_tiles = gpu.upload(&tiles).unwrap();
            let args = [(&out).into(), (&qkv).into(), (&on_tiles).into(), n(heads), n(width)];
            let grid = ((tiles.len() / 3) as u32, heads as u32);
            gpu.launch("full_attention_tiled", grid, 256, 3 * 4 * 64 * 68, &args).unwrap();
            close("tiled attention", &out, &expected, 1e-5);
        }

        let pooled = gpu.alloc(Dtype::F32, lens.len() * d).unwrap();
        let args = [(&pooled).into(), (&out).into(), (&lists[2]).into(), n(d)];
        each_block(&gpu, "mean_pool", lens.len(), &args);
        let mean = |text: usize, column: usize| {
            let rows = starts[text] as usize..starts[text + 1] as usize;
            rows.clone().map(|row| expected[row * d + column]).sum::<f32>() / rows.len() as f32
        };
        let means: Vec<f32> = (0..lens.len() * d).map(|i| mean(i / d, i % d)).collect();
        close("means", &pooled, &means, 1e-5);
    }
}

#[test]
fn causal_softmax_and_its_gradient_over_padded_rows() {
    for gpu in gpus() {
        let (pairs, time, stride) = (3, 13, 16);
        let rows = pairs * time;
        let (scores, dp) = (values(rows * stride, 1), values(rows * stride, 2));
        let on = [&scores, &dp].map(|values| gpu.upload(values).unwrap());
        for (dtype, tolerance) in PRECISIONS {
            let (p, ds) = (gpu.alloc(dtype, rows * stride).unwrap(), gpu.alloc(dtype, rows * stride).unwrap());
            let sizes = [n(rows), n(time), n(stride)];
            let args = [&[(&p).into(), (&on[0]).into()], &sizes[..]].concat();
            each_row(&gpu, &typed("causal_softmax", dtype), rows, 0, &args);
            let args = [&[(&ds).into(), (&p).into(), (&on[1]).into()], &sizes[..]].concat();
            each_row(&gpu, &typed("causal_softmax_backward", dtype), rows, 0, &args);
            let (p, ds) = (as_f32(&p), as_f32(&ds));
            for row in 0..rows {
                let (seen, at) = (row % time + 1, row * stride);
                let total: f64 = scores[at..][..seen].iter().map(|x| f64::from(*x).exp()).sum();
                let share = |i: usize| if i < seen { (f64::from(scores[at + i]).exp() / total) as f32 } else { 0.0 };
                let shares: Vec<f32> = (0..time).map(share).collect();
                assert!(difference(&p[at..][..time], &shares) < tolerance, "{dtype} row {row}");
                let inner: f32 = shares.iter().zip(&dp[at..]).map(|(p, g)| p * g).sum();
                let expected: Vec<f32> = shares.iter().zip(&dp[at..]).map(|(p, g)| p * (g - inner)).collect();
                assert!(difference(&ds[at..][..time], &expected) < tolerance, "{dtype} row {row}");
            }
        }
    }
}

/// Causal attention of one head over rows of `width`, and its gradients by queries, keys and values, by plain loops in
/// f64.
fn causal(q: &[f64], k: &[f64], v: &[f64], dout: &[f64], width: usize) -> [Vec<f64>; 4] {
    let (time, scale) = (q.len() / width, 1.0 / (width as f64).sqrt());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let row = |x: &[f64], i: usize| x[i * width..(i + 1) * width].to_vec();
    let [mut out, mut dq, mut dk, mut dv] = [(); 4].map(|()| vec![0f64; time * width]);
    let add = |to: &mut [f64], i: usize, x: &[f64], factor: f64| {
        to[i * width..].iter_mut().zip(x).for_each(|(to, x)| *to += factor * x);
    };
    for i in 0..time {
        let shares: Vec<f64> = (0..=i).map(|j| (scale * dot(&row(q, i), &row(k, j))).exp()).collect();
        let total: f64 = shares.iter().sum();
        let by_share: Vec<f64> = (0..=i).map(|j| dot(&row(dout, i), &row(v, j))).collect();
        let inner: f64 = shares.iter().zip(&by_share).map(|(share, by)| share / total * by).sum();
        for (j, share) in shares.iter().map(|share| share / total).enumerate() {
            add(&mut out, i, &row(v, j), share);
            add(&mut dv, j, &row(dout, i), share);
            let dscore = scale * share * (by_share[j] - inner);
            add(&mut dq, i, &row(k, j), dscore);
            add(&mut dk, j, &row(q, i), dscore);
        }
    }
    [out, dq, dk, dv]
}

/// Sequences of one token, of less and more than 16, and of all 64; heads of one read of 16 bytes up to 64 numbers.
#[test]
fn attention_of_short_sequences_and_its_gradients() {
    for (gpu, (time, width)) in gpus()
        .into_iter()
        .flat_map(|gpu| [(1, 8), (5, 16), (17, 40), (64, 64), (50, 24)].map(|size| (gpu.clone(), size)))
    {
        let (sequences, heads) = (2, 3);
        let (d, rows) = (heads * width, sequences * time);
        for (dtype, tolerance) in PRECISIONS {
            let (on_qkv, qkv) = rounded(&gpu, &values(rows * 3 * d, 1), dtype);
            let (on_dout, dout) = rounded(&gpu, &values(rows * d, 2), dtype);
            let (mut expected, mut dexpected) = (vec![0f32; rows * d], vec![0f32; rows * 3 * d]);
            for (sequence, head) in (0..sequences).flat_map(|s| (0..heads).map(move |h| (s, h))) {
                let at =
                    |token: usize, stride: usize, from: usize| (sequence * time + token) * stride + from + head * width;
                let take = |x: &[f32], stride: usize, from: usize| -> Vec<f64> {
                    (0..time).flat_map(|t| x[at(t, stride, from)..][..width].iter().map(|x| f64::from(*x))).collect()
                };
                let [q, k, v] = [0, d, 2 * d].map(|from| take(&qkv, 3 * d, from));
                let [out, dq, dk, dv] = causal(&q, &k, &v, &take(&dout, d, 0), width);
                let put = |to: &mut [f32], x: &[f64], stride: usize, from: usize| {
                    for (t, row) in x.chunks(width).enumerate() {
                        to[at(t, stride, from)..].iter_mut().zip(row).for_each(|(to, x)| *to = *x as f32);
                    }
                };
                put(&mut expected, &out, d, 0);
                [dq, dk, dv].iter().zip([0, d, 2 * d]).for_each(|(x, from)| put(&mut dexpected, x, 3 * d, from));
            }
            let (out, dqkv) = (gpu.alloc(dtype, rows * d).unwrap(), gpu.alloc(dtype, rows * 3 * d).unwrap());
            let sizes = [n(heads), n(time), n(width)];
            let launch = |kernel: &str, (exact, halves): (u32, u32), buffers: &[Arg<'_>]| {
                let (block, shared) = match dtype {
                    Dtype::F32 => (256, exact * 4 * 64 * 68),
                    _ => (128, 4 * 64 * 68 + halves * 2 * 64 * 72),
                };
                let grid = ((sequences * heads) as u32, 1);
                gpu.launch(&typed(kernel, dtype), grid, block, shared, &[buffers, &sizes].concat()).unwrap();
            };
            launch("short_attention", (3, 3), &[(&out).into(), (&on_qkv).into()]);
            close(&format!("{time} tokens, {width} wide"), &out, &expected, tolerance);
            launch("short_attention_backward", (5, 6), &[(&dqkv).into(), (&on_dout).into(), (&on_qkv).into()]);
            close(&format!("gradients, {time} tokens, {width} wide"), &dqkv, &dexpected, 2.0 * tolerance);
        }
    }
}
