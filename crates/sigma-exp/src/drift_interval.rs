//! Intervals of the drifts of one checkpoint against generation 0, whose rows are read from its folder. What an
//! interval is, sigma-metrics knows; here rows are brought together with the prompts that they answer.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use sigma_metrics::jackknife::{DriftInterval, RowsOfPrompts, drift_intervals};
use sigma_metrics::{Embeddings, NoInterval, SigmaConfig};
use sigma_report::record::DriftRecord;

use crate::layout::{EMBEDDINGS, ROWS};
use crate::matrix_file;
use crate::measure::{Base, Rows};
use crate::row_index::{self, RowOrigin};

/// One checkpoint's rows, with the number of the prompt that each answers.
struct Numbered {
    rows: Embeddings,
    observed: Vec<usize>,
    prompts: Vec<usize>,
}

impl Numbered {
    fn of(rows: Embeddings, origins: &[RowOrigin], numbers: &mut HashMap<String, usize>) -> Self {
        let observed = (0..origins.len()).filter(|row| origins[*row].observed).collect();
        let number = |origin: &RowOrigin| {
            let next = numbers.len();
            *numbers.entry(origin.prompt.clone()).or_insert(next)
        };
        Self { rows, observed, prompts: origins.iter().map(number).collect() }
    }

    fn borrowed(&self) -> RowsOfPrompts<'_> {
        RowsOfPrompts { rows: &self.rows, observed: &self.observed, prompts: &self.prompts }
    }
}

/// The intervals of dU and dG of `now`, or the reason why there is none.
///
/// # Errors
/// Rows of generation 0 that cannot be read, or do not fit to their index.
pub fn drift_record(now: Rows<'_>, base: Base<'_>, config: &SigmaConfig) -> Result<DriftRecord> {
    let mut numbers = HashMap::new();
    let path = base.folder.join(EMBEDDINGS);
    let rows = matrix_file::read(&path, None)?;
    let origins = row_index::read(&base.folder.join(ROWS))?;
    if origins.len() != rows.n() {
        bail!("{} has {} rows, but {ROWS} lists {}", path.display(), rows.n(), origins.len());
    }
    let before = Numbered::of(rows, &origins, &mut numbers);
    let origin = |block: &crate::stage::EmbeddedBlock| RowOrigin {
        prompt: now.answers[block.answer].id.clone(),
        response: now.answers[block.answer].response,
        window: block.window,
        observed: block.observed,
    };
    let origins: Vec<RowOrigin> = now.blocks.iter().map(origin).collect();
    let rows = Embeddings::new(origins.len(), now.dim, now.values.to_vec())?;
    let after = Numbered::of(rows, &origins, &mut numbers);
    let intervals =
        drift_intervals(&after.borrowed(), &before.borrowed(), config).context("the interval of a drift")?;
    let ends = |interval: &Result<DriftInterval, NoInterval>| match interval {
        Ok(DriftInterval { lower, upper, .. }) => (Some(*lower), Some(*upper), None),
        Err(reason) => (None, None, Some(reason.to_string())),
    };
    let ((du_lower, du_upper, du_missing), (dg_lower, dg_upper, dg_missing)) =
        (ends(&intervals.du), ends(&intervals.dg));
    let groups = intervals.du.as_ref().or(intervals.dg.as_ref()).map_or(0, |interval| interval.groups);
    Ok(DriftRecord { du_lower, du_upper, dg_lower, dg_upper, groups, du_missing, dg_missing })
}
