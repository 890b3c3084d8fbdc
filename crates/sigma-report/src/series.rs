//! A run as series over generations: what tables and figures draw from. Drifts are taken here and nowhere else (3.18).
//! It does not know files or layout.

use crate::manifest::Manifest;
use crate::record::{Record, Setting, SigmaNumbers};

/// The measurements of one run in the order of generations.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSeries {
    pub name: String,
    pub domain: String,
    pub setting: Setting,
    pub points: Vec<SeriesPoint>,
}

/// One checkpoint; `None` where nothing could be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesPoint {
    pub generation: u32,
    pub u_cov: Option<f64>,
    pub g_kf: Option<f64>,
    pub u_cov_full: Option<f64>,
    /// dU: Track II against t = 0.
    pub du_cov: Option<f64>,
    /// dG: Track I against t = 0.
    pub dg_kf: Option<f64>,
    /// dU with every block observed.
    pub du_cov_full: Option<f64>,
    pub distinct_2: Option<f64>,
    pub hhi: Option<f64>,
    /// Mean training loss of the last epoch; `None` at t = 0.
    pub loss: Option<f64>,
    /// Half the width of Theorem 3's interval for the log-determinant, and so for Track II.
    pub theorem3_half_width: Option<f64>,
}

impl RunSeries {
    pub fn new(manifest: &Manifest, records: &[Record]) -> RunSeries {
        RunSeries {
            name: manifest.name.clone(),
            domain: manifest.domain.clone(),
            setting: manifest.setting,
            points: series_points(records),
        }
    }

    /// Every signal stretched to [0, 1] between its extremes over the run, to be seen on one scale. A constant signal lies at 0.5.
    pub fn normalised(&self) -> Vec<NormalisedPoint> {
        let du_cov = self.stretched(|point| point.du_cov);
        let dg_kf = self.stretched(|point| point.dg_kf);
        let distinct_2 = self.stretched(|point| point.distinct_2);
        let hhi = self.stretched(|point| point.hhi);
        let point = |t: usize| NormalisedPoint {
            generation: self.points[t].generation,
            du_cov: du_cov[t],
            dg_kf: dg_kf[t],
            distinct_2: distinct_2[t],
            hhi: hhi[t],
        };
        (0..self.points.len()).map(point).collect()
    }

    fn stretched(&self, signal: impl Fn(&SeriesPoint) -> Option<f64>) -> Vec<Option<f64>> {
        let values: Vec<Option<f64>> =
            self.points.iter().map(|point| signal(point).filter(|value| value.is_finite())).collect();
        let low = values.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        // Halved, so that the distance of two finite numbers is finite.
        let spread = high / 2.0 - low / 2.0;
        let stretch = |value: f64| if spread > 0.0 { (value / 2.0 - low / 2.0) / spread } else { 0.5 };
        values.into_iter().map(|value| value.map(stretch)).collect()
    }
}

/// The signals of one checkpoint on the scale of their run, from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalisedPoint {
    pub generation: u32,
    pub du_cov: Option<f64>,
    pub dg_kf: Option<f64>,
    pub distinct_2: Option<f64>,
    pub hhi: Option<f64>,
}

impl SeriesPoint {
    /// Theorem 3's interval around the drift of Track II: where it lies with every block observed, the base taken as it is. `None` where
    /// all blocks are observed.
    pub(crate) fn theorem3(&self) -> Option<(f64, f64)> {
        let (drift, half) = (self.du_cov?, self.theorem3_half_width.filter(|half| half.is_finite() && *half > 0.0)?);
        Some((drift - half, drift + half))
    }

    /// Both tracks of a checkpoint and their drifts against `base`, without proxies and loss.
    pub(crate) fn of_tracks(generation: u32, sigma: Option<&SigmaNumbers>, base: Option<&SigmaNumbers>) -> Self {
        SeriesPoint {
            generation,
            u_cov: sigma.map(|sigma| sigma.u_cov),
            g_kf: sigma.map(|sigma| sigma.g_kf),
            u_cov_full: sigma.map(|sigma| sigma.u_cov_full),
            du_cov: drift(sigma, base, |sigma| sigma.u_cov),
            dg_kf: drift(sigma, base, |sigma| sigma.g_kf),
            du_cov_full: drift(sigma, base, |sigma| sigma.u_cov_full),
            distinct_2: None,
            hhi: None,
            loss: None,
            theorem3_half_width: sigma.and_then(|sigma| sigma.theorem3_half_width),
        }
    }
}

/// The points of `records`, the first of which is the baseline.
pub(crate) fn series_points(records: &[Record]) -> Vec<SeriesPoint> {
    let base = records.first().and_then(|record| record.sigma.as_ref());
    records
        .iter()
        .map(|record| SeriesPoint {
            distinct_2: record.surface.distinct_2,
            hhi: record.surface.hhi,
            loss: record.training.as_ref().map(|training| training.mean_loss_last_epoch),
            ..SeriesPoint::of_tracks(record.generation, record.sigma.as_ref(), base)
        })
        .collect()
}

/// Difference to the baseline, if both were measured.
pub(crate) fn drift<T>(now: Option<&T>, base: Option<&T>, value: impl Fn(&T) -> f64) -> Option<f64> {
    Some(value(now?) - value(base?))
}
