//! Texts that a GPU writes, by its own sampler, against those of the CPU from the same random streams.

use std::ops::ControlFlow;

use candle_core::DType;
use sigma_data::answers::FinishReason;
use sigma_data::seeds::{Seeds, Stage, Stream};
use sigma_generate::{Completion, GenerateError, Nucleus, Options, Request, generate};
use sigma_kernels::gpu::{Arg, Dtype, Gpu};
use sigma_model::{Device, LanguageModel};

use crate::decoding::{model, options, requests};

fn on_gpu() -> LanguageModel {
    model().to_device(&Device::Gpu(Gpu::emulated())).unwrap().for_inference(DType::F32).unwrap()
}

fn run(model: &LanguageModel, requests: Vec<Request>, options: &Options) -> Vec<Completion> {
    generate(model, requests, options, |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn a_gpu_draws_the_cpu_s_tokens_from_the_same_streams() {
    for stop_at_eos in [true, false] {
        let expected = run(&model(), requests(20), &options(8, stop_at_eos));
        // fewer rows than texts: rows that are finished take the texts that wait
        for rows in [3, 20, 24] {
            assert_eq!(run(&on_gpu(), requests(20), &options(rows, stop_at_eos)), expected, "{rows} rows");
        }
        // neither draws rows of the model that the tokenizer does not have
        let narrow = Options { vocab_size: 60, ..options(8, stop_at_eos) };
        assert_eq!(run(&on_gpu(), requests(20), &narrow), run(&model(), requests(20), &narrow));
    }
    for (temperature, top_p) in [(0.0, 0.95), (0.7, 0.5), (1.5, 1.0), (1.0, 1e-6)] {
        let nucleus = Nucleus::new("test", temperature, top_p).unwrap();
        let options = Options {
            nucleus,
            max_new_tokens: 12,
            stop_at_eos: true,
            vocab_size: usize::MAX,
            batch_size: Some(8),
            whole: None,
        };
        assert_eq!(
            run(&on_gpu(), requests(8), &options),
            run(&model(), requests(8), &options),
            "{temperature} {top_p}"
        );
    }
}

#[test]
fn a_stream_that_has_given_numbers_already_goes_on_there() {
    let advanced = || {
        let mut requests = requests(6);
        for (i, request) in requests.iter_mut().enumerate() {
            (0..i * 3).for_each(|_| {
                request.stream.next_u64();
            });
        }
        requests
    };
    let expected = run(&model(), advanced(), &options(8, false));
    assert_eq!(run(&on_gpu(), advanced(), &options(8, false)), expected);
    assert_ne!(expected, run(&model(), requests(6), &options(8, false)));
}

#[test]
fn progress_on_a_gpu_counts_every_token_and_can_break_off() {
    for stop_at_eos in [true, false] {
        let (mut shares, mut tokens) = (vec![0.0], 0);
        let completions = generate(&on_gpu(), requests(10), &options(4, stop_at_eos), |progress| {
            shares.push(progress.share);
            tokens += progress.tokens;
            ControlFlow::Continue(())
        });
        assert!(shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
        let drawn = |c: &Completion| c.tokens.len() + usize::from(c.finish_reason == FinishReason::Eos);
        assert_eq!(tokens, completions.unwrap().iter().map(drawn).sum::<usize>());
    }
    let stopped = generate(&on_gpu(), requests(4), &options(2, false), |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(GenerateError::Interrupted { total: 4, .. })));
}

/// Logits of many kinds: flat, tied, steep, dominated, partly or wholly masked, broken.
fn logits(kind: usize, vocabulary: usize, stream: &mut Stream) -> Vec<f32> {
    let mut row: Vec<f32> = (0..vocabulary).map(|_| stream.normal() as f32).collect();
    match kind % 8 {
        0 => row.fill(0.25),
        1 => row.iter_mut().for_each(|x| *x = (*x * 2.0).round()),
        2 => row.iter_mut().for_each(|x| *x *= 20.0),
        3 => row[stream.below(vocabulary)] = 60.0,
        4 => row.iter_mut().for_each(|x| *x = if *x < 0.5 { f32::NEG_INFINITY } else { *x }),
        5 if kind % 16 == 5 => row.fill(f32::NEG_INFINITY),
        6 if kind % 16 == 6 => row[stream.below(vocabulary)] = f32::NAN,
        _ => row.iter_mut().for_each(|x| *x *= 3.0),
    }
    row
}

/// One draw per row by the kernel: the token, or nothing where there is no distribution, and how many numbers each
/// stream gave. `held`: the rows pass through shared memory.
fn draw_on_gpu(
    rows: &[Vec<f32>],
    keys: &[[u8; 32]],
    (temperature, top_p): (f64, f64),
    held: bool,
) -> Vec<(Option<u32>, u64)> {
    let gpu = Gpu::emulated();
    let (n, vocabulary) = (rows.len(), rows[0].len());
    let zeros = || gpu.alloc(Dtype::U32, n).unwrap();
    let (tokens, counts, states, next, lens) = (zeros(), zeros(), zeros(), zeros(), zeros());
    let drawn = gpu.alloc(Dtype::U64, n).unwrap();
    let words = keys.iter().flat_map(|key| key.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)));
    let keys = gpu.upload(&words.collect::<Vec<u32>>()).unwrap();
    let logits = gpu.upload(&rows.concat()).unwrap();
    let buffers = [&tokens, &counts, &states, &next, &drawn, &keys, &lens];
    let mut args: Vec<Arg<'_>> = vec![(&logits).into()];
    args.extend(buffers.map(Arg::from));
    let none = vocabulary as u32;
    args.extend([none, none, 1, none, none].map(Arg::U32));
    args.extend([temperature, top_p].map(Arg::F64));
    args.push(Arg::U32(u32::from(held)));
    gpu.launch("nucleus", (n as u32, 1), 512, if held { 4 * none } else { 0 }, &args).unwrap();
    let (tokens, states) = (tokens.read::<u32>(0..n).unwrap(), states.read::<u32>(0..n).unwrap());
    let drawn = drawn.read::<u64>(0..n).unwrap();
    (0..n).map(|row| ((states[row] == 2).then_some(tokens[row]), drawn[row])).collect()
}

