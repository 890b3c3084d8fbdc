//! A run whose model is of another family than OPT.

use std::fs;
use std::path::Path;

use serde_json::json;
use sigma_data::seeds::Seeds;
use sigma_model::Checkpoint;
use tempfile::tempdir;

use crate::{assert_same_results, fails, read, root, run_small};

/// A folder with a random Llama and the bundled tokenizer.
fn llama(folder: &Path) {
    let bundled = root().join("data/models/opt-tiny");
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(bundled.join(name), folder.join(name)).unwrap();
    }
    let opt: serde_json::Value = serde_json::from_str(&read(&bundled.join("config.json"))).unwrap();
    let config = json!({
        "model_type": "llama", "vocab_size": opt["vocab_size"], "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6,
        "max_position_embeddings": 512, "rope_theta": 10000.0, "tie_word_embeddings": true, "rms_norm_eps": 1e-5,
        "bos_token_id": opt["bos_token_id"], "eos_token_id": opt["eos_token_id"], "pad_token_id": opt["pad_token_id"],
    });
    let config = config.as_object().unwrap().clone();
    Checkpoint::fresh(config, &Seeds::new(42, "test")).unwrap().save(folder).unwrap();
}

#[test]
fn a_llama_goes_through_the_loop_and_its_checkpoint_is_one_of_llama() {
    let dir = tempdir().unwrap();
    let (model, run, again) = (dir.path().join("llama"), dir.path().join("run"), dir.path().join("again"));
    fs::create_dir(&model).unwrap();
    llama(&model);
    let source = format!("model.source={}", model.display());
    let table = run_small("configs/demo_s2.yaml", &run, &["--set", &source]);
    assert!(table.contains("ΔU"), "{table}");
    let trained = Checkpoint::load(&run.join("gen-002/model")).unwrap();
    assert_eq!(trained.family.model_type, "llama");
    let base = Checkpoint::load(&model).unwrap();
    assert_eq!(trained.spec, base.spec);
    // the same config gives the same bytes
    run_small("configs/demo_s2.yaml", &again, &["--set", &source, "--set", "evaluation.batch_size=3"]);
    assert_same_results(&run, &again);
}

#[test]
fn a_family_that_is_not_known_is_refused_by_name() {
    let dir = tempdir().unwrap();
    llama(dir.path());
    let config = read(&dir.path().join("config.json")).replace("\"llama\"", "\"mamba\"");
    fs::write(dir.path().join("config.json"), config).unwrap();
    let source = format!("model.source={}", dir.path().display());
    let message = fails(&["check", "configs/demo_s2.yaml", "--set", &source]);
    assert!(message.contains("`model_type` is \"mamba\"") && message.contains("llama, mistral"), "{message}");
}
