//! The stages of one generation, in the order in which data flows: synthetic pool, training, answers, embeddings. What
//! is measured on them is in `measure`. Each is a plain function from what it needs to what it makes, with the numbers
//! for the record.

use std::collections::HashSet;
use std::ops::ControlFlow;

use anyhow::{Result, bail};
use sigma_data::Tokenizer;
use sigma_data::answers::{Answer, FinishReason, response_key, windows};
use sigma_data::blocks::Block;
use sigma_data::seeds::{Seeds, Stage as Random, Stream};
use sigma_embed::embed;
use sigma_generate::{
    Blocks, Completion, Empty, EvaluationConfig, Options, RegenerationConfig, Request, Whole, Windows, generate,
};
use sigma_metrics::{Observed, observed_rows};
use sigma_model::{Device, LanguageModel, TextRead};
use sigma_report::record::{EmbeddingRecord, EvaluationRecord, RegenerationRecord, TrainingRecord};
use sigma_train::{StepRecord, Streams, TrainError, TrainingConfig, TrainingSet, TrainingState, finetune, total_steps};

use crate::assets::{FrozenEncoder, TokenizedPrompt};
use crate::interrupt;
use crate::progress::Stage;
use crate::savepoint::Savepoint;

/// What a savepoint calls the texts of the pool.
pub const POOL_TEXTS: &str = "regenerate";

/// The contexts as they are continued: by which settings, and with which random streams.
#[derive(Clone, Copy)]
pub struct Continuations<'a> {
    pub contexts: &'a [Block],
    pub config: &'a RegenerationConfig,
    pub seeds: &'a Seeds,
    pub generation: Option<u32>,
    /// Texts that a GPU decodes together.
    pub rows: Option<usize>,
}

/// The synthetic pool: `model` continues every context by as many tokens as the context has, eos suppressed.
pub fn regenerate(
    model: &LanguageModel,
    tokenizer: &Tokenizer,
    wanted: Continuations<'_>,
    save: Option<&mut Savepoint>,
) -> Result<(Vec<Block>, RegenerationRecord)> {
    let Continuations { contexts, config, seeds, generation, rows } = wanted;
    let new_tokens = contexts.first().map_or(0, |context| context.tokens.len());
    let options = Options {
        nucleus: config.nucleus()?,
        max_new_tokens: new_tokens,
        stop_at_eos: false,
        vocab_size: tokenizer.vocab_size(),
        batch_size: rows.or(config.batch_size),
        whole: None,
    };
    let requests = contexts.iter().map(|context| Request {
        id: context.id.clone(),
        prompt: tokenizer.begins().into_iter().chain(context.tokens.iter().copied()).collect(),
        stream: seeds.stream(Random::Regeneration, generation.map(|g| g as usize), &context.id),
    });
    let (completions, seconds) =
        write_texts(model, requests.collect(), &options, generation, ("regenerate", POOL_TEXTS), save)?;
    let tokens = completions.iter().map(|c| c.tokens.len() as u64).sum();
    let pool = contexts.iter().zip(completions).map(|(c, text)| Block { id: c.id.clone(), tokens: text.tokens });
    Ok((pool.collect(), RegenerationRecord { samples: contexts.len(), tokens, seconds }))
}

