//! A run folder of the first format, as the program at commit 2c0763f wrote it, without texts, weights and embeddings.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sigma_report::{ReportError, Run, write_report};

fn copied(parent: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legacy");
    let run = parent.join("run");
    for name in ["manifest.json", "config.yaml", "gen-000/record.json", "gen-001/record.json"] {
        fs::create_dir_all(run.join(name).parent().unwrap()).unwrap();
        fs::copy(from.join(name), run.join(name)).unwrap();
    }
    run
}

#[test]
fn a_run_of_the_first_format_is_read_with_its_own_numbers_and_as_not_chained() {
    let folder = tempfile::tempdir().unwrap();
    let dir = copied(folder.path());
    let run = Run::open(&dir).unwrap();
    assert!(!run.chained && run.left_out.is_empty());
    assert_eq!(run.records.len(), 2);
    for (t, record) in run.records.iter().enumerate() {
        let text = fs::read_to_string(dir.join(format!("gen-00{t}/record.json"))).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        let sigma = record.sigma.as_ref().unwrap();
        assert_eq!(Some(sigma.u_cov), written["sigma"]["u_cov"].as_f64());
        assert_eq!(Some(sigma.g_kf), written["sigma"]["g_kf"].as_f64());
        assert_eq!(record.surface.distinct_2, written["surface"]["distinct_2"].as_f64());
        // what the format did not hold is not made up
        assert!(sigma.full_estimate.is_none() && sigma.g_kf_fixed_beta.is_none() && record.drift.is_none());
        assert!(record.evaluation.read_share.is_nan() && record.previous.is_none());
    }
    let training = run.records[1].training.as_ref().unwrap();
    assert!(training.weight_distance.is_nan() && training.mean_loss_last_epoch > 0.0);
    assert_eq!(run.records[1].arithmetic.resolved.precision, "f32");
    write_report(&[run], &folder.path().join("report"), "fin").unwrap();
}

#[test]
fn runs_of_the_first_format_that_differ_in_the_seed_are_one_condition() {
    let folder = tempfile::tempdir().unwrap();
    let runs = [42, 43].map(|seed| {
        let parent = folder.path().join(seed.to_string());
        let dir = copied(&parent);
        for name in ["manifest.json", "config.yaml"] {
            let text = fs::read_to_string(dir.join(name)).unwrap();
            let text = text.replace("\"seed\": 42", &format!("\"seed\": {seed}"));
            fs::write(dir.join(name), text.replace("seed: 42", &format!("seed: {seed}"))).unwrap();
        }
        Run::open(&dir).unwrap()
    });
    assert_eq!(runs[0].manifest.condition_hash, runs[1].manifest.condition_hash);
    assert_ne!(runs[0].manifest.experiment_hash, runs[1].manifest.experiment_hash);
    // the texts are the same, so they are no two seeds
    let error = write_report(&runs, &folder.path().join("report"), "fin").unwrap_err();
    assert!(matches!(error, ReportError::SameAnswers { .. }), "{error}");
}

#[test]
fn a_damaged_file_of_the_first_format_is_named() {
    for (name, from, to) in [
        ("manifest.json", "\"seed\"", "\"sead\""),
        ("gen-001/record.json", "\"u_cov\"", "\"u_kov\""),
        ("gen-001/record.json", "\"schema\": 2", "\"schema\": 9"),
        ("gen-001/record.json", "\"embeddings.npy\"", "\"../../embeddings.npy\""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let dir = copied(folder.path());
        let text = fs::read_to_string(dir.join(name)).unwrap();
        assert!(text.contains(from), "{name}");
        fs::write(dir.join(name), text.replacen(from, to, 1)).unwrap();
        let said = Run::open(&dir).unwrap_err().to_string();
        assert!(said.contains(name), "{said}");
    }
}
