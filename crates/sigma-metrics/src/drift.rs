//! A run as a series: the drifts of both tracks against the baseline checkpoint (3.18), the scalars of the paper's
//! Table 1, and the correlation of Track II with a surface proxy. Checkpoints are t = 0, 1, ..., T without gaps; how
//! each was measured is not known here.

use serde::{Deserialize, Serialize};

use crate::statistics::{ols_slope, pearson, spearman};
use crate::{MetricsError, SigmaUb};

/// Both tracks of one checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracks {
    /// Track II (3.17).
    pub u_cov: f64,
    /// Track I (3.16).
    pub g_kf: f64,
}

impl From<&SigmaUb> for Tracks {
    fn from(measured: &SigmaUb) -> Self {
        Self { u_cov: measured.u_cov, g_kf: measured.g_kf }
    }
}

/// Both tracks of one checkpoint minus those of the baseline t = 0 (3.18).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Drift of Track II.
    pub du: f64,
    /// Drift of Track I.
    pub dg: f64,
}

/// The drift of every checkpoint, zero for the first.
pub fn drifts(tracks: &[Tracks]) -> Vec<Drift> {
    let Some(&baseline) = tracks.first() else { return Vec::new() };
    tracks.iter().map(|track| Drift { du: track.u_cov - baseline.u_cov, dg: track.g_kf - baseline.g_kf }).collect()
}

/// Where one track ended and which way it went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Drift of the last checkpoint.
    pub final_drift: f64,
    /// OLS slope of the drift over t = 0..T, the zero at the baseline included.
    pub slope: f64,
}

impl Trend {
    fn of(drift: &[f64]) -> Option<Self> {
        Some(Self { final_drift: *drift.last()?, slope: ols_slope(drift)? })
    }

    /// Whether the track signals collapse: a sustained negative drift, that is, one that ends below zero and falls over
    /// the run. A drift that is negative at the end but rises on the whole is not sustained.
    pub fn contracts(self) -> bool {
        self.final_drift < 0.0 && self.slope < 0.0
    }
}

/// Whether both tracks give the same verdict: both contract, or neither does.
///
/// So the published S1 run agrees ("both negative") and S2 does not ("Track II collapses; Track I does not"): there dG
/// ends at -2.4, but its slope is +2.35.
pub fn tracks_agree(track_two: Trend, track_one: Trend) -> bool {
    track_two.contracts() == track_one.contracts()
}

/// One line of the paper's Table 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Drift of Track II at the last checkpoint.
    pub final_du: f64,
    /// Drift of Track I at the last checkpoint.
    pub final_dg: f64,
    /// OLS slope of dU over t = 0..T, in nats per generation.
    pub slope_u: f64,
    /// OLS slope of dG over t = 0..T, in nats per generation.
    pub slope_g: f64,
    /// [`tracks_agree`].
    pub tracks_agree: bool,
}

/// Summarises a run. None for fewer than two checkpoints, or if a drift is not finite.
pub fn summarize(drifts: &[Drift]) -> Option<Summary> {
    let track_two = Trend::of(&drifts.iter().map(|drift| drift.du).collect::<Vec<_>>())?;
    let track_one = Trend::of(&drifts.iter().map(|drift| drift.dg).collect::<Vec<_>>())?;
    Some(Summary {
        final_du: track_two.final_drift,
        final_dg: track_one.final_drift,
        slope_u: track_two.slope,
        slope_g: track_one.slope,
        tracks_agree: tracks_agree(track_two, track_one),
    })
}

/// How the Track II drift moves with a surface proxy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correlation {
    /// None for fewer than two points or a constant series.
    pub pearson: Option<f64>,
    /// Average ranks on ties. None as above.
    pub spearman: Option<f64>,
    /// Checkpoints that have a value of the proxy.
    pub points: usize,
}

/// Correlates dU with a proxy over all checkpoints, the baseline (dU = 0) included. A checkpoint without a value of the
/// proxy is left out.
///
/// # Errors
/// [`MetricsError::SeriesLength`] if the two do not run over the same checkpoints.
pub fn correlate(drifts: &[Drift], proxy: &[Option<f64>]) -> Result<Correlation, MetricsError> {
    if drifts.len() != proxy.len() {
        return Err(MetricsError::SeriesLength { left: drifts.len(), right: proxy.len() });
    }
    let (du, proxy): (Vec<f64>, Vec<f64>) =
        drifts.iter().zip(proxy).filter_map(|(drift, proxy)| Some((drift.du, (*proxy)?))).unzip();
    Ok(Correlation { pearson: pearson(&du, &proxy), spearman: spearman(&du, &proxy), points: du.len() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn run(tracks: &[(f64, f64)]) -> Vec<Drift> {
        drifts(&tracks.iter().map(|&(u_cov, g_kf)| Tracks { u_cov, g_kf }).collect::<Vec<_>>())
    }

    #[test]
    fn drifts_start_at_zero_and_subtract_the_baseline() {
        assert_eq!(run(&[(-5.0, 2.0), (-7.0, 3.5)]), [Drift { du: 0.0, dg: 0.0 }, Drift { du: -2.0, dg: 1.5 }]);
        assert!(drifts(&[]).is_empty());
    }

    #[test]
    fn a_summary_holds_last_drifts_and_slopes() {
        let summary = summarize(&run(&[(1.0, 9.0), (0.0, 8.0), (-1.0, 7.5)])).unwrap();
        assert_eq!((summary.final_du, summary.slope_u), (-2.0, -1.0));
        assert_eq!((summary.final_dg, summary.slope_g), (-1.5, -0.75));
        assert!(summary.tracks_agree);
        assert_eq!(summarize(&run(&[(1.0, 1.0)])), None);
        assert_eq!(summarize(&run(&[(1.0, 1.0), (f64::NAN, 0.0)])), None);
    }

    #[test]
    fn tracks_disagree_when_only_one_falls() {
        // Track I dips below zero at the very end but rises on the whole: negative, not sustained.
        assert!(
            !summarize(&run(&[(0.0, 0.0), (-9.0, 1.0), (-9.0, 3.0), (-9.0, 5.0), (-9.0, -0.5)])).unwrap().tracks_agree
        );
        // Both grow: neither signals collapse, which is agreement.
        assert!(summarize(&run(&[(0.0, 0.0), (1.0, 2.0)])).unwrap().tracks_agree);
    }

    #[test]
    fn correlation_leaves_out_checkpoints_without_proxy() {
        let run = run(&[(0.0, 0.0), (-1.0, 0.0), (-2.0, 0.0), (-9.0, 0.0)]);
        let found = correlate(&run, &[Some(0.7), Some(0.5), Some(0.3), None]).unwrap();
        assert_eq!((found.spearman, found.points), (Some(1.0), 3));
        assert!((found.pearson.unwrap() - 1.0).abs() < 1e-15);
        assert_eq!(correlate(&run, &[None; 4]).unwrap(), Correlation { pearson: None, spearman: None, points: 0 });
        assert_eq!(correlate(&run, &[None; 3]), Err(MetricsError::SeriesLength { left: 4, right: 3 }));
    }
}
