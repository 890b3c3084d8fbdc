//! The evaluation of one checkpoint: the frozen questions, its answers, their embeddings, and what is measured on them. The
//! device's part and the CPU's part are two functions, so that a driver can run the second beside other work.

use std::fs;
use std::ops::ControlFlow;

use anyhow::{Context, Result, bail};
use candle_core::DType;
use serde::{Deserialize, Serialize};
use sigma_data::answers::{Answer, write_answers};
use sigma_data::seeds::Seeds;
use sigma_model::{Device, Opt};
use sigma_report::record::{EmbeddingRecord, EvaluationRecord, NoisePoint, PerplexityNumbers};
use sigma_train::{Scored, TrainError, perplexity};

use crate::assets::{Assets, FrozenEncoder};
use crate::interrupt::{self, Interrupted};
use crate::measure::{self, Measurement};
use crate::run_folder::Draft;
use crate::spec::Experiment;
use crate::stage::{self, EmbeddedBlock};

const RESPONSES: &str = "responses.jsonl";
const EMBEDDINGS: &str = "embeddings.npy";
const SPECTRUM: &str = "spectrum.csv";
/// Held-out contexts whose perplexity is taken, evenly spread.
const HELD_OUT: usize = 200;

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
    blocks: Vec<EmbeddedBlock>,
    rows: Vec<f32>,
    seconds: f64,
    embedding: EmbeddingRecord,
    /// Of the noise floor, the same once more for each.
    replicates: Vec<Answered>,
    perplexity: Option<PerplexityNumbers>,
}

impl Answered {
    fn embedded(&self) -> measure::Embedded<'_> {
        let Self { answers, blocks, rows, embedding, .. } = self;
        measure::Embedded { answers, blocks, rows, dim: embedding.dim }
    }
}

/// What answers are written and embedded with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    pub experiment: &'a Experiment,
    pub assets: &'a Assets,
    pub seeds: &'a Seeds,
    pub encoder: &'a FrozenEncoder,
    pub device: &'a Device,
}

/// Writes texts in the precision of training: what the model is when it is used.
pub fn inference_dtype(experiment: &Experiment, device: &Device) -> DType {
    experiment.training.precision.dtype(device)
}

/// The device's part: answers, embeddings and what needs a forward pass. The base checkpoint (generation 0) also answers for the noise floor.
pub fn answer(means: Means<'_>, model: &Opt, draft: &mut Draft, generation: u32) -> Result<Answered> {
    let Means { experiment, device, .. } = means;
    let writer = model.for_inference(inference_dtype(experiment, device))?;
    let mut answered = once(means, &writer, draft, generation, None)?;
    write_answers(&draft.file(RESPONSES), &answered.answers)?;
    sigma_embed::npy::write(&draft.file(EMBEDDINGS), &answered.rows, answered.embedding.dim)?;
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
    writer: &Opt,
    draft: &mut Draft,
    generation: u32,
    replicate: Option<u32>,
) -> Result<Answered> {
    let Means { experiment, assets, seeds, encoder, .. } = means;
    let (tokenizer, section) = (&assets.base.tokenizer, &experiment.evaluation);
    let which = (Some(generation), replicate);
    let (answers, seconds) =
        stage::answer(writer, tokenizer, &assets.prompts, section, seeds, which, Some(&mut draft.save))?;
    let cut = (section.window_tokens, section.stride_tokens, experiment.encoder.batch_size);
    let (blocks, rows, embedding) = stage::embed_answers(&answers, tokenizer, encoder, cut, seeds, Some(generation))?;
    Ok(Answered { answers, blocks, rows, seconds, embedding, replicates: Vec::new(), perplexity: None })
}

/// Of the model on real text beyond the contexts in use, and of its answers, given their prompts, under the base.
fn perplexities(means: Means<'_>, writer: &Opt, answers: &[Answer]) -> Result<PerplexityNumbers> {
    let Means { experiment, assets, device, .. } = means;
    let bos = writer.config().bos_token_id;
    let spare = &assets.corpus.spare;
    let count = spare.len().min(HELD_OUT);
    let held_out: Vec<Scored> = (0..count)
        .map(|i| &spare[i * spare.len() / count].tokens)
        .map(|tokens| Scored { tokens: [&[bos], &tokens[..]].concat(), scored: 0 })
        .collect();
    let given: Vec<Scored> = assets
        .prompts
        .iter()
        .zip(answers)
        .map(|(prompt, answer)| Scored {
            tokens: [&prompt.tokens[..], &answer.tokens].concat(),
            scored: prompt.tokens.len(),
        })
        .collect();
    let base = assets.base.model.to_device(device)?.for_inference(inference_dtype(experiment, device))?;
    Ok(PerplexityNumbers { held_out: of(writer, &held_out)?, answers_under_base: of(&base, &given)? })
}

fn of(model: &Opt, texts: &[Scored]) -> Result<Option<f64>> {
    let observe = |_| if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    match perplexity(model, texts, observe) {
        Err(TrainError::Interrupted { .. }) => bail!(Interrupted),
        other => Ok(other?),
    }
}

/// The CPU's part.
pub fn measure(experiment: &Experiment, draft: &Draft, answered: &Answered) -> Result<Evaluation> {
    let Experiment { sigma, surface, .. } = experiment;
    let measured = measure::measure(answered.embedded(), sigma, surface)?;
    if !measured.spectrum.is_empty() {
        let lines = measured.spectrum.iter().zip(1..).map(|(lambda, i): (_, usize)| format!("{i},{lambda:?}\n"));
        let text: String = std::iter::once("i,lambda\n".to_string()).chain(lines).collect();
        let path = draft.file(SPECTRUM);
        fs::write(&path, text).with_context(|| format!("{} can not be written", path.display()))?;
    }
    let noise = answered
        .replicates
        .iter()
        .zip(1..)
        .map(|(replicate, number)| measure::noise_point(number, replicate.embedded(), sigma, surface))
        .collect::<Result<_>>()
        .context("noise floor")?;
    Ok(Evaluation {
        evaluation: stage::evaluation_record(&answered.answers, answered.blocks.len(), answered.seconds),
        embedding: answered.embedding.clone(),
        measured,
        noise,
        perplexity: answered.perplexity.clone(),
    })
}
