//! In what a run is another experiment than the published one, as one sentence. It compares what the third version of
//! the paper prints, and what its row counts imply, with a run's manifest, config and records; it does not know numbers
//! that were measured.

use serde_yaml::Value;

use crate::condition::Condition;
use crate::published::{DIMENSION, DOMAIN, Published};
use crate::published_rows::counts_note;
use crate::record::Setting;

/// The base model.
const MODEL: &str = "facebook/opt-125m";
/// The last part of the encoder's hub id.
const ENCODER: &str = "all-MiniLM-L6-v2";
/// As records name FP16.
const PRECISION: &str = "f16";
const GENERATIONS: u32 = 50;

/// Keys of a config and the numbers that the third version prints for them.
const NUMBERS: [(&str, f64); 13] = [
    ("corpus.context_tokens", 64.0),
    ("mixture.real_fraction", 0.0),
    ("training.epochs", 5.0),
    ("training.batch_size", 16.0),
    ("training.learning_rate", 2e-5),
    ("training.weight_decay", 0.01),
    ("regeneration.temperature", 1.0),
    ("regeneration.top_p", 0.95),
    ("evaluation.temperature", 1.0),
    ("evaluation.top_p", 0.95),
    ("evaluation.max_new_tokens", 256.0),
    ("sigma.delta", 1e-3),
    ("sigma.rho", 1.0),
];
/// The same for words.
const WORDS: [(&str, &str); 3] =
    [("mixture.mode", "replace"), ("evaluation.blocks", "whole"), ("evaluation.empty", "drop")];
const RESPONSES: &str = "evaluation.responses_per_prompt";

/// What is not printed and inferred from the row counts of a setting.
struct Inferred {
    /// r
    responses: f64,
    /// `None`: all rows.
    n_a: Option<usize>,
}

/// S1: 200 prompts give the 1000 rows that its counts reach, none left out. S2: at least 911 of its rows are observed
/// and beta > 0 elsewhere, which 1000 of 200 prompts with 6 responses fit.
fn inferred(setting: Setting) -> Inferred {
    match setting {
        Setting::S1 => Inferred { responses: 5.0, n_a: None },
        Setting::S2 => Inferred { responses: 6.0, n_a: Some(1000) },
    }
}

/// What a reader of measured beside published numbers must know: in what each condition is another experiment, and what
/// the row counts of each published setting say.
pub(crate) fn notes(conditions: &[Condition], published: &Published) -> Vec<String> {
    let mut notes: Vec<String> = conditions.iter().map(|condition| difference(condition, published)).collect();
    for setting in [Setting::S1, Setting::S2] {
        if conditions.iter().any(|condition| condition.setting == setting) {
            notes.extend(counts_note(setting, published.points(setting), DIMENSION));
        }
    }
    notes
}

/// In what `condition` is not the published run. What the paper does not publish, its corpus and its prompts, always
/// differs. Keys that the run's config lacks are not compared.
fn difference(condition: &Condition, published: &Published) -> String {
    let run = condition.members[0].run;
    let (sources, inferred) = (&run.manifest.sources, inferred(condition.setting));
    let mut parts = Vec::new();
    let mut part = |what: &str, here: String, there: &str| parts.push(format!("{what} ({here}; published: {there})"));
    if !run.manifest.domain.eq_ignore_ascii_case(DOMAIN) {
        part("domain", run.manifest.domain.clone(), DOMAIN);
    }
    let corpus = format!("{}, {} contexts", sources.corpus.path, sources.corpus.contexts);
    part("corpus", corpus, "1,000 contexts of software documentation, TECH, itself not public");
    let prompts = format!("{}, {} prompts", sources.prompts.path, sources.prompts.count);
    part("prompts", prompts, "163 to 200, themselves not public");
    if sources.model.source != MODEL {
        part("model", sources.model.source.clone(), MODEL);
    }
    if !sources.encoder.source.ends_with(ENCODER) {
        part("encoder", sources.encoder.source.clone(), ENCODER);
    }
    if let Some(start) = run.manifest.latest().filter(|start| start.resolved.precision != PRECISION) {
        part("precision", start.resolved.precision.clone(), PRECISION);
    }
    if let Some(responses) = number(&condition.config, RESPONSES).filter(|responses| *responses != inferred.responses) {
        part(RESPONSES, shown(responses), &format!("not stated; {} fits its row counts", inferred.responses));
    }
    for (key, there) in NUMBERS {
        if let Some(here) = number(&condition.config, key).filter(|here| *here != there) {
            part(key, shown(here), &shown(there));
        }
    }
    for (key, there) in WORDS {
        if let Some(here) = entry(&condition.config, key).and_then(Value::as_str).filter(|here| *here != there) {
            part(key, here.to_owned(), there);
        }
    }
    if let Some(sigma) = run.records.first().and_then(|record| record.sigma.as_ref()) {
        let here = format!("n_A = {} of {} at t = 0", sigma.n_a, sigma.n);
        match inferred.n_a {
            None if sigma.n_a == sigma.n => {}
            Some(n_a) if sigma.n_a == n_a && sigma.n > n_a => {}
            None => part("observed rows", here, &all_observed(published)),
            Some(n_a) => {
                part("observed rows", here, &format!("not stated; n_A = {n_a} with some left out fits its row counts"))
            }
        }
    }
    let last = condition.mean.points.last().map_or(0, |point| point.generation);
    if last != GENERATIONS {
        part("generations", last.to_string(), &GENERATIONS.to_string());
    }
    if condition.members.len() > 1 {
        part("seeds", format!("a mean of {}", condition.members.len()), "one");
    }
    format!("{} differs from the published {} run in {}.", condition.label, condition.setting.title(), parts.join(", "))
}

fn all_observed(published: &Published) -> String {
    let base = published.s1_points.first().and_then(|point| point.rows);
    base.map_or("all".to_owned(), |rows| format!("all, {rows} at t = 0, as its two tracks imply"))
}

/// The entry of `config` at a path of keys with dots between them.
fn entry<'a>(config: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(config, |entry, key| entry.get(key))
}

fn number(config: &Value, path: &str) -> Option<f64> {
    entry(config, path)?.as_f64()
}

/// As a config is written: `2e-5`, not `0.00002`.
fn shown(number: f64) -> String {
    if number != 0.0 && number.abs() < 1e-3 { format!("{number:e}") } else { number.to_string() }
}
