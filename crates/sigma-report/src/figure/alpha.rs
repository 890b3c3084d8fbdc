//! Final drift against the real fraction: a panel for each track, a line for each curve of the sweep, intervals over seeds as whiskers
//! and single seeds as faint dots beside them.

use std::io;

use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::{Circle, EmptyElement, PathElement};
use plotters::style::{Color, RGBColor};
use sigma_metrics::Interval;

use super::axis::Axis;
use super::legend::{Key, Legend};
use super::panel::{
    Area, Chart, Drawn, Line, Marker, axes, document, draw_marker, draw_path, draw_zero, left_of_data, titled,
};
use super::style::*;
use crate::alpha::{AlphaCurve, AlphaPoint, AlphaSweep};
use crate::condition::Band;
use crate::series::SeriesPoint;

const COLOURS: [RGBColor; 6] = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY];
const MARKERS: [Marker; 4] = [Marker::Circle, Marker::OpenSquare, Marker::Triangle, Marker::Diamond];
/// Curves are drawn so far beside each other that their whiskers do not cover each other.
const DODGE_PT: f64 = 2.4;
/// And dots so far beside their whisker.
const DOTS_PT: f64 = 2.6;
const DOT_PT: f64 = 1.0;

pub(super) struct Picture {
    x: Axis,
    /// One for each curve, without points.
    keys: Vec<Line>,
    panels: Vec<Panel>,
}

struct Panel {
    title: String,
    y: Axis,
    y_title: String,
    /// In the order of keys.
    curves: Vec<Vec<Point>>,
}

struct Point {
    alpha: f64,
    drift: Option<f64>,
    ends: Option<(f64, f64)>,
    seeds: Vec<f64>,
}

type Track = (&'static str, fn(&SeriesPoint) -> Option<f64>, fn(&Band) -> Option<Interval>);

const TRACKS: [Track; 2] = [
    ("Track II, ΔU", |point| point.du_cov, |band| band.du_cov),
    ("Track I, ΔG", |point| point.dg_kf, |band| band.dg_kf),
];

impl Picture {
    pub(super) fn of(sweep: &AlphaSweep) -> Picture {
        let key = |(index, curve): (usize, &AlphaCurve)| Line {
            label: curve.label(),
            colour: COLOURS[index % COLOURS.len()],
            marker: MARKERS[(index + index / COLOURS.len()) % MARKERS.len()],
            points: Vec::new(),
        };
        let panel = |(title, drift, band): Track| {
            let point = |point: &AlphaPoint| Point {
                alpha: point.alpha,
                drift: point.mean(sweep.generation).and_then(drift),
                ends: point.band(sweep.generation).and_then(band).map(|ends| (ends.low, ends.high)),
                seeds: point.seeds(sweep.generation).into_iter().filter_map(|(_, seed)| drift(seed)).collect(),
            };
            let curves: Vec<Vec<Point>> =
                sweep.curves.iter().map(|curve| curve.points.iter().map(point).collect()).collect();
            let drawn = |point: &Point| {
                let ends = point.ends.map(|(low, high)| [low, high]);
                point.drift.into_iter().chain(ends.into_iter().flatten()).chain(point.seeds.clone()).collect::<Vec<_>>()
            };
            let y = Axis::around(curves.iter().flatten().flat_map(drawn), true);
            let y_title = format!("drift at generation {} ({})", sweep.generation, y.unit("nats"));
            Panel { title: title.to_owned(), y, y_title, curves }
        };
        let alphas = sweep.curves.iter().flat_map(|curve| &curve.points).map(|point| point.alpha);
        Picture {
            x: Axis::around(alphas, false),
            keys: sweep.curves.iter().enumerate().map(key).collect(),
            panels: TRACKS.map(panel).into(),
        }
    }

    pub(super) fn svg(&self) -> Result<String, DrawingAreaErrorKind<io::Error>> {
        document(DOUBLE_WIDTH_IN, HEIGHT_IN, |root| {
            let left = self.panels.first().map_or(0, |panel| left_of_data(&panel.y));
            let legend = Legend::of(self.keys.iter().map(Key::Line), left, root.dim_in_pixel().0 as i32);
            let (strip, body) = root.split_vertically(legend.height());
            legend.draw(&strip)?;
            for (panel, area) in self.panels.iter().zip(body.split_evenly((1, self.panels.len()))) {
                self.draw(panel, &area)?;
            }
            Ok(())
        })
    }

    fn draw(&self, panel: &Panel, area: &Area) -> Drawn {
        let plot = titled(area, Some(&panel.title), left_of_data(&panel.y))?;
        let chart = axes(&plot, (&self.x, "real fraction α"), (&panel.y, &panel.y_title))?;
        draw_zero(&chart, &self.x)?;
        let per_point = (self.x.high - self.x.low) / f64::from(chart.plotting_area().dim_in_pixel().0.max(1));
        for (index, (key, points)) in self.keys.iter().zip(&panel.curves).enumerate() {
            let place_of_curve = index as f64 - (self.keys.len() - 1) as f64 / 2.0;
            let aside = place_of_curve * f64::from(units(DODGE_PT)) * per_point;
            self.draw_curve(&chart, panel, key, points, aside)?;
        }
        Ok(())
    }

    fn draw_curve(&self, chart: &Chart, panel: &Panel, key: &Line, points: &[Point], aside: f64) -> Drawn {
        let plane = chart.plotting_area();
        let x = |point: &Point| self.x.position(point.alpha).map(|x| x + aside);
        let line = key.colour.stroke_width(stroke(AXIS_PT));
        for point in points {
            let Some(x) = x(point) else { continue };
            for seed in point.seeds.iter().filter_map(|seed| panel.y.position(*seed)) {
                let dot = Circle::new((units(DOTS_PT), 0), units(DOT_PT), faint(key.colour).filled());
                plane.draw(&(EmptyElement::at((x, seed)) + dot))?;
            }
            let ends = point.ends.and_then(|(low, high)| Some([panel.y.position(low)?, panel.y.position(high)?]));
            for end in ends.into_iter().flatten() {
                let cap = PathElement::new(vec![(-units(WHISKER_CAP_PT), 0), (units(WHISKER_CAP_PT), 0)], line);
                plane.draw(&(EmptyElement::at((x, end)) + cap))?;
            }
            if let Some([low, high]) = ends {
                plane.draw(&PathElement::new(vec![(x, low), (x, high)], line))?;
            }
        }
        let places: Vec<Option<(f64, f64)>> =
            points.iter().map(|point| Some((x(point)?, panel.y.position(point.drift?)?))).collect();
        for run in places.split(Option::is_none).filter(|run| run.len() > 1) {
            draw_path(plane, run.iter().flatten().copied().collect(), key)?;
        }
        for place in places.into_iter().flatten() {
            draw_marker(plane, place, key)?;
        }
        Ok(())
    }
}

/// Opaque for the reason that `tint` gives, but dark enough for a dot.
fn faint(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let mixed = |part: u8| (f64::from(part) + 0.5 * (255.0 - f64::from(part))).round() as u8;
    RGBColor(mixed(red), mixed(green), mixed(blue))
}