#[test]
fn the_kernel_draws_what_the_cpu_draws_from_any_logits() {
    let seeds = Seeds::new(7, "test");
    let mut stream = seeds.stream(Stage::Init, None, "logits");
    for (vocabulary, rows) in [(1, 16), (2, 32), (31, 32), (33, 32), (600, 96), (50_272, 16)] {
        for (temperature, top_p) in [(1.0, 0.95), (0.7, 0.3), (1.3, 1.0), (0.0, 0.9), (1.0, 1e-9)] {
            let rows: Vec<Vec<f32>> = (0..rows).map(|kind| logits(kind, vocabulary, &mut stream)).collect();
            let keys: Vec<[u8; 32]> =
                (0..rows.len()).map(|row| seeds.key(Stage::Evaluation, None, &format!("{row}"))).collect();
            let nucleus = Nucleus::new("test", temperature, top_p).unwrap();
            let draws = draw_on_gpu(&rows, &keys, (temperature, top_p), false);
            if vocabulary < 10_000 {
                assert_eq!(draw_on_gpu(&rows, &keys, (temperature, top_p), true), draws, "{vocabulary} tokens, held");
            }
            for (row, (found, drawn)) in draws.into_iter().enumerate() {
                let mut stream = Stream::from_key(keys[row]);
                let expected = nucleus.draw(&mut rows[row].clone(), &mut stream);
                assert_eq!(found, expected, "{vocabulary} tokens, row {row}, temperature {temperature}, p {top_p}");
                assert_eq!(drawn, stream.position().1, "{vocabulary} tokens, row {row}: numbers drawn");
            }
        }
    }
}
