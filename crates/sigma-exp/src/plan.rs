//! What a run will do and need: steps and tokens, memory, disk, and the time it should take, measured by a few steps of
//! the real model on the real device.

use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use sigma_data::seeds::{Seeds, Stage};
use sigma_generate::{Blocks, Options, Request, Whole, generate};
use sigma_metrics::Observed;
use sigma_model::Device;
use sigma_train::{STEPS_TOGETHER, Streams, TrainingConfig, TrainingSet, finetune, total_steps};

use crate::arithmetic::{Arithmetic, DecodeRows};
use crate::assets::Assets;
use crate::experiment_key::arithmetic_of;
use crate::mixture::{Mode, Real};
use crate::progress::seconds;
use crate::spec::{Experiment, Keep};
use crate::stage::rows_per_answer;

/// Seconds per token of training and of decoding.
struct Speed {
    train: f64,
    decode: f64,
}

/// How much of everything a run handles.
struct Amounts {
    /// N.
    contexts: usize,
    /// Real ones among the new blocks of a generation.
    real: usize,
    /// Blocks of the largest training set.
    largest_set: usize,
    parameters: u64,
    /// Tokens of a pool; none where the mixture takes real blocks alone.
    pool_tokens: u64,
    /// Tokens of a generation's answers, at most.
    answer_tokens: u64,
    /// Rows of embeddings, at most.
    rows: usize,
}

impl Amounts {
    fn of(experiment: &Experiment, assets: &Assets) -> Self {
        let (contexts, section) = (assets.corpus.contexts.len(), &experiment.evaluation);
        let real = experiment.mixture.real_blocks(contexts);
        let accumulated = experiment.mixture.mode == Mode::Accumulate;
        let answers = assets.prompts.len() * section.responses_per_prompt;
        Self {
            contexts,
            real,
            largest_set: if accumulated { contexts * (experiment.generations as usize + 1) } else { contexts },
            parameters: assets.base.model.parameter_count() as u64,
            pool_tokens: if real < contexts { (contexts * experiment.corpus.context_tokens) as u64 } else { 0 },
            answer_tokens: (answers * section.max_new_tokens) as u64,
            rows: answers * rows_per_answer(section),
        }
    }
}

