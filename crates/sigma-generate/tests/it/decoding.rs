//! A request's tokens are the same in every batch, at every place, on any number of threads.

use std::ops::ControlFlow;
use std::path::PathBuf;

use candle_core::DType;
use sigma_data::answers::FinishReason;
use sigma_data::seeds::{Seeds, Stage};
use sigma_generate::{Completion, GenerateError, Nucleus, Options, Request, generate};
use sigma_model::{Device, LanguageModel};

pub(crate) fn model() -> LanguageModel {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sigma-model/tests/goldens/opt_tiny");
    LanguageModel::load(&folder, &Device::Cpu).unwrap().for_inference(DType::F32).unwrap()
}

pub(crate) fn requests(n: usize) -> Vec<Request> {
    let seeds = Seeds::new(42, "test");
    (0..n)
        .map(|i| Request {
            id: format!("r{i}"),
            prompt: std::iter::once(2).chain((0..i % 5).map(|t| (10 + i + t) as u32 % 90)).collect(),
            stream: seeds.stream(Stage::Regeneration, Some(1), &format!("r{i}")),
        })
        .collect()
}

pub(crate) fn options(batch_size: usize, stop_at_eos: bool) -> Options {
    let nucleus = Nucleus::new("test", 1.0, 0.95).unwrap();
    Options {
        nucleus,
        max_new_tokens: 40,
        stop_at_eos,
        vocab_size: usize::MAX,
        batch_size: Some(batch_size),
        whole: None,
    }
}

fn run(requests: Vec<Request>, options: &Options) -> Vec<Completion> {
    generate(&model(), requests, options, |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn tokens_do_not_depend_on_the_batch_size() {
    for stop_at_eos in [true, false] {
        let alone = run(requests(30), &options(1, stop_at_eos));
        for batch_size in [2, 7, 30, 64] {
            assert_eq!(run(requests(30), &options(batch_size, stop_at_eos)), alone, "batch of {batch_size}");
        }
    }
}

#[test]
fn tokens_do_not_depend_on_order_or_threads() {
    let forward = run(requests(20), &options(8, true));
    let mut reversed = requests(20);
    reversed.reverse();
    let mut backward = run(reversed, &options(8, true));
    backward.reverse();
    assert_eq!(forward, backward);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(pool.install(|| run(requests(20), &options(8, true))), forward);
}

#[test]
fn suppressed_eos_gives_full_length_and_allowed_eos_ends_some_texts() {
    let full = run(requests(60), &options(16, false));
    assert!(full.iter().all(|c| c.tokens.len() == 40 && c.finish_reason == FinishReason::Length));
    assert!(full.iter().all(|c| !c.tokens.contains(&2)), "eos was drawn although it is suppressed");
    // the golden model has 96 tokens, so eos comes up within 40 draws in many of 60 texts
    let free = run(requests(60), &options(16, true));
    let (short, long): (Vec<_>, Vec<_>) = free.iter().partition(|c| c.finish_reason == FinishReason::Eos);
    assert!(!short.is_empty() && !long.is_empty());
    assert!(free.iter().all(|c| !c.tokens.contains(&2)), "eos itself is not part of the text");
    assert!(long.iter().all(|c| c.tokens.len() == 40));
}

#[test]
fn rows_of_the_model_beyond_the_tokenizer_are_never_drawn() {
    let narrow = |vocab_size, options: Options| Options { vocab_size, ..options };
    let (all, some) = (options(16, false), narrow(60, options(16, false)));
    assert!(run(requests(20), &all).iter().flat_map(|c| &c.tokens).any(|t| *t >= 60), "they would be drawn");
    let texts = run(requests(20), &some);
    assert!(texts.iter().flat_map(|c| &c.tokens).all(|t| *t < 60));
    assert!(texts.iter().all(|c| c.tokens.len() == 40));
    assert_eq!(run(requests(20), &narrow(96, options(16, false))), run(requests(20), &all));
}

#[test]
fn a_text_ends_at_any_of_several_ends_and_has_none_of_them_where_it_may_not_end() {
    let (free, eos) = (run(requests(60), &options(16, true)), model().eos()[0]);
    let other = free.iter().find(|c| c.tokens.len() > 5).unwrap().tokens[3];
    let with_ends = |stop_at_eos| {
        let model = model().with_ends([eos, other]);
        generate(&model, requests(60), &options(16, stop_at_eos), |_| ControlFlow::Continue(())).unwrap()
    };
    for (before, after) in free.iter().zip(with_ends(true)) {
        let place = before.tokens.iter().position(|token| *token == other);
        let (length, reason) = place.map_or((before.tokens.len(), before.finish_reason), |at| (at, FinishReason::Eos));
        assert_eq!((&after.tokens[..], after.finish_reason), (&before.tokens[..length], reason));
    }
    assert!(with_ends(false).iter().all(|c| c.tokens.len() == 40 && !c.tokens.contains(&other)));
}

#[test]
fn different_streams_give_different_texts_to_equal_prompts() {
    let mut same_prompt = requests(12);
    same_prompt.iter_mut().for_each(|r| r.prompt = vec![2, 5]);
    let texts = run(same_prompt, &options(12, false));
    let first: std::collections::HashSet<u32> = texts.iter().map(|c| c.tokens[0]).collect();
    assert!(first.len() > 3, "first tokens after prefill are shared: {first:?}");
}

#[test]
fn requests_that_can_not_be_completed_are_named() {
    let mut too_long = requests(2);
    too_long[1].prompt = vec![5; 30];
    let error = generate(&model(), too_long, &options(2, true), |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, GenerateError::TooLong { id, prompt: 30, new: 40, max: 64 } if id == "r1"));
    let mut empty = requests(1);
    empty[0].prompt.clear();
    let error = generate(&model(), empty, &options(2, true), |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, GenerateError::EmptyPrompt { .. }));
}

#[test]
fn an_observer_can_break_off() {
    let mut steps = 0;
    let error = generate(&model(), requests(4), &options(2, false), |_| {
        steps += 1;
        if steps == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(error, Err(GenerateError::Interrupted { finished: 0, total: 4 })));
}

#[test]
fn the_reported_share_grows_to_one_whether_or_not_texts_end_early() {
    for stop_at_eos in [true, false] {
        let (mut shares, mut tokens, mut finished) = (vec![0.0], 0, 0);
        let completions = generate(&model(), requests(30), &options(8, stop_at_eos), |progress| {
            shares.push(progress.share);
            tokens += progress.tokens;
            finished = progress.finished;
            ControlFlow::Continue(())
        });
        assert!(shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
        assert_eq!(finished, 30);
        // a text that ended at eos drew that token too
        let drawn = |c: &Completion| c.tokens.len() + usize::from(c.finish_reason == FinishReason::Eos);
        assert_eq!(tokens, completions.unwrap().iter().map(drawn).sum::<usize>());
    }
}
