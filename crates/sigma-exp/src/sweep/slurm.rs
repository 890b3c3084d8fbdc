//! The runs of a sweep as the elements of a Slurm job array: a script that can be read and run by hand, its submission,
//! what Slurm says of it later, and queueing again when the time is nearly up. Slurm does the scheduling; its word on a
//! run's end is only shown, because a run's own records say it better.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sigma_report::{run_files, write_json};

use super::folder::{State, SweepFolder};
use super::spec::SlurmSpec;
use super::{local, slurm_client};

const DEFAULT_SIGNAL_SECONDS: u32 = 120;
const DEFAULT_MAX_REQUEUES: u32 = 20;
const JOB: &str = "job.json";
const JOB_NOUN: &str = "note of a job";
const REPORT_JOB: &str = "report.json";
const SCRIPT: &str = "job.sh";
const LIST: &str = "runs.txt";

/// `slurm/NNN/job.json`: one submitted array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    /// Slurm's id of the array.
    id: u64,
    /// Its name, unlike any other's: ids are given out again when a controller loses its state.
    name: String,
    /// The run of each element.
    runs: Vec<String>,
}

/// The batch script for `elements` runs of the sweep in `folder`.
pub fn script(folder: &Path, name: &str, spec: &SlurmSpec, elements: usize) -> Result<String> {
    let folder = std::path::absolute(folder).with_context(|| format!("{}", folder.display()))?;
    let submission = folder.join("slurm/001");
    array_script(&folder, &submission, name, spec, elements, false)
}

fn array_script(
    folder: &Path,
    submission: &Path,
    name: &str,
    spec: &SlurmSpec,
    elements: usize,
    offline: bool,
) -> Result<String> {
    let throttle = spec.throttle.map_or(String::new(), |most| format!("%{most}"));
    let signal = spec.signal_seconds.unwrap_or(DEFAULT_SIGNAL_SECONDS);
    let mut options = vec![
        format!("--job-name={name}"),
        format!("--array=0-{}{throttle}", elements.saturating_sub(1)),
        output(folder, "%A_%a.out")?,
        // a run that queues again goes on in the same file
        "--open-mode=append".to_string(),
        "--requeue".to_string(),
        format!("--signal=B:USR1@{signal}"),
    ];
    options.extend(asked_for(spec));
    let mut text = head(options, spec);
    let offline = if offline { " --offline" } else { "" };
    text.push_str(&format!(
        "cd {}\n# `exec`, so that Slurm's signals reach the program itself\nexec {} sweep-run {} --list {} --index \
         \"$SLURM_ARRAY_TASK_ID\"{offline}\n",
        quoted(&std::env::current_dir().context("the working folder")?)?,
        quoted(&std::env::current_exe().context("this program's own file")?)?,
        quoted(folder)?,
        quoted(&submission.join(LIST))?,
    ));
    Ok(text)
}

/// The script of the job that writes the report once every run has ended.
fn report_script(folder: &SweepFolder, name: &str) -> Result<String> {
    let spec = folder.slurm();
    let path = std::path::absolute(folder.path())?;
    let mut options = vec![format!("--job-name={name}-report"), output(&path, "report_%j.out")?];
    // neither a GPU nor its time limit
    let plain = SlurmSpec { gres: None, time: None, cpus_per_task: None, throttle: None, ..spec.clone() };
    options.extend(asked_for(&plain));
    let mut text = head(options, &plain);
    text.push_str(&format!(
        "cd {}\nexec {} report {}\n",
        quoted(&std::env::current_dir().context("the working folder")?)?,
        quoted(&std::env::current_exe().context("this program's own file")?)?,
        quoted(&path)?,
    ));
    Ok(text)
}

fn asked_for(spec: &SlurmSpec) -> Vec<String> {
    let words = [
        ("partition", &spec.partition),
        ("account", &spec.account),
        ("qos", &spec.qos),
        ("constraint", &spec.constraint),
        ("time", &spec.time),
        ("gres", &spec.gres),
        ("mem", &spec.mem),
    ];
    let words = words.into_iter().filter_map(|(option, value)| Some(format!("--{option}={}", value.as_ref()?)));
    let cpus = spec.cpus_per_task.map(|cpus| format!("--cpus-per-task={cpus}"));
    words.chain(cpus).chain(spec.extra.iter().cloned()).collect()
}

