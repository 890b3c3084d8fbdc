//! What an experiment uses and never changes: the base checkpoint, its tokenizer, the sliced corpus, the prompt bank
//! and the encoder, each with its hash. Loaded once, before anything is written.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use sigma_data::TextFile;
use sigma_data::Tokenizer;
use sigma_data::blocks::{Block, slice};
use sigma_data::documents::read_documents;
use sigma_data::hash::{hash_blocks, hash_bytes, hash_file};
use sigma_data::hub::{Resolved, Wanted};
use sigma_data::prompts::{Prompt, read_prompts};
use sigma_data::source::Source;
use sigma_data::tokenizer::ends_of_folder;
use sigma_metrics::Observed;
use sigma_model::encoder::{SETTINGS, decisive_files, wanted_of_modules};
use sigma_model::{Device, Encoder, LanguageModel, ModelError};
use sigma_report::manifest::{CorpusSource, ModelSource, PromptsSource, SourcesEntry};

use crate::arithmetic::Arithmetic;
use crate::hub::{Hub, LocalText};
use crate::mixture::Real;
use crate::spec::Experiment;
use crate::stage::rows_per_answer;

/// A model of the experiment's family with its tokenizer.
pub struct Language {
    pub revision: Option<String>,
    pub model: LanguageModel,
    pub tokenizer: Tokenizer,
    /// Of the weights alone.
    pub hash: String,
}

impl Language {
    /// Loads `source` onto `device`.
    pub fn load(hub: Hub, source: &str, device: &Device) -> Result<Self> {
        let wanted = [
            Wanted::file("config.json"),
            Wanted::weights(),
            Wanted::tokenizer(),
            Wanted::optional("generation_config.json"),
        ];
        let wanted: Vec<Wanted> = wanted.into_iter().chain(BESIDE_THE_TOKENIZER.map(Wanted::optional)).collect();
        let resolved = hub.model("model", source, &wanted)?;
        let tokenizer = Tokenizer::load(&resolved.folder)?;
        let model = LanguageModel::load(&resolved.folder, device)?;
        check_vocabulary(&resolved.folder, &tokenizer, &model)?;
        let model = model.with_ends(ends_of_folder(&resolved.folder, &tokenizer)?);
        if let Some(what) = model.lacks() {
            tracing::warn!("{source}: the fast engine lacks {what}, so the reference computes this model, and slowly");
        }
        let hash = model.hash()?;
        Ok(Self { revision: resolved.revision, model, tokenizer, hash })
    }

    /// One hash of everything that decides what the model computes and what it reads and writes. The same weights under
    /// another config.json train and answer otherwise (dropout, end of text, order of norms).
    pub fn identity(&self) -> Result<String> {
        let config = self.model.config_json()?;
        Ok(hash_bytes(format!("{} {} {config}", self.hash, self.tokenizer.hash()).as_bytes()))
    }
}

/// Rows that a model may have beyond its tokenizer's entries. Vocabularies are padded to a multiple of up to a thousand
/// (OPT: seven rows).
const MOST_PADDING: usize = 1023;

fn check_vocabulary(folder: &Path, tokenizer: &Tokenizer, model: &LanguageModel) -> Result<()> {
    let (entries, rows) = (tokenizer.vocab_size(), model.vocab_size());
    if entries > rows {
        bail!(ModelError::Vocabulary { folder: folder.to_path_buf(), tokenizer: entries, model: rows });
    }
    if rows - entries > MOST_PADDING.min(rows / 8) {
        bail!(
            "{}: the model has a vocabulary of {rows} tokens, but the tokenizer has only {entries} entries, so much of what it \
             writes could not be read: one of the two belongs to another model",
            folder.display()
        );
    }
    Ok(())
}

/// Files that say more of a tokenizer than its vocabulary.
const BESIDE_THE_TOKENIZER: [&str; 3] = ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];

/// A frozen encoder, and what identifies it.
pub struct FrozenEncoder {
    pub encoder: Encoder,
    pub source: String,
    pub revision: Option<String>,
    pub hash: String,
}

