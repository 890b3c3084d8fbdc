//! Models and settings that go wrong in numbers: each has defined behaviour, and the run says so where its numbers are
//! read.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use tempfile::tempdir;

use crate::{SMALL, fails, read, root, run_small, succeeds};

/// The bundled model with other values; `change` is given the name and the values of every tensor.
pub(crate) fn changed_model(folder: &Path, mut change: impl FnMut(&str, &mut [f32])) {
    let source = root().join("data/models/opt-tiny");
    fs::create_dir(folder).unwrap();
    for entry in fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let bytes = fs::read(source.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let changed: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            let mut values: Vec<f32> =
                tensor.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            change(&name, &mut values);
            (name, tensor.shape().to_vec(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
        })
        .collect();
    let views = changed
        .iter()
        .map(|(name, shape, data)| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

/// The bundled model with its last layer norm replaced such that every position predicts `token` with near certainty:
/// the norm's output is a constant, the token's own embedding many times over, and the head is that embedding again.
fn model_that_says(token: usize, folder: &Path) {
    const WIDTH: usize = 128;
    let bytes = fs::read(root().join("data/models/opt-tiny/model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let embeddings = file.tensor("model.decoder.embed_tokens.weight").unwrap().data();
    let row: Vec<f32> = embeddings[4 * WIDTH * token..][..4 * WIDTH]
        .chunks(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let norm: f32 = row.iter().map(|x| x * x).sum();
    changed_model(folder, |name, values| match name {
        "model.decoder.final_layer_norm.weight" => values.fill(0.0),
        "model.decoder.final_layer_norm.bias" => {
            values.iter_mut().zip(&row).for_each(|(value, x)| *value = x * 1000.0 / norm);
        }
        _ => {}
    });
}

fn flags(run: &Path, generation: u32) -> Vec<String> {
    let text = read(&run.join("metrics.csv"));
    let mut lines = text.lines();
    let place = lines.next().unwrap().split(',').position(|name| name == "flags").unwrap();
    let line = lines.nth(generation as usize).unwrap();
    line.split(',').nth(place).unwrap().split(';').map(str::to_string).collect()
}

fn record(run: &Path, generation: u32) -> Value {
    serde_json::from_str(&read(&run.join(format!("gen-{generation:03}/record.json")))).unwrap()
}

#[test]
fn a_model_that_answers_nothing_is_flagged_and_the_run_goes_on() {
    let dir = tempdir().unwrap();
    let (model, run) = (dir.path().join("model"), dir.path().join("run"));
    model_that_says(2, &model);
    let source = format!("model.source={}", model.display());
    run_small("configs/demo_s2.yaml", &run, &["--set", &source, "--set", "generations=1"]);
    assert!(flags(&run, 0).contains(&"all_answers_empty".to_string()), "{:?}", flags(&run, 0));
    let base = record(&run, 0);
    assert!(base["sigma"].is_null() && base["evaluation"]["blocks"] == 0 && base["surface"]["words"] == 0);
    assert!(base["surface"]["distinct_2"].is_null(), "nothing is measured on nothing, and nothing is NaN");
    assert!(run.join("gen-001/record.json").exists() && run.join("report/index.html").exists());
}

#[test]
fn answers_of_one_repeated_token_are_measured_and_flagged() {
    let dir = tempdir().unwrap();
    let (model, run) = (dir.path().join("model"), dir.path().join("run"));
    model_that_says(300, &model);
    let source = format!("model.source={}", model.display());
    run_small("configs/demo_s2.yaml", &run, &["--set", &source, "--set", "generations=1"]);
    let base = record(&run, 0);
    assert!(flags(&run, 0).contains(&"rank_deficient".to_string()), "{:?}", flags(&run, 0));
    assert_eq!(base["sigma"]["rank"], 1, "every block is the same text");
    assert!(base["sigma"]["log_det_ga"].is_null() && base["sigma"]["plugin"].is_null());
    let number = |path: &[&str]| path.iter().fold(&base, |value, key| &value[*key]).as_f64().unwrap();
    assert!(number(&["sigma", "u_cov"]).is_finite() && number(&["sigma", "g_kf"]).is_finite());
    assert!((number(&["diversity", "vendi_1"]) - 1.0).abs() < 1e-6);
    let table = read(&run.join("metrics.csv"));
    // one of the columns is called vendi_inf
    let rows = table.lines().skip(1).collect::<Vec<_>>().join("\n");
    assert!(!rows.contains("NaN") && !rows.contains("inf"), "{table}");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_with_step_and_remedy_and_is_flagged() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    let arguments = ["run", "configs/demo_s2.yaml", "--out", run.to_str().unwrap()];
    let hot = ["--set", "training.learning_rate=1e30", "--set", "training.clip_norm=0"];
    let hot = [&arguments[..], &SMALL[..], &hot[..]].concat();
    let message = fails(&hot);
    assert!(message.contains("generation 1") && message.contains("at step 2 of 2"), "{message}");
    assert!(message.contains("training.learning_rate"), "{message}");
    assert!(run.join("gen-000/record.json").exists() && !run.join("gen-001").exists());
    assert_eq!(flags(&run, 1), ["loss_not_finite"], "a last row that holds nothing else");
    let metrics = read(&run.join("metrics.csv"));
    assert_eq!(metrics.lines().count(), 3, "{metrics}");
    let status = succeeds(&["status", run.to_str().unwrap()]);
    assert!(status.contains("generation 1 could not be made: the loss became"), "{status}");
    succeeds(&["status", run.to_str().unwrap(), "--verify"]);
    succeeds(&["report", run.to_str().unwrap()]);
    // again the same, and with fewer generations the run is complete and nothing is flagged any more
    assert_eq!(fails(&hot).lines().last(), message.lines().last());
    assert_eq!(read(&run.join("metrics.csv")), metrics);
    succeeds(&[&hot[..], &["--set", "generations=0"]].concat());
    assert_eq!(read(&run.join("metrics.csv")).lines().count(), 2);
}

#[test]
fn a_loss_scale_that_collapses_stops_the_run_and_is_flagged() {
    let dir = tempdir().unwrap();
    let (model, run) = (dir.path().join("model"), dir.path().join("run"));
    // a feed-forward layer that gives next to nothing, but whose weights would move its output by far more than FP16
    // can say
    changed_model(&model, |name, values| match name {
        "model.decoder.layers.3.final_layer_norm.weight" => values.fill(6e3),
        "model.decoder.layers.3.fc1.weight" => values.fill(0.0),
        "model.decoder.layers.3.fc1.bias" => values.fill(1e-6),
        "model.decoder.layers.3.fc2.weight" => values.iter_mut().for_each(|x| *x = x.signum() * 3e4),
        _ => {}
    });
    let source = format!("model.source={}", model.display());
    let sets = ["--set", &source, "--set", "training.precision=fp16", "--set", "training.epochs=14"];
    let arguments = ["run", "configs/demo_s2.yaml", "--out", run.to_str().unwrap()];
    let message = fails(&[&arguments[..], &SMALL[..], &sets[..]].concat());
    assert!(
        message.contains("loss scale fell to") && message.contains("training.precision: bf16 or fp32"),
        "{message}"
    );
    assert_eq!(flags(&run, 1), ["loss_scale_collapsed"]);
    assert!(run.join("gen-000/record.json").exists() && !run.join("gen-001").exists());
}

#[test]
fn weights_that_overflow_are_refused_or_named_and_never_measured() {
    let dir = tempdir().unwrap();
    let model = dir.path().join("model");
    model_that_says(300, &model);
    let path = model.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    // the last tensor's last number becomes NaN
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let run = dir.path().join("run");
    let source = format!("model.source={}", model.display());
    let message = fails(
        &[&["run", "configs/demo_s2.yaml", "--out", run.to_str().unwrap(), "--set", &source][..], &SMALL].concat(),
    );
    assert!(message.contains("model.safetensors") || message.contains("not finite"), "{message}");
    assert!(!run.join("gen-000").exists());
}
