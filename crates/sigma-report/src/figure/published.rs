//! Measured beside published: one track of a run and of the paper in each panel. The published S1 run observed every block, so
//! Track II is also drawn with every block observed.

use super::axis::Axis;
use super::panel::{Line, Marker, Panel};
use super::style::{BLUE, GREEN, INK};
use crate::published::PublishedPoint;
use crate::series::{RunSeries, SeriesPoint};

type Measured = fn(&SeriesPoint) -> Option<f64>;
type Printed = fn(&PublishedPoint) -> f64;

pub(super) fn panels(measured: &RunSeries, published: &[PublishedPoint]) -> Vec<Panel> {
    let last = measured.points.last().map_or(0, |point| point.generation);
    let last = published.iter().map(|point| point.generation).fold(last, u32::max);
    let own = |label: &str, colour, marker, track: Measured| Line {
        label: label.to_owned(),
        colour,
        marker,
        points: measured.points.iter().map(|point| (point.generation, track(point))).collect(),
    };
    let papers = |track: Printed| Line {
        label: "published".to_owned(),
        colour: INK,
        marker: Marker::OpenSquare,
        points: published.iter().map(|point| (point.generation, Some(track(point)))).collect(),
    };
    let panel = |title: &str, lines: Vec<Line>| {
        let y = Axis::around(lines.iter().flat_map(|line| &line.points).filter_map(|(_, drift)| *drift), true);
        Panel {
            title: Some(title.to_owned()),
            y_title: format!("drift from generation 0 ({})", y.unit("nats")),
            x: Axis::generations(last),
            y,
            zero_line: true,
            bands: Vec::new(),
            whiskers: None,
            lines,
            signs: Vec::new(),
        }
    };
    // The legend is that of the first panel, so a line has one colour in both.
    vec![
        panel(
            "Track II, ΔU",
            vec![
                own("measured", BLUE, Marker::Circle, |point| point.du_cov),
                papers(|point| point.du_cov),
                own("measured, every block observed", GREEN, Marker::Triangle, |point| point.du_cov_full),
            ],
        ),
        panel(
            "Track I, ΔG",
            vec![own("measured", BLUE, Marker::Circle, |point| point.dg_kf), papers(|point| point.dg_kf)],
        ),
    ]
}
