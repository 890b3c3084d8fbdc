//! Texts that a GPU writes, by its own sampler, against those of the CPU from the same random streams.

use std::ops::ControlFlow;

use candle_core::DType;
use sigma_data::answers::FinishReason;
use sigma_generate::{Completion, GenerateError, Nucleus, Options, Request, generate};
use sigma_kernels::gpu::Gpu;
use sigma_model::{Device, Opt};

use crate::decoding::{model, options, requests};

fn on_gpu() -> Opt {
    model().to_device(&Device::Gpu(Gpu::emulated())).unwrap().for_inference(DType::F32).unwrap()
}

fn run(model: &Opt, requests: Vec<Request>, options: &Options) -> Vec<Completion> {
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
    }
    for (temperature, top_p) in [(0.0, 0.95), (0.7, 0.5), (1.5, 1.0), (1.0, 1e-6)] {
        let nucleus = Nucleus::new("test", temperature, top_p).unwrap();
        let options = Options { nucleus, max_new_tokens: 12, stop_at_eos: true, batch_size: Some(8) };
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
            (0..i * 3).for_each(|_| drop(request.stream.next_u64()));
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