/// Trains a copy of `model` on `set`, from where `save` has it.
pub fn train(
    model: &LanguageModel,
    set: TrainingSet<'_>,
    config: &TrainingConfig,
    seeds: &Seeds,
    generation: Option<u32>,
    mut save: Option<&mut Savepoint>,
) -> Result<(LanguageModel, Vec<StepRecord>, TrainingRecord)> {
    let streams = Streams { seeds, generation: generation.map(|g| g as usize) };
    let (begun, before) = save.as_ref().and_then(|save| save.training()).unzip();
    let before = before.unwrap_or(0.0);
    let mut stage = Stage::start(generation, "train", total_steps(config, set.blocks.len()), "steps");
    if let Some(state) = &begun {
        tracing::info!("going on after step {}", TrainingState::steps(state));
    }
    let mut not_saved = None;
    let trained = beside_workers(&model.device(), || {
        finetune(model, set, config, streams, begun, |progress| {
            let step = progress.record.step;
            stage.update(step, progress.tokens);
            if let Some(save) = &mut save
                && (save.due() || interrupt::requested())
                && step < progress.total_steps
            {
                let Some(run) = &mut progress.settled else { return ControlFlow::Continue(()) };
                let seconds = before + stage.seconds();
                if let Err(error) = save.save_training(step, seconds, |path| Ok(run.save(path)?)) {
                    not_saved = Some(error);
                    return ControlFlow::Break(());
                }
            }
            interrupt::check()
        })
    });
    if let Some(error) = not_saved {
        return Err(error.context("training cannot be saved"));
    }
    let trained = match trained {
        Err(TrainError::Interrupted { .. }) => bail!(interrupt::Interrupted),
        other => other?,
    };
    let seconds = before + stage.finish();
    let losses = |epoch: usize| trained.curve.iter().filter(move |r| r.epoch == epoch).map(|r| f64::from(r.loss));
    let last_epoch: Vec<f64> = losses(config.epochs).collect();
    let record = TrainingRecord {
        steps: trained.curve.len(),
        epochs: config.epochs,
        first_loss: trained.curve.first().map_or(f64::NAN, |r| f64::from(r.loss)),
        last_loss: trained.curve.last().map_or(f64::NAN, |r| f64::from(r.loss)),
        mean_loss_last_epoch: last_epoch.iter().sum::<f64>() / last_epoch.len().max(1) as f64,
        tokens: trained.tokens as u64,
        seconds,
        tokens_per_second: trained.tokens as f64 / seconds,
        grad_norm_max: trained.curve.iter().filter_map(|r| r.gradient_norm).fold(0.0, f64::max),
        skipped_steps: trained.curve.iter().filter(|r| r.gradient_norm.is_none()).count(),
        // the thread that brings the weights to the CPU finds it
        weight_distance: 0.0,
    };
    Ok((trained.model, trained.curve, record))
}

/// The loss curve as CSV, one row per step. It holds no times, so an interrupted run leaves the same bytes.
pub fn curve_csv(curve: &[StepRecord]) -> String {
    let mut text = String::from("step,epoch,loss,learning_rate,gradient_norm\n");
    for r in curve {
        let norm = r.gradient_norm.map_or(String::new(), |norm| norm.to_string());
        text.push_str(&format!("{},{},{},{},{norm}\n", r.step, r.epoch, r.loss, r.learning_rate));
    }
    text
}

/// The prompt bank as it is asked: by which settings, and with which random streams.
#[derive(Clone, Copy)]
pub struct Questions<'a> {
    pub prompts: &'a [TokenizedPrompt],
    pub config: &'a EvaluationConfig,
    pub seeds: &'a Seeds,
    /// For messages only: the streams leave it out, so equal weights give equal answers.
    pub generation: Option<u32>,
    /// Draws the streams anew.
    pub replicate: Option<u32>,
    /// Texts that a GPU decodes together.
    pub rows: Option<usize>,
}

/// The answers to each prompt, one prompt after another, and the seconds that they took.
pub fn answer(
    model: &LanguageModel,
    tokenizer: &Tokenizer,
    questions: Questions<'_>,
    save: Option<&mut Savepoint>,
) -> Result<(Vec<Answer>, f64)> {
    let Questions { prompts, config, seeds, generation, replicate, rows } = questions;
    let options = Options {
        nucleus: config.nucleus()?,
        max_new_tokens: config.max_new_tokens,
        stop_at_eos: true,
        vocab_size: tokenizer.vocab_size(),
        batch_size: rows.or(config.batch_size),
        whole: None,
    };
    let draw = replicate.map(|number| number as usize);
    let asked = asked(prompts, config.responses_per_prompt);
    let keys: Vec<[u8; 32]> = asked
        .iter()
        .map(|(p, response)| seeds.key(Random::Evaluation, draw, &response_key(&p.prompt.id, *response)))
        .collect();
    let requests = asked.iter().zip(&keys).map(|((p, _), key)| Request {
        id: p.prompt.id.clone(),
        prompt: p.tokens.clone(),
        stream: Stream::from_key(*key),
    });
    let log = replicate.map_or_else(|| "evaluate".to_string(), |number| format!("noise-{number:03}"));
    let (completions, seconds) =
        write_texts(model, requests.collect(), &options, generation, ("evaluate", &log), save)?;
    let answers = asked.iter().zip(keys).zip(completions).map(|(((p, response), key), completion)| Answer {
        id: p.prompt.id.clone(),
        bucket: p.prompt.bucket.clone(),
        response: *response,
        text: tokenizer.decode(&completion.tokens),
        tokens: completion.tokens,
        finish_reason: completion.finish_reason,
        seed: key.iter().map(|byte| format!("{byte:02x}")).collect(),
    });
    Ok((answers.collect(), seconds))
}

