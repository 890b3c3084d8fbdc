//! Figures 1 and 2 of the paper: the drifts of both tracks over generations, one panel for each run or mean of runs.

use plotters::style::RGBColor;
use sigma_metrics::Interval;

use super::axis::Axis;
use super::legend::{Shape, Sign};
use super::panel::{self, Line, Marker, Panel};
use super::style::{BLUE, FLOOR_TINT, TINT, VERMILLION};
use crate::condition::Band;
use crate::floors::{Floors, Signal};
use crate::series::{RunSeries, SeriesPoint};

/// `bands` are the intervals over seeds, one for each point, or none at all: then the points of Track II have Theorem 3's intervals.
/// `floors` lie behind everything over all generations.
pub(super) fn panel(series: &RunSeries, bands: &[Band], floors: &Floors, title: Option<String>) -> Panel {
    let line = |label: &str, colour, marker, drift: fn(&SeriesPoint) -> Option<f64>| Line {
        label: label.to_owned(),
        colour,
        marker,
        points: series.points.iter().map(|point| (point.generation, drift(point))).collect(),
    };
    let lines = vec![
        line("Track II, ΔU", BLUE, Marker::Circle, |point| point.du_cov),
        line("Track I, ΔG", VERMILLION, Marker::OpenSquare, |point| point.dg_kf),
    ];
    let whiskers = bands.is_empty().then(|| whiskers(series)).flatten();
    let over_seeds = [(BLUE, (|band| band.du_cov) as Ends), (VERMILLION, |band| band.dg_kf)];
    let intervals = over_seeds.map(|(colour, ends)| interval(series, bands, colour, ends));
    // Track I last: its band is the narrower one and would be covered.
    let noise = [(BLUE, Signal::TrackTwo), (VERMILLION, Signal::TrackOne)];
    let noise = noise.map(|(colour, signal)| floor(series, floors, colour, signal));
    let colours = |bands: &[Option<panel::Band>]| bands.iter().flatten().map(|band| band.colour).collect::<Vec<_>>();
    let areas = |label, bands: &[Option<panel::Band>], tint| {
        let colours = colours(bands);
        (!colours.is_empty()).then_some(Sign { label, shape: Shape::Areas { colours, tint } })
    };
    let signs = [
        areas("noise of the base, 95 %", &noise, FLOOR_TINT),
        areas("over seeds, 95 %", &intervals, TINT),
        whiskers.is_some().then_some(Sign { label: "Theorem 3", shape: Shape::Whisker(BLUE) }),
    ];
    let bands: Vec<panel::Band> = noise.into_iter().chain(intervals).flatten().collect();
    let drifts = lines.iter().flat_map(|line| line.points.iter()).filter_map(|(_, drift)| *drift);
    let ends = bands.iter().chain(&whiskers).flat_map(|band| band.points.iter()).filter_map(|(_, ends)| *ends);
    let y = Axis::around(drifts.chain(ends.flat_map(|(low, high)| [low, high])), true);
    Panel {
        title,
        y_title: format!("drift from generation 0 ({})", y.unit("nats")),
        x: Axis::generations(series.points.last().map_or(0, |point| point.generation)),
        y,
        zero_line: true,
        bands,
        whiskers,
        lines,
        signs: signs.into_iter().flatten().collect(),
    }
}

type Ends = fn(&Band) -> Option<Interval>;

/// The interval of a track over seeds, if there is one at any point.
fn interval(series: &RunSeries, bands: &[Band], colour: RGBColor, ends: Ends) -> Option<panel::Band> {
    let place = |(point, band): (&SeriesPoint, &Band)| (point.generation, ends(band).map(|ends| (ends.low, ends.high)));
    measured(panel::Band { colour, tint: TINT, points: series.points.iter().zip(bands).map(place).collect() })
}

/// The noise floor of a track from the first generation to the last.
fn floor(series: &RunSeries, floors: &Floors, colour: RGBColor, signal: Signal) -> Option<panel::Band> {
    let floor = floors.get(signal)?;
    let generations = [series.points.first()?, series.points.last()?].map(|point| point.generation);
    let points = generations.map(|generation| (generation, Some((floor.low, floor.high)))).to_vec();
    Some(panel::Band { colour, tint: FLOOR_TINT, points })
}

/// Theorem 3's intervals around Track II.
fn whiskers(series: &RunSeries) -> Option<panel::Band> {
    let points = series.points.iter().map(|point| (point.generation, point.theorem3())).collect();
    measured(panel::Band { colour: BLUE, tint: 1.0, points })
}

fn measured(band: panel::Band) -> Option<panel::Band> {
    band.points.iter().any(|(_, ends)| ends.is_some()).then_some(band)
}
