//! Sweeps on a real Slurm: a private one-node cluster on loopback, started by `scripts/slurm/up.sh`. Where Slurm is not
//! installed, or this is not root, the tests say so and compare nothing.
#![allow(clippy::print_stderr)]

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::{TempDir, tempdir};

use crate::sweeps::sweep_file;
use crate::{assert_same_results, read, root};

/// A cluster that ends with the value.
struct Cluster {
    folder: TempDir,
}

impl Cluster {
    fn start() -> Option<Self> {
        // the paths of Slurm's sockets have to be short
        let folder = tempfile::Builder::new().prefix("slurm").tempdir_in("/tmp").unwrap();
        // no two clusters of this process try the same ports
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let first = 20_000 + std::process::id() as u16 % 199 + NEXT.fetch_add(10_000, Ordering::Relaxed);
        let port = (0..50)
            .map(|i| first + i * 200)
            .find(|port| (*port..port + 2).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()));
        let up = Command::new(root().join("scripts/slurm/up.sh"))
            .arg(folder.path())
            .arg(port?.to_string())
            .output()
            .unwrap();
        if up.status.success() {
            return Some(Self { folder });
        }
        eprintln!("NOT TESTED: sweeps on Slurm; {}", String::from_utf8_lossy(&up.stderr).trim());
        None
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Output {
        let conf = self.folder.path().join("slurm.conf");
        Command::new(program).args(arguments).env("SLURM_CONF", conf).current_dir(root()).output().unwrap()
    }

    fn succeeds(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    fn sigma(&self, arguments: &[&str]) -> String {
        self.succeeds(env!("CARGO_BIN_EXE_sigma-exp"), arguments)
    }

    /// Asks for the sweep's status until `done` likes it.
    fn wait(&self, out: &Path, mut done: impl FnMut(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let status = self.sigma(&["status", out.to_str().unwrap()]);
            if done(&status) {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(300), "{status}\n{}", logs(out));
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new(root().join("scripts/slurm/down.sh")).arg(self.folder.path()).output();
    }
}

fn logs(out: &Path) -> String {
    let entries = fs::read_dir(out.join("logs")).unwrap();
    entries.map(|entry| read(&entry.unwrap().path())).collect::<Vec<_>>().join("\n---\n")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_array_runs_the_sweep_within_its_throttle_and_a_failing_member_stops_no_other() {
    let Some(cluster) = Cluster::start() else { return };
    let dir = tempdir().unwrap();
    let out = dir.path().join("with a blank");
    let missing = dir.path().join("missing.jsonl");
    let good = root().join("data/fin/corpus.jsonl");
    let file = sweep_file(
        dir.path(),
        &format!(
            "runs: [{{ corpus.path: {} }}, {{ seed: 1 }}, {{ seed: 2 }}, {{ seed: 3 }}]\nslurm: {{ time: 10, throttle: 2, setup: \
             [export GREETING=hello] }}",
            missing.display()
        ),
    );
    let sweep = ["sweep", text(&file), "--out", text(&out), "--launcher", "slurm"];
    let said = cluster.sigma(&sweep);
    assert!(said.contains(": 4 runs") && said.contains("the report, once all of them have ended"), "{said}");
    // the same command again submits nothing twice
    let again = cluster.sigma(&sweep);
    assert!(again.contains("nothing to submit"), "{again}");

    let mut at_once = BTreeSet::new();
    let status = cluster.wait(&out, |status| {
        let running = cluster.succeeds("squeue", &["-h", "-r", "-t", "running", "-o", "%j"]);
        at_once.insert(running.lines().filter(|name| !name.ends_with("-report")).count());
        status.contains("3 complete, 0 running, 1 failed, 0 waiting")
    });
    assert!(at_once.iter().all(|count| *count <= 2), "{at_once:?}");
    assert!(status.contains("missing.jsonl") && status.contains("FAILED"), "{status}");
    let started = Instant::now();
    while !out.join("report/index.html").exists() {
        assert!(started.elapsed() < Duration::from_secs(300), "{}", logs(&out));
        std::thread::sleep(Duration::from_millis(200));
    }

    fs::copy(good, missing).unwrap();
    let nothing = cluster.sigma(&sweep);
    assert!(nothing.contains("nothing to submit"), "a failed run is tried again only on request: {nothing}");
    let retried = cluster.sigma(&[&sweep[..], &["--retry-failed"]].concat());
    assert!(retried.contains(": 1 runs"), "{retried}");
    cluster.wait(&out, |status| status.contains("4 complete, 0 running, 0 failed"));
}

#[test]
fn a_warned_run_queues_again_in_the_middle_and_a_cancelled_one_goes_on_when_submitted_anew() {
    let Some(cluster) = Cluster::start() else { return };
    let dir = tempdir().unwrap();
    let (out, whole) = (dir.path().join("out"), dir.path().join("whole"));
    let file =
        sweep_file(dir.path(), "grid: { seed: [1], training.epochs: [60] }\nslurm: { time: 10, max_requeues: 1 }");
    let sweep = ["sweep", text(&file), "--out", text(&out), "--launcher", "slurm"];
    let run: PathBuf = out.join("runs/seed1_epochs60");
    let id = |said: &str| -> String {
        let line = said.lines().find(|line| line.contains(": 1 runs")).unwrap();
        line.trim_start_matches("job ").split(':').next().unwrap().to_string()
    };
    let wait_for_generation = |generation: u32| {
        let started = Instant::now();
        while !run.join(format!("gen-{generation:03}/record.json")).exists() {
            assert!(started.elapsed() < Duration::from_secs(300), "{}", logs(&out));
            std::thread::sleep(Duration::from_millis(50));
        }
    };

    let job = id(&cluster.sigma(&sweep));
    wait_for_generation(0);
    // the signal that Slurm sends ahead of the time limit
    cluster.succeeds("scancel", &["--batch", "--signal=USR1", &job]);
    cluster.wait(&out, |status| status.contains("restarted once"));
    cluster.wait(&out, |status| status.contains("RUNNING"));
    wait_for_generation(1);
    cluster.succeeds("scancel", &[&job]);
    let status = cluster.wait(&out, |status| status.contains("0 running"));
    assert!(status.contains("stopped") && status.contains("0 failed"), "{status}");

    cluster.wait(&out, |status| !status.contains("RUNNING") && !status.contains("COMPLETING"));
    cluster.sigma(&sweep);
    cluster.wait(&out, |status| status.contains("1 complete"));
    assert!(logs(&out).contains("queueing again as"), "{}", logs(&out));
    crate::succeeds(&["run", text(&out.join("configs/seed1_epochs60.yaml")), "--out", text(&whole)]);
    assert_same_results(&whole, &run);
}
