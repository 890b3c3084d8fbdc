//! Localisation by prompt bucket (appendix C.5): the drift of one track in every bucket, beside that of the whole prompt bank.

use plotters::style::RGBColor;

use super::axis::Axis;
use super::panel::{Line, Marker, Panel};
use super::style::{BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILLION};
use crate::buckets::BANK;
use crate::series::{RunSeries, SeriesPoint};

const COLOURS: [RGBColor; 6] = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY];
const MARKERS: [Marker; 3] = [Marker::Circle, Marker::Triangle, Marker::Diamond];

/// `buckets` carry the name of their bucket.
pub(super) fn panel(
    title: String,
    bank: &RunSeries,
    buckets: &[RunSeries],
    drift: fn(&SeriesPoint) -> Option<f64>,
) -> Panel {
    let line = |label: &str, colour, marker, series: &RunSeries| Line {
        label: label.to_owned(),
        colour,
        marker,
        points: series.points.iter().map(|point| (point.generation, drift(point))).collect(),
    };
    let mut lines = vec![line(BANK, INK, Marker::OpenSquare, bank)];
    lines.extend(buckets.iter().enumerate().map(|(index, bucket)| {
        // The second turn of the colours meets other shapes.
        let marker = MARKERS[(index + index / COLOURS.len()) % MARKERS.len()];
        line(&bucket.name, COLOURS[index % COLOURS.len()], marker, bucket)
    }));
    let y = Axis::around(lines.iter().flat_map(|line| &line.points).filter_map(|(_, drift)| *drift), true);
    Panel {
        title: Some(title),
        y_title: format!("drift from generation 0 ({})", y.unit("nats")),
        x: Axis::generations(bank.points.last().map_or(0, |point| point.generation)),
        y,
        zero_line: true,
        bands: Vec::new(),
        whiskers: None,
        lines,
        signs: Vec::new(),
    }
}
