//! `sigma-exp run`: from a config to a finished run folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sigma_data::hash::hash_bytes;
use sigma_report::manifest::{Resolved, StartEntry};
use sigma_report::{Manifest, Stopped, manifest, run_files};

use super::{check, print};
use crate::arithmetic::{Arithmetic, DecodeRows, DeviceChange};
use crate::assets::Assets;
use crate::driver::{self, RunContext};
use crate::experiment_key::ExperimentKey;
use crate::hub::Hub;
use crate::layout::{CONFIG, LOG, REPORT};
use crate::run_folder::RunFolder;
use crate::{cli, clock, experiment_key, guard, integrity, interrupt, log, machine, ownership, plan, results, spec};

pub fn execute(hub: Hub, arguments: &cli::Run) -> Result<()> {
    let experiment = arguments.config.load()?;
    let path = arguments.out.clone().unwrap_or_else(|| PathBuf::from("results").join(&experiment.name));
    if arguments.resume {
        tracing::info!("--resume is not needed: a run resumes by itself where its folder holds one");
    }
    if arguments.dry_run {
        let arithmetic = Arithmetic::open(&experiment, None, DeviceChange::Refused)?;
        let assets = Assets::load(hub, &experiment, None, &arithmetic)?;
        return check::show(&experiment, &assets, &arithmetic);
    }
    let device_change = if arguments.accept_device_change { DeviceChange::Accepted } else { DeviceChange::Refused };
    let options = RunOptions { fresh: arguments.fresh, device_change, base_evaluations: None };
    run(hub, &experiment, &path, options)
}

/// How a run is started.
#[derive(Clone, Copy)]
pub struct RunOptions<'a> {
    /// Deletes what the folder holds of a run.
    pub fresh: bool,
    pub device_change: DeviceChange,
    /// Where generation 0 may be shared with other runs.
    pub base_evaluations: Option<&'a Path>,
}

/// Runs `experiment` in the folder `path`, or resumes there.
pub fn run(hub: Hub, experiment: &spec::Experiment, path: &Path, options: RunOptions<'_>) -> Result<()> {
    let RunOptions { fresh, device_change, base_evaluations } = options;
    ownership::check(path)?;
    let before = if fresh { None } else { RunFolder::peek(path)? };
    let begun = before.as_ref().and_then(Manifest::latest).map(|start| &start.resolved);
    // what is wrong with devices and sources shows before anything is written; resuming uses the commits that were used
    // before
    let arithmetic = Arithmetic::open(experiment, begun, device_change)?;
    let assets = Assets::load(hub, experiment, before.as_ref().map(|manifest| &manifest.sources), &arithmetic)?;
    let sources = assets.sources(experiment)?;
    let folder = RunFolder::open(path)?;
    if fresh {
        ownership::clear(path)?;
    }
    let begun = folder.manifest()?;
    if let Some(manifest) = &begun {
        guard::check(&folder, manifest, experiment, &sources)?;
    }
    let resolved = match begun.as_ref().and_then(Manifest::latest).map(|start| &start.resolved) {
        Some(stored) if device_change == DeviceChange::Refused => {
            guard::check_rows(&folder, experiment, stored)?;
            let rows = DecodeRows { pool: stored.pool_rows, answers: stored.answer_rows };
            arithmetic.resolved(rows)
        }
        _ => arithmetic.resolved(plan::decode_rows(experiment, &assets, &arithmetic)?),
    };
    let mut start = StartEntry {
        at: clock::now(),
        generation: RunFolder::count_records(path) as u32,
        program: machine::program(),
        machine: machine::machine(&arithmetic.device),
        experiment_hash: String::new(),
        resolved,
    };
    let mut starts = begun.as_ref().map_or_else(Vec::new, |manifest| manifest.starts.clone());
    let used: Vec<&Resolved> = starts.iter().chain([&start]).map(|start| &start.resolved).collect();
    let key = ExperimentKey::of(experiment, &sources, &used)?;
    start.experiment_hash = key.experiment.clone();
    starts.push(start.clone());
    let records = begun.as_ref().map_or_else(BTreeMap::new, |manifest| manifest.records.clone());
    let config = experiment.to_yaml()?;
    let manifest = Manifest {
        schema: manifest::SCHEMA,
        name: experiment.name.clone(),
        domain: experiment.domain.clone(),
        setting: experiment.setting,
        generations: experiment.generations,
        seed: experiment.seed,
        created: begun.map_or_else(|| start.at.clone(), |manifest| manifest.created),
        sources,
        config_hash: hash_bytes(config.as_bytes()),
        condition_hash: key.condition,
        experiment_hash: key.experiment,
        family_hash: key.family,
        starts,
        records,
    };
    run_files::replace(&path.join(CONFIG), &config)?;
    manifest.write(&path.join(manifest::FILE_NAME))?;
    log::write_to(&path.join(LOG))?;

    folder.sweep()?;
    plan::disk(experiment, &assets).warn_if_short(path);
    let records = integrity::repair(&folder, experiment.generations)?;
    if Stopped::forget(path)? {
        results::write(&folder, &records.iter().map(|read| read.record.clone()).collect::<Vec<_>>())?;
    }
    let done = records.len() as u32;
    let last = experiment.generations;
    if done > last {
        tracing::info!("{}: generations 0 to {} are complete already", path.display(), done.saturating_sub(1));
    } else if done > 0 {
        tracing::info!("{}: going on at generation {done} of {last}", path.display());
    } else {
        tracing::info!(
            "{}: generations 0 to {last}, on {}",
            path.display(),
            experiment_key::arithmetic_of(&start.resolved)
        );
    }
    let run = RunContext {
        experiment,
        assets: &assets,
        folder: &folder,
        arithmetic: &arithmetic,
        start: &start,
        base_evaluations,
    };
    let records = {
        let _orderly = interrupt::orderly();
        driver::run(run, records)?
    };
    let options = results::report_options(experiment, &assets);
    drop(assets);
    print(&results::table(&manifest, &records)).context("the table cannot be printed")?;
    let run = sigma_report::Run::open(path)?;
    sigma_report::write_report_with(&[run], &path.join(REPORT), &options)?;
    tracing::info!("report:  {}", path.join(REPORT).join("index.html").display());
    tracing::info!("metrics: {}", path.join("metrics.csv").display());
    tracing::info!("answers: {}", path.join("gen-*/responses.jsonl").display());
    Ok(())
}
