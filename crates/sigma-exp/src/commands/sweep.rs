//! `sigma-exp sweep`: every run of a grid, on this machine or on Slurm; and the single run of a sweep that either of
//! them starts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sigma_report::{ReportOptions, run_files};

use super::run::RunOptions;
use super::{print, report};
use crate::arithmetic::DeviceChange;
use crate::hub::Hub;
use crate::interrupt::{self, Interrupted};
use crate::spec::Experiment;
use crate::sweep::folder::SweepFolder;
use crate::sweep::members::members;
use crate::sweep::spec::SweepSpec;
use crate::sweep::table::{Totals, table};
use crate::sweep::{local, slurm};
use crate::yaml::Setting;
use crate::{cli, commands};

pub fn execute(hub: Hub, arguments: &cli::Sweep) -> Result<()> {
    let spec = SweepSpec::load(&arguments.sweep)?;
    let members = members(&spec).with_context(|| format!("{}", arguments.sweep.display()))?;
    let path = arguments.out.clone().unwrap_or_else(|| PathBuf::from("results").join(&spec.name));
    if arguments.dry_run {
        let mut text = format!("{} runs in {}:\n", members.len(), path.display());
        members.iter().for_each(|member| text.push_str(&format!("  {}\n", member.name)));
        if arguments.launcher == cli::Launcher::Slurm {
            text.push_str(&format!("\n{}", slurm::script(&path, &spec.name, &spec.slurm, members.len())?));
        }
        return print(&text);
    }
    let folder = SweepFolder::create(&path, &spec.name, &members, &spec.slurm)?;
    let _lock = folder.lock()?;
    match arguments.launcher {
        cli::Launcher::Local => {
            let devices: Vec<&str> = members.iter().map(|member| member.experiment.device.as_str()).collect();
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let slots = local::slots(arguments.jobs.map(usize::from).or(spec.jobs), &local::gpus(&devices), cores);
            let queue = local::queue(&folder, arguments.retry_failed)?;
            tracing::info!(
                "{}: {} of {} runs to do, {} at a time",
                path.display(),
                queue.len(),
                folder.runs().len(),
                slots.len()
            );
            let outcome = {
                let _orderly = interrupt::orderly();
                local::run(&folder, &queue, &slots, hub.offline)
            };
            print(&table(&folder, &|_| None)?)?;
            outcome?;
            conclude(&folder, arguments.retry_failed)
        }
        cli::Launcher::Slurm => {
            // a job that is handed in must also be written down
            let _orderly = interrupt::orderly();
            slurm::submit(&folder, arguments.retry_failed, hub.offline)
        }
    }
}

/// The report over everything that was measured; a failed run makes the whole a failure.
fn conclude(folder: &SweepFolder, retried: bool) -> Result<()> {
    let totals = Totals::of(folder)?;
    if totals.complete > 0 {
        let runs = report::opened(&folder.measured())?;
        let prompts = runs.iter().flat_map(report::prompts).collect();
        let options = ReportOptions { prompts, ..ReportOptions::new(folder.name()) };
        sigma_report::write_report_with(&runs, &folder.report(), &options)?;
        tracing::info!("report: {}", folder.report().join("index.html").display());
    }
    if totals.failed > 0 {
        let hint = if retried { "" } else { "; --retry-failed tries them again" };
        bail!("{} of {} runs failed{hint}", totals.failed, folder.runs().len());
    }
    Ok(())
}

/// One run of a sweep, in this process. What goes wrong is written down where `status` finds it.
pub fn execute_run(hub: Hub, arguments: &cli::SweepRun) -> Result<()> {
    let folder = SweepFolder::open(&arguments.dir)?;
    let run = match (&arguments.run, &arguments.list, arguments.index) {
        (Some(run), ..) => run.clone(),
        (None, Some(list), Some(index)) => element(list, index)?,
        _ => bail!("sweep-run needs --run NAME, or --list FILE --index N"),
    };
    if !folder.runs().contains(&run) {
        bail!("{} has no run `{run}`; `sigma-exp status {0}` lists its runs", arguments.dir.display());
    }
    folder.forget_failure(&run)?;
    let overrides =
        arguments.device.iter().map(|device| Setting::text("--device", "device", device)).collect::<Vec<_>>();
    let result = Experiment::load(&folder.config(&run), &overrides).and_then(|experiment| {
        let shared = folder.base_evaluations();
        let options =
            RunOptions { fresh: false, device_change: DeviceChange::Refused, base_evaluations: Some(&shared) };
        commands::run::run(hub, &experiment, &folder.run(&run), options)
    });
    let Err(error) = result else { return Ok(()) };
    if error.downcast_ref::<Interrupted>().is_some() {
        if interrupt::warned() {
            slurm::queue_again(&folder, &run)?;
        }
        return Err(error);
    }
    folder.write_failure(&run, &format!("{error:#}"))?;
    Err(error)
}

/// Line `index` of a list of runs.
fn element(list: &Path, index: usize) -> Result<String> {
    let text = run_files::read_to_string(list).with_context(|| format!("{} cannot be read", list.display()))?;
    let line = text.lines().nth(index);
    line.map(str::to_string).with_context(|| format!("{} has no line {}", list.display(), index + 1))
}