fn head(options: Vec<String>, spec: &SlurmSpec) -> String {
    let mut text = "#!/bin/bash\n".to_string();
    options.iter().for_each(|option| text.push_str(&format!("#SBATCH {option}\n")));
    spec.setup.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    text
}

/// Where the output of a job goes: quoted, for folders with blanks in their names, and with `%` doubled in them, which
/// Slurm would replace.
fn output(folder: &Path, name: &str) -> Result<String> {
    Ok(format!("--output=\"{}/{name}\"", line(&folder.join("logs"))?.replace('%', "%%")))
}

/// A path on one line, as text.
fn line(path: &Path) -> Result<&str> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8; Slurm needs another folder", path.display()))?;
    if text.contains(['"', '\\']) || text.contains(char::is_control) {
        bail!("{text:?} cannot stand in a batch script; choose another --out");
    }
    Ok(text)
}

/// For the shell.
fn quoted(path: &Path) -> Result<String> {
    Ok(format!("'{}'", line(path)?.replace('\'', "'\\''")))
}

/// Submits every run that is to be done and is not in Slurm's hands already, and a job that writes the report after
/// them.
pub fn submit(folder: &SweepFolder, retry_failed: bool, offline: bool) -> Result<()> {
    let known = states(folder)?;
    let active = |run: &String| known.get(run).is_some_and(|state| slurm_client::is_active(state));
    let (active, queue): (Vec<String>, Vec<String>) = local::queue(folder, retry_failed)?.into_iter().partition(active);
    if !active.is_empty() {
        tracing::info!("{} runs are in Slurm's hands already", active.len());
    }
    if queue.is_empty() {
        tracing::info!("{}: nothing to submit", folder.path().display());
        return Ok(());
    }
    let mut ids = Vec::new();
    for runs in queue.chunks(slurm_client::max_array_size()?) {
        let submission = next_submission(folder)?;
        let number = submission.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = format!("{}-{number}-{}", folder.name(), std::process::id());
        let root = std::path::absolute(folder.path())?;
        let script = array_script(&root, &submission, &name, folder.slurm(), runs.len(), offline)?;
        run_files::replace(&submission.join(LIST), runs.iter().map(|run| format!("{run}\n")).collect::<String>())?;
        run_files::replace(&submission.join(SCRIPT), &script)?;
        let id = slurm_client::sbatch(&submission.join(SCRIPT), &[])?;
        let job = Job { id, name, runs: runs.to_vec() };
        write_json(&submission.join(JOB), JOB_NOUN, &job)?;
        tracing::info!("job {id}: {} runs ({})", runs.len(), submission.join(SCRIPT).display());
        ids.push(id);
    }
    let name = format!("{}-{}", folder.name(), std::process::id());
    let script = folder.slurm_folder().join("report.sh");
    run_files::replace(&script, &report_script(folder, &name)?)?;
    let after = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(":");
    // the one of an earlier submission would write its report in the middle of this one
    let earlier = folder.slurm_folder().join(REPORT_JOB);
    if let Some(Job { id, name, .. }) =
        run_files::read_to_string(&earlier).ok().and_then(|text| serde_json::from_str(&text).ok())
    {
        slurm_client::cancel_pending(id, &name)?;
    }
    let id = slurm_client::sbatch(&script, &[format!("--dependency=afterany:{after}")])?;
    let job = Job { id, name: format!("{name}-report"), runs: Vec::new() };
    write_json(&earlier, JOB_NOUN, &job)?;
    tracing::info!("job {id}: the report, once all of them have ended");
    tracing::info!("`sigma-exp status {}` shows how far they are", folder.path().display());
    Ok(())
}

/// A new folder `slurm/NNN`.
fn next_submission(folder: &SweepFolder) -> Result<PathBuf> {
    for number in 1.. {
        let path = folder.slurm_folder().join(format!("{number:03}"));
        if !run_files::exists(&path) {
            run_files::create_new_dir(&path)?;
            return Ok(std::path::absolute(path)?);
        }
    }
    bail!("{} is full", folder.slurm_folder().display())
}

/// The arrays submitted so far, oldest first.
fn jobs(folder: &SweepFolder) -> Result<Vec<Job>> {
    let mut paths = Vec::new();
    if let Ok(entries) = fs::read_dir(folder.slurm_folder()) {
        paths.extend(entries.filter_map(Result::ok).map(|entry| entry.path().join(JOB)).filter(|path| path.exists()));
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = run_files::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    };
    paths.into_iter().map(read).collect()
}

