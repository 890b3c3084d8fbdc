//! Run folders of the program's first format: records of schema 2 under a manifest of schema 1. Their records are not
//! chained, so nothing shows whether a number was changed; they are read for reports and never resumed. What the format
//! did not hold is absent, or NaN, and never guessed.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::chain::hash_of;
use crate::error::{ReportError, Result};
use crate::json_file;
use crate::manifest::{self, Manifest};
use crate::record::{self, HashedRecord, Record};

const MANIFEST_SCHEMA: u32 = 1;
const RECORD_SCHEMA: u32 = 2;
const MANIFEST_NOUN: &str = "manifest of a run";
const RECORD_NOUN: &str = "record of a generation";

/// What stands for a fact that the format did not hold.
const UNKNOWN: &str = "unknown";

/// Whether the manifest in `path` is of this format.
pub(crate) fn is_manifest(path: &Path) -> Result<bool> {
    Ok(json_file::schema(&json_file::text(path)?, path, MANIFEST_NOUN)? == MANIFEST_SCHEMA)
}

/// The manifest in `path`, if it is of this format. `config` is the run's config.yaml, from which runs that differ in
/// the seed alone are told.
pub(crate) fn manifest(path: &Path, config: &str) -> Result<Option<Manifest>> {
    if !is_manifest(path)? {
        return Ok(None);
    }
    let text = json_file::text(path)?;
    let mut fields: Map<String, Value> = json_file::parse(&text, path, MANIFEST_NOUN, MANIFEST_SCHEMA)?;
    let mut machine = fields.remove("machine").unwrap_or_default();
    let device = machine.as_object_mut().and_then(|machine| machine.remove("device")).unwrap_or(json!(UNKNOWN));
    let condition = without(config, &["seed", "name", "out"], path)?;
    let start = json!({
        "at": fields.get("created"), "generation": 0, "program": fields.remove("program"), "machine": machine,
        "experiment_hash": "", "resolved": resolved(&device, &json!(UNKNOWN)),
    });
    fields.insert("schema".into(), json!(manifest::SCHEMA));
    fields.insert(
        "family_hash".into(),
        json!(hash_of(without(config, &["seed", "name", "out", "setting"], path)?.as_bytes())),
    );
    fields.insert("condition_hash".into(), json!(hash_of(condition.as_bytes())));
    fields.insert("experiment_hash".into(), json!(hash_of(format!("{condition}{:?}", fields.get("seed")).as_bytes())));
    fields.insert("starts".into(), json!([start]));
    fields.insert("records".into(), json!({}));
    let manifest = serde_json::from_value(Value::Object(fields));
    let unread = |source| ReportError::Json { path: path.to_path_buf(), expected: MANIFEST_NOUN, source };
    manifest.map(Some).map_err(unread)
}

/// The record in `path`, of a run with this manifest.
pub(crate) fn record(path: &Path, manifest: &Manifest) -> Result<HashedRecord> {
    let text = json_file::text(path)?;
    let mut fields: Map<String, Value> = json_file::parse(&text, path, RECORD_NOUN, RECORD_SCHEMA)?;
    let mut training = fields.remove("training").unwrap_or_default();
    let precision = training.as_object_mut().and_then(|training| {
        training.insert("weight_distance".into(), json!("nan"));
        training.remove("precision")
    });
    fields.insert("training".into(), training);
    let arithmetic = manifest.latest().map(|start| {
        let resolved = resolved(&json!(start.resolved.device), &precision.unwrap_or(json!(UNKNOWN)));
        json!({ "program": start.program, "machine": start.machine, "resolved": resolved })
    });
    let absent = [
        ("schema", json!(record::SCHEMA)),
        ("experiment", json!(manifest.experiment_hash)),
        ("previous", Value::Null),
        ("arithmetic", json!(arithmetic)),
        ("drift", Value::Null),
    ];
    fields.extend(absent.map(|(name, value)| (name.to_owned(), value)));
    if let Some(evaluation) = fields.get_mut("evaluation").and_then(Value::as_object_mut) {
        evaluation.insert("truncated".into(), json!(0));
        evaluation.insert("read_share".into(), json!("nan"));
    }
    complete(fields.get_mut("sigma"));
    for list in ["buckets", "noise"] {
        for item in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            complete(item.get_mut("sigma"));
        }
    }
    let unread = |source| ReportError::Json { path: path.to_path_buf(), expected: RECORD_NOUN, source };
    let record: Record = serde_json::from_value(Value::Object(fields)).map_err(unread)?;
    record.check(path)?;
    Ok(HashedRecord { hash: hash_of(text.as_bytes()), record })
}

fn resolved(device: &Value, precision: &Value) -> Value {
    json!({
        "device": device, "evaluation_device": device, "precision": precision, "evaluation_precision": UNKNOWN,
        "pool_rows": null, "answer_rows": null,
    })
}

/// Adds what the numbers of one set of embeddings did not have.
fn complete(sigma: Option<&mut Value>) {
    let Some(sigma) = sigma.and_then(Value::as_object_mut) else { return };
    for name in ["g_kf_fixed_beta", "full_estimate", "full_lower", "full_upper"] {
        sigma.insert(name.to_owned(), Value::Null);
    }
    sigma.insert("full_missing".into(), json!("recorded in an earlier format"));
}

/// A config without some of its keys, as text that is the same whatever their order.
fn without(config: &str, keys: &[&str], path: &Path) -> Result<String> {
    let config: BTreeMap<String, Value> =
        serde_yaml::from_str(config).map_err(|source| ReportError::Config { path: path.to_path_buf(), source })?;
    let kept: Vec<_> = config.iter().filter(|(key, _)| !keys.contains(&key.as_str())).collect();
    Ok(format!("{kept:?}"))
}