impl FrozenEncoder {
    pub fn load(hub: Hub, source: &str, max_tokens: Option<usize>, device: &Device) -> Result<Self> {
        let resolved = encoder_files(hub, source)?;
        let encoder = Encoder::load(&resolved.folder, max_tokens, device)?;
        let hash = hash_folder(&resolved.folder)?;
        Ok(Self { encoder, source: source.to_string(), revision: resolved.revision, hash })
    }
}

/// The folder of an encoder with all that its modules.json names, which is looked at first.
fn encoder_files(hub: Hub, source: &str) -> Result<Resolved> {
    let names = ["modules.json", "config_sentence_transformers.json"].map(Wanted::optional);
    let listed = hub.model("encoder", source, &names)?;
    let modules = wanted_of_modules(&listed.folder)?;
    let transformer = modules.iter().find(|module| module.is_transformer);
    let model = transformer.map_or("", |module| module.path.as_str());
    let mut wanted = names.to_vec();
    let of_model = [Wanted::file("config.json"), Wanted::weights(), Wanted::encoder_tokenizer()];
    wanted.extend(of_model.into_iter().map(|wanted| wanted.inside(model)));
    wanted.extend(BESIDE_THE_TOKENIZER.iter().chain(&SETTINGS).map(|name| Wanted::optional(name).inside(model)));
    match modules.is_empty() {
        true => wanted.push(Wanted::optional("1_Pooling/config.json")),
        false => {
            for module in modules.iter().filter(|module| !module.is_transformer) {
                let config = "config.json";
                let config = if module.may_lack_config { Wanted::optional(config) } else { Wanted::file(config) };
                wanted.push(config.inside(&module.path));
                if module.has_weights {
                    wanted.push(Wanted::weights().inside(&module.path));
                }
            }
        }
    }
    // a branch may move between the two looks
    let source = at_commit(source, Some((source, &listed.revision)));
    hub.model("encoder", &source, &wanted)
}

/// One hash over the files of an encoder's folder that decide what it computes.
fn hash_folder(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for path in decisive_files(folder)? {
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        text.push_str(&format!("{name} {}\n", hash_file(&path)?));
    }
    Ok(hash_bytes(text.as_bytes()))
}

/// The folder of a tokenizer alone.
pub fn fetch_tokenizer(hub: Hub, source: &str) -> Result<PathBuf> {
    let mut wanted = vec![Wanted::tokenizer()];
    wanted.extend(BESIDE_THE_TOKENIZER.map(Wanted::optional));
    Ok(hub.model("tokenizer", source, &wanted)?.folder)
}

/// Contexts whose perplexity is taken.
const HELD_OUT: usize = 200;

/// The sliced corpus.
pub struct Corpus {
    pub documents: usize,
    /// The N contexts of the experiment.
    pub contexts: Vec<Block>,
    /// Contexts of the corpus beyond the N and `held_out`, where the mixture asks for them, in the order of the corpus.
    pub spare: Vec<Block>,
    /// Contexts that no generation is trained on, evenly spread over what is beyond the N, where the perplexity asks
    /// for them.
    pub held_out: Vec<Block>,
    pub revision: Option<String>,
    pub hash: String,
}

