//! The diagnostics beside the two tracks, one list of them: the name of each, its value in a record, and where it goes
//! when a model collapses. What is made of them is decided in tables.

use crate::record::{DiversityNumbers, PerplexityNumbers, Record};

/// One diagnostic of a checkpoint.
pub(crate) struct Diagnostic {
    /// Its column in metrics.csv.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) title: &'static str,
    /// Where a collapse moves it; `either` if both occur.
    pub(crate) collapse: &'static str,
    pub(crate) value: fn(&Record) -> Option<f64>,
}

const FALLS: &str = "falls";
const RISES: &str = "rises";
const EITHER: &str = "either";

const fn entry(
    name: &'static str,
    title: &'static str,
    collapse: &'static str,
    value: fn(&Record) -> Option<f64>,
) -> Diagnostic {
    Diagnostic { name, title, collapse, value }
}

/// All of them, in the order of tables.
pub(crate) const DIAGNOSTICS: &[Diagnostic] = &[
    entry("effective_rank", "effective rank", FALLS, |r| diversity(r, |diversity| Some(diversity.effective_rank))),
    entry("rank_me", "RankMe", FALLS, |r| diversity(r, |diversity| Some(diversity.rank_me))),
    entry("vendi_1", "Vendi score, q = 1", FALLS, |r| diversity(r, |diversity| Some(diversity.vendi_1))),
    entry("vendi_2", "Vendi score, q = 2", FALLS, |r| diversity(r, |diversity| Some(diversity.vendi_2))),
    entry("vendi_inf", "Vendi score, q = inf", FALLS, |r| diversity(r, |diversity| Some(diversity.vendi_inf))),
    entry("mean_cosine", "mean cosine", RISES, |r| diversity(r, |diversity| diversity.mean_cosine)),
    entry("distinct_1", "distinct-1", FALLS, |r| r.surface.distinct_1),
    entry("distinct_3", "distinct-3", FALLS, |r| r.surface.distinct_3),
    entry("distinct_4", "distinct-4", FALLS, |r| r.surface.distinct_4),
    entry("repeated_4grams", "repeated four-grams", RISES, |r| r.surface.repeated_4grams),
    entry("compression_ratio", "compression ratio", RISES, |r| r.surface.compression_ratio),
    entry("self_bleu", "Self-BLEU", RISES, |r| r.surface.self_bleu),
    entry("perplexity_held_out", "perplexity, real text", RISES, |r| perplexity(r, |found| found.held_out)),
    entry("perplexity_answers_under_base", "perplexity of answers under the base", EITHER, |r| {
        perplexity(r, |found| found.answers_under_base)
    }),
    entry("stop_rate", "answers that end by themselves", EITHER, stop_rate),
    entry("mean_tokens", "tokens per answer", EITHER, |r| Some(r.evaluation.mean_tokens)),
];

/// Share of answers that the model ended itself; `None` without answers.
pub(crate) fn stop_rate(record: &Record) -> Option<f64> {
    let answers = record.evaluation.answers;
    (answers > 0).then(|| record.evaluation.stopped_at_eos as f64 / answers as f64)
}

fn diversity(record: &Record, value: impl Fn(&DiversityNumbers) -> Option<f64>) -> Option<f64> {
    record.diversity.as_ref().and_then(value)
}

fn perplexity(record: &Record, value: impl Fn(&PerplexityNumbers) -> Option<f64>) -> Option<f64> {
    record.perplexity.as_ref().and_then(value)
}
