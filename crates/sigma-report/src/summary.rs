//! A run in a few scalars: where both tracks ended, how they moved over the run, whether they agree, and how Track II
//! moves with the surface proxies. The statistics are those of sigma-metrics; here it is decided what becomes of points
//! that are missing.

use sigma_metrics::{Drift, Trend, correlate, tracks_agree};

use crate::record::Setting;
use crate::series::{RunSeries, SeriesPoint};

/// One line of the paper's Table 1. A scalar is `None` where it is undefined: a slope of a single checkpoint, or over a
/// gap.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    pub setting: Setting,
    /// T, the last checkpoint.
    pub generations: u32,
    pub final_du: Option<f64>,
    /// OLS slope of dU over t = 0..=T, in nats per generation.
    pub slope_u: Option<f64>,
    pub final_dg: Option<f64>,
    /// OLS slope of dG over t = 0..=T, in nats per generation.
    pub slope_g: Option<f64>,
    pub agreement: Option<Agreement>,
}

/// What the two tracks say together. A track contracts if its drift ends below zero and falls over the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    BothContract,
    NeitherContracts,
    OnlyTrackTwo,
    OnlyTrackOne,
}

/// How a surface proxy moved, and moved with Track II.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxySummary {
    /// At t = 0.
    pub first: Option<f64>,
    /// At t = T.
    pub last: Option<f64>,
    pub pearson: Option<f64>,
    pub spearman: Option<f64>,
}

impl Agreement {
    pub fn tracks_agree(self) -> bool {
        matches!(self, Agreement::BothContract | Agreement::NeitherContracts)
    }

    /// `yes` or `no`.
    pub fn word(self) -> &'static str {
        if self.tracks_agree() { "yes" } else { "no" }
    }

    /// In the words of the paper.
    pub fn phrase(self) -> &'static str {
        match self {
            Agreement::BothContract => "yes (both negative)",
            Agreement::NeitherContracts => "yes (neither collapses)",
            Agreement::OnlyTrackTwo => "no (Track II collapses; Track I does not)",
            Agreement::OnlyTrackOne => "no (Track I collapses; Track II does not)",
        }
    }

    fn of(track_two: Trend, track_one: Trend) -> Agreement {
        match (tracks_agree(track_two, track_one), track_two.contracts()) {
            (true, true) => Agreement::BothContract,
            (true, false) => Agreement::NeitherContracts,
            (false, true) => Agreement::OnlyTrackTwo,
            (false, false) => Agreement::OnlyTrackOne,
        }
    }
}

impl RunSummary {
    /// `None` for a run without checkpoints.
    pub fn of(series: &RunSeries) -> Option<RunSummary> {
        let last = series.points.last()?;
        let slope_u = slope(series, |point| point.du_cov);
        let slope_g = slope(series, |point| point.dg_kf);
        let trend = |final_drift: Option<f64>, slope: Option<f64>| -> Option<Trend> {
            Some(Trend { final_drift: final_drift?, slope: slope? })
        };
        let agreement = match (trend(last.du_cov, slope_u), trend(last.dg_kf, slope_g)) {
            (Some(track_two), Some(track_one)) => Some(Agreement::of(track_two, track_one)),
            _ => None,
        };
        Some(RunSummary {
            setting: series.setting,
            generations: last.generation,
            final_du: last.du_cov,
            slope_u,
            final_dg: last.dg_kf,
            slope_g,
            agreement,
        })
    }
}

impl ProxySummary {
    /// Over the checkpoints where both dU and the proxy were measured.
    pub fn of(series: &RunSeries, proxy: impl Fn(&SeriesPoint) -> Option<f64>) -> ProxySummary {
        let (drifts, values): (Vec<Drift>, Vec<Option<f64>>) = series
            .points
            .iter()
            .filter_map(|point| Some((Drift { du: point.du_cov?, dg: point.dg_kf? }, proxy(point))))
            .unzip();
        // The lengths are equal by construction, and nothing else can be wrong.
        let correlation = correlate(&drifts, &values).ok();
        ProxySummary {
            first: series.points.first().and_then(&proxy),
            last: series.points.last().and_then(&proxy),
            pearson: correlation.and_then(|correlation| correlation.pearson),
            spearman: correlation.and_then(|correlation| correlation.spearman),
        }
    }
}

/// Slope over all checkpoints. A slope over only some of them would silently be that of another run, so a gap leaves
/// none.
pub(crate) fn slope(series: &RunSeries, drift: impl Fn(&SeriesPoint) -> Option<f64>) -> Option<f64> {
    let drifts: Vec<f64> = series.points.iter().map(drift).collect::<Option<_>>()?;
    sigma_metrics::statistics::ols_slope(&drifts)
}
