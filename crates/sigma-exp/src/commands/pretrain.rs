//! `sigma-exp pretrain`: a small OPT and its byte-level BPE from a corpus alone, which is how the bundled model is
//! made.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use sigma_data::blocks::Block;
use sigma_data::config::CorpusConfig;
use sigma_data::documents::read_documents;
use sigma_data::seeds::Seeds;
use sigma_data::{Tokenizer, train_bpe};
use sigma_model::{Opt, OptConfig};
use sigma_report::run_files;
use sigma_train::{TrainingConfig, TrainingSet};

use super::output::ModelFolder;
use crate::hub::Hub;
use crate::yaml::{self, Setting};
use crate::{cli, device, stage};

/// A pretraining config.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pretraining {
    /// Folder of the finished model.
    out: PathBuf,
    domain: String,
    #[serde(default = "default_seed")]
    seed: u64,
    /// `context_tokens` is the length of a training block here: documents are joined, with eos between them.
    corpus: CorpusConfig,
    /// Distance between the starts of two blocks; smaller than a block, the text is seen at several offsets, which
    /// keeps a small model from learning where in a block a sentence stands.
    stride_tokens: usize,
    tokenizer: TokenizerSection,
    model: ModelSection,
    #[serde(default)]
    training: TrainingConfig,
    #[serde(default = "default_device")]
    device: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenizerSection {
    vocab_size: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelSection {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    ffn_dim: usize,
    max_position_embeddings: usize,
}

fn default_seed() -> u64 {
    42
}

fn default_device() -> String {
    "auto".to_string()
}

pub fn execute(hub: Hub, arguments: &cli::Pretrain) -> Result<()> {
    let config: Pretraining = yaml::load(&arguments.config, &Setting::parse_all(&arguments.overrides)?)?;
    let out = arguments.out.as_ref().unwrap_or(&config.out);
    let folder = ModelFolder::new(out, arguments.force)?;
    config.training.validate()?;
    let device = device::open(&config.device)?;
    let corpus = &config.corpus;
    let text = hub.text("corpus", &corpus.text_file()?)?;
    let documents = read_documents(&text.path, corpus.text_column.as_deref(), corpus.id_column.as_deref())?;
    let tokenizer = train_bpe(documents.iter().map(|d| d.text.as_str()), config.tokenizer.vocab_size)?;
    let texts: Vec<&str> = documents.iter().map(|d| d.text.as_str()).collect();
    let blocks = pack(&tokenizer, &texts, corpus.context_tokens, config.stride_tokens)?;
    tracing::info!(
        "{} documents, {} blocks of {} tokens, {} tokens in the vocabulary",
        documents.len(),
        blocks.len(),
        corpus.context_tokens,
        tokenizer.vocab_size()
    );

    let section = &config.model;
    let shape = serde_json::json!({
        "vocab_size": tokenizer.vocab_size(),
        "hidden_size": section.hidden_size,
        "num_hidden_layers": section.num_hidden_layers,
        "num_attention_heads": section.num_attention_heads,
        "ffn_dim": section.ffn_dim,
        "max_position_embeddings": section.max_position_embeddings,
        "bos_token_id": tokenizer.bos_id(),
        "eos_token_id": tokenizer.eos_id(),
        "pad_token_id": tokenizer.pad_id(),
    });
    let shape: OptConfig = serde_json::from_value(shape)?;
    shape.check(&arguments.config)?;
    let seeds = Seeds::new(config.seed, &config.domain);
    let model = Opt::init(shape, &seeds).to_device(&device)?.into();
    let set = TrainingSet { blocks: &blocks, bos: tokenizer.begins() };
    let (model, curve, record) = stage::train(&model, set, &config.training, &seeds, None, None)?;

    folder.write(|folder| {
        model.save(folder)?;
        tokenizer.save(folder)?;
        Ok(run_files::replace(&folder.join("training.csv"), stage::curve_csv(&curve))?)
    })?;
    tracing::info!("loss {:.3} -> {:.3}; model: {}", record.first_loss, record.mean_loss_last_epoch, out.display());
    Ok(())
}

/// All documents as one stream with eos between them, cut into blocks that begin every `stride` tokens; the remainder
/// is dropped.
fn pack(tokenizer: &Tokenizer, texts: &[&str], block_tokens: usize, stride: usize) -> Result<Vec<Block>> {
    if block_tokens == 0 || stride == 0 {
        bail!("corpus.context_tokens and stride_tokens must be at least 1");
    }
    let mut stream = Vec::new();
    for tokens in tokenizer.encode_batch(texts)? {
        stream.extend(tokens);
        stream.push(tokenizer.eos_id());
    }
    let blocks: Vec<Block> = stream
        .windows(block_tokens)
        .step_by(stride)
        .enumerate()
        .map(|(i, tokens)| Block { id: format!("block-{i:05}"), tokens: tokens.to_vec() })
        .collect();
    if blocks.is_empty() {
        bail!("the corpus has {} tokens, fewer than one block of {block_tokens} (corpus.context_tokens)", stream.len());
    }
    Ok(blocks)
}
