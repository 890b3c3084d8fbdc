//! Frequent mistakes, and the line that says what was meant.

use std::fs;

use tempfile::tempdir;

use crate::{fails, run_small};

const DEMO: &str = "configs/demo_s2.yaml";

#[test]
fn a_key_by_another_name_or_without_its_section_is_told_in_full() {
    for (setting, hint) in [
        ("alpha=0.5", "did you mean `mixture.real_fraction`?"),
        ("mixture.alpha=0.5", "did you mean `mixture.real_fraction`?"),
        ("epochs=2", "did you mean `training.epochs`?"),
        ("training.lr=1e-4", "did you mean `training.learning_rate`?"),
        ("batch_size=4", "`training.batch_size` or `regeneration.batch_size` or `evaluation.batch_size`"),
        ("model=facebook/opt-125m", "did you mean `model.source`?"),
        ("encoder=some/encoder", "did you mean `encoder.source`?"),
        ("corpus=data/fin/corpus.jsonl", "did you mean `corpus.path`?"),
        ("training.epoch=2", "did you mean `epochs`?"),
        ("a.b=2", "unknown field `a`, expected one of `name`"),
        ("a.b", "expected path=value, for example training.epochs=2"),
        ("generations.b=2", "what stands above `b` is a value, not a section"),
    ] {
        let said = fails(&["check", DEMO, "--set", setting]);
        assert!(said.contains(&format!("--set {setting}: ")) && said.contains(hint), "{said}");
        assert_eq!(
            said.matches("did you mean").count(),
            usize::from(!hint.contains("expected") && !hint.contains("above")),
            "{said}"
        );
    }
    // the same in the file itself
    let dir = tempdir().unwrap();
    let config = dir.path().join("c.yaml");
    let text = crate::read(&crate::root().join(DEMO));
    let source = "model: { source: data/models/opt-tiny }";
    assert!(text.contains(source));
    fs::write(&config, text.replace(source, "model: facebook/opt-125m")).unwrap();
    assert!(fails(&["check", config.to_str().unwrap()]).contains("did you mean `model.source`?"));
}

#[test]
fn a_key_given_as_an_option_is_told_how_to_be_set() {
    for (arguments, hint) in [
        (&["run", DEMO, "--seed", "3"][..], "--set seed=VALUE"),
        (&["check", DEMO, "--seed=3"], "--set seed=VALUE"),
        (&["run", DEMO, "--alpha", "0.5"], "--set mixture.real_fraction=VALUE"),
        (&["run", DEMO, "--learning-rate", "0.5"], "--set training.learning_rate=VALUE"),
        (&["check", DEMO, "--model", "facebook/opt-125m"], "--set model.source=VALUE"),
        (&["run", DEMO, "training.epochs=2"], "--set training.epochs=2"),
        (&["train", DEMO], "'finetune' trains a model"),
    ] {
        let said = fails(arguments);
        assert_eq!(said.matches("tip:").count(), 1, "{said}");
        assert!(said.contains(hint), "{arguments:?}: {said}");
    }
    // what takes no settings is told of none
    assert!(!fails(&["report", "run", "--seed", "3"]).contains("--set seed"));
}

#[test]
fn the_folder_of_a_generation_says_where_its_model_is() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    run_small(DEMO, &run, &["--set", "generations=1"]);
    let generation = run.join("gen-001");
    let folder = generation.to_str().unwrap();
    let model = generation.join("model").display().to_string();
    let out = dir.path().join("out").display().to_string();
    let source = format!("model.source={folder}");
    for command in [
        &["check", DEMO, "--set", &source][..],
        &["generate", DEMO, "--model", folder, "--prompts", "data/fin/prompts.jsonl", "--out", &out],
        &["finetune", DEMO, "--model", folder, "--blocks", "none.jsonl", "--out", &out],
    ] {
        let said = fails(command);
        assert!(said.contains("a generation") && said.contains(&model), "{said}");
    }
    assert!(fails(&["check", DEMO, "--set", "model.source=./nowhere"]).contains("counts from the working folder"));
}

#[test]
fn blocks_of_unequal_length_name_the_command_that_cuts_them() {
    let dir = tempdir().unwrap();
    let (blocks, out) = (dir.path().join("blocks.jsonl"), dir.path().join("out"));
    fs::write(&blocks, "{\"id\":\"a\",\"tokens\":[5,6,7]}\n{\"id\":\"b\",\"tokens\":[5,6]}\n").unwrap();
    let start = ["finetune", DEMO, "--model", "data/models/opt-tiny", "--blocks", blocks.to_str().unwrap(), "--out"];
    let said = fails(&[&start[..], &[out.to_str().unwrap()]].concat());
    assert!(said.contains("blocks.jsonl") && said.contains("`b` has 2 tokens"), "{said}");
    assert!(said.contains("`sigma-exp data slice`") && !out.exists(), "{said}");
}