impl Corpus {
    fn load(hub: Hub, text: &TextFile, experiment: &Experiment, tokenizer: &Tokenizer) -> Result<Self> {
        let config = &experiment.corpus;
        let LocalText { path, revision } = hub.text("corpus", text)?;
        let documents = read_documents(&path, config.text_column.as_deref(), config.id_column.as_deref())?;
        let contexts = slice(&documents, tokenizer, config.context_tokens, config.max_contexts)?;
        let (found, batch) = (contexts.len(), experiment.training.batch_size);
        if found < batch {
            bail!(
                "{} gives {found} contexts of {} tokens, fewer than training.batch_size {batch}, so an epoch would be one smaller \
                 step: use more text, fewer corpus.context_tokens, a larger corpus.max_contexts, or a smaller batch",
                path.display(),
                config.context_tokens
            );
        }
        let (mut spare, mut held_out) = (Vec::new(), Vec::new());
        let needed = experiment.mixture.spare_contexts(contexts.len(), experiment.generations);
        let asks_for_fresh =
            experiment.mixture.real == Real::Fresh && experiment.mixture.real_blocks(contexts.len()) > 0;
        if asks_for_fresh || experiment.evaluation.perplexity {
            let used: std::collections::HashSet<&str> = contexts.iter().map(|c| c.id.as_str()).collect();
            spare = slice(&documents, tokenizer, config.context_tokens, None)?;
            spare.retain(|context| !used.contains(context.id.as_str()));
        }
        if experiment.evaluation.perplexity {
            (held_out, spare) = split_evenly(spare, HELD_OUT);
        }
        if asks_for_fresh && spare.len() < needed {
            bail!(
                "mixture.real is `fresh`: {} generations need {needed} contexts beyond the {} in use, but {} has only {} more, which \
                 last {} generations; use a larger corpus, a smaller corpus.max_contexts, fewer generations, or mixture.real: resample",
                experiment.generations,
                contexts.len(),
                path.display(),
                spare.len(),
                spare.len() / experiment.mixture.real_blocks(contexts.len()).max(1)
            );
        }
        // what only the perplexity reads is not what the run is made from
        let fresh = if asks_for_fresh { &spare[..] } else { &[] };
        let hash = hash_bytes(format!("{} {}", hash_blocks(&contexts), hash_blocks(fresh)).as_bytes());
        if !asks_for_fresh {
            spare.clear();
        }
        Ok(Self { documents: documents.len(), contexts, spare, held_out, revision, hash })
    }
}

/// `count` of `blocks`, evenly spread, and the others.
fn split_evenly(blocks: Vec<Block>, count: usize) -> (Vec<Block>, Vec<Block>) {
    let (total, count) = (blocks.len(), count.min(blocks.len()));
    let chosen: std::collections::HashSet<usize> = (0..count).map(|i| i * total / count).collect();
    let (mut taken, mut others) = (Vec::new(), Vec::new());
    for (i, block) in blocks.into_iter().enumerate() {
        if chosen.contains(&i) { taken.push(block) } else { others.push(block) }
    }
    (taken, others)
}

/// A prompt of the bank with its token ids (BOS first).
pub struct TokenizedPrompt {
    pub prompt: Prompt,
    pub tokens: Vec<u32>,
}

pub struct Assets {
    pub base: Language,
    pub corpus: Corpus,
    pub prompts: Vec<TokenizedPrompt>,
    pub prompts_hash: String,
    pub prompts_revision: Option<String>,
    pub encoder: FrozenEncoder,
}

impl Assets {
    /// Loads and checks everything that `experiment` names, the encoder onto the evaluation device. `begun` is what a
    /// run that goes on has used: a branch of the hub may have moved since, so the same commits are taken again.
    pub fn load(
        hub: Hub,
        experiment: &Experiment,
        begun: Option<&SourcesEntry>,
        arithmetic: &Arithmetic,
    ) -> Result<Self> {
        let Arithmetic { device, evaluation_device, .. } = arithmetic;
        let source = &experiment.model.source;
        let source = at_commit(source, begun.map(|b| (b.model.source.as_str(), &b.model.revision)));
        let base = Language::load(hub, &source, device)?;
        let text =
            text_at_commit(experiment.corpus.text_file()?, begun.map(|b| (b.corpus.path.as_str(), &b.corpus.revision)));
        let corpus = Corpus::load(hub, &text, experiment, &base.tokenizer)?;
        let section = &experiment.prompts;
        let text = text_at_commit(section.text_file()?, begun.map(|b| (b.prompts.path.as_str(), &b.prompts.revision)));
        let LocalText { path, revision: prompts_revision } = hub.text("prompts", &text)?;
        let bank = read_prompts(&path, section)?;
        let prompts_hash = hash_bytes(serde_json::to_string(&bank)?.as_bytes());
        let mut prompts = Vec::with_capacity(bank.len());
        for prompt in bank {
            let tokens = base.tokenizer.encode_with_bos(&prompt.text)?;
            prompts.push(TokenizedPrompt { prompt, tokens });
        }
        check_lengths(experiment, &path, &base.model, &prompts)?;
        check_observed(experiment, prompts.len())?;
        let section = &experiment.encoder;
        let source = at_commit(&section.source, begun.map(|b| (b.encoder.source.as_str(), &b.encoder.revision)));
        let mut encoder = FrozenEncoder::load(hub, &source, section.max_tokens, evaluation_device)?;
        encoder.source.clone_from(&section.source);
        Ok(Self { base, corpus, prompts, prompts_hash, prompts_revision, encoder })
    }

