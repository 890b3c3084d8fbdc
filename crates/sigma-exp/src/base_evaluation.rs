//! The evaluation of a base checkpoint, shared between runs. Generation 0 is the same in every run that asks the same
//! model the same questions under the same seed, whatever it trains on later; so it is made once, kept with a list of
//! everything that it depends on, and taken over bit by bit by the others.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use sigma_data::hash::{hash_blocks, hash_bytes, hash_file};
use sigma_report::{FileEntry, run_files, write_json};

use crate::draft::Draft;
use crate::driver::RunContext;
use crate::evaluation::Evaluation;
use crate::layout::{self, EMBEDDINGS, RESPONSES, ROWS, SPECTRUM};
use crate::{device, machine, whole_folder};

const FILE_NAME: &str = "evaluation.json";

/// `evaluation.json`
#[derive(Debug, Serialize, Deserialize)]
struct Shared {
    inputs: BTreeMap<String, String>,
    files: BTreeMap<String, FileEntry>,
    evaluation: Evaluation,
    /// Hash of all the above, by which a number that was changed by hand is noticed.
    blake3: String,
}

impl Shared {
    fn hash(&self) -> Result<String> {
        Ok(hash_bytes(serde_json::to_string(&(&self.inputs, &self.files, &self.evaluation))?.as_bytes()))
    }
}

/// Everything that the evaluation of the base depends on, by name. Batch sizes and threads are not here: they change no
/// text.
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

/// The place of one evaluation in a folder that runs share. While it is open, other processes that want the same one
/// wait.
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
        run_files::create_dir(shared)?;
        let lock = run_files::open_own(&place.with_extension("lock"))?;
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
                tracing::warn!("{} cannot be used and is made again: {error:#}", self.place.display());
                None
            }
        }
    }

    /// Leaves `evaluation` and the files of `draft` for others.
    pub fn put(self, draft: &Draft, evaluation: &Evaluation) -> Result<()> {
        let (inputs, files, evaluation) = (self.inputs, draft.files()?, evaluation.clone());
        let mut shared = Shared { inputs, files, evaluation, blake3: String::new() };
        shared.blake3 = shared.hash()?;
        store(&self.place, &shared, draft)
    }
}

fn restore(place: &Path, inputs: &BTreeMap<String, String>, draft: &Draft) -> Result<Evaluation> {
    let shared: Shared = serde_json::from_str(&run_files::read_to_string(&place.join(FILE_NAME))?)?;
    if shared.inputs != *inputs {
        bail!("it was made from other inputs");
    }
    if shared.hash()? != shared.blake3 {
        bail!("its numbers have changed since they were written");
    }
    if ![RESPONSES, EMBEDDINGS, ROWS].iter().all(|name| shared.files.contains_key(*name)) {
        bail!("it does not list its files");
    }
    for (name, entry) in &shared.files {
        // a name from a file must not lead elsewhere
        if !run_files::is_plain_name(name) {
            bail!("`{name}` is not the name of a file");
        }
        run_files::copy(&place.join(name), &draft.file(name))?;
        if hash_file(&draft.file(name))? != entry.blake3 {
            bail!("{name} is damaged");
        }
    }
    Ok(shared.evaluation)
}

fn store(place: &Path, shared: &Shared, draft: &Draft) -> Result<()> {
    let partial = place.with_extension("partial");
    for old in [&partial, place] {
        let names: Vec<String> = if run_files::is_real_dir(old) { layout::names(old)? } else { Vec::new() };
        let known = [RESPONSES, EMBEDDINGS, ROWS, SPECTRUM, FILE_NAME];
        let ours = names
            .iter()
            .map(String::as_str)
            .filter(|name| known.contains(&run_files::replaced_by_temporary(name).unwrap_or(name)));
        if !run_files::remove_listed(old, ours)? {
            bail!("{} holds files that this program did not write: move them away", old.display());
        }
    }
    run_files::create_new_dir(&partial)?;
    for name in shared.files.keys() {
        run_files::copy(&draft.file(name), &partial.join(name))?;
    }
    write_json(&partial.join(FILE_NAME), "shared evaluation", shared)?;
    whole_folder::appear(&partial, place)
}