/// Every prompt as often as it is answered, with the number of the answer.
fn asked(prompts: &[TokenizedPrompt], responses: usize) -> Vec<(&TokenizedPrompt, u32)> {
    prompts.iter().flat_map(|prompt| (0..responses as u32).map(move |response| (prompt, response))).collect()
}

/// Completes every request that `save` does not hold yet under `log`.
fn write_texts(
    model: &LanguageModel,
    requests: Vec<Request>,
    options: &Options,
    generation: Option<u32>,
    (name, log): (&'static str, &str),
    mut save: Option<&mut Savepoint>,
) -> Result<(Vec<Completion>, f64)> {
    let total = requests.len();
    let options = &Options { whole: Some(Whole::of(&requests)), ..*options };
    let (mut texts, before) = save.as_ref().map_or_else(Default::default, |save| save.texts(log));
    texts.retain(|index, _| *index < total);
    let (places, left): (Vec<usize>, Vec<Request>) =
        requests.into_iter().enumerate().filter(|(index, _)| !texts.contains_key(index)).unzip();
    let mut stage = Stage::start(generation, name, total, "texts");
    let (done, share) = (texts.len(), left.len() as f64 / total.max(1) as f64);
    if done > 0 {
        tracing::info!("going on after {done} of {total} texts");
    }
    let mut not_saved = None;
    let written = beside_workers(&model.device(), || {
        generate(model, left, options, |progress| {
            stage.update_share(done + progress.finished, 1.0 - share * (1.0 - progress.share), progress.tokens);
            texts.extend(progress.written.iter().map(|(index, text)| (places[*index], text.clone())));
            if let Some(save) = &mut save
                && (save.due() || interrupt::requested())
                && let Err(error) = save.save_texts(log, &texts, before + stage.seconds())
            {
                not_saved = Some(error);
                return ControlFlow::Break(());
            }
            interrupt::check()
        })
    });
    if let Some(error) = not_saved {
        return Err(error.context("finished texts cannot be saved"));
    }
    match written {
        Err(sigma_generate::GenerateError::Interrupted { .. }) => bail!(interrupt::Interrupted),
        Err(error) => return Err(error.into()),
        // where nothing is to be drawn, nothing is reported either
        Ok(written) => texts.extend(places.into_iter().zip(written)),
    }
    Ok((texts.into_values().collect(), before + stage.finish()))
}

/// Runs `f` on one of rayon's threads where the CPU computes: a step has dozens of short parallel parts, and a worker
/// that begins them itself need not be woken for each.
fn beside_workers<R: Send>(device: &Device, f: impl FnOnce() -> R + Send) -> R {
    if device.is_cpu() { rayon::scope(|_| f()) } else { f() }
}

/// What is embedded: an answer, or a window of it.
pub struct EmbeddedBlock {
    /// Index of its answer.
    pub answer: usize,
    /// Number of the window within the answer; 0 for a whole answer.
    pub window: usize,
    /// Whether it belongs to the observed set, which is fixed by prompt, response and window for all generations.
    pub observed: bool,
}

/// How answers become rows.
#[derive(Clone, Copy)]
pub struct Embedding<'a> {
    pub tokenizer: &'a Tokenizer,
    pub encoder: &'a FrozenEncoder,
    pub config: &'a EvaluationConfig,
    pub observed: Observed,
    pub batch_size: usize,
    pub seeds: &'a Seeds,
    pub generation: Option<u32>,
}

/// Embedded answers.
pub struct EmbeddedAnswers {
    pub blocks: Vec<EmbeddedBlock>,
    /// `blocks.len() * dim`
    pub rows: Vec<f32>,
    pub record: EmbeddingRecord,
    /// Answers that were not read to their end.
    pub truncated: usize,
    /// Share of the answers' characters that the encoder read.
    pub read_share: f64,
}