/// The plan as text for people.
pub fn describe(experiment: &Experiment, assets: &Assets, arithmetic: &Arithmetic) -> Result<String> {
    let amounts = Amounts::of(experiment, assets);
    let Amounts { contexts: n, real, largest_set, parameters, pool_tokens, answer_tokens, rows } = amounts;
    let generations = u64::from(experiment.generations);
    let steps = total_steps(&experiment.training, largest_set);
    let length = experiment.corpus.context_tokens;
    let train_tokens = (experiment.training.epochs * largest_set * length) as u64;

    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        // writing to a String cannot fail
        let _ = writeln!(text, "  {key:<14}{value}");
    };
    line("setting", format!("{}, {generations} generations after the base", experiment.setting.title()));
    line("arithmetic", arithmetic_of(&arithmetic.resolved(decode_rows(experiment, assets, arithmetic)?)));
    line("model", format!("{} ({:.1} M parameters)", experiment.model.source, parameters as f64 / 1e6));
    let file = experiment.corpus.text_file()?;
    line("corpus", format!("{file}: {} documents, {n} contexts of {length} tokens", assets.corpus.documents));
    let responses = experiment.evaluation.responses_per_prompt;
    let bank = experiment.prompts.text_file()?;
    line("prompts", format!("{bank}: {} prompts, {responses} responses each", assets.prompts.len()));
    let dim = assets.encoder.encoder.dim();
    line(
        "encoder",
        format!("{} (d = {dim}, at most {} tokens)", assets.encoder.source, assets.encoder.encoder.max_tokens()),
    );
    line(
        "mixture",
        format!(
            "alpha = {}, {}: {real} real and {} synthetic new blocks",
            experiment.mixture.real_fraction,
            experiment.mixture.mode.name(),
            n - real
        ),
    );
    if experiment.mixture.real == Real::Fresh && real > 0 {
        let supply = assets.corpus.spare.len();
        line("", format!("fresh: {supply} contexts beyond the {n} in use last {} generations", supply / real));
    }
    let most = if largest_set > n { " in the last generation" } else { " per generation" };
    line("training", format!("{steps} steps, {train_tokens} tokens{most}"));
    line("writing", format!("{pool_tokens} pool tokens and at most {answer_tokens} answer tokens per generation"));
    line("measuring", format!("at most {rows} embedded rows, {} observed", experiment.sigma.observed));
    let observed = match experiment.sigma.observed {
        Observed::All => rows,
        Observed::Count(count) => count,
    };
    if observed <= dim {
        line("", format!("note: {observed} observed rows in {dim} dimensions: G_A will be rank deficient"));
    }
    if let Some(share) = share_read(experiment, assets)?.filter(|share| *share < 1.0) {
        let (tokens, limit) = (experiment.evaluation.max_new_tokens, assets.encoder.encoder.max_tokens());
        line(
            "",
            format!(
                "note: of an answer of {tokens} tokens the encoder, which reads {limit} of its own, sees {:.0} %; the rest counts for \
                 nothing (truncated_answers, read_share): ask for fewer evaluation.max_new_tokens, or evaluation.blocks: windows",
                100.0 * share
            ),
        );
    }

    let weights = 4 * parameters;
    // weights, gradients and two moments; activations of one batch (about 16 d + 2 ffn floats a token and layer)
    let per_token = 4 * assets.base.model.activations_per_token();
    let activations = (experiment.training.batch_size * length * per_token) as u64;
    line("memory", format!("about {} to train (base weights included)", bytes(5 * weights + activations)));
    let Disk { total: disk, checkpoints: kept } = Disk::of(experiment, assets, &amounts);
    line("disk", format!("about {} ({kept} checkpoints and the texts of all generations)", bytes(disk)));

    let speed = measure(experiment, assets)?;
    let generation = speed.train * train_tokens as f64 + speed.decode * (pool_tokens + answer_tokens) as f64;
    // the base answers once, and once more for each replicate of the noise floor
    let of_base = (1 + u64::from(experiment.evaluation.noise_replicates)) * answer_tokens;
    let total = generation * generations as f64 + speed.decode * of_base as f64;
    line(
        "time",
        format!(
            "about {} a generation, {} in all (measured: {:.0} tokens/s training, {:.0} decoding; embedding not counted)",
            seconds(generation),
            seconds(total),
            1.0 / speed.train,
            1.0 / speed.decode
        ),
    );
    Ok(text)
}

/// Texts that a GPU decodes together, as the config states or as its whole memory allows.
pub fn decode_rows(experiment: &Experiment, assets: &Assets, arithmetic: &Arithmetic) -> Result<DecodeRows> {
    let base = &assets.base.model;
    let of = |device: &Device, precision, asked: Option<usize>, whole: Whole, new_tokens: usize| {
        if device.is_cpu() {
            return Ok(None);
        }
        let model = base.to_device(device)?.for_inference(precision)?;
        let fitting = sigma_generate::decode_rows(&model, whole, new_tokens)?;
        Ok::<_, anyhow::Error>(asked.or(fitting))
    };
    let (length, section) = (experiment.corpus.context_tokens, &experiment.evaluation);
    let contexts = Whole { requests: assets.corpus.contexts.len(), longest_prompt: length + 1 };
    let questions = Whole {
        requests: assets.prompts.len() * section.responses_per_prompt,
        longest_prompt: assets.prompts.iter().map(|prompt| prompt.tokens.len()).max().unwrap_or(0),
    };
    let Arithmetic { device, evaluation_device, precision, evaluation_precision } = arithmetic;
    Ok(DecodeRows {
        pool: of(device, *precision, experiment.regeneration.batch_size, contexts, length)?,
        answers: of(evaluation_device, *evaluation_precision, section.batch_size, questions, section.max_new_tokens)?,
    })
}

/// Share of a longest answer that the encoder reads, by texts of that length from the corpus; `None` where answers are
/// not embedded whole.
fn share_read(experiment: &Experiment, assets: &Assets) -> Result<Option<f64>> {
    /// Texts that are looked at.
    const SAMPLE: usize = 20;
    if experiment.evaluation.blocks != Blocks::Whole {
        return Ok(None);
    }
    let tokens: Vec<u32> = assets.corpus.contexts.iter().flat_map(|context| context.tokens.iter().copied()).collect();
    let answers = tokens.chunks_exact(experiment.evaluation.max_new_tokens.min(tokens.len())).take(SAMPLE);
    let texts: Vec<String> = answers.map(|answer| assets.base.tokenizer.decode(answer)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let read: usize = assets.encoder.encoder.read(&texts)?.iter().map(|read| read.characters).sum();
    let whole: usize = texts.iter().map(|text| text.chars().count()).sum();
    Ok(Some(read as f64 / whole.max(1) as f64))
}

/// What a run writes when it starts from nothing.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// Bytes.
    pub total: u64,
    /// Weights that lie there at the same time, at most.
    pub checkpoints: u64,
}