/// What Slurm says of each run that is not complete, by the latest array that holds it. Empty where nothing was
/// submitted.
pub fn states(folder: &SweepFolder) -> Result<BTreeMap<String, String>> {
    let jobs = jobs(folder)?;
    let mut states = BTreeMap::new();
    if jobs.is_empty() {
        return Ok(states);
    }
    let elements = match slurm_client::elements(&jobs.iter().map(|job| job.id).collect::<Vec<_>>()) {
        Ok(elements) => elements,
        Err(error) => {
            tracing::warn!("Slurm does not answer: {error:#}");
            return Ok(states);
        }
    };
    for job in &jobs {
        for (index, run) in job.runs.iter().enumerate() {
            if folder.progress(run)?.state == State::Complete {
                continue;
            }
            let element = elements.iter().find(|e| e.job == job.id && e.index == index as u64 && e.name == job.name);
            match element {
                Some(element) => states.insert(run.clone(), element.describe()),
                None => states.remove(run),
            };
        }
    }
    Ok(states)
}

/// After a warning that the job's time is nearly up: puts this element back into the queue, where the run then goes on.
/// Called once everything is saved, because Slurm ends the job at once.
pub fn queue_again(folder: &SweepFolder, run: &str) -> Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(id) = variable("SLURM_JOB_ID") else { return Ok(()) };
    let element = match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID")) {
        (Some(array), Some(task)) => format!("{array}_{task}"),
        _ => id,
    };
    let before: u32 = variable("SLURM_RESTART_COUNT").and_then(|count| count.parse().ok()).unwrap_or(0);
    let most = folder.slurm().max_requeues.unwrap_or(DEFAULT_MAX_REQUEUES);
    if before >= most {
        let message = format!("ran out of time {} times; slurm.max_requeues is {most}", before + 1);
        folder.write_failure(run, &message)?;
        bail!("{run}: {message}");
    }
    tracing::info!("{run}: queueing again as {element}");
    slurm_client::requeue(&element)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_script_asks_for_what_the_sweep_file_says_and_nothing_else() {
        let spec: SlurmSpec = crate::yaml::argument(
            "{ partition: gpu, account: abc, time: 90, gres: 'gpu:1', mem: 32G, cpus_per_task: 8, throttle: 4, \
             setup: ['module load cuda', 'export A=b'], extra: ['--exclude=n3'] }",
            "slurm",
        )
        .unwrap();
        let text = script(Path::new("/data/results/it's"), "alpha", &spec, 36).unwrap();
        let options: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#SBATCH ")).collect();
        assert_eq!(
            options,
            [
                "--job-name=alpha",
                "--array=0-35%4",
                "--output=\"/data/results/it's/logs/%A_%a.out\"",
                "--open-mode=append",
                "--requeue",
                "--signal=B:USR1@120",
                "--partition=gpu",
                "--account=abc",
                "--time=90",
                "--gres=gpu:1",
                "--mem=32G",
                "--cpus-per-task=8",
                "--exclude=n3",
            ]
        );
        assert!(text.contains("\nmodule load cuda\nexport A=b\ncd "), "{text}");
        let last = text.lines().last().unwrap();
        assert!(last.starts_with("exec ") && last.contains(" sweep-run '/data/results/it'\\''s' "), "{text}");
        let bare = script(Path::new("/x"), "alpha", &SlurmSpec::default(), 1).unwrap();
        assert!(!bare.contains("partition") && !bare.contains("--time") && bare.contains("--array=0-0\n"), "{bare}");
    }

    #[test]
    fn a_folder_that_would_break_the_script_is_refused() {
        let percent = script(Path::new("/100 %/%j"), "x", &SlurmSpec::default(), 1).unwrap();
        assert!(percent.contains("--output=\"/100 %%/%%j/logs/%A_%a.out\"\n"), "{percent}");
        assert!(percent.contains(" sweep-run '/100 %/%j' "), "{percent}");
        for folder in ["/a\nb", "/a\rb", "/a\"b", "/a\u{1b}b"] {
            assert!(script(Path::new(folder), "x", &SlurmSpec::default(), 1).is_err(), "{folder:?}");
        }
    }
}
