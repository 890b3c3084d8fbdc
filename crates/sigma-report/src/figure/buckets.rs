//! Localisation by prompt bucket (appendix C.5): the drift of one track in every bucket, beside that of the whole
//! prompt bank.

use plotters::style::RGBColor;

use super::legend::{DIFFERS, Shape, Sign};
use super::line::{Line, Marker};
use super::panel::Panel;
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
    let mut lines = vec![Line::of((BANK, INK, Marker::OpenSquare), bank, drift)];
    lines.extend(buckets.iter().enumerate().map(|(index, bucket)| {
        // The second turn of the colours meets other shapes.
        let marker = MARKERS[(index + index / COLOURS.len()) % MARKERS.len()];
        Line::of((&bucket.name, COLOURS[index % COLOURS.len()], marker), bucket, drift)
    }));
    let last = bank.points.last().map_or(0, |point| point.generation);
    let hollow = lines.iter().any(|line| !line.hollow.is_empty());
    let signs = hollow.then_some(Sign { label: DIFFERS.to_owned(), shape: Shape::Hollow }).into_iter().collect();
    Panel { signs, ..Panel::of_drifts(Some(title), "drift from generation 0", last, lines) }
}
