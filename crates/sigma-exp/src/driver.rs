//! The loop: pool -> blocks -> weights -> answers -> embeddings -> metrics -> record, generation after generation.
//!
//! What is measured of generation t does not feed generation t + 1, so where there is room the measuring of t runs
//! beside the making of t + 1: on a second device all of it, on one GPU the CPU's part. The numbers are the same.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sigma_data::blocks::Block;
use sigma_data::hash::hash_blocks;
use sigma_data::jsonl;
use sigma_data::seeds::Seeds;
use sigma_model::{LanguageModel, SettledModel};
use sigma_report::manifest::StartEntry;
use sigma_report::record::{MixtureRecord, TrainingRecord};
use sigma_report::{HashedRecord, Record, Setting, run_files};
use sigma_train::TrainingSet;

use crate::arithmetic::Arithmetic;
use crate::assets::Assets;
use crate::base_evaluation::{self, SharedEvaluation};
use crate::checkpoint::{Checkpoint, Hash};
use crate::completion::{Made, Records, Weights, complete, wait};
use crate::draft::{self, Draft};
use crate::evaluation::{self, Answered, Means};
use crate::layout::{CURVE, MODEL, SYNTHETIC};
use crate::measure::Base;
use crate::mixture::{Mixture, RealText, mix};
use crate::run_folder::RunFolder;
use crate::savepoint::{Key, Trained};
use crate::spec::Experiment;
use crate::stage::Continuations;
use crate::{experiment_key, integrity, interrupt, results, stage, whole_folder};

/// What does not change over a run.
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    pub experiment: &'a Experiment,
    pub assets: &'a Assets,
    pub folder: &'a RunFolder,
    pub arithmetic: &'a Arithmetic,
    /// What the manifest says of this start.
    pub start: &'a StartEntry,
    /// Where evaluations of base checkpoints are shared with other runs, if they are.
    pub base_evaluations: Option<&'a Path>,
}

/// Runs every generation that is not among `records`, and returns the records of all.
pub fn run(run: RunContext<'_>, records: Vec<HashedRecord>) -> Result<Vec<Record>> {
    let RunContext { experiment, folder, .. } = run;
    let seeds = Seeds::new(experiment.seed, &experiment.domain);
    let last = records.last().map(|last| last.record.generation);
    let mut checkpoint = resume(run, last)?;
    // generation 0 can be missing alone: nothing that follows rests on the evaluation of the base
    let next = last.map_or(1, |last| last + 1).max(1);
    let missing_base = records.first().is_none_or(|first| first.record.generation > 0).then_some(0);
    let mut pools = read_pools(run, next)?;
    let records = Records::new(records);

    std::thread::scope(|scope| -> Result<()> {
        let mut measuring: Option<ScopedJoinHandle<'_, Result<()>>> = None;
        for generation in missing_base.into_iter().chain(next..=experiment.generations) {
            if interrupt::requested() {
                bail!(interrupt::Interrupted);
            }
            let of_generation = || format!("generation {generation}");
            let (made, of) = if generation == 0 {
                (evaluation_of_base(run)?, &run.assets.base.model)
            } else {
                let made =
                    make(scope, run, &seeds, &mut checkpoint, generation, &mut pools).with_context(of_generation);
                // what it rests on may still be in the making of its record
                wait(measuring.take())?;
                let (trained, made) = made.inspect_err(|error| records.note_trouble(folder, generation, error))?;
                checkpoint = trained;
                (made, &checkpoint.model)
            };
            measuring = evaluate(scope, run, &records, &seeds, of, made)
                .with_context(of_generation)
                .inspect_err(|error| records.note_trouble(folder, generation, error))?;
        }
        wait(measuring)
    })?;
    let records = records.all();
    // A kill may have come between the last generation and this. A run that is longer than asked for stays as it is.
    if records.last().is_some_and(|last| last.generation == experiment.generations) {
        folder.retain(experiment.checkpoints.keep, experiment.generations)?;
    }
    results::write(folder, &records)?;
    Ok(records)
}

