//! The runs of a sweep as processes of this machine: one per GPU, or so many at a time on the CPU. Each is the same
//! program on one config, so a run that fails, or is killed for its memory, takes no other with it.

use std::collections::VecDeque;
use std::io::{Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Pid, Signal, kill_process};
use sigma_report::run_files;

use super::folder::{State, SweepFolder};
use super::table::Totals;
use crate::interrupt::{self, Interrupted};
use crate::progress::seconds;
use crate::run_folder::RunFolder;
use crate::{device, log};

const POLL: Duration = Duration::from_millis(100);
const REDRAW: Duration = Duration::from_secs(1);

/// A place where one run at a time can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// On so many threads.
    Cpu { threads: usize },
    /// On the GPU that CUDA_VISIBLE_DEVICES calls this.
    Gpu(String),
}

/// The places for `jobs` runs at a time; by default one per GPU, or one on the CPU. `gpus` are those that may be used.
pub fn slots(jobs: Option<usize>, gpus: &[String], cores: usize) -> Vec<Slot> {
    if gpus.is_empty() {
        let jobs = jobs.unwrap_or(1).max(1);
        return vec![Slot::Cpu { threads: (cores / jobs).max(1) }; jobs];
    }
    (0..jobs.unwrap_or(gpus.len()).max(1)).map(|job| Slot::Gpu(gpus[job % gpus.len()].clone())).collect()
}

/// A run in progress.
struct Running<'a> {
    run: &'a str,
    child: Child,
    slot: Slot,
    started: Instant,
    bar: Option<ProgressBar>,
}

/// Runs everything in `queue`, each with `arguments` of the program before the run's own.
pub fn run(folder: &SweepFolder, queue: &[String], slots: &[Slot], offline: bool) -> Result<()> {
    let mut queue: VecDeque<&str> = queue.iter().map(String::as_str).collect();
    let mut free: Vec<Slot> = slots.iter().rev().cloned().collect();
    let mut running: Vec<Running<'_>> = Vec::new();
    let mut stopping = false;
    let mut drawn = Instant::now();
    let all =
        folder.runs().iter().map(|run| Ok((run.as_str(), folder.generations(run)?))).collect::<Result<Vec<_>>>()?;
    let summary = log::is_terminal().then(|| log::BARS.add(ProgressBar::new_spinner()));
    while !(running.is_empty() && queue.is_empty()) {
        if interrupt::requested() && !stopping {
            stopping = true;
            queue.clear();
            stop(&running);
        }
        let mut still = Vec::new();
        for mut process in running {
            match process.child.try_wait().context("a run cannot be waited for")? {
                Some(status) => {
                    ended(folder, &process, status)?;
                    free.push(process.slot);
                }
                None => still.push(process),
            }
        }
        running = still;
        while let (Some(_), false) = (free.last(), stopping) {
            let Some(run) = queue.pop_front() else { break };
            if RunFolder::holder(&folder.run(run)).is_some() {
                tracing::warn!("{run}: another process is at it; it is left to that one");
                continue;
            }
            let Some(slot) = free.pop() else { break };
            running.push(start(folder, run, slot, offline)?);
        }
        if drawn.elapsed() > REDRAW {
            drawn = Instant::now();
            running.iter().for_each(|process| redraw(folder, process));
            if let Some(summary) = &summary {
                summary.set_message(Totals::of_known(folder, &all)?.sentence());
            }
        }
        std::thread::sleep(POLL);
    }
    if let Some(summary) = summary {
        summary.finish_and_clear();
    }
    if stopping {
        bail!(Interrupted);
    }
    Ok(())
}

/// This very program, also where its file was replaced meanwhile by a newer build: then a sweep would end with another
/// program than it began with, or with none.
fn this_program() -> Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        return Ok(running.to_path_buf());
    }
    std::env::current_exe().context("this program's own file")
}

fn start<'a>(folder: &SweepFolder, run: &'a str, slot: Slot, offline: bool) -> Result<Running<'a>> {
    let path = folder.log(run);
    let mut log_file = run_files::open_own(&path)?;
    log_file.seek(SeekFrom::End(0)).with_context(|| format!("{} cannot be written", path.display()))?;
    let mut command = Command::new(this_program()?);
    command.arg("sweep-run").arg(folder.path()).args(["--run", run]);
    if offline {
        command.arg("--offline");
    }
    match &slot {
        Slot::Cpu { threads } => {
            if std::env::var_os("RAYON_NUM_THREADS").is_none() {
                command.env("RAYON_NUM_THREADS", threads.to_string());
            }
        }
        Slot::Gpu(gpu) => {
            command.args(["--device", "cuda"]).env("CUDA_VISIBLE_DEVICES", gpu);
        }
    }
    // a process group of its own, so that Ctrl-C reaches a run once, by way of this process
    let child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log_file.try_clone()?)
        .stderr(log_file)
        .spawn()
        .with_context(|| format!("run `{run}` cannot be started"))?;
    let done = RunFolder::count_records(&folder.run(run));
    let place = match &slot {
        Slot::Cpu { .. } => String::new(),
        Slot::Gpu(gpu) => format!(" on GPU {gpu}"),
    };
    let bar = log::is_terminal().then(|| bar(folder, run));
    if bar.is_none() {
        let from = if done > 0 { format!(", going on at generation {done}") } else { String::new() };
        tracing::info!("{run}: started{place}{from}");
    }
    Ok(Running { run, child, slot, started: Instant::now(), bar })
}

