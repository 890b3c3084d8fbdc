//! `sigma-exp run`: from a config to a finished run folder.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use sigma_data::hash::hash_bytes;
use sigma_report::{Manifest, Stopped, manifest};

use super::print;
use crate::assets::Assets;
use crate::driver::{self, RunContext};
use crate::hub::Hub;
use crate::run_folder::{CONFIG, LOG, REPORT, RunFolder};
use crate::{cli, device, guard, integrity, log, machine, plan, results, spec};

impl cli::Config {
    /// The experiment that the file and the overrides state.
    pub fn load(&self) -> Result<spec::Experiment> {
        let mut overrides = self.overrides.clone();
        if let Some(device) = &self.device {
            overrides.push(format!("device={device}"));
        }
        spec::Experiment::load(&self.config, &overrides)
    }
}

pub fn execute(hub: Hub, arguments: &cli::Run) -> Result<()> {
    let experiment = arguments.config.load()?;
    let path = arguments.out.clone().unwrap_or_else(|| PathBuf::from("results").join(&experiment.name));
    if arguments.dry_run {
        let device = device::open(&experiment.device)?;
        let assets = Assets::load(hub, &experiment, None, &device)?;
        return print(&format!("{}\n{}", experiment.to_yaml()?, plan::describe(&experiment, &assets, &device)?));
    }
    run(hub, &experiment, &path, arguments.fresh, None)
}

/// Runs `experiment` in the folder `path`, or goes on there. `base_evaluations` is where generation 0 may be shared with other runs.
pub fn run(
    hub: Hub,
    experiment: &spec::Experiment,
    path: &Path,
    fresh: bool,
    base_evaluations: Option<&Path>,
) -> Result<()> {
    let device = device::open(&experiment.device)?;
    // what is wrong with the sources shows before anything is written; going on uses the commits that were used before
    let before = if fresh { None } else { RunFolder::peek(path)? };
    let assets = Assets::load(hub, experiment, before.as_ref().map(|manifest| &manifest.sources), &device)?;
    let sources = assets.sources(experiment)?;
    let folder = RunFolder::open(path)?;
    if fresh {
        folder.clear()?;
    }
    let begun = folder.manifest()?;
    if let Some(manifest) = &begun {
        guard::check(&folder, manifest, experiment, &sources)?;
    }
    let config = experiment.to_yaml()?;
    let manifest = Manifest {
        schema: manifest::SCHEMA,
        name: experiment.name.clone(),
        domain: experiment.domain.clone(),
        setting: experiment.setting,
        generations: experiment.generations,
        seed: experiment.seed,
        created: match begun {
            Some(manifest) => manifest.created,
            None => humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        },
        program: machine::program(),
        machine: machine::machine(&device),
        sources,
        config_hash: hash_bytes(config.as_bytes()),
    };
    results::replace(&path.join(CONFIG), &config)?;
    manifest.write(&path.join(manifest::FILE_NAME))?;
    log::write_to(&path.join(LOG))?;

    folder.sweep()?;
    plan::disk(experiment, &assets).warn_if_short(path);
    let records = integrity::repair(&folder, experiment.generations)?;
    if Stopped::forget(path)? {
        results::write(&folder, &records)?;
    }
    let done = records.len() as u32;
    let last = experiment.generations;
    if done > last {
        tracing::info!("{}: generations 0 to {} are complete already", path.display(), done.saturating_sub(1));
    } else if done > 0 {
        tracing::info!("{}: going on at generation {done} of {last}", path.display());
    } else {
        tracing::info!("{}: generations 0 to {last}, on {}", path.display(), device::describe(&device));
    }
    let run = RunContext { experiment, assets: &assets, folder: &folder, device: &device, base_evaluations };
    let records = driver::run(run, records)?;
    let options = results::report_options(experiment, &assets);
    drop(assets);
    print(&results::table(&manifest, &records)).context("the table can not be printed")?;
    let run = sigma_report::Run::open(path)?;
    sigma_report::write_report_with(&[run], &path.join(REPORT), &options)?;
    tracing::info!("report:  {}", path.join(REPORT).join("index.html").display());
    tracing::info!("metrics: {}", path.join("metrics.csv").display());
    tracing::info!("answers: {}", path.join("gen-*/responses.jsonl").display());
    Ok(())
}