/// Embeds every answer that has a row, whole or in windows.
pub fn embed_answers(answers: &[Answer], how: Embedding<'_>) -> Result<EmbeddedAnswers> {
    let Embedding { tokenizer, encoder, config, observed, batch_size, seeds, generation } = how;
    let observed = observed_set(answers, config, observed, seeds);
    let (mut blocks, mut texts) = (Vec::new(), Vec::new());
    // of the text of each answer: where the part that is embedded ends
    let mut ends: Vec<String> = Vec::with_capacity(answers.len());
    for (answer, a) in answers.iter().enumerate() {
        let kept = config.empty == Empty::Embed || !a.is_empty();
        let cut = config.windows().filter(|_| kept && !a.tokens.is_empty());
        let parts = match cut {
            Some(Windows { tokens, stride }) => {
                let parts = windows(&a.tokens, tokens, stride);
                let end = (parts.len() - 1) * stride + parts.last().map_or(0, |last| last.len());
                ends.push(tokenizer.decode(&a.tokens[..end]));
                parts.into_iter().map(|part| tokenizer.decode(part)).collect()
            }
            None => {
                ends.push(a.text.clone());
                if kept { vec![a.text.clone()] } else { Vec::new() }
            }
        };
        for (window, text) in parts.into_iter().enumerate() {
            blocks.push(EmbeddedBlock { answer, window, observed: observed.contains(&(answer, window)) });
            texts.push(text);
        }
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    let read = match config.blocks {
        Blocks::Whole => encoder.encoder.read(&ends)?,
        // the encoder's limit is the window's, or it cuts windows, which the plan warns of
        Blocks::Windows => {
            ends.iter().map(|end| TextRead { characters: end.chars().count(), truncated: false }).collect()
        }
    };
    let (mut characters, mut seen, mut truncated) = (0, 0, 0);
    for (answer, read) in answers.iter().zip(read) {
        let length = answer.text.chars().count();
        characters += length;
        seen += read.characters.min(length);
        truncated += usize::from(read.truncated || read.characters < length);
    }
    let read_share = if characters == 0 { 1.0 } else { seen as f64 / characters as f64 };
    let (rows, record) = embed_texts(&texts, encoder, batch_size, generation)?;
    Ok(EmbeddedAnswers { blocks, rows, record, truncated, read_share })
}

/// Answer and window of every row of the observed set, whether it has become a row or not: n is never made up by
/// refilling.
pub fn observed_set(
    answers: &[Answer],
    config: &EvaluationConfig,
    observed: Observed,
    seeds: &Seeds,
) -> HashSet<(usize, usize)> {
    let places: Vec<(usize, usize)> = (0..answers.len())
        .flat_map(|answer| (0..rows_per_answer(config)).map(move |window| (answer, window)))
        .collect();
    let key = |(answer, window): &(usize, usize)| {
        seeds.stream(Random::Observed, None, &format!("{}\n{window}", answers[*answer].key())).next_u64()
    };
    let keys: Vec<u64> = places.iter().map(key).collect();
    observed_rows(&keys, observed).into_iter().map(|row| places[row]).collect()
}

/// Rows that an answer can have at most.
pub fn rows_per_answer(config: &EvaluationConfig) -> usize {
    match config.windows() {
        None => 1,
        Some(Windows { tokens, stride }) => windows(&vec![0; config.max_new_tokens], tokens, stride).len(),
    }
}

/// One row per text.
pub fn embed_texts(
    texts: &[&str],
    encoder: &FrozenEncoder,
    batch_size: usize,
    generation: Option<u32>,
) -> Result<(Vec<f32>, EmbeddingRecord)> {
    let mut stage = Stage::start(generation, "embed", texts.len(), "texts");
    let rows = embed(&encoder.encoder, texts, batch_size, |finished| {
        stage.update(finished, 0);
        interrupt::check()
    });
    let rows = match rows {
        Err(sigma_embed::EmbedError::Interrupted { .. }) => bail!(interrupt::Interrupted),
        rows => rows?,
    };
    let (dim, seconds) = (encoder.encoder.dim(), stage.finish());
    Ok((rows, EmbeddingRecord { encoder: encoder.source.clone(), dim, seconds }))
}

/// The counts of an evaluation for the record.
pub fn evaluation_record(answers: &[Answer], embedded: &EmbeddedAnswers, seconds: f64) -> EvaluationRecord {
    let tokens: usize = answers.iter().map(|a| a.tokens.len()).sum();
    EvaluationRecord {
        answers: answers.len(),
        empty: answers.iter().filter(|a| a.is_empty()).count(),
        truncated: embedded.truncated,
        read_share: embedded.read_share,
        stopped_at_eos: answers.iter().filter(|a| a.finish_reason == FinishReason::Eos).count(),
        mean_tokens: tokens as f64 / answers.len().max(1) as f64,
        blocks: embedded.blocks.len(),
        seconds,
    }
}