/// Says how a run ended; what went wrong is written down by the run itself, unless it was killed.
fn ended(folder: &SweepFolder, process: &Running<'_>, status: ExitStatus) -> Result<()> {
    if let Some(bar) = &process.bar {
        bar.finish_and_clear();
    }
    let run = process.run;
    let taken = seconds(process.started.elapsed().as_secs_f64());
    if status.success() {
        tracing::info!("{run}: complete after {taken}");
    } else if status.code() == Some(i32::from(interrupt::EXIT_CODE)) {
        tracing::info!("{run}: stopped after {taken}; it can go on");
    } else {
        if let Some(signal) = status.signal() {
            let of_memory =
                if signal == Signal::KILL.as_raw() { ", as the system does when memory runs out" } else { "" };
            folder.write_failure(run, &format!("ended by signal {signal}{of_memory}"))?;
        } else if folder.failure(run)?.is_none() {
            folder.write_failure(run, &format!("ended with {status} without a word; its log may tell more"))?;
        }
        let message = folder.failure(run)?.map_or_else(|| status.to_string(), |failure| failure.message);
        let first = message.lines().next().unwrap_or_default();
        tracing::error!("{run}: failed after {taken}: {first} (more in {})", folder.log(run).display());
    }
    Ok(())
}

/// Asks every run to save and stop.
fn stop(running: &[Running<'_>]) {
    if !running.is_empty() {
        tracing::info!("stopping {} runs; each saves what it finished", running.len());
    }
    for process in running {
        if let Some(pid) = Pid::from_raw(process.child.id() as i32) {
            // it may have ended just now
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

fn bar(folder: &SweepFolder, run: &str) -> ProgressBar {
    let generations = folder.progress(run).map_or(0, |progress| u64::from(progress.generations) + 1);
    let bar = log::BARS.add(ProgressBar::new(generations));
    // a wrong template would only cost the bar's looks
    if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} checkpoints, {elapsed}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(run.to_string());
    bar
}

fn redraw(folder: &SweepFolder, process: &Running<'_>) {
    if let Some(bar) = &process.bar {
        bar.set_position(RunFolder::count_records(&folder.run(process.run)) as u64);
    }
}

/// The runs that are to be started now: neither complete nor failed, unless failed ones are to be tried again.
pub fn queue(folder: &SweepFolder, retry_failed: bool) -> Result<Vec<String>> {
    let mut queue = Vec::new();
    for run in folder.runs() {
        match folder.progress(run)?.state {
            State::Waiting => queue.push(run.clone()),
            State::Failed(_) if retry_failed => {
                folder.forget_failure(run)?;
                queue.push(run.clone());
            }
            State::Failed(_) | State::Running | State::Complete => {}
        }
    }
    Ok(queue)
}

/// The GPUs that the runs of a sweep may use: none where the configs ask for the CPU, or the program knows no CUDA.
pub fn gpus(devices: &[&str]) -> Vec<String> {
    if !device::built_with_cuda() || devices.iter().all(|name| *name == "cpu") {
        return Vec::new();
    }
    device::visible_gpus()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_get_a_gpu_each_and_share_gpus_only_when_asked() {
        let two = ["0".to_string(), "3".to_string()];
        let gpu = |name: &str| Slot::Gpu(name.to_string());
        assert_eq!(slots(None, &two, 16), [gpu("0"), gpu("3")]);
        assert_eq!(slots(Some(3), &two, 16), [gpu("0"), gpu("3"), gpu("0")]);
        assert_eq!(slots(Some(1), &two, 16), [gpu("0")]);
    }

    #[test]
    fn runs_on_the_cpu_share_its_cores() {
        assert_eq!(slots(None, &[], 8), [Slot::Cpu { threads: 8 }]);
        assert_eq!(slots(Some(3), &[], 8), vec![Slot::Cpu { threads: 2 }; 3]);
        assert_eq!(slots(Some(4), &[], 2), vec![Slot::Cpu { threads: 1 }; 4]);
    }
}
