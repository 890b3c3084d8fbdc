//! A run as series over generations: what tables and figures draw from. Drifts are taken here and nowhere else (3.18).
//! It does not know files or layout.

use sigma_metrics::Interval;

use crate::diagnostics::stop_rate;
use crate::manifest::Manifest;
use crate::record::{DriftRecord, Record, Setting, SigmaNumbers};

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
    /// dG with the tail budget of t = 0 at both checkpoints: what is left of it where only n moves.
    pub dg_kf_fixed_beta: Option<f64>,
    /// dU with every block observed.
    pub du_cov_full: Option<f64>,
    /// Of dU: over prompts and answers for one run, over seeds for a mean of runs.
    pub du_interval: Option<Interval>,
    /// The same of dG.
    pub dg_interval: Option<Interval>,
    pub distinct_2: Option<f64>,
    pub hhi: Option<f64>,
    /// Mean training loss of the last epoch; `None` at t = 0.
    pub loss: Option<f64>,
    /// Tokens per answer.
    pub mean_tokens: Option<f64>,
    /// Share of answers that the model ended itself.
    pub stop_rate: Option<f64>,
    pub behind: Behind,
}

/// A share of n_A that a few answers without a word make: a step of no more is marked, and its line goes on.
pub const A_HANDFUL: f64 = 0.01;

/// What the values of a checkpoint are measured on. Counts are numbers, because those of a mean of runs are means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Behind {
    /// Embedded rows.
    pub n: Option<f64>,
    /// Observed rows.
    pub n_a: Option<f64>,
    /// Tail budget.
    pub beta: Option<f64>,
    /// Answers without a word.
    pub empty: Option<f64>,
    /// n or n_A is not that of t = 0, so that a drift also holds what that does.
    pub differs: bool,
    /// n_A is more than [`A_HANDFUL`] from that of the checkpoint before, or the tail budget goes to 0 or leaves it: no
    /// line leads here from there.
    pub broken: bool,
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

    /// Every signal stretched to [0, 1] between its extremes over the run, to be seen on one scale. A constant signal
    /// lies at 0.5.
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
    /// Both tracks of a checkpoint and their drifts against `base`, without proxies and loss.
    pub(crate) fn of_tracks(generation: u32, sigma: Option<&SigmaNumbers>, base: Option<&SigmaNumbers>) -> Self {
        SeriesPoint {
            generation,
            u_cov: sigma.map(|sigma| sigma.u_cov),
            g_kf: sigma.map(|sigma| sigma.g_kf),
            u_cov_full: sigma.map(|sigma| sigma.u_cov_full),
            du_cov: drift(sigma, base, |sigma| sigma.u_cov),
            dg_kf: drift(sigma, base, |sigma| sigma.g_kf),
            dg_kf_fixed_beta: fixed_beta_drift(sigma, base),
            du_cov_full: drift(sigma, base, |sigma| sigma.u_cov_full),
            du_interval: None,
            dg_interval: None,
            distinct_2: None,
            hhi: None,
            loss: None,
            mean_tokens: None,
            stop_rate: None,
            behind: Behind {
                n: sigma.map(|sigma| sigma.n as f64),
                n_a: sigma.map(|sigma| sigma.n_a as f64),
                beta: sigma.map(|sigma| sigma.beta),
                empty: None,
                differs: sigma.zip(base).is_some_and(|(now, base)| (now.n, now.n_a) != (base.n, base.n_a)),
                broken: false,
            },
        }
    }
}

/// The points of `records`, the first of which is the baseline.
pub(crate) fn series_points(records: &[Record]) -> Vec<SeriesPoint> {
    let base = records.first().and_then(|record| record.sigma.as_ref());
    let point = |record: &Record| {
        let tracks = SeriesPoint::of_tracks(record.generation, record.sigma.as_ref(), base);
        SeriesPoint {
            du_interval: interval(record, |drift| (drift.du_lower, drift.du_upper)),
            dg_interval: interval(record, |drift| (drift.dg_lower, drift.dg_upper)),
            distinct_2: record.surface.distinct_2,
            hhi: record.surface.hhi,
            loss: record.training.as_ref().map(|training| training.mean_loss_last_epoch),
            mean_tokens: Some(record.evaluation.mean_tokens),
            stop_rate: stop_rate(record),
            behind: Behind { empty: Some(record.evaluation.empty as f64), ..tracks.behind },
            ..tracks
        }
    };
    with_breaks(records.iter().map(point).collect())
}

fn interval(record: &Record, ends: fn(&DriftRecord) -> (Option<f64>, Option<f64>)) -> Option<Interval> {
    let (low, high) = ends(record.drift.as_ref()?);
    Some(Interval { low: low?, high: high? })
}

/// `points` of one run in order, with [`Behind::broken`] where it holds.
pub(crate) fn with_breaks(mut points: Vec<SeriesPoint>) -> Vec<SeriesPoint> {
    let mut before: Option<Behind> = None;
    for point in &mut points {
        let now = point.behind;
        let stepped = |before: Behind| {
            let (n_a, n_a_before) = (now.n_a.unwrap_or(0.0), before.n_a.unwrap_or(0.0));
            (n_a - n_a_before).abs() > A_HANDFUL * n_a_before || (now.beta == Some(0.0)) != (before.beta == Some(0.0))
        };
        if now.n.is_some() {
            point.behind.broken = before.is_some_and(stepped);
            before = Some(now);
        }
    }
    points
}

/// dG with the tail budget of t = 0 in both places.
pub(crate) fn fixed_beta_drift(now: Option<&SigmaNumbers>, base: Option<&SigmaNumbers>) -> Option<f64> {
    Some(now?.g_kf_fixed_beta? - base?.g_kf)
}

/// Difference to the baseline, if both were measured.
pub(crate) fn drift<T>(now: Option<&T>, base: Option<&T>, value: impl Fn(&T) -> f64) -> Option<f64> {
    Some(value(now?) - value(base?))
}
