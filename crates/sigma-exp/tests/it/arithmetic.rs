//! One experiment is one arithmetic: device and precision are resolved at the first start, recorded with every
//! generation, and never changed without a word. The GPU here is the emulated one.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::{SMALL, assert_same_results, fails, read, results, succeeds};

/// What makes a run small enough for an emulated GPU.
const TINY: [&str; 20] = [
    "--set",
    "corpus.context_tokens=12",
    "--set",
    "corpus.max_contexts=16",
    "--set",
    "prompts.max_per_bucket=1",
    "--set",
    "evaluation.responses_per_prompt=1",
    "--set",
    "evaluation.max_new_tokens=12",
    "--set",
    "evaluation.noise_replicates=0",
    "--set",
    "training.epochs=4",
    "--set",
    "training.batch_size=8",
    "--set",
    "sigma.observed=4",
    "--set",
    "checkpoints.save_minutes=0",
];

fn arguments<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["run", "configs/demo_s2.yaml", "--out", out.to_str().unwrap()][..], &TINY, more].concat()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap()
}

fn resolved(run: &Path, generation: u32) -> Value {
    json(&run.join(format!("gen-{generation:03}/record.json")))["arithmetic"]["resolved"].clone()
}

#[test]
fn auto_is_resolved_once_and_another_device_is_refused_until_it_is_accepted_and_then_recorded() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    succeeds(&arguments(&run, &["--set", "generations=1", "--device", "emulated"]));
    let before = results(&run);
    // `auto` is what it was, whatever is there today
    succeeds(&arguments(&run, &["--set", "generations=1", "--device", "auto"]));
    assert!(results(&run) == before);
    let message = fails(&arguments(&run, &["--set", "generations=2", "--device", "cpu"]));
    for part in ["device: cpu was emulated", "--accept-device-change"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(results(&run) == before, "a refusal changes nothing");

    let condition = |run: &Path| json(&run.join("manifest.json"))["condition_hash"].clone();
    let unmixed = condition(&run);
    succeeds(&arguments(&run, &["--set", "generations=2", "--device", "cpu", "--accept-device-change"]));
    let starts = json(&run.join("manifest.json"))["starts"].as_array().unwrap().clone();
    let devices: Vec<&str> = starts.iter().map(|start| start["resolved"]["device"].as_str().unwrap()).collect();
    assert_eq!(devices, ["emulated", "emulated", "cpu"], "every start is kept");
    assert_eq!(
        (resolved(&run, 1)["precision"].as_str(), resolved(&run, 2)["precision"].as_str()),
        (Some("f16"), Some("f32"))
    );
    assert_ne!(unmixed, condition(&run), "a run of two arithmetics repeats neither");
    let status = succeeds(&["status", run.to_str().unwrap()]);
    assert!(
        status.contains("from generation 2 on, the device is cpu")
            && status.contains("emulated")
            && status.contains("f16"),
        "{status}"
    );
}

#[test]
fn a_device_that_is_gone_stops_the_run_with_the_way_out() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    succeeds(&arguments(&run, &["--set", "generations=0"]));
    let path = run.join("manifest.json");
    fs::write(&path, read(&path).replace("\"device\": \"cpu\"", "\"device\": \"cuda:0\"")).unwrap();
    let message = fails(&arguments(&run, &["--set", "generations=1", "--device", "auto"]));
    assert!(message.contains("began on cuda:0") && message.contains("--accept-device-change"), "{message}");
}

/// The kind of failure that cost others weeks: a loss scale of 65,536 taken over by f32 divides every gradient by it.
#[test]
fn a_half_trained_f16_generation_is_trained_again_where_f32_resumes_it() {
    let dir = tempdir().unwrap();
    let (run, whole) = (dir.path().join("run"), dir.path().join("whole"));
    succeeds(&arguments(&run, &["--set", "generations=0", "--device", "emulated"]));
    // what a stop in the middle of training leaves: everything but the record
    let scratch = dir.path().join("scratch");
    succeeds(&arguments(&scratch, &["--set", "generations=1", "--device", "emulated"]));
    fs::rename(scratch.join("gen-001"), run.join("gen-001.partial")).unwrap();
    fs::remove_file(run.join("gen-001.partial/record.json")).unwrap();
    fs::create_dir(run.join("gen-001.partial/resume")).unwrap();
    let base = json(&run.join("gen-000/record.json"))["weights"].as_str().unwrap().to_string();
    let state = serde_json::json!({
        "key": {"generation": 1, "writer": base, "start": base, "arithmetic": "f16 on emulated"},
        "started": "2026-01-01T00:00:00Z", "seconds": 0.0, "stage_seconds": {}, "pool": null, "training": null, "trained": null,
    });
    fs::write(run.join("gen-001.partial/resume/state.json"), state.to_string()).unwrap();
    let more = ["--set", "generations=1", "--device", "cpu"];
    succeeds(&arguments(&run, &[&more[..], &["--accept-device-change"]].concat()));
    succeeds(&arguments(&whole, &more));
    for file in ["gen-001/synthetic.jsonl", "gen-001/training.csv", "gen-001/model/model.safetensors"] {
        assert!(
            fs::read(run.join(file)).unwrap() == fs::read(whole.join(file)).unwrap(),
            "{file} is that of f32 alone"
        );
    }
}

