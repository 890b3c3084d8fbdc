//! Measured beside published: one track of a run and of the paper, in one panel.

use super::axis::Axis;
use super::panel::{Line, Marker, Panel};
use super::style::{BLUE, INK};
use crate::published::PublishedPoint;
use crate::series::{RunSeries, SeriesPoint};

type Measured = fn(&SeriesPoint) -> Option<f64>;
type Printed = fn(&PublishedPoint) -> f64;

pub(super) fn panels(measured: &RunSeries, published: &[PublishedPoint]) -> Vec<Panel> {
    let last = measured.points.last().map_or(0, |point| point.generation);
    let last = published.iter().map(|point| point.generation).fold(last, u32::max);
    let panel = |title: &str, colour, track: Measured, printed: Printed| {
        let lines = vec![
            Line {
                label: "measured".to_owned(),
                colour,
                marker: Marker::Circle,
                points: measured.points.iter().map(|point| (point.generation, track(point))).collect(),
            },
            Line {
                label: "published".to_owned(),
                colour: INK,
                marker: Marker::OpenSquare,
                points: published.iter().map(|point| (point.generation, Some(printed(point)))).collect(),
            },
        ];
        let y = Axis::around(lines.iter().flat_map(|line| &line.points).filter_map(|(_, drift)| *drift), true);
        Panel {
            title: Some(title.to_owned()),
            y_title: format!("drift from generation 0 ({})", y.unit("nats")),
            x: Axis::generations(last),
            y,
            zero_line: true,
            bands: Vec::new(),
            lines,
        }
    };
    vec![
        panel("Track II, ΔU", BLUE, |point| point.du_cov, |point| point.du_cov),
        // The colour of a line in the legend is that of the first panel, so both panels have it.
        panel("Track I, ΔG", BLUE, |point| point.dg_kf, |point| point.dg_kf),
    ]
}
