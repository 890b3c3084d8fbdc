//! Slurm's own commands as child processes: sbatch, squeue, scontrol. Their output is taken in fixed columns, which
//! change less between releases than JSON; each has a time limit, because all of them wait for a controller that is
//! down.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const PATIENCE: Duration = Duration::from_secs(30);
/// Slurm's default of MaxArraySize.
const DEFAULT_MAX_ARRAY_SIZE: usize = 1001;

/// An element of a job array, as squeue shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    pub job: u64,
    pub index: u64,
    pub name: String,
    /// `PENDING`, `RUNNING`, `COMPLETED`, `FAILED`, ...
    pub state: String,
    pub reason: String,
    pub restarts: u32,
}

impl Element {
    /// `RUNNING, restarted 2 times`
    pub fn describe(&self) -> String {
        let reason = match self.reason.as_str() {
            "" | "None" => String::new(),
            reason => format!(" ({reason})"),
        };
        let restarts = match self.restarts {
            0 => String::new(),
            1 => ", restarted once".to_string(),
            more => format!(", restarted {more} times"),
        };
        format!("{}{reason}{restarts}", self.state)
    }
}

/// Whether an element in this state (as described above) will run, or run again, without being submitted anew.
pub fn is_active(state: &str) -> bool {
    [
        "PENDING",
        "RUNNING",
        "CONFIGURING",
        "COMPLETING",
        "SUSPENDED",
        "REQUEUED",
        "REQUEUE_HOLD",
        "PREEMPTED",
        "RESIZING",
    ]
    .iter()
    .any(|active| state.strip_prefix(active).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric())))
}

/// Submits a script; the job's id.
pub fn sbatch(script: &Path, options: &[String]) -> Result<u64> {
    let mut command = Command::new("sbatch");
    command.arg("--parsable").args(options).arg(script);
    let output = run(&mut command)?;
    // `4`, or `4;cluster`
    let id = output.trim().split(';').next().unwrap_or_default();
    id.parse().with_context(|| format!("sbatch answered {:?} instead of a job id", output.trim()))
}

/// All elements of these arrays that Slurm still remembers; it forgets ended ones after some minutes.
pub fn elements(jobs: &[u64]) -> Result<Vec<Element>> {
    let ids = jobs.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let mut command = Command::new("squeue");
    command.args(["-h", "-r", "-t", "all", "-j", &ids]);
    command.args(["-O", "JobArrayID:32,State:24,RestartCnt:8,Name:128,Reason:64"]);
    match run(&mut command) {
        Ok(output) => Ok(output.lines().filter_map(parse).collect()),
        // the answer for a single id that is forgotten
        Err(error) if is_forgotten(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// One line in the columns asked for above.
fn parse(line: &str) -> Option<Element> {
    let column = |from: usize, width: usize| -> String {
        line.chars().skip(from).take(width).collect::<String>().trim().to_string()
    };
    let (job, index) = column(0, 32).split_once('_').map(|(job, index)| (job.to_string(), index.to_string()))?;
    Some(Element {
        job: job.parse().ok()?,
        index: index.parse().ok()?,
        state: column(32, 24),
        restarts: column(56, 8).parse().unwrap_or(0),
        name: column(64, 128),
        reason: column(192, 64),
    })
}

/// Cancels a job that still waits, if it is the one of this name; a job that is gone is no error.
pub fn cancel_pending(job: u64, name: &str) -> Result<()> {
    match run(Command::new("scancel").args(["--state=PENDING", "--name", name, &job.to_string()])) {
        Err(error) if !is_forgotten(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Whether Slurm does not know the job, or does not know it any more.
fn is_forgotten(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("Invalid job id")
}

/// Puts a running element back into the queue; Slurm then ends it.
pub fn requeue(element: &str) -> Result<()> {
    run(Command::new("scontrol").args(["requeue", element])).map(|_| ())
}

/// How many elements one array may have.
pub fn max_array_size() -> Result<usize> {
    let output = run(Command::new("scontrol").args(["show", "config"]))?;
    let size = output
        .lines()
        .find_map(|line| line.trim().strip_prefix("MaxArraySize")?.split('=').nth(1)?.trim().parse().ok());
    // indices run from 0 to the size less one
    Ok(size.unwrap_or(DEFAULT_MAX_ARRAY_SIZE).saturating_sub(1).max(1))
}

/// What `command` writes to stdout, if it succeeds in time.
fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.with_context(|| {
        format!("`{name}` cannot be started: is this a machine that can submit to Slurm, and are its commands on PATH?")
    })?;
    // read beside waiting, so that a long answer does not block on a full pipe
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = wait(&mut child, &name)?;
    let text = |handle: std::thread::JoinHandle<String>| handle.join().unwrap_or_default();
    let (stdout, stderr) = (text(stdout), text(stderr));
    if !status.success() {
        bail!("{name}: {}", if stderr.trim().is_empty() { status.to_string() } else { stderr.trim().to_string() });
    }
    Ok(stdout)
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // what came until then is what there is
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, name: &str) -> Result<std::process::ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().with_context(|| name.to_string())? {
            return Ok(status);
        }
        if started.elapsed() > PATIENCE {
            // it may have ended just now
            let _ = child.kill();
            let _ = child.wait();
            bail!("{name} did not answer within {} s: Slurm's controller may be down", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_squeue_are_read_by_their_columns() {
        let line = format!("{:<32}{:<24}{:<8}{:<128}{:<64}", "12_3", "PENDING", "2", "fin alpha-001-77", "BeginTime");
        let element = parse(&line).expect("an element");
        assert_eq!((element.job, element.index, element.name.as_str()), (12, 3, "fin alpha-001-77"));
        assert_eq!(element.describe(), "PENDING (BeginTime), restarted 2 times");
        // a job outside arrays, and an empty line
        assert_eq!(parse(&format!("{:<32}{:<24}", "12", "RUNNING")), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn only_states_that_lead_to_running_count_as_active() {
        for state in ["PENDING (Resources)", "RUNNING", "RUNNING, restarted once", "COMPLETING"] {
            assert!(is_active(state), "{state}");
        }
        for state in ["COMPLETED", "FAILED (NonZeroExitCode)", "CANCELLED", "TIMEOUT (TimeLimit)", "NODE_FAIL", ""] {
            assert!(!is_active(state), "{state}");
        }
    }
}
