//! Control chains that are given twice: one experiment in two folders, or two experiments whose models wrote the same
//! texts, as on fixed and on resampled real text, which are one chain where all of it is real. A chain that counted
//! twice would make every rate too small. Texts are told by the hashes in the records; no answer is read.

use crate::record::Record;
use crate::run::Run;

/// Control runs that differ from each other.
#[derive(Debug, Default)]
pub(crate) struct Distinct<'a> {
    pub(crate) runs: Vec<&'a Run>,
    /// What a reader has to know of those that were left out.
    pub(crate) notes: Vec<String>,
}

/// Of runs that are given twice, the one with more checkpoints, or the first.
pub(crate) fn distinct(runs: &[Run]) -> Distinct<'_> {
    let mut distinct = Distinct::default();
    for run in runs {
        let found = distinct.runs.iter_mut().find_map(|kept| reason(kept, run).map(|reason| (kept, reason)));
        let Some((kept, reason)) = found else {
            distinct.runs.push(run);
            continue;
        };
        distinct.notes.push(format!("{} and {} {reason}, and count as one control chain.", called(kept), called(run)));
        if run.records.len() > kept.records.len() {
            *kept = run;
        }
    }
    distinct
}

/// Why two runs are one chain, if they are.
fn reason(one: &Run, other: &Run) -> Option<&'static str> {
    if one.manifest.experiment_hash == other.manifest.experiment_hash {
        return Some("are the same experiment");
    }
    let pairs = one.records.iter().zip(&other.records);
    // all chains of a seed begin with the answers of the base
    let enough = pairs.len() > 1 || one.records.len() == other.records.len();
    let same = |(one, other): (&Record, &Record)| one.has_answers_of(other);
    (enough && pairs.into_iter().all(same)).then_some("hold the same texts in every generation")
}

fn called(run: &Run) -> String {
    format!("{} ({}, seed {})", run.manifest.name, run.manifest.setting.title(), run.manifest.seed)
}