/// What `experiment` writes.
pub fn disk(experiment: &Experiment, assets: &Assets) -> Disk {
    Disk::of(experiment, assets, &Amounts::of(experiment, assets))
}

impl Disk {
    fn of(experiment: &Experiment, assets: &Assets, amounts: &Amounts) -> Self {
        let (generations, weights) = (u64::from(experiment.generations), 4 * amounts.parameters);
        let checkpoints = match experiment.checkpoints.keep {
            Keep::Last => 2,
            Keep::All => generations,
            Keep::Every { every } => generations / u64::from(every.max(1)) + 2,
        };
        // a token is about five bytes of text and five of id; a row of an embedding is four bytes a number
        let rows = amounts.rows * assets.encoder.encoder.dim();
        let texts = 10 * (amounts.pool_tokens + amounts.answer_tokens) + 4 * rows as u64;
        // parameters and two moments, old and new, while training is saved
        let savepoint = 6 * weights;
        Self { total: checkpoints * weights + savepoint + (generations + 1) * texts, checkpoints }
    }

    /// Warns where the disk of `folder` has less room than the run may still need.
    pub fn warn_if_short(self, folder: &Path) {
        let used = used(folder);
        let needed = self.total.saturating_sub(used);
        // an unknown amount of room is no reason to warn
        let Ok(disk) = rustix::fs::statvfs(folder) else { return };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < needed {
            tracing::warn!(
                "{}: the run may need {} more, but its disk has only {} free; checkpoints.keep: last needs least",
                folder.display(),
                bytes(needed),
                bytes(free)
            );
        }
    }
}

/// Bytes that lie below `folder`.
fn used(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => used(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(of).sum()
}

/// Times training steps after others for warming up, and 16 decoding steps of one batch.
fn measure(experiment: &Experiment, assets: &Assets) -> Result<Speed> {
    let seeds = Seeds::new(experiment.seed, "plan");
    let batch = experiment.training.batch_size.min(assets.corpus.contexts.len());
    let blocks = &assets.corpus.contexts[..batch];
    let steps = if assets.base.model.device().is_gpu() { 2 * STEPS_TOGETHER } else { 3 };
    let config = TrainingConfig { epochs: steps, ..experiment.training.clone() };
    let mut marks = Vec::new();
    let set = TrainingSet { blocks, bos: assets.base.tokenizer.begins() };
    finetune(&assets.base.model, set, &config, Streams { seeds: &seeds, generation: None }, None, |progress| {
        if progress.settled.is_some() {
            marks.push((progress.record.step, Instant::now()));
        }
        ControlFlow::Continue(())
    })?;
    let ((first, begin), (last, end)) = (marks[0], marks[marks.len() - 1]);
    let tokens = (last - first) * batch * experiment.corpus.context_tokens;
    let train = (end - begin).as_secs_f64() / tokens.max(1) as f64;

    let rows = 64.min(assets.prompts.len());
    let requests = assets.prompts[..rows].iter().map(|p| Request {
        id: p.prompt.id.clone(),
        prompt: p.tokens.clone(),
        stream: seeds.stream(Stage::Evaluation, None, &p.prompt.id),
    });
    let new_tokens = 16.min(experiment.evaluation.max_new_tokens);
    let options = Options {
        nucleus: experiment.evaluation.nucleus()?,
        max_new_tokens: new_tokens,
        stop_at_eos: false,
        vocab_size: assets.base.tokenizer.vocab_size(),
        batch_size: Some(rows),
        whole: None,
    };
    let model = assets.base.model.for_inference(experiment.training.precision.dtype(&assets.base.model.device()))?;
    let started = Instant::now();
    generate(&model, requests.collect(), &options, |_| ControlFlow::Continue(()))?;
    let decode = started.elapsed().as_secs_f64() / (rows * new_tokens) as f64;
    Ok(Speed { train, decode })
}

fn bytes(n: u64) -> String {
    match n as f64 {
        n if n < 1e9 => format!("{:.0} MB", n / 1e6),
        n => format!("{:.1} GB", n / 1e9),
    }
}
