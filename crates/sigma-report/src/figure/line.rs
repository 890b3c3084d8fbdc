//! A line over generations and how it is drawn: its path with breaks, its markers, and the hollow points of checkpoints
//! that differ.

use plotters::coord::CoordTranslate;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, DashedPathElement, EmptyElement, PathElement, Polygon};
use plotters::prelude::SVGBackend;
use plotters::style::{Color, RGBColor, ShapeStyle, WHITE};

use super::axis::Axis;
use super::panel::{Chart, Drawn};
use super::style::*;
use crate::series::{RunSeries, SeriesPoint};

pub(super) struct Line {
    pub(super) label: String,
    pub(super) colour: RGBColor,
    pub(super) marker: Marker,
    /// Generation and value; the line is interrupted where there is none.
    pub(super) points: Vec<(u32, Option<f64>)>,
    /// Generations whose point is hollow.
    pub(super) hollow: Vec<u32>,
    /// Generations to which no line leads from the one before.
    pub(super) breaks: Vec<u32>,
}

impl Line {
    /// Without hollow points and breaks.
    pub(super) fn plain(label: &str, colour: RGBColor, marker: Marker, points: Vec<(u32, Option<f64>)>) -> Line {
        Line { label: label.to_owned(), colour, marker, points, hollow: Vec::new(), breaks: Vec::new() }
    }

    /// `value` of every checkpoint of `series`, hollow and broken as what is behind the values says.
    pub(super) fn of(
        (label, colour, marker): (&str, RGBColor, Marker),
        series: &RunSeries,
        value: fn(&SeriesPoint) -> Option<f64>,
    ) -> Line {
        let generations = |holds: fn(&SeriesPoint) -> bool| {
            series.points.iter().filter(|point| holds(point)).map(|point| point.generation).collect()
        };
        Line {
            hollow: generations(|point| point.behind.differs),
            breaks: generations(|point| point.behind.broken),
            ..Line::plain(
                label,
                colour,
                marker,
                series.points.iter().map(|point| (point.generation, value(point))).collect(),
            )
        }
    }
}

/// Shapes tell lines apart where colours cannot, as on a grey printer.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Marker {
    Circle,
    /// Open, on a dashed line: what lies exactly beneath shows through.
    OpenSquare,
    Triangle,
    Diamond,
}

/// `line` with its markers, interrupted where there is no value and at its breaks.
pub(super) fn draw_line(chart: &Chart, y: &Axis, line: &Line) -> Drawn {
    let plane = chart.plotting_area();
    let position = |&(generation, value): &(u32, Option<f64>)| Some((f64::from(generation), y.position(value?)?));
    let places: Vec<Option<(f64, f64)>> = line.points.iter().map(position).collect();
    let stride = marker_stride(places.len(), plane.dim_in_pixel().0);
    let generation = |index: usize| line.points[index].0;
    let joined = |index: usize| {
        let before = index.checked_sub(1).and_then(|before| places.get(before).copied().flatten());
        let here = places.get(index).copied().flatten();
        before.is_some() && here.is_some() && !line.breaks.contains(&generation(index))
    };
    let mut path: Vec<(f64, f64)> = Vec::new();
    for (index, place) in places.iter().enumerate() {
        if !joined(index) && path.len() > 1 {
            draw_path(plane, path.clone(), line)?;
        }
        if !joined(index) {
            path.clear();
        }
        path.extend(*place);
    }
    if path.len() > 1 {
        draw_path(plane, path, line)?;
    }
    for (index, place) in places.iter().enumerate() {
        let Some(place) = *place else { continue };
        if line.hollow.contains(&generation(index)) {
            draw_hollow(plane, place, line.colour)?;
        } else if index % stride == 0 || !joined(index) && !joined(index + 1) {
            draw_marker(plane, place, line)?;
        }
    }
    Ok(())
}

/// Every how many points there is a marker, so that markers keep apart.
pub(super) fn marker_stride(points: usize, width: u32) -> usize {
    let room = (f64::from(width) / f64::from(units(MARKER_SPACING_PT))).max(1.0);
    (points as f64 / room).ceil().max(1.0) as usize
}

pub(super) fn draw_path<T>(area: &DrawingArea<SVGBackend, T>, path: Vec<T::From>, line: &Line) -> Drawn
where
    T: CoordTranslate,
    T::From: Clone,
{
    let style = line.colour.stroke_width(stroke(LINE_PT));
    match line.marker {
        Marker::OpenSquare => area.draw(&DashedPathElement::new(path, units(DASH_PT), units(DASH_GAP_PT), style)),
        Marker::Circle | Marker::Triangle | Marker::Diamond => area.draw(&PathElement::new(path, style)),
    }
}

pub(super) fn draw_marker<T>(area: &DrawingArea<SVGBackend, T>, place: T::From, line: &Line) -> Drawn
where
    T: CoordTranslate,
    T::From: Clone,
{
    let style: ShapeStyle = line.colour.filled();
    let half = units(MARKER_PT);
    // Shapes of equal extent differ in weight; the pointed ones are drawn larger.
    let tip = half * 5 / 4;
    let at = EmptyElement::at(place);
    match line.marker {
        Marker::Circle => area.draw(&(at + Circle::new((0, 0), half, style))),
        Marker::OpenSquare => {
            // One corner is passed twice, or it would have a notch.
            let corners = vec![(-tip, -tip), (tip, -tip), (tip, tip), (-tip, tip), (-tip, -tip), (tip, -tip)];
            area.draw(&(at + PathElement::new(corners, line.colour.stroke_width(stroke(AXIS_PT)))))
        }
        Marker::Triangle => area.draw(&(at + Polygon::new(vec![(0, -tip), (tip, half), (-tip, half)], style))),
        Marker::Diamond => area.draw(&(at + Polygon::new(vec![(0, -tip), (tip, 0), (0, tip), (-tip, 0)], style))),
    }
}

/// In place of a marker where n or n_A is not that of t = 0.
pub(super) fn draw_hollow<T>(area: &DrawingArea<SVGBackend, T>, place: T::From, colour: RGBColor) -> Drawn
where
    T: CoordTranslate,
    T::From: Clone,
{
    let half = units(HOLLOW_PT);
    area.draw(&(EmptyElement::at(place.clone()) + Circle::new((0, 0), half, WHITE.filled())))?;
    area.draw(&(EmptyElement::at(place) + Circle::new((0, 0), half, colour.stroke_width(stroke(AXIS_PT)))))
}
