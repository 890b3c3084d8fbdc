//! The evaluation of one checkpoint: the frozen questions, its answers, their embeddings, and what is measured on them.
//! The device's part and the CPU's part are two functions, so that a driver can run the second beside other work.

use std::ops::ControlFlow;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sigma_data::answers::{Answer, write_answers};
use sigma_data::seeds::Seeds;
use sigma_model::LanguageModel;
use sigma_report::record::{EmbeddingRecord, EvaluationRecord, NoisePoint, PerplexityNumbers};
use sigma_report::run_files;
use sigma_train::{Scored, TrainError, perplexity};

use crate::arithmetic::Arithmetic;
use crate::assets::Assets;
use crate::draft::Draft;
use crate::interrupt::{self, Interrupted};
use crate::layout::{EMBEDDINGS, RESPONSES, ROWS, SPECTRUM};
use crate::measure::{self, Base, Measurement};
use crate::row_index;
use crate::spec::Experiment;
use crate::stage::{self, EmbeddedAnswers, Embedding, Questions};

/// What one evaluation gives for the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub evaluation: EvaluationRecord,
    pub embedding: EmbeddingRecord,
    pub measured: Measurement,
    pub noise: Vec<NoisePoint>,
    pub perplexity: Option<PerplexityNumbers>,
}

/// Answers and their embeddings: what the device is needed for.
pub struct Answered {
    answers: Vec<Answer>,
    embedded: EmbeddedAnswers,
    seconds: f64,
    /// Of the noise floor, the same once more for each.
    replicates: Vec<Answered>,
    perplexity: Option<PerplexityNumbers>,
}

impl Answered {
    fn rows(&self) -> measure::Rows<'_> {
        let Self { answers, embedded: EmbeddedAnswers { blocks, rows, record, .. }, .. } = self;
        measure::Rows { answers, blocks, values: rows, dim: record.dim }
    }
}

/// What answers are written and embedded with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    pub experiment: &'a Experiment,
    pub assets: &'a Assets,
    pub seeds: &'a Seeds,
    pub arithmetic: &'a Arithmetic,
    /// Texts that a GPU decodes together.
    pub rows: Option<usize>,
}

/// The device's part: answers, embeddings and what needs a forward pass. `model` lies on the evaluation device. The
/// base checkpoint (generation 0) also answers for the noise floor.
pub fn answer(means: Means<'_>, model: &LanguageModel, draft: &mut Draft, generation: u32) -> Result<Answered> {
    let Means { experiment, arithmetic, .. } = means;
    let writer = model.for_inference(arithmetic.evaluation_precision)?;
    let mut answered = once(means, &writer, draft, generation, None)?;
    write_answers(&draft.file(RESPONSES), &answered.answers)?;
    let EmbeddedAnswers { rows, record, .. } = &answered.embedded;
    sigma_embed::npy::write(&draft.file(EMBEDDINGS), rows, record.dim)?;
    row_index::write(&draft.file(ROWS), &answered.answers, &answered.embedded.blocks)?;
    if generation == 0 {
        for replicate in 1..=experiment.evaluation.noise_replicates {
            answered.replicates.push(once(means, &writer, draft, generation, Some(replicate))?);
        }
    }
    if experiment.evaluation.perplexity {
        answered.perplexity = Some(perplexities(means, &writer, &answered.answers)?);
    }
    Ok(answered)
}

fn once(
    means: Means<'_>,
    writer: &LanguageModel,
    draft: &mut Draft,
    generation: u32,
    replicate: Option<u32>,
) -> Result<Answered> {
    let Means { experiment, assets, seeds, rows, .. } = means;
    let (tokenizer, config) = (&assets.base.tokenizer, &experiment.evaluation);
    let generation = Some(generation);
    let questions = Questions { prompts: &assets.prompts, config, seeds, generation, replicate, rows };
    let (answers, seconds) = stage::answer(writer, tokenizer, questions, Some(&mut draft.save))?;
    let how = Embedding {
        tokenizer,
        encoder: &assets.encoder,
        config,
        observed: experiment.sigma.observed,
        batch_size: experiment.encoder.batch_size,
        seeds,
        generation,
    };
    let embedded = stage::embed_answers(&answers, how)?;
    Ok(Answered { answers, embedded, seconds, replicates: Vec::new(), perplexity: None })
}

/// Of the model on real text beyond the contexts in use, and of its answers, given their prompts, under the base.
fn perplexities(means: Means<'_>, writer: &LanguageModel, answers: &[Answer]) -> Result<PerplexityNumbers> {
    let Means { experiment, assets, arithmetic, .. } = means;
    let bos = assets.base.tokenizer.begins();
    let scored =
        |tokens: &Vec<u32>| Scored { tokens: bos.into_iter().chain(tokens.iter().copied()).collect(), scored: 0 };
    let held_out: Vec<Scored> = assets.corpus.held_out.iter().map(|context| scored(&context.tokens)).collect();
    let given: Vec<Scored> = assets
        .prompts
        .iter()
        .zip(answers.chunks(experiment.evaluation.responses_per_prompt))
        .flat_map(|(prompt, answers)| answers.iter().map(move |answer| (prompt, answer)))
        .map(|(prompt, answer)| Scored {
            tokens: [&prompt.tokens[..], &answer.tokens].concat(),
            scored: prompt.tokens.len(),
        })
        .collect();
    let base = assets.base.model.to_device(&arithmetic.evaluation_device)?;
    let base = base.for_inference(arithmetic.evaluation_precision)?;
    Ok(PerplexityNumbers { held_out: of(writer, &held_out)?, answers_under_base: of(&base, &given)? })
}

fn of(model: &LanguageModel, texts: &[Scored]) -> Result<Option<f64>> {
    let observe = |_| if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    match perplexity(model, texts, observe) {
        Err(TrainError::Interrupted { .. }) => bail!(Interrupted),
        other => Ok(other?),
    }
}

/// The CPU's part. `base` is the complete generation 0 that drifts are against; `None` for generation 0 itself.
pub fn measure(
    experiment: &Experiment,
    draft: &Draft,
    answered: &Answered,
    base: Option<Base<'_>>,
) -> Result<Evaluation> {
    let Experiment { sigma, surface, .. } = experiment;
    let measured = measure::measure(answered.rows(), base, sigma, surface)?;
    if !measured.spectrum.is_empty() {
        let lines = measured.spectrum.iter().zip(1..).map(|(lambda, i): (_, usize)| format!("{i},{lambda:?}\n"));
        let text: String = std::iter::once("i,lambda\n".to_string()).chain(lines).collect();
        let path = draft.file(SPECTRUM);
        run_files::write(&path, text.as_bytes())?;
    }
    let beta = measured.sigma.as_ref().map(|sigma| sigma.beta);
    let noise = answered
        .replicates
        .iter()
        .zip(1..)
        .map(|(replicate, number)| measure::noise_point(number, replicate.rows(), beta, sigma, surface))
        .collect::<Result<_>>()
        .context("noise floor")?;
    Ok(Evaluation {
        evaluation: stage::evaluation_record(&answered.answers, &answered.embedded, answered.seconds),
        embedding: answered.embedded.record.clone(),
        measured,
        noise,
        perplexity: answered.perplexity.clone(),
    })
}
