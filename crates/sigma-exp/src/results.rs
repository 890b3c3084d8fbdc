//! The files of a run folder that are made again from the records after every generation, and the line that tells
//! people of a finished generation.

use anyhow::{Context, Result};
use sigma_generate::GenerateError;
use sigma_report::{Manifest, Record, ReportOptions, Run, Stopped, flags, stopped, write_metrics};
use sigma_train::TrainError;

use crate::assets::Assets;
use crate::layout::REPORT;
use crate::progress::seconds;
use crate::run_folder::RunFolder;
use crate::spec::Experiment;

/// Writes metrics.csv, buckets.csv and timings.csv; their rows follow from the records alone.
pub fn write(folder: &RunFolder, records: &[Record]) -> Result<()> {
    write_metrics(folder.path(), records).with_context(|| format!("results of {}", folder.path().display()))
}

/// One line on the last of `records`.
pub fn announce(records: &[Record]) {
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
    let track = |record: &Record| record.sigma.as_ref().map(|s| (s.u_cov, s.g_kf));
    let drift = match (track(first), track(last)) {
        (Some((u0, g0)), Some((u, g))) => format!("dU {:+.2}  dG {:+.2}", u - u0, g - g0),
        _ => "no embedded blocks".to_string(),
    };
    let number = |x: Option<f64>, digits: usize| x.map_or("-".to_string(), |x| format!("{x:.digits$}"));
    let loss = last.training.as_ref().map_or(String::new(), |t| format!("  loss {:.3}", t.mean_loss_last_epoch));
    tracing::info!(
        generation = last.generation,
        "generation {:>3}  {drift}  distinct-2 {}  HHI {}{loss}  ({})",
        last.generation,
        number(last.surface.distinct_2, 3),
        number(last.surface.hhi, 6),
        seconds(last.seconds),
    );
    for flag in last.flags.iter().filter(|flag| flags::concerns_verdict(flag)) {
        tracing::warn!("generation {}: {}", last.generation, flags::explain(flag));
    }
}

/// The table at the end of a run.
pub fn table(manifest: &Manifest, records: &[Record]) -> String {
    sigma_report::run_table(manifest, records)
}

/// What the report of a run is to hold.
pub fn report_options(experiment: &Experiment, assets: &Assets) -> ReportOptions {
    let prompts = assets.prompts.iter().map(|p| (p.prompt.id.clone(), p.prompt.text.clone())).collect();
    ReportOptions { prompts, ..ReportOptions::new(&experiment.domain) }
}

/// Writes the run's page as far as the run is. A page can be made again at any time, so its failure only warns.
pub fn refresh_page(folder: &RunFolder, options: &ReportOptions) {
    let write = || sigma_report::write_page(&[Run::open(folder.path())?], &folder.path().join(REPORT), options);
    if let Err(error) = write() {
        tracing::warn!("the page under {REPORT}/ could not be written: {error}");
    }
}

/// Why the numbers of a generation ended the run, where it is that: what metrics.csv calls it.
fn numerical(error: &anyhow::Error) -> Option<&'static str> {
    let of = |cause: &(dyn std::error::Error + 'static)| match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(TrainError::Loss { .. }), _) => Some("loss_not_finite"),
        (Some(TrainError::Gradient { .. }), _) => Some("gradient_not_finite"),
        (Some(TrainError::LossScale { .. }), _) => Some("loss_scale_collapsed"),
        (_, Some(GenerateError::Logits { .. })) => Some("logits_not_finite"),
        _ => None,
    };
    error.chain().find_map(of)
}

/// Notes in `folder` that `generation` cannot be made, if its numbers are the reason, so that metrics.csv says so.
pub fn note_trouble(folder: &RunFolder, records: &[Record], generation: u32, error: &anyhow::Error) -> Result<()> {
    let Some(flag) = numerical(error) else { return Ok(()) };
    let message = error.chain().map(ToString::to_string).last().unwrap_or_default();
    Stopped { schema: stopped::SCHEMA, generation, flag: flag.to_string(), message }.write(folder.path())?;
    write(folder, records)
}