/// The checkpoint that the next generation begins from: the base, or the weights of the `last` complete one.
fn resume(run: RunContext<'_>, last: Option<u32>) -> Result<Checkpoint> {
    let Some(last) = last.filter(|last| (1..run.experiment.generations).contains(last)) else {
        return Ok(Checkpoint::base(run.assets));
    };
    let model = LanguageModel::load(&run.folder.model(last), &run.arithmetic.device)
        .with_context(|| format!("going on needs the weights of generation {last}"))?;
    let hash = Hash::Known(model.hash()?);
    Ok(Checkpoint { name: sigma_report::generation_dir_name(last), model, hash })
}

/// The pools of all earlier generations, where the mixture wants them.
fn read_pools(run: RunContext<'_>, next: u32) -> Result<Vec<Vec<Block>>> {
    let mut pools = vec![Vec::new(); (next as usize).saturating_sub(1)];
    if run.experiment.mixture.accumulates() {
        for (pool, generation) in pools.iter_mut().zip(1..) {
            let path = run.folder.generation(generation).join(SYNTHETIC);
            // a generation on real blocks alone has no pool
            if path.exists() {
                *pool = read_pool(&path)?;
            }
        }
    }
    Ok(pools)
}

fn read_pool(path: &Path) -> Result<Vec<Block>> {
    #[derive(serde::Deserialize)]
    struct Line {
        id: String,
        tokens: Vec<u32>,
    }
    let lines = jsonl::read_lines::<Line>(path)?;
    Ok(lines.into_iter().map(|(_, line)| Block { id: line.id, tokens: line.tokens }).collect())
}

fn save_every(experiment: &Experiment) -> Duration {
    Duration::from_secs_f64(60.0 * experiment.checkpoints.save_minutes)
}

/// Stands for what a generation is made from and computed with: who writes, where training starts, and the arithmetic.
fn savepoint_key(run: RunContext<'_>, generation: u32, writer: &str, start: &str) -> Key {
    let arithmetic = experiment_key::arithmetic_of(&run.start.resolved);
    Key { generation, writer: writer.to_string(), start: start.to_string(), arithmetic }
}

/// Generation 0: the base checkpoint itself.
fn evaluation_of_base<'scope>(run: RunContext<'_>) -> Result<Made<'scope>> {
    let hash = &run.assets.base.hash;
    Ok(Made {
        generation: 0,
        draft: run.folder.begin(&savepoint_key(run, 0, hash, hash), save_every(run.experiment))?,
        starting: None,
        weights: Weights::Known(hash.clone()),
        blocks_hash: None,
        mixture: mixture_record(run.experiment, &Mixture { blocks: Vec::new(), real: 0 }),
        training: None,
        regeneration: None,
    })
}

