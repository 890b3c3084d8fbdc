//! `sigma-exp finetune`, `generate` and `embed`: the loop's stages one by one, by the loop's own code.

use std::fs;

use anyhow::{Context, Result, bail};
use sigma_data::Tokenizer;
use sigma_data::answers::{read_answers, write_answers};
use sigma_data::blocks::{read_blocks, write_blocks};
use sigma_data::documents::read_documents;
use sigma_data::prompts::read_prompts;
use sigma_data::seeds::Seeds;

use crate::assets::{FrozenEncoder, Language, TokenizedPrompt, fetch_tokenizer};
use crate::hub::Hub;
use crate::stage::{Embedding, Questions};
use crate::{cli, device, results, stage};

pub fn finetune(hub: Hub, arguments: &cli::Finetune) -> Result<()> {
    let experiment = arguments.config.load()?;
    let out = &arguments.out;
    if out.join("model.safetensors").exists() {
        bail!("{} holds a model already; choose another --out", out.display());
    }
    let device = device::open(&experiment.device)?;
    let language = Language::load(hub, &arguments.model, &device)?;
    let blocks = read_blocks(&arguments.blocks, &language.tokenizer, language.model.config().vocab_size, None)?;
    let seeds = Seeds::new(experiment.seed, &experiment.domain);
    let (model, curve, record) =
        stage::train(&language.model, &blocks, &experiment.training, &seeds, arguments.generation, None)?;
    fs::create_dir_all(out).with_context(|| format!("{} can not be made", out.display()))?;
    model.save(out)?;
    language.tokenizer.save(out)?;
    results::replace(&out.join("training.csv"), &stage::curve_csv(&curve))?;
    tracing::info!(
        "loss {:.4} -> {:.4}; model and training.csv: {}",
        record.first_loss,
        record.last_loss,
        out.display()
    );
    Ok(())
}

pub fn generate(hub: Hub, arguments: &cli::Generate) -> Result<()> {
    let experiment = arguments.config.load()?;
    let device = device::open(&experiment.device)?;
    let Language { model, tokenizer, .. } = Language::load(hub, &arguments.model, &device)?;
    let model = model.for_inference(experiment.training.precision.dtype(&device))?;
    let seeds = Seeds::new(experiment.seed, &experiment.domain);
    match arguments.purpose {
        cli::Purpose::Regeneration => {
            let contexts = read_blocks(&arguments.prompts, &tokenizer, model.config().vocab_size, None)?;
            let (pool, _) = stage::regenerate(
                &model,
                &contexts,
                &experiment.regeneration,
                &seeds,
                arguments.generation,
                None,
                None,
            )?;
            write_blocks(&arguments.out, &pool)?;
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
            write_answers(&arguments.out, &answers)?;
        }
    }
    tracing::info!("{}", arguments.out.display());
    Ok(())
}

pub fn embed(hub: Hub, arguments: &cli::Embed) -> Result<()> {
    let experiment = arguments.config.load()?;
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
        let documents = read_documents(&arguments.texts, None, None)?;
        let texts: Vec<&str> = documents.iter().map(|d| d.text.as_str()).collect();
        stage::embed_texts(&texts, &encoder, section.batch_size, None)?.0
    };
    sigma_embed::npy::write(&arguments.out, &rows, dim)?;
    tracing::info!("{}: {} rows of {dim}", arguments.out.display(), rows.len() / dim);
    Ok(())
}
