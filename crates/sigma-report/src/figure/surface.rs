//! Figure 3 of the paper: both tracks and the surface proxies of one run on a common scale, each stretched to [0, 1]
//! over the run.

use super::axis::Axis;
use super::line::{Line, Marker};
use super::panel::Panel;
use super::style::{BLUE, GREEN, PURPLE, VERMILLION};
use crate::series::{NormalisedPoint, RunSeries};

pub(super) fn panel(series: &RunSeries, title: Option<String>) -> Panel {
    let points = series.normalised();
    let line = |label, colour, marker, signal: fn(&NormalisedPoint) -> Option<f64>| {
        Line::plain(label, colour, marker, points.iter().map(|point| (point.generation, signal(point))).collect())
    };
    let lines = vec![
        line("Track II, ΔU", BLUE, Marker::Circle, |point| point.du_cov),
        line("Track I, ΔG", VERMILLION, Marker::OpenSquare, |point| point.dg_kf),
        line("distinct-2", GREEN, Marker::Triangle, |point| point.distinct_2),
        line("n-gram HHI", PURPLE, Marker::Diamond, |point| point.hhi),
    ];
    Panel {
        y_title: "scaled to [0, 1] over the run".to_owned(),
        y: Axis::unit_interval(),
        zero_line: false,
        ..Panel::of_drifts(title, "", points.last().map_or(0, |point| point.generation), lines)
    }
}