/// Generation t: the pool that generation t - 1 writes, the blocks chosen from it, and the weights trained on them.
fn make<'scope, 'run: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    run: RunContext<'run>,
    seeds: &Seeds,
    previous: &mut Checkpoint,
    generation: u32,
    pools: &mut Vec<Vec<Block>>,
) -> Result<(Checkpoint, Made<'scope>)> {
    let RunContext { experiment, assets, folder, arithmetic, .. } = run;
    let n = assets.corpus.contexts.len();
    let writer_hash = previous.hash()?;
    let start = match experiment.setting {
        Setting::S1 => (&assets.base.model, "base".to_string(), assets.base.hash.clone()),
        Setting::S2 => (&previous.model, previous.name.clone(), writer_hash.clone()),
    };
    let key = savepoint_key(run, generation, &writer_hash, &start.2);
    let mut draft = folder.begin(&key, save_every(experiment))?;

    let regeneration = if experiment.mixture.real_blocks(n) < n {
        let path = draft.file(SYNTHETIC);
        let (pool, record) = match draft.save.pool(&path) {
            Some(record) => (read_pool(&path)?, record),
            None => {
                let writer = previous.model.for_inference(arithmetic.precision)?;
                let wanted = Continuations {
                    contexts: &assets.corpus.contexts,
                    config: &experiment.regeneration,
                    seeds,
                    generation: Some(generation),
                    rows: run.start.resolved.pool_rows,
                };
                let save = Some(&mut draft.save);
                let (pool, record) = stage::regenerate(&writer, &assets.base.tokenizer, wanted, save)?;
                write_pool(&path, &pool, assets)?;
                draft.save.save_pool(&path, &record)?;
                (pool, record)
            }
        };
        pools.push(pool);
        Some(record)
    } else {
        pools.push(Vec::new());
        None
    };

    let real = RealText { contexts: &assets.corpus.contexts, spare: &assets.corpus.spare };
    let mixture = mix(&experiment.mixture, real, pools, generation, seeds);
    if !experiment.mixture.accumulates()
        && let Some(used) = pools.last_mut()
    {
        used.clear();
    }

    let (model, training, hash, weights) = match trained_before(run, &draft) {
        Some((model, trained)) => {
            (model, trained.record, Hash::Known(trained.weights.clone()), Weights::Known(trained.weights))
        }
        None => {
            draft.save.keep_only_texts(stage::POOL_TEXTS)?;
            let save = Some(&mut draft.save);
            let set = TrainingSet { blocks: &mixture.blocks, bos: assets.base.tokenizer.begins() };
            let (model, curve, record) =
                stage::train(start.0, set, &experiment.training, seeds, Some(generation), save)?;
            let path = draft.file(CURVE);
            run_files::write(&path, stage::curve_csv(&curve).as_bytes())?;
            let weights = NewWeights { trained: model.settle()?, start: start.0.settle()?, record: record.clone() };
            let (hash, writing) = write_weights(scope, assets, &draft, weights)?;
            (model, record, Hash::Coming(hash), Weights::Writing(writing))
        }
    };

    let made = Made {
        generation,
        draft,
        starting: Some((start.1, start.2)),
        weights,
        blocks_hash: Some(hash_blocks(&mixture.blocks)),
        mixture: mixture_record(experiment, &mixture),
        training: Some(training),
        regeneration,
    };
    Ok((Checkpoint { name: sigma_report::generation_dir_name(generation), model, hash }, made))
}

/// Weights that training has made, and where it started.
struct NewWeights {
    trained: SettledModel,
    start: SettledModel,
    record: TrainingRecord,
}

/// Brings the weights to the disk in a thread of their own, which tells their hash first, and says so in the savepoint
/// when they are there.
fn write_weights<'scope, 'run: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    assets: &'run Assets,
    draft: &Draft,
    weights: NewWeights,
) -> Result<(Receiver<String>, ScopedJoinHandle<'scope, Result<Trained>>)> {
    let NewWeights { trained, start, mut record } = weights;
    let (folder, saved, savepoint) = (draft.path().to_path_buf(), draft.model()?, draft.save.of_weights());
    // of what else is in the folder, this is finished by now
    let before: Vec<PathBuf> =
        [SYNTHETIC, CURVE].map(|name| draft.file(name)).into_iter().filter(|p| p.exists()).collect();
    let (tell, hash) = mpsc::channel();
    let writing = scope.spawn(move || {
        let model = trained.to_cpu()?;
        let hash = model.hash()?;
        // after the last generation nobody listens
        let _ = tell.send(hash.clone());
        record.weight_distance = model.distance(&start.to_cpu()?)?;
        model.save(&saved)?;
        assets.base.tokenizer.save(&saved)?;
        whole_folder::flush(&saved)?;
        for path in &before {
            whole_folder::sync(path)?;
        }
        whole_folder::sync(&folder)?;
        let mut files = draft::entries(&saved, &format!("{MODEL}/"))?;
        for path in &before {
            files.extend(draft::entry(path, "")?);
        }
        let trained = Trained { weights: hash, files, record };
        savepoint.save(trained.clone())?;
        Ok(trained)
    });
    Ok((hash, writing))
}

