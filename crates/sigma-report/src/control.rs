//! Control chains: runs of the same loop on real text only, whose numbers move by everything but the model's own text.
//! It checks that they are controls and that their drifts compare with those of the runs, and takes their range. What
//! is concluded is in `control_tables`.

use serde_yaml::Value;
use sigma_metrics::Interval;

use crate::condition::Condition;
use crate::config_keys;
use crate::control_repeats::{Distinct, distinct};
use crate::error::{ReportError, Result};
use crate::floors::Signal;
use crate::run::{CONFIG_FILE_NAME, Run};
use crate::series::{RunSeries, SeriesPoint};

/// Sections of the config that decide how a checkpoint is measured.
const MEASUREMENT: [&str; 3] = ["evaluation", "sigma", "surface"];
/// Keys of them that change no number.
const HARMLESS: [&str; 2] = ["evaluation.batch_size", "evaluation.noise_replicates"];

/// The control chains of a report.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    chains: Vec<Chain>,
    /// What a reader has to know of runs that are given twice.
    repeats: Vec<String>,
}

#[derive(Debug)]
struct Chain {
    seed: u64,
    series: RunSeries,
}

impl Controls {
    /// # Errors
    /// A run without a checkpoint, on other than real text only, or measured with other settings than the first of
    /// `conditions`. One chain given twice counts once.
    pub(crate) fn of(runs: &[Run], conditions: &[Condition]) -> Result<Controls> {
        let Some(judged) = conditions.iter().flat_map(|condition| &condition.members).next() else {
            return Ok(Controls::default());
        };
        for run in runs {
            if run.records.is_empty() {
                return Err(ReportError::EmptyRun { dir: run.dir.clone() });
            }
            let config = parsed(run)?;
            let alpha = config.get("mixture").and_then(|mixture| mixture.get("real_fraction")?.as_f64());
            if alpha != Some(1.0) {
                let got = alpha.map_or("not stated".to_owned(), |alpha| alpha.to_string());
                return Err(ReportError::ControlAlpha { dir: run.dir.clone(), got });
            }
            check_measured_alike(run, &config, judged.run)?;
        }
        let chain = |run: &Run| Chain { seed: run.manifest.seed, series: run.series() };
        let Distinct { runs, notes: repeats } = distinct(runs);
        Ok(Controls { chains: runs.into_iter().map(chain).collect(), repeats })
    }

    /// Which of the runs given were one chain twice.
    pub(crate) fn repeats(&self) -> &[String] {
        &self.repeats
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    /// The values of `signal` in every chain.
    pub(crate) fn values(&self, signal: Signal) -> Vec<Vec<Option<f64>>> {
        self.chains.iter().map(|chain| values(&chain.series, signal)).collect()
    }

    /// The last generation that every chain has.
    pub(crate) fn generations(&self) -> usize {
        self.chains.iter().map(|chain| chain.series.points.len()).min().unwrap_or(0).saturating_sub(1)
    }

    /// The chains of `seed`: of settings or kinds of real text that share it there are several.
    pub(crate) fn of_seed(&self, seed: u64) -> Vec<&RunSeries> {
        self.chains.iter().filter(|chain| chain.seed == seed).map(|chain| &chain.series).collect()
    }

    /// The mean of both drifts over the chains at every generation that all have, with their range as the interval;
    /// `None` without chains.
    pub(crate) fn range(&self) -> Option<RunSeries> {
        let first = &self.chains.first()?.series;
        let point = |t: usize| {
            let at = |drift: fn(&SeriesPoint) -> Option<f64>| -> Option<Vec<f64>> {
                self.chains.iter().map(|chain| drift(&chain.series.points[t])).collect()
            };
            let (du, dg) = (at(|point| point.du_cov), at(|point| point.dg_kf));
            SeriesPoint {
                du_cov: du.as_deref().and_then(sigma_metrics::statistics::mean),
                dg_kf: dg.as_deref().and_then(sigma_metrics::statistics::mean),
                du_interval: du.as_deref().map(extremes),
                dg_interval: dg.as_deref().map(extremes),
                ..SeriesPoint::of_tracks(first.points[t].generation, None, None)
            }
        };
        Some(RunSeries { points: (0..=self.generations()).map(point).collect(), ..first.clone() })
    }
}

/// `signal` at every checkpoint.
pub(crate) fn values(series: &RunSeries, signal: Signal) -> Vec<Option<f64>> {
    series.points.iter().map(|point| signal.of(point)).collect()
}

fn extremes(values: &[f64]) -> Interval {
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| (a.min(*value), b.max(*value)));
    Interval { low, high }
}

/// Drifts compare where base, prompts, encoder and the settings of the measurement are the same.
fn check_measured_alike(control: &Run, config: &Value, judged: &Run) -> Result<()> {
    let (here, there) = (&control.manifest.sources, &judged.manifest.sources);
    for (what, here, there) in [
        ("base model", &here.model.hash, &there.model.hash),
        ("prompts", &here.prompts.hash, &there.prompts.hash),
        ("encoder", &here.encoder.hash, &there.encoder.hash),
    ] {
        differs_not(control, what, here, judged, there)?;
    }
    let (here, there) = (measurement(config), measurement(&parsed(judged)?));
    for (key, _) in there.iter().chain(&here) {
        let of = |settings: &[(String, String)]| {
            settings.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
        };
        let absent = || "absent".to_owned();
        let (here, there) = (of(&here).unwrap_or_else(absent), of(&there).unwrap_or_else(absent));
        differs_not(control, key, &here, judged, &there)?;
    }
    Ok(())
}

fn differs_not(control: &Run, what: &str, here: &str, judged: &Run, there: &str) -> Result<()> {
    if here == there {
        return Ok(());
    }
    Err(ReportError::ControlDiffers {
        dir: control.dir.clone(),
        what: what.to_owned(),
        got: here.to_owned(),
        expected: there.to_owned(),
        judged: judged.dir.clone(),
    })
}

fn measurement(config: &Value) -> Vec<(String, String)> {
    let mut settings = config_keys::leaves(config);
    settings.retain(|(key, _)| {
        let section = key.split('.').next().unwrap_or(key);
        MEASUREMENT.contains(&section) && !HARMLESS.contains(&key.as_str())
    });
    settings
}

fn parsed(run: &Run) -> Result<Value> {
    serde_yaml::from_str(&run.config)
        .map_err(|source| ReportError::Config { path: run.dir.join(CONFIG_FILE_NAME), source })
}
