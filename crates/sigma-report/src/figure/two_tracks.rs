//! Figures 1 and 2 of the paper: the drifts of both tracks over generations, one panel for each run or mean of runs.

use plotters::style::RGBColor;
use sigma_metrics::Interval;

use super::axis::Axis;
use super::panel::{self, Line, Marker, Panel};
use super::style::{BLUE, FLOOR_TINT, TINT, VERMILLION};
use crate::condition::Band;
use crate::floors::{Floors, Signal};
use crate::series::{RunSeries, SeriesPoint};

/// `bands` are the intervals over seeds, one for each point, or none at all; `floors` lie behind everything over all generations.
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
    let band = |colour: RGBColor, ends: fn(&Band) -> Option<Interval>| panel::Band {
        colour,
        tint: TINT,
        points: series
            .points
            .iter()
            .zip(bands)
            .map(|(point, band)| (point.generation, ends(band).map(|ends| (ends.low, ends.high))))
            .collect(),
    };
    let intervals = [band(BLUE, |band| band.du_cov), band(VERMILLION, |band| band.dg_kf)];
    let floor = |colour: RGBColor, signal: Signal| {
        let ends = floors.get(signal).map(|floor| (floor.low, floor.high));
        let generations = [series.points.first()?, series.points.last()?].map(|point| point.generation);
        Some(panel::Band {
            colour,
            tint: FLOOR_TINT,
            points: generations.map(|generation| (generation, ends)).to_vec(),
        })
    };
    // Track I last: its band is the narrower one and would be covered.
    let floors = [floor(BLUE, Signal::TrackTwo), floor(VERMILLION, Signal::TrackOne)];
    let bands: Vec<panel::Band> = floors.into_iter().flatten().chain(intervals).collect();
    let drifts = lines.iter().flat_map(|line| line.points.iter()).filter_map(|(_, drift)| *drift);
    let ends = bands.iter().flat_map(|band| band.points.iter()).filter_map(|(_, ends)| *ends);
    let y = Axis::around(drifts.chain(ends.flat_map(|(low, high)| [low, high])), true);
    Panel {
        title,
        y_title: format!("drift from generation 0 ({})", y.unit("nats")),
        x: Axis::generations(series.points.last().map_or(0, |point| point.generation)),
        y,
        zero_line: true,
        bands,
        lines,
    }
}
