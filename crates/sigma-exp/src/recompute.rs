//! The numbers of a record once more, from the files beside it: answers, embeddings and loss curve. It needs no model,
//! so what only weights can give is not here.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sigma_data::answers::{Answer, FinishReason, read_answers};
use sigma_data::seeds::Seeds;
use sigma_report::{CsvTable, Record};

use crate::layout::{CURVE, EMBEDDINGS, RESPONSES, ROWS};
use crate::matrix_file;
use crate::measure::{self, Base, Measurement, Rows};
use crate::row_index::{self, RowOrigin};
use crate::spec::Experiment;
use crate::stage::{self, EmbeddedBlock};

/// What a record says that the files beside it do not: it follows from weights, from texts that are not kept, or from a
/// clock.
pub const NOT_RECOMPUTED: &str = "weights, weight_distance, perplexity, the noise replicates, truncated_answers, read_share, mixture, regeneration, times";

/// How far a number may be from the recorded one, relatively: another CPU has other last digits.
const TOLERANCE: f64 = 1e-7;

/// Every number of `record`, whose files are in `folder`, that does not follow from them.
///
/// # Errors
/// If a file cannot be read, or does not fit to another.
pub fn differences(
    experiment: &Experiment,
    folder: &Path,
    record: &Record,
    base: Option<Base<'_>>,
) -> Result<Vec<String>> {
    let answers = read_answers(&folder.join(RESPONSES))?;
    let embeddings = matrix_file::read(&folder.join(EMBEDDINGS), None)?;
    let blocks = blocks(&folder.join(ROWS), &answers)?;
    if blocks.len() != embeddings.n() {
        bail!("{EMBEDDINGS} has {} rows, but {ROWS} lists {}", embeddings.n(), blocks.len());
    }
    let mut found = Vec::new();
    let seeds = Seeds::new(experiment.seed, &experiment.domain);
    let observed = stage::observed_set(&answers, &experiment.evaluation, experiment.sigma.observed, &seeds);
    if blocks.iter().any(|block| block.observed != observed.contains(&(block.answer, block.window))) {
        found.push(format!("{ROWS}: the observed rows are not those that follow from the seed"));
    }
    let rows = Rows { answers: &answers, blocks: &blocks, values: embeddings.values(), dim: embeddings.d() };
    let again = measure::measure(rows, base, &experiment.sigma, &experiment.surface)?;
    let Measurement { sigma, drift, buckets, surface, diversity, flags, spectrum: _ } = again;
    let tokens: usize = answers.iter().map(|answer| answer.tokens.len()).sum();
    let mut expected = json!({
        "sigma": sigma, "drift": drift, "buckets": buckets, "surface": surface, "diversity": diversity,
        "embedding": { "dim": embeddings.d() },
        "evaluation": {
            "answers": answers.len(),
            "empty": answers.iter().filter(|answer| answer.is_empty()).count(),
            "stopped_at_eos": answers.iter().filter(|answer| answer.finish_reason == FinishReason::Eos).count(),
            "mean_tokens": tokens as f64 / answers.len().max(1) as f64,
            "blocks": blocks.len(),
        },
    });
    if record.training.is_some() {
        expected["training"] = training(&folder.join(CURVE))?;
    }
    compare("", &expected, &serde_json::to_value(record)?, &mut found);
    if let Some(flag) = flags.iter().find(|flag| !record.flags.contains(flag)) {
        found.push(format!("flags: {flag} is missing"));
    }
    Ok(found)
}

/// The rows that `path` lists, by their answers.
fn blocks(path: &Path, answers: &[Answer]) -> Result<Vec<EmbeddedBlock>> {
    let places: HashMap<(&str, u32), usize> =
        answers.iter().zip(0..).map(|(answer, place)| ((answer.id.as_str(), answer.response), place)).collect();
    let block = |origin: RowOrigin| {
        let RowOrigin { prompt, response, window, observed } = origin;
        let answer = places.get(&(prompt.as_str(), response));
        let answer =
            *answer.with_context(|| format!("{ROWS} lists answer {response} to `{prompt}`, which is not there"))?;
        Ok(EmbeddedBlock { answer, window, observed })
    };
    row_index::read(path)?.into_iter().map(block).collect()
}

/// What a loss curve says of training.
fn training(path: &Path) -> Result<Value> {
    let curve = CsvTable::read(path)?;
    let losses: Vec<f64> = curve.numbers("loss")?.into_iter().flatten().collect();
    let epochs: Vec<f64> = curve.numbers("epoch")?.into_iter().flatten().collect();
    let norms = curve.numbers("gradient_norm")?;
    let last = epochs.last().copied().unwrap_or(0.0);
    let of_last: Vec<f64> = losses.iter().zip(&epochs).filter(|(_, e)| **e == last).map(|(loss, _)| *loss).collect();
    Ok(json!({
        "steps": losses.len(),
        "epochs": last as usize,
        "first_loss": losses.first(),
        "last_loss": losses.last(),
        "mean_loss_last_epoch": of_last.iter().sum::<f64>() / of_last.len().max(1) as f64,
        "grad_norm_max": norms.iter().flatten().copied().fold(0.0, f64::max),
        "skipped_steps": norms.iter().filter(|norm| norm.is_none()).count(),
    }))
}

/// Adds to `found` every place where `expected` has a value that `recorded` has not.
fn compare(path: &str, expected: &Value, recorded: &Value, found: &mut Vec<String>) {
    let below = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    match (expected, recorded) {
        (Value::Object(expected), Value::Object(recorded)) => {
            for (name, value) in expected {
                compare(&below(name), value, recorded.get(name).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(expected), Value::Array(recorded)) if expected.len() == recorded.len() => {
            for (i, (expected, recorded)) in expected.iter().zip(recorded).enumerate() {
                compare(&below(&i.to_string()), expected, recorded, found);
            }
        }
        _ if alike(expected, recorded) => {}
        _ => found.push(format!("{path} is {recorded}, but its files give {expected}")),
    }
}

fn alike(expected: &Value, recorded: &Value) -> bool {
    match (expected.as_f64(), recorded.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1e-6),
        _ => expected == recorded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_is_compared_and_last_digits_are_not() {
        let expected = json!({ "a": { "b": [1.0, 2.0], "c": null }, "d": "x", "e": 3 });
        let differences = |recorded: Value| {
            let mut found = Vec::new();
            compare("", &expected, &recorded, &mut found);
            found
        };
        assert!(
            differences(json!({ "a": { "b": [1.0, 2.000_000_000_1], "c": null }, "d": "x", "e": 3, "f": 1 }))
                .is_empty()
        );
        for (recorded, place) in [
            (json!({ "a": { "b": [1.0, 2.001], "c": null }, "d": "x", "e": 3 }), "a.b.1 is 2.001"),
            (json!({ "a": { "b": [1.0], "c": null }, "d": "x", "e": 3 }), "a.b is [1.0]"),
            (json!({ "a": { "b": [1.0, 2.0], "c": 0 }, "d": "x", "e": 3 }), "a.c is 0"),
            (json!({ "a": { "b": [1.0, 2.0], "c": null }, "d": "y", "e": 3 }), "d is \"y\""),
            (json!({ "a": { "b": [1.0, 2.0], "c": null }, "d": "x" }), "e is null"),
        ] {
            let found = differences(recorded);
            assert!(found.len() == 1 && found[0].starts_with(place), "{found:?}");
        }
    }
}
