//! How long answers are and how often a model ends them itself, which is what moves n and with it Track I: a line for
//! each condition.

use plotters::style::RGBColor;

use super::axis::Axis;
use super::line::{Line, Marker};
use super::panel::Panel;
use super::style::{BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION};
use crate::condition::Condition;
use crate::series::SeriesPoint;

const COLOURS: [RGBColor; 6] = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY];
const MARKERS: [Marker; 4] = [Marker::Circle, Marker::OpenSquare, Marker::Triangle, Marker::Diamond];

/// Tokens, stop rate, rows.
pub(super) fn panels(conditions: &[Condition]) -> Vec<Panel> {
    vec![
        panel(conditions, "Length", "tokens per answer", |point| point.mean_tokens),
        panel(conditions, "Stop rate", "share of answers ended by the model", |point| point.stop_rate),
        panel(conditions, "Rows", "embedded rows n", |point| point.behind.n),
        panel(conditions, "Empty answers", "answers without a word", |point| point.behind.empty),
    ]
}

fn panel(conditions: &[Condition], title: &str, what: &str, value: fn(&SeriesPoint) -> Option<f64>) -> Panel {
    let line = |(index, condition): (usize, &Condition)| {
        let marker = MARKERS[(index + index / COLOURS.len()) % MARKERS.len()];
        Line {
            hollow: Vec::new(),
            breaks: Vec::new(),
            ..Line::of((&condition.label, COLOURS[index % COLOURS.len()], marker), &condition.mean, value)
        }
    };
    let lines: Vec<Line> = conditions.iter().enumerate().map(line).collect();
    let y = Axis::around(lines.iter().flat_map(|line| &line.points).filter_map(|(_, value)| *value), false);
    let last =
        conditions.iter().filter_map(|condition| condition.mean.points.last()).map(|point| point.generation).max();
    Panel {
        y_title: y.unit(what),
        y,
        zero_line: false,
        ..Panel::of_drifts(Some(title.to_owned()), what, last.unwrap_or(0), lines)
    }
}