/// The weights that an earlier process trained for this draft, if they are there as it left them.
fn trained_before(run: RunContext<'_>, draft: &Draft) -> Option<(LanguageModel, Trained)> {
    let trained = draft.save.trained()?;
    let damage = integrity::damaged_file(draft.path(), &trained.files);
    let model = match damage {
        None => LanguageModel::load(&draft.model_path(), &run.arithmetic.device).ok(),
        Some(_) => None,
    };
    let hash = model.as_ref().and_then(|model| model.hash().ok());
    if hash.as_ref() != Some(&trained.weights) {
        let what = damage.unwrap_or_else(|| "the weights are not those that were trained".to_string());
        tracing::warn!("{}: {what}; training begins again", draft.path().display());
        return None;
    }
    Some((model?, trained))
}

fn mixture_record(experiment: &Experiment, mixture: &Mixture) -> MixtureRecord {
    MixtureRecord {
        blocks: mixture.blocks.len(),
        real: mixture.real,
        synthetic: mixture.blocks.len() - mixture.real,
        mode: experiment.mixture.mode.name().to_string(),
    }
}

/// Token ids are what is trained on; the text stands beside them for people.
fn write_pool(path: &Path, pool: &[Block], assets: &Assets) -> Result<()> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        id: &'a str,
        text: String,
        tokens: &'a [u32],
    }
    let line = |block: &'_ Block| assets.base.tokenizer.decode(&block.tokens);
    let lines: Vec<Line<'_>> =
        pool.iter().map(|block| Line { id: &block.id, text: line(block), tokens: &block.tokens }).collect();
    Ok(jsonl::write_jsonl(path, &lines)?)
}

/// Answers, embeddings, metrics and record of a generation; in a thread of its own where that leaves the device free.
fn evaluate<'scope, 'run: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    run: RunContext<'run>,
    records: &'run Records,
    seeds: &Seeds,
    model: &LanguageModel,
    mut made: Made<'scope>,
) -> Result<Option<ScopedJoinHandle<'scope, Result<()>>>> {
    let RunContext { experiment, assets, arithmetic, start, .. } = run;
    let rows = start.resolved.answer_rows;
    let generation = made.generation;
    if let (0, Some(shared)) = (generation, run.base_evaluations) {
        let shared = SharedEvaluation::open(shared, base_evaluation::inputs(run)?)?;
        let evaluation = match shared.take(&made.draft) {
            Some(evaluation) => evaluation,
            None => {
                let means = Means { experiment, assets, seeds, arithmetic, rows };
                let model = model.to_device(&arithmetic.evaluation_device)?;
                let answered = evaluation::answer(means, &model, &mut made.draft, 0)?;
                let evaluation = evaluation::measure(experiment, &made.draft, &answered, None)?;
                shared.put(&made.draft, &evaluation)?;
                evaluation
            }
        };
        complete(run, records, made, evaluation)?;
        return Ok(None);
    }
    if arithmetic.apart() {
        // from one GPU to another by way of the CPU
        let model = model.settle()?;
        let seeds = seeds.clone();
        let evaluate = move || {
            let model = model.to_cpu()?.to_device(&arithmetic.evaluation_device)?;
            let means = Means { experiment, assets, seeds: &seeds, arithmetic, rows };
            let answered = evaluation::answer(means, &model, &mut made.draft, generation)?;
            finish(run, records, made, &answered)
        };
        return Ok(Some(scope.spawn(move || {
            let noted = evaluate().inspect_err(|error| records.note_trouble(run.folder, generation, error));
            noted.with_context(|| format!("generation {generation}"))
        })));
    }
    let means = Means { experiment, assets, seeds, arithmetic, rows };
    let answered = evaluation::answer(means, model, &mut made.draft, generation)?;
    if arithmetic.device.is_gpu() {
        return Ok(Some(scope.spawn(move || finish(run, records, made, &answered))));
    }
    finish(run, records, made, &answered)?;
    Ok(None)
}

/// The CPU's part of a generation: what is measured, and the record.
fn finish(run: RunContext<'_>, records: &Records, made: Made<'_>, answered: &Answered) -> Result<()> {
    let base = records.base().filter(|_| made.generation > 0);
    let folder = run.folder.generation(0);
    let base = base.as_ref().map(|record| Base { record, folder: &folder });
    let evaluation = evaluation::measure(run.experiment, &made.draft, answered, base)?;
    complete(run, records, made, evaluation)
}
