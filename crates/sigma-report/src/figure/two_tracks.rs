//! Figures 1 and 2 of the paper: the drifts of both tracks over generations, one panel for each run.

use super::axis::Axis;
use super::panel::{Line, Marker, Panel};
use super::style::{BLUE, VERMILLION};
use crate::series::{RunSeries, SeriesPoint};

pub(super) fn panel(series: &RunSeries, title: Option<String>) -> Panel {
    let line = |label, colour, marker, drift: fn(&SeriesPoint) -> Option<f64>| Line {
        label,
        colour,
        marker,
        points: series.points.iter().map(|point| (point.generation, drift(point))).collect(),
    };
    let lines = vec![
        line("Track II, ΔU", BLUE, Marker::Circle, |point| point.du_cov),
        line("Track I, ΔG", VERMILLION, Marker::OpenSquare, |point| point.dg_kf),
    ];
    let drifts = lines.iter().flat_map(|line| line.points.iter()).filter_map(|(_, drift)| *drift);
    let y = Axis::around(drifts, true);
    Panel {
        title,
        y_title: format!("drift from generation 0 ({})", y.unit("nats")),
        x: Axis::generations(series.points.last().map_or(0, |point| point.generation)),
        y,
        zero_line: true,
        lines,
    }
}
