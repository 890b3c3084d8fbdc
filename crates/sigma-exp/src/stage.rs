//! The stages of one generation, in the order in which data flows: synthetic pool, training, answers, embeddings.
//! What is measured on them is in `measure`. Each is a plain function from what it needs to what it makes, with the numbers for the record.

use std::ops::ControlFlow;

use anyhow::{Result, bail};
use sigma_data::Tokenizer;
use sigma_data::answers::{Answer, FinishReason, windows};
use sigma_data::blocks::Block;
use sigma_data::seeds::{Seeds, Stage as Random, Stream};
use sigma_embed::embed;
use sigma_generate::{Completion, Options, Request, Whole, generate};
use sigma_model::{Device, Opt};
use sigma_report::record::{EmbeddingRecord, EvaluationRecord, RegenerationRecord, TrainingRecord};
use sigma_train::{StepRecord, Streams, TrainError, TrainingConfig, TrainingState, finetune, total_steps};

use crate::assets::{FrozenEncoder, TokenizedPrompt};
use crate::interrupt;
use crate::progress::Stage;
use crate::savepoint::Savepoint;

/// The synthetic pool: `model` continues every context by as many tokens as the context has, eos suppressed.
pub fn regenerate(
    model: &Opt,
    contexts: &[Block],
    config: &sigma_generate::RegenerationConfig,
    seeds: &Seeds,
    generation: Option<u32>,
    save: Option<&mut Savepoint>,
) -> Result<(Vec<Block>, RegenerationRecord)> {
    let new_tokens = contexts.first().map_or(0, |context| context.tokens.len());
    let options = Options {
        nucleus: config.nucleus()?,
        max_new_tokens: new_tokens,
        stop_at_eos: false,
        batch_size: config.batch_size,
        whole: None,
    };
    let bos = model.config().bos_token_id;
    let requests = contexts.iter().map(|context| Request {
        id: context.id.clone(),
        prompt: std::iter::once(bos).chain(context.tokens.iter().copied()).collect(),
        stream: seeds.stream(Random::Regeneration, generation.map(|g| g as usize), &context.id),
    });
    let (completions, seconds) =
        write_texts(model, requests.collect(), &options, generation, ("regenerate", "regenerate"), save)?;
    let tokens = completions.iter().map(|c| c.tokens.len() as u64).sum();
    let pool = contexts.iter().zip(completions).map(|(c, text)| Block { id: c.id.clone(), tokens: text.tokens });
    Ok((pool.collect(), RegenerationRecord { samples: contexts.len(), tokens, seconds }))
}

/// Trains a copy of `model` on `blocks`, from where `save` has it.
pub fn train(
    model: &Opt,
    blocks: &[Block],
    config: &TrainingConfig,
    seeds: &Seeds,
    generation: Option<u32>,
    mut save: Option<&mut Savepoint>,
) -> Result<(Opt, Vec<StepRecord>, TrainingRecord)> {
    let streams = Streams { seeds, generation: generation.map(|g| g as usize) };
    let (begun, before) = save.as_ref().and_then(|save| save.training()).unzip();
    let before = before.unwrap_or(0.0);
    let mut stage = Stage::start(generation, "train", total_steps(config, blocks.len()), "steps");
    if let Some(state) = &begun {
        tracing::info!("going on after step {}", TrainingState::steps(state));
    }
    let mut not_saved = None;
    let trained = beside_workers(&model.device(), || {
        finetune(model, blocks, config, streams, begun, |progress| {
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
        return Err(error.context("training can not be saved"));
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
        precision: format!("{:?}", trained.compute).to_lowercase(),
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

/// One answer per prompt. The streams leave the generation out: equal weights give equal answers. `replicate` draws them anew.
pub fn answer(
    model: &Opt,
    tokenizer: &Tokenizer,
    prompts: &[TokenizedPrompt],
    config: &sigma_generate::EvaluationConfig,
    seeds: &Seeds,
    (generation, replicate): (Option<u32>, Option<u32>),
    save: Option<&mut Savepoint>,
) -> Result<(Vec<Answer>, f64)> {
    let options = Options {
        nucleus: config.nucleus()?,
        max_new_tokens: config.max_new_tokens,
        stop_at_eos: true,
        batch_size: config.batch_size,
        whole: None,
    };
    let draw = replicate.map(|number| number as usize);
    let keys: Vec<[u8; 32]> = prompts.iter().map(|p| seeds.key(Random::Evaluation, draw, &p.prompt.id)).collect();
    let requests = prompts.iter().zip(&keys).map(|(p, key)| Request {
        id: p.prompt.id.clone(),
        prompt: p.tokens.clone(),
        stream: Stream::from_key(*key),
    });
    let log = replicate.map_or_else(|| "evaluate".to_string(), |number| format!("noise-{number:03}"));
    let (completions, seconds) =
        write_texts(model, requests.collect(), &options, generation, ("evaluate", &log), save)?;
    let answers = prompts.iter().zip(keys).zip(completions).map(|((p, key), completion)| Answer {
        id: p.prompt.id.clone(),
        bucket: p.prompt.bucket.clone(),
        text: tokenizer.decode(&completion.tokens),
        tokens: completion.tokens,
        finish_reason: completion.finish_reason,
        seed: key.iter().map(|byte| format!("{byte:02x}")).collect(),
    });
    Ok((answers.collect(), seconds))
}

/// Completes every request that `save` does not hold yet under `log`.
fn write_texts(
    model: &Opt,
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
        return Err(error.context("finished texts can not be saved"));
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

/// A window of an answer: what is embedded.
pub struct EmbeddedBlock {
    /// Index of its answer.
    pub answer: usize,
    /// Fixed random priority: the blocks with the smallest keys are the observed rows, in every generation.
    pub key: u64,
}

/// Cuts every answer into windows and embeds their texts: the blocks and their rows (`blocks.len() * dim`).
pub fn embed_answers(
    answers: &[Answer],
    tokenizer: &Tokenizer,
    encoder: &FrozenEncoder,
    (window, stride, batch_size): (usize, usize, usize),
    seeds: &Seeds,
    generation: Option<u32>,
) -> Result<(Vec<EmbeddedBlock>, Vec<f32>, EmbeddingRecord)> {
    let (mut blocks, mut texts) = (Vec::new(), Vec::new());
    for (answer, a) in answers.iter().enumerate() {
        for (number, tokens) in windows(&a.tokens, window, stride).into_iter().enumerate() {
            let key = seeds.stream(Random::Observed, None, &format!("{}#{number}", a.id)).next_u64();
            blocks.push(EmbeddedBlock { answer, key });
            texts.push(tokenizer.decode(tokens));
        }
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (rows, record) = embed_texts(&texts, encoder, batch_size, generation)?;
    Ok((blocks, rows, record))
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
pub fn evaluation_record(answers: &[Answer], blocks: usize, seconds: f64) -> EvaluationRecord {
    let tokens: usize = answers.iter().map(|a| a.tokens.len()).sum();
    EvaluationRecord {
        answers: answers.len(),
        empty: answers.iter().filter(|a| a.tokens.is_empty()).count(),
        stopped_at_eos: answers.iter().filter(|a| a.finish_reason == FinishReason::Eos).count(),
        mean_tokens: tokens as f64 / answers.len().max(1) as f64,
        blocks,
        seconds,
    }
}
