//! `sigma-exp finetune`, `generate` and `embed`: the loop's stages one by one, by the loop's own code.

use std::path::Path;

use anyhow::{Result, bail};
use sigma_data::Tokenizer;
use sigma_data::answers::{read_answers, write_answers};
use sigma_data::blocks::{Block, read_blocks, write_blocks};
use sigma_data::prompts::read_prompts;
use sigma_data::seeds::Seeds;
use sigma_report::run_files;
use sigma_train::TrainingSet;

use super::output::{ModelFolder, Output};
use super::texts;
use crate::assets::{FrozenEncoder, Language, TokenizedPrompt, fetch_tokenizer};
use crate::hub::Hub;
use crate::stage::{Continuations, Embedding, Questions};
use crate::{cli, device, stage};

pub fn finetune(hub: Hub, arguments: &cli::Finetune) -> Result<()> {
    let experiment = arguments.config.load()?;
    let folder = ModelFolder::new(&arguments.out, arguments.force)?;
    let device = device::open(&experiment.device)?;
    let language = Language::load(hub, &arguments.model, &device)?;
    let blocks = read_blocks(&arguments.blocks, &language.tokenizer, language.model.vocab_size(), None)?;
    check_lengths(&arguments.blocks, &blocks)?;
    let seeds = Seeds::new(experiment.seed, &experiment.domain);
    let set = TrainingSet { blocks: &blocks, bos: language.tokenizer.begins() };
    let (model, curve, record) =
        stage::train(&language.model, set, &experiment.training, &seeds, arguments.generation, None)?;
    folder.write(|folder| {
        model.save(folder)?;
        language.tokenizer.save(folder)?;
        Ok(run_files::replace(&folder.join("training.csv"), stage::curve_csv(&curve))?)
    })?;
    tracing::info!(
        "loss {:.4} -> {:.4}; model and training.csv: {}",
        record.first_loss,
        record.last_loss,
        arguments.out.display()
    );
    Ok(())
}

pub fn generate(hub: Hub, arguments: &cli::Generate) -> Result<()> {
    let experiment = arguments.config.load()?;
    let output = Output::new(&arguments.out, arguments.force)?;
    let device = device::open(&experiment.device)?;
    let Language { model, tokenizer, .. } = Language::load(hub, &arguments.model, &device)?;
    let model = model.for_inference(experiment.training.precision.dtype(&device))?;
    let seeds = Seeds::new(experiment.seed, &experiment.domain);
    match arguments.purpose {
        cli::Purpose::Regeneration => {
            let contexts = read_blocks(&arguments.prompts, &tokenizer, model.vocab_size(), None)?;
            let wanted = Continuations {
                contexts: &contexts,
                config: &experiment.regeneration,
                seeds: &seeds,
                generation: arguments.generation,
                rows: None,
            };
            let (pool, _) = stage::regenerate(&model, &tokenizer, wanted, None)?;
            output.write(|path| write_blocks(path, &pool))?;
        }
        cli::Purpose::Evaluation => {
            let section = &experiment.prompts;
            let bank = read_prompts(&arguments.prompts, section)?;
            let prompts = bank
                .into_iter()
                .map(|prompt| Ok(TokenizedPrompt { tokens: tokenizer.encode_with_bos(&prompt.text)?, prompt }))
                .collect::<Result<Vec<_>>>()?;
            let questions = Questions {
                prompts: &prompts,
                config: &experiment.evaluation,
                seeds: &seeds,
                generation: None,
                replicate: None,
                rows: None,
            };
            let (answers, _) = stage::answer(&model, &tokenizer, questions, None)?;
            output.write(|path| write_answers(path, &answers))?;
        }
    }
    tracing::info!("{}", arguments.out.display());
    Ok(())
}

pub fn embed(hub: Hub, arguments: &cli::Embed) -> Result<()> {
    let experiment = arguments.config.load()?;
    let output = Output::new(&arguments.out, arguments.force)?;
    let device = device::open(&experiment.device)?;
    let section = &experiment.encoder;
    let encoder = FrozenEncoder::load(hub, &section.source, section.max_tokens, &device)?;
    let dim = encoder.encoder.dim();
    let rows = if arguments.answers {
        let tokenizer = Tokenizer::load(&fetch_tokenizer(hub, &experiment.model.source)?)?;
        let answers = read_answers(&arguments.texts)?;
        let how = Embedding {
            tokenizer: &tokenizer,
            encoder: &encoder,
            config: &experiment.evaluation,
            observed: experiment.sigma.observed,
            batch_size: section.batch_size,
            seeds: &Seeds::new(experiment.seed, &experiment.domain),
            generation: None,
        };
        stage::embed_answers(&answers, how)?.rows
    } else {
        let texts = texts::read(&arguments.texts, arguments.text_column.as_deref())?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        stage::embed_texts(&texts, &encoder, section.batch_size, None)?.0
    };
    output.write(|path| sigma_embed::npy::write(path, &rows, dim))?;
    tracing::info!("{}: {} rows of {dim}", arguments.out.display(), rows.len() / dim);
    Ok(())
}

/// Training needs blocks of one length.
fn check_lengths(path: &Path, blocks: &[Block]) -> Result<()> {
    let expected = blocks.first().map_or(0, |block| block.tokens.len());
    match blocks.iter().find(|block| block.tokens.len() != expected) {
        Some(block) => bail!(
            "{}: block `{}` has {} tokens, but the first block has {expected}; training needs blocks of one \
             length, and `sigma-exp data slice` cuts texts into such",
            path.display(),
            block.id,
            block.tokens.len()
        ),
        None => Ok(()),
    }
}
