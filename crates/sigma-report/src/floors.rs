//! Noise floors of a run and of a mean of runs: how far each signal moves when the base checkpoint is evaluated again.
//! It takes the values from the record of t = 0; the band around them is that of sigma-metrics.

use sigma_metrics::{NoiseFloor, PERSISTENCE, Side, onset};

use crate::record::{NoisePoint, Record};
use crate::series::{RunSeries, SeriesPoint, drift};

/// Probability that one further evaluation of the base lies within a band.
pub(crate) const LEVEL: f64 = 0.95;

/// The signals that have an onset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    TrackTwo,
    TrackOne,
    Distinct2,
    Hhi,
}

impl Signal {
    pub(crate) const ALL: [Signal; 4] = [Signal::TrackTwo, Signal::TrackOne, Signal::Distinct2, Signal::Hhi];

    /// For people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Signal::TrackTwo => "ΔU",
            Signal::TrackOne => "ΔG",
            Signal::Distinct2 => "distinct-2",
            Signal::Hhi => "HHI",
        }
    }

    /// Where it leaves its band when a model collapses.
    pub(crate) fn side(self) -> Side {
        match self {
            Signal::TrackTwo | Signal::TrackOne | Signal::Distinct2 => Side::Below,
            Signal::Hhi => Side::Above,
        }
    }

    /// As in series: tracks as drifts, proxies as measured.
    pub(crate) fn of(self, point: &SeriesPoint) -> Option<f64> {
        match self {
            Signal::TrackTwo => point.du_cov,
            Signal::TrackOne => point.dg_kf,
            Signal::Distinct2 => point.distinct_2,
            Signal::Hhi => point.hhi,
        }
    }

    fn of_replicate(self, noise: &NoisePoint, base: &Record) -> Option<f64> {
        match self {
            Signal::TrackTwo => drift(noise.sigma.as_ref(), base.sigma.as_ref(), |sigma| sigma.u_cov),
            Signal::TrackOne => drift(noise.sigma.as_ref(), base.sigma.as_ref(), |sigma| sigma.g_kf),
            Signal::Distinct2 => noise.surface.distinct_2,
            Signal::Hhi => noise.surface.hhi,
        }
    }
}

impl Signal {
    /// Its value at t = 0, which a model that never moves keeps: drifts are 0 there.
    fn baseline(self, base: &Record) -> Option<f64> {
        match self {
            Signal::TrackTwo | Signal::TrackOne => Some(0.0),
            Signal::Distinct2 => base.surface.distinct_2,
            Signal::Hhi => base.surface.hhi,
        }
    }
}

/// A band for each signal in the order of [`Signal::ALL`], in the unit of the signal; `None` where there are not two
/// measured replicates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Floors([Option<NoiseFloor>; 4]);

impl Floors {
    /// From the replicates in the first record of a run. A signal that one replicate lacks has no floor: what is left
    /// would be a choice.
    pub(crate) fn of(records: &[Record]) -> Floors {
        let Some(base) = records.first() else { return Floors::default() };
        Floors(Signal::ALL.map(|signal| {
            let values: Option<Vec<f64>> = base.noise.iter().map(|noise| signal.of_replicate(noise, base)).collect();
            NoiseFloor::of(&values?, signal.baseline(base)?, LEVEL)
        }))
    }

    /// For the mean of runs: their replicates pooled, and a band as narrow as a mean of so many evaluations deserves.
    /// None for a signal that a run has no floor of.
    pub(crate) fn of_mean(members: &[Floors]) -> Floors {
        if let [only] = members {
            return *only;
        }
        Floors(Signal::ALL.map(|signal| {
            let floors: Option<Vec<NoiseFloor>> = members.iter().map(|member| member.get(signal)).collect();
            NoiseFloor::of_mean(&floors?, LEVEL)
        }))
    }

    pub(crate) fn get(&self, signal: Signal) -> Option<NoiseFloor> {
        self.0[signal as usize]
    }

    /// Whether no signal has a floor.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// From which generation on `series` is beyond the band of `signal`.
    pub(crate) fn onset(&self, signal: Signal, series: &RunSeries) -> Option<usize> {
        let values: Vec<Option<f64>> = series.points.iter().map(|point| signal.of(point)).collect();
        onset(&values, &self.get(signal)?, signal.side(), PERSISTENCE)
    }

    /// The end of a band that a collapsing signal crosses.
    pub(crate) fn limit(&self, signal: Signal) -> Option<f64> {
        self.get(signal).map(|floor| match signal.side() {
            Side::Below => floor.low,
            Side::Above => floor.high,
        })
    }
}
