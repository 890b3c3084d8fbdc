//! How a generation that is made and measured becomes complete: its record is written, it appears in the run's folder,
//! weights that are not kept go, and the tables and the page follow. And the records that a run has so far.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;

use anyhow::{Result, anyhow};
use candle_core::DType;
use sigma_data::hash::{hash_blocks, hash_bytes};
use sigma_report::record::{self, ArithmeticRecord, MixtureRecord, RegenerationRecord, TrainingRecord};
use sigma_report::{HashedRecord, Record, chain};

use crate::clock;
use crate::draft::Draft;
use crate::driver::RunContext;
use crate::evaluation::Evaluation;
use crate::results;
use crate::run_folder::RunFolder;
use crate::savepoint::Trained;

/// A generation that has its weights and awaits its measurement.
pub struct Made<'scope> {
    pub generation: u32,
    pub draft: Draft,
    pub starting: Option<(String, String)>,
    pub weights: Weights<'scope>,
    pub blocks_hash: Option<String>,
    pub mixture: MixtureRecord,
    pub training: Option<TrainingRecord>,
    pub regeneration: Option<RegenerationRecord>,
}

/// The hash of a generation's weights.
pub enum Weights<'scope> {
    Known(String),
    /// The thread that brings the weights to the disk while they are already in use, and returns it with the finished
    /// record of training.
    Writing(ScopedJoinHandle<'scope, Result<Trained>>),
}

/// The records of all complete generations, in order; the thread that measures adds to them.
pub struct Records(Mutex<BTreeMap<u32, HashedRecord>>);

impl Records {
    pub fn new(records: Vec<HashedRecord>) -> Self {
        Self(Mutex::new(records.into_iter().map(|read| (read.record.generation, read)).collect()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, HashedRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn all(&self) -> Vec<Record> {
        self.lock().values().map(|read| read.record.clone()).collect()
    }

    /// What the record of `generation` says of the one before it.
    fn previous(&self, generation: u32) -> Option<String> {
        chain::previous(&self.lock(), generation)
    }

    /// That of generation 0, once it is complete.
    pub fn base(&self) -> Option<Record> {
        self.all().into_iter().next().filter(|record| record.generation == 0)
    }

    pub fn note_trouble(&self, folder: &RunFolder, generation: u32, error: &anyhow::Error) {
        if let Err(error) = results::note_trouble(folder, &self.all(), generation, error) {
            tracing::warn!("metrics.csv does not say why generation {generation} could not be made: {error:#}");
        }
    }
}

/// The result of work in another thread.
fn join<R>(working: ScopedJoinHandle<'_, Result<R>>) -> Result<R> {
    working.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked; this is a defect in sigma-exp")))
}

/// The same, if there is any.
pub fn wait(working: Option<ScopedJoinHandle<'_, Result<()>>>) -> Result<()> {
    working.map_or(Ok(()), join)
}

/// What is wrong with weights that training should have moved.
fn weight_flags(
    training: &TrainingRecord,
    precision: DType,
    weights: &str,
    generation: u32,
    records: &[Record],
) -> Vec<String> {
    let mut flags = Vec::new();
    if training.weight_distance == 0.0 {
        flags.push("weights_unmoved".to_string());
    } else if training.weight_distance < unit_roundoff(precision) {
        flags.push("weights_moved_below_rounding".to_string());
    }
    let earlier = records.iter().filter(|record| record.generation < generation);
    if let Some(same) = earlier.into_iter().find(|record| record.weights == weights) {
        flags.push(format!("weights_equal_{}", sigma_report::generation_dir_name(same.generation).replace('-', "_")));
    }
    flags
}

/// Half the distance from 1 to the next number: a smaller relative change rounds away.
fn unit_roundoff(precision: DType) -> f64 {
    match precision {
        DType::F16 => 2f64.powi(-11),
        DType::BF16 => 2f64.powi(-8),
        _ => 2f64.powi(-24),
    }
}

/// Writes the record. With it the generation appears.
pub fn complete(run: RunContext<'_>, records: &Records, made: Made<'_>, evaluation: Evaluation) -> Result<()> {
    let (weights, training) = match made.weights {
        Weights::Known(hash) => (hash, made.training),
        Weights::Writing(thread) => {
            let Trained { weights, record, .. } = join(thread)?;
            (weights, Some(record))
        }
    };
    let RunContext { experiment, assets, folder, start, .. } = run;
    let Evaluation { evaluation, embedding, measured, noise, perplexity } = evaluation;
    let mut flags = measured.flags;
    flags.extend(training.as_ref().map_or_else(Vec::new, |training| {
        weight_flags(training, run.arithmetic.precision, &weights, made.generation, &records.all())
    }));
    let mut inputs = BTreeMap::from([
        (record::CONFIG_INPUT.to_string(), hash_bytes(experiment.to_yaml()?.as_bytes())),
        ("contexts".to_string(), assets.corpus.hash.clone()),
        ("prompts".to_string(), assets.prompts_hash.clone()),
        ("tokenizer".to_string(), assets.base.tokenizer.hash()),
        ("encoder".to_string(), assets.encoder.hash.clone()),
        ("base".to_string(), assets.base.hash.clone()),
    ]);
    if experiment.evaluation.perplexity {
        inputs.insert("held_out".to_string(), hash_blocks(&assets.corpus.held_out));
    }
    if let Some(hash) = made.blocks_hash {
        inputs.insert("training_blocks".to_string(), hash);
    }
    let (starting_from, starting_weights) = made.starting.unzip();
    let record = Record {
        schema: record::SCHEMA,
        generation: made.generation,
        experiment: start.experiment_hash.clone(),
        previous: records.previous(made.generation),
        setting: experiment.setting,
        starting_weights,
        starting_from: starting_from.unwrap_or_else(|| "base".to_string()),
        weights,
        arithmetic: ArithmeticRecord {
            program: start.program.clone(),
            machine: start.machine.clone(),
            resolved: start.resolved.clone(),
        },
        inputs,
        files: made.draft.files()?,
        mixture: made.mixture,
        training,
        regeneration: made.regeneration,
        evaluation,
        embedding,
        sigma: measured.sigma,
        drift: measured.drift,
        buckets: measured.buckets,
        surface: measured.surface,
        diversity: measured.diversity,
        noise,
        perplexity,
        flags,
        started: made.draft.save.started(),
        finished: clock::now(),
        seconds: made.draft.save.seconds(),
    };
    let hash = made.draft.commit(&record)?;
    folder.extend_chain(record.generation, &hash)?;
    folder.retain(experiment.checkpoints.keep, record.generation)?;
    records.lock().insert(record.generation, HashedRecord { hash, record });
    let records = records.all();
    results::write(folder, &records)?;
    results::refresh_page(folder, &results::report_options(experiment, assets));
    results::announce(&records);
    Ok(())
}