#[test]
fn every_generation_is_evaluated_on_the_evaluation_device_the_base_too() {
    let dir = tempdir().unwrap();
    let (apart, alone) = (dir.path().join("apart"), dir.path().join("alone"));
    let more = ["--set", "generations=1", "--set", "training.precision=fp32", "--set", "evaluation.batch_size=8"];
    let sets = [&more[..], &["--device", "cpu", "--set", "evaluation_device=emulated"]].concat();
    succeeds(&arguments(&apart, &sets));
    succeeds(&arguments(&alone, &[&more[..], &["--device", "emulated"]].concat()));
    for generation in [0, 1] {
        let found = resolved(&apart, generation);
        assert_eq!((found["device"].as_str(), found["evaluation_device"].as_str()), (Some("cpu"), Some("emulated")));
    }
    // t = 0 was answered and embedded there, not on `device`
    for file in ["gen-000/responses.jsonl", "gen-000/embeddings.npy"] {
        assert!(fs::read(apart.join(file)).unwrap() == fs::read(alone.join(file)).unwrap(), "{file}");
    }
    let on_cpu = dir.path().join("cpu");
    succeeds(&arguments(&on_cpu, &[&more[..], &["--device", "cpu"]].concat()));
    let rows = |run: &Path| fs::read(run.join("gen-000/embeddings.npy")).unwrap();
    assert!(rows(&apart) != rows(&on_cpu), "the last bits of a GPU's products differ, so the test can fail");
    let message = fails(&arguments(&apart, &[&more[..], &["--device", "cpu"]].concat()));
    assert!(message.contains("evaluation_device: cpu was emulated"), "{message}");
}

#[test]
fn an_evaluation_device_that_is_the_device_is_that_device() {
    let dir = tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let more = ["--set", "generations=1"];
    succeeds(&arguments(&one, &more));
    succeeds(&arguments(&two, &[&more[..], &["--set", "evaluation_device=cpu"]].concat()));
    assert_same_results(&one, &two);
}

#[test]
fn a_missing_evaluation_device_is_found_before_anything_is_trained() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("run");
    for command in
        [&["run", "configs/demo_s2.yaml", "--out", out.to_str().unwrap()][..], &["check", "configs/demo_s2.yaml"]]
    {
        let message = fails(&[command, &SMALL, &["--set", "evaluation_device=cuda:0"]].concat());
        assert!(message.contains("evaluation_device") && message.contains("cuda:0"), "{message}");
    }
    assert!(!out.exists());
}

#[test]
fn texts_that_a_gpu_decodes_together_are_stored_and_a_changed_batch_is_refused_by_name() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    let more = ["--set", "generations=0", "--device", "emulated"];
    succeeds(&arguments(&run, &more));
    let rows = resolved(&run, 0)["answer_rows"].as_u64().unwrap();
    assert!(rows >= 5, "five answers: {rows}");
    let message = fails(&arguments(&run, &[&more[..], &["--set", "evaluation.batch_size=2"]].concat()));
    assert!(message.contains(&format!("evaluation.batch_size: 2 was {rows}")), "{message}");
}

#[test]
fn weights_that_training_did_not_move_are_flagged_with_their_distance() {
    let dir = tempdir().unwrap();
    for (rate, expected) in
        [("0", Some("weights_unmoved")), ("1e-12", Some("weights_moved_below_rounding")), ("4e-4", None)]
    {
        let run = dir.path().join(rate);
        let rate = format!("training.learning_rate={rate}");
        succeeds(&arguments(&run, &["--set", "generations=1", "--set", &rate]));
        let record = json(&run.join("gen-001/record.json"));
        let flags: Vec<&str> = record["flags"].as_array().unwrap().iter().map(|flag| flag.as_str().unwrap()).collect();
        let of_weights: Vec<&&str> = flags.iter().filter(|flag| flag.starts_with("weights")).collect();
        match expected {
            Some(flag) => assert!(of_weights.contains(&&flag), "{rate}: {flags:?}"),
            None => assert!(of_weights.is_empty(), "{rate}: {flags:?}"),
        }
        assert_eq!(flags.contains(&"weights_equal_gen_000"), expected == Some("weights_unmoved"), "{rate}: {flags:?}");
        let distance = record["training"]["weight_distance"].as_f64().unwrap();
        assert!((distance > 1e-4) == expected.is_none() && distance < 1.0, "{rate}: {distance}");
        let header = read(&run.join("metrics.csv"));
        assert!(header.lines().next().unwrap().split(',').any(|name| name == "weight_distance"));
    }
}
