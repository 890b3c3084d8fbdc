//! Whole runs on a GPU whose kernels the CPU runs: the same commands, the same files, and the CPU's numbers within
//! rounding.

use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::{assert_same_results, fails, read, succeeds};

/// A run that is small enough for a GPU in slow motion.
fn run(out: &Path, device: &str, more: &[&str]) {
    let mut arguments = vec!["run", "configs/demo_s2.yaml", "--out", out.to_str().unwrap(), "--device", device];
    for set in [
        "generations=1",
        "corpus.context_tokens=12",
        "corpus.max_contexts=16",
        "prompts.max_per_bucket=1",
        "evaluation.max_new_tokens=16",
        "evaluation.responses_per_prompt=1",
        "evaluation.noise_replicates=0",
        "evaluation.batch_size=8",
        "regeneration.batch_size=16",
        "training.epochs=2",
        "training.batch_size=8",
        "sigma.observed=4",
    ] {
        arguments.extend(["--set", set]);
    }
    arguments.extend(more);
    succeeds(&arguments);
}

fn lines(path: &Path) -> Vec<String> {
    read(path).lines().map(str::to_string).collect()
}

#[test]
fn a_run_in_f32_writes_the_cpu_s_texts_and_follows_its_losses() {
    let dir = tempdir().unwrap();
    let (cpu, gpu) = (dir.path().join("cpu"), dir.path().join("gpu"));
    run(&cpu, "cpu", &[]);
    run(&gpu, "emulated", &["--set", "training.precision=fp32"]);
    for file in ["gen-001/synthetic.jsonl", "gen-000/responses.jsonl"] {
        let (ours, theirs) = (lines(&gpu.join(file)), lines(&cpu.join(file)));
        let differ = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
        // a draw within rounding of a boundary may fall on the other side
        assert!(ours.len() == theirs.len() && differ <= 1, "{file}: {differ} texts differ");
    }
    let loss = |run: &Path| -> Vec<f64> {
        let curve = lines(&run.join("gen-001/training.csv"));
        curve.iter().skip(1).map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect()
    };
    let (ours, theirs) = (loss(&gpu), loss(&cpu));
    assert_eq!(ours.len(), 4);
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (a / b - 1.0).abs() < 1e-3), "{ours:?} {theirs:?}");
    let manifest: Value = serde_json::from_str(&read(&gpu.join("manifest.json"))).unwrap();
    assert_eq!(manifest["starts"][0]["resolved"]["device"], "emulated");
    assert_eq!(manifest["starts"][0]["resolved"]["answer_rows"], 8);
}

#[test]
fn a_run_in_f16_gives_the_same_files_every_time_and_after_a_stop() {
    let dir = tempdir().unwrap();
    let (whole, again, stopped) = (dir.path().join("whole"), dir.path().join("again"), dir.path().join("stopped"));
    run(&whole, "emulated", &[]);
    run(&again, "emulated", &[]);
    assert_same_results(&whole, &again);
    // what is there of generation 1 when its evaluation has not begun
    run(&stopped, "emulated", &["--set", "generations=0"]);
    run(&stopped, "emulated", &[]);
    assert_same_results(&whole, &stopped);
    let record: Value = serde_json::from_str(&read(&whole.join("gen-001/record.json"))).unwrap();
    assert_eq!(record["arithmetic"]["resolved"]["precision"], "f16");
    assert_eq!(record["training"]["skipped_steps"], 0);
}

#[test]
fn selftest_compares_every_precision_and_says_what_is_too_far_apart() {
    let table = succeeds(&["selftest", "--device", "emulated", "--quick"]);
    for what in ["logits", "gradients", "losses of training", "sampled texts"] {
        for precision in ["f32", "f16", "bf16"] {
            assert!(table.lines().any(|l| l.starts_with(precision) && l.contains(what)), "{precision} {what}\n{table}");
        }
    }
    assert!(table.ends_with("hold\n"), "{table}");
    assert!(fails(&["selftest", "--device", "cpu"]).contains("no GPU"));
}