    /// What the manifest says about them.
    pub fn sources(&self, experiment: &Experiment) -> Result<SourcesEntry> {
        let model = |source: &str, revision: &Option<String>, hash: &str| ModelSource {
            source: source.to_string(),
            revision: revision.clone(),
            hash: hash.to_string(),
        };
        Ok(SourcesEntry {
            model: model(&experiment.model.source, &self.base.revision, &self.base.identity()?),
            encoder: model(&self.encoder.source, &self.encoder.revision, &self.encoder.hash),
            corpus: CorpusSource {
                path: experiment.corpus.text_file()?.to_string(),
                revision: self.corpus.revision.clone(),
                hash: self.corpus.hash.clone(),
                documents: self.corpus.documents,
                contexts: self.corpus.contexts.len(),
            },
            prompts: PromptsSource {
                path: experiment.prompts.text_file()?.to_string(),
                revision: self.prompts_revision.clone(),
                hash: self.prompts_hash.clone(),
                count: self.prompts.len(),
            },
        })
    }
}

/// `source`, or the commit of it that a run has used so far.
fn at_commit(source: &str, used: Option<(&str, &Option<String>)>) -> String {
    match (source.parse(), used) {
        (Ok(Source::Hub { repo, .. }), Some((before, Some(commit)))) if before == source => format!("{repo}@{commit}"),
        _ => source.to_string(),
    }
}

/// The same for a file of a data set.
fn text_at_commit(text: TextFile, used: Option<(&str, &Option<String>)>) -> TextFile {
    match (&text, used) {
        (TextFile::Hub { dataset: Source::Hub { repo, .. }, file }, Some((before, Some(commit))))
            if before == text.to_string() =>
        {
            let dataset = Source::Hub { repo: repo.clone(), revision: Some(commit.clone()) };
            TextFile::Hub { dataset, file: file.clone() }
        }
        _ => text,
    }
}

/// An observed set larger than the bank can fill would silently be another one.
fn check_observed(experiment: &Experiment, prompts: usize) -> Result<()> {
    let (responses, rows) = (experiment.evaluation.responses_per_prompt, rows_per_answer(&experiment.evaluation));
    let most = prompts.saturating_mul(responses).saturating_mul(rows);
    match experiment.sigma.observed {
        Observed::Count(asked) if asked > most => bail!(
            "sigma.observed is {asked}, but {prompts} prompts with {responses} responses of at most {rows} rows give no more than \
             {most}: ask for fewer, for `all`, or raise evaluation.responses_per_prompt"
        ),
        _ => Ok(()),
    }
}

/// Every text that will be written must fit into the model's positions: better known now than after an hour.
fn check_lengths(
    experiment: &Experiment,
    bank: &Path,
    model: &LanguageModel,
    prompts: &[TokenizedPrompt],
) -> Result<()> {
    let max = model.max_positions();
    let pool = 1 + 2 * experiment.corpus.context_tokens - 1;
    if pool > max {
        bail!(
            "corpus.context_tokens is {}: a context and its continuation need {pool} positions, but the model has {max}",
            experiment.corpus.context_tokens
        );
    }
    let new = experiment.evaluation.max_new_tokens;
    for prompt in prompts {
        let needed = prompt.tokens.len().saturating_add(new.saturating_sub(1));
        if needed > max {
            bail!(
                "{}: prompt `{}` has {} tokens; with evaluation.max_new_tokens {new} it needs {needed} positions, but the \
                 model has {max}",
                bank.display(),
                prompt.prompt.id,
                prompt.tokens.len()
            );
        }
    }
    Ok(())
}
