//! The evaluation of a base checkpoint, shared between runs. Generation 0 is the same in every run that asks the same model
//! the same questions under the same seed, whatever it trains on later; so it is made once, kept with a list of everything
//! that it depends on, and taken over bit by bit by the others.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sigma_data::hash::{hash_blocks, hash_bytes, hash_file};
use sigma_report::FileEntry;

use crate::driver::RunContext;
use crate::evaluation::Evaluation;
use crate::run_folder::Draft;
use crate::{device, machine, results, whole_folder};

const FILE_NAME: &str = "evaluation.json";

/// `evaluation.json`
#[derive(Debug, Serialize, Deserialize)]
struct Shared {
    inputs: BTreeMap<String, String>,
    files: BTreeMap<String, FileEntry>,
    evaluation: Evaluation,
}

/// Everything that the evaluation of the base depends on, by name. Batch sizes and threads are not here: they change no text.
pub fn inputs(run: RunContext<'_>) -> Result<BTreeMap<String, String>> {
    let RunContext { experiment, assets, arithmetic, start, .. } = run;
    let device = &arithmetic.evaluation_device;
    let mut evaluation = experiment.evaluation.clone();
    evaluation.batch_size = None;
    let mut encoder = experiment.encoder.clone();
    encoder.batch_size = Default::default();
    let program = machine::program();
    let machine = machine::machine(device);
    let arithmetic = match &machine.gpu {
        Some(gpu) => gpu.clone(),
        None => machine.cpu_features.join(" "),
    };
    let named = [
        ("base", assets.base.identity()?),
        ("prompts", assets.prompts_hash.clone()),
        ("encoder", assets.encoder.hash.clone()),
        ("evaluation", serde_json::to_string(&evaluation)?),
        // the perplexity is taken on what the corpus has beyond the contexts in use
        ("held_out", if evaluation.perplexity { hash_blocks(&assets.corpus.held_out) } else { String::new() }),
        ("encoding", serde_json::to_string(&encoder)?),
        ("sigma", serde_json::to_string(&experiment.sigma)?),
        ("surface", serde_json::to_string(&experiment.surface)?),
        ("seed", experiment.seed.to_string()),
        ("domain", experiment.domain.clone()),
        ("precision", start.resolved.evaluation_precision.clone()),
        ("texts decoded together", format!("{:?}", start.resolved.answer_rows)),
        ("device", device::gpu_name(device).unwrap_or_else(|| device::describe(device))),
        ("arithmetic", arithmetic),
        ("program", format!("{} {}", program.version, program.commit.unwrap_or_default())),
    ];
    Ok(named.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

/// The place of one evaluation in a folder that runs share. While it is open, other processes that want the same one wait.
pub struct SharedEvaluation {
    place: PathBuf,
    inputs: BTreeMap<String, String>,
    _lock: File,
}

impl SharedEvaluation {
    /// The place in `shared` for what follows from `inputs`.
    pub fn open(shared: &Path, inputs: BTreeMap<String, String>) -> Result<Self> {
        let key = hash_bytes(serde_json::to_string(&inputs)?.as_bytes());
        let place = shared.join(&key[..16]);
        fs::create_dir_all(shared).with_context(|| format!("{} can not be made", shared.display()))?;
        let path = place.with_extension("lock");
        let lock = File::create(&path).with_context(|| format!("{} can not be written", path.display()))?;
        // where there are no locks, two may make the same thing, and the last one stays
        let _ = lock.lock();
        Ok(Self { place, inputs, _lock: lock })
    }

    /// What is there already, with its files put into `draft`.
    pub fn take(&self, draft: &Draft) -> Option<Evaluation> {
        if !self.place.join(FILE_NAME).exists() {
            return None;
        }
        match restore(&self.place, &self.inputs, draft) {
            Ok(evaluation) => {
                tracing::info!("generation 0: taken from {}", self.place.display());
                Some(evaluation)
            }
            Err(error) => {
                tracing::warn!("{} can not be used and is made again: {error:#}", self.place.display());
                None
            }
        }
    }

    /// Leaves `evaluation` and the files of `draft` for others.
    pub fn put(self, draft: &Draft, evaluation: &Evaluation) -> Result<()> {
        let shared = Shared { inputs: self.inputs, files: draft.files()?, evaluation: evaluation.clone() };
        store(&self.place, &shared, draft)
    }
}

fn restore(place: &Path, inputs: &BTreeMap<String, String>, draft: &Draft) -> Result<Evaluation> {
    let shared: Shared = serde_json::from_str(&fs::read_to_string(place.join(FILE_NAME))?)?;
    if shared.inputs != *inputs {
        bail!("it was made from other inputs");
    }
    for (name, entry) in &shared.files {
        // a name from a file must not lead elsewhere
        if Path::new(name).file_name() != Some(name.as_ref()) {
            bail!("`{name}` is not the name of a file");
        }
        fs::copy(place.join(name), draft.file(name)).with_context(|| name.clone())?;
        if hash_file(&draft.file(name))? != entry.blake3 {
            bail!("{name} is damaged");
        }
    }
    Ok(shared.evaluation)
}

fn store(place: &Path, shared: &Shared, draft: &Draft) -> Result<()> {
    let partial = place.with_extension("partial");
    let said = || format!("{} can not be written", place.display());
    for old in [&partial, place] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(said)?;
        }
    }
    fs::create_dir(&partial).with_context(said)?;
    for name in shared.files.keys() {
        fs::copy(draft.file(name), partial.join(name)).with_context(said)?;
    }
    results::replace(&partial.join(FILE_NAME), &format!("{}\n", serde_json::to_string_pretty(shared)?))?;
    whole_folder::appear(&partial, place)
}
