//! Final drift against the real fraction: a panel for each track, a line for each curve of the sweep, the noise of the
//! base behind it, intervals as whiskers and single seeds as faint dots beside them.

use std::io;

use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::{Circle, EmptyElement, PathElement, Polygon};
use plotters::style::{Color, RGBColor};
use sigma_metrics::Interval;

use super::axis::Axis;
use super::legend::{DIFFERS, Key, Legend, Shape, Sign};
use super::line::{Line, Marker, draw_hollow, draw_marker, draw_path};
use super::panel::{Area, Chart, Drawn, axes, document, draw_zero, left_of_data, titled};
use super::style::*;
use crate::alpha::{AlphaCurve, AlphaPoint, AlphaSweep};
use crate::condition::{Condition, aimed_at};
use crate::floors::Signal;
use crate::series::SeriesPoint;

const COLOURS: [RGBColor; 6] = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY];
const MARKERS: [Marker; 4] = [Marker::Circle, Marker::OpenSquare, Marker::Triangle, Marker::Diamond];
/// Curves are drawn so far beside each other that their whiskers do not cover each other.
const DODGE_PT: f64 = 2.4;
/// And dots so far beside their whisker.
const DOTS_PT: f64 = 2.6;

pub(super) struct Picture {
    x: Axis,
    /// One for each curve, without points.
    keys: Vec<Line>,
    panels: Vec<Panel>,
    /// What else than lines is drawn.
    signs: Vec<Sign>,
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
    /// Ends of the noise band of the base.
    floor: Option<(f64, f64)>,
    hollow: bool,
}

type Track = (&'static str, Signal, fn(&SeriesPoint) -> Option<f64>, fn(&SeriesPoint) -> Option<Interval>);

const TRACKS: [Track; 2] = [
    ("Track II, ΔU", Signal::TrackTwo, |point| point.du_cov, |point| point.du_interval),
    ("Track I, ΔG", Signal::TrackOne, |point| point.dg_kf, |point| point.dg_interval),
];

impl Picture {
    pub(super) fn of(sweep: &AlphaSweep) -> Picture {
        let key = |(index, curve): (usize, &AlphaCurve)| {
            let marker = MARKERS[(index + index / COLOURS.len()) % MARKERS.len()];
            Line::plain(&curve.label(), COLOURS[index % COLOURS.len()], marker, Vec::new())
        };
        let panel = |(title, signal, drift, interval): Track| {
            let point = |point: &AlphaPoint| {
                let mean = point.mean(sweep.generation);
                Point {
                    alpha: point.alpha,
                    drift: mean.and_then(drift),
                    ends: mean.and_then(interval).map(|ends| (ends.low, ends.high)),
                    seeds: point.seeds(sweep.generation).into_iter().filter_map(|(_, seed)| drift(seed)).collect(),
                    floor: point.condition.floors.get(signal).map(|floor| (floor.low, floor.high)),
                    hollow: mean.is_some_and(|point| point.behind.differs),
                }
            };
            let curves: Vec<Vec<Point>> =
                sweep.curves.iter().map(|curve| curve.points.iter().map(point).collect()).collect();
            let drawn = |point: &Point| {
                let ends = point.ends.into_iter().chain(point.floor).flat_map(|(low, high)| [low, high]);
                point.drift.into_iter().chain(ends).chain(point.seeds.clone()).collect::<Vec<_>>()
            };
            let y = Axis::around(curves.iter().flatten().flat_map(drawn), true);
            let y_title = format!("drift at generation {} ({})", sweep.generation, y.unit("nats"));
            Panel { title: title.to_owned(), y, y_title, curves }
        };
        let keys: Vec<Line> = sweep.curves.iter().enumerate().map(key).collect();
        let panels: Vec<Panel> = TRACKS.map(panel).into();
        let signs = signs(&keys, &panels, sweep);
        let alphas = sweep.curves.iter().flat_map(|curve| &curve.points).map(|point| point.alpha);
        Picture { x: Axis::around(alphas, false), keys, panels, signs }
    }

    pub(super) fn svg(&self) -> Result<String, DrawingAreaErrorKind<io::Error>> {
        document(DOUBLE_WIDTH_IN, HEIGHT_IN, |root| {
            let left = self.panels.first().map_or(0, |panel| left_of_data(&panel.y));
            let keys = self.keys.iter().map(Key::Line).chain(self.signs.iter().map(Key::Sign));
            let legend = Legend::of(keys, left, root.dim_in_pixel().0 as i32);
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
        for (key, points) in self.keys.iter().zip(&panel.curves) {
            self.draw_floor(&chart, panel, key, points)?;
        }
        draw_zero(&chart, &self.x)?;
        let per_point = (self.x.high - self.x.low) / f64::from(chart.plotting_area().dim_in_pixel().0.max(1));
        for (index, (key, points)) in self.keys.iter().zip(&panel.curves).enumerate() {
            let place_of_curve = index as f64 - (self.keys.len() - 1) as f64 / 2.0;
            let aside = place_of_curve * f64::from(units(DODGE_PT)) * per_point;
            self.draw_curve(&chart, panel, key, points, aside)?;
        }
        Ok(())
    }

    fn draw_floor(&self, chart: &Chart, panel: &Panel, key: &Line, points: &[Point]) -> Drawn {
        let place = |point: &Point| {
            let (low, high) = point.floor?;
            Some((self.x.position(point.alpha)?, panel.y.position(low)?, panel.y.position(high)?))
        };
        let places: Vec<Option<(f64, f64, f64)>> = points.iter().map(place).collect();
        for run in places.split(Option::is_none).filter(|run| run.len() > 1) {
            let there = run.iter().flatten().map(|&(x, low, _)| (x, low));
            let back = run.iter().rev().flatten().map(|&(x, _, high)| (x, high));
            let area = Polygon::new(there.chain(back).collect::<Vec<_>>(), tint(key.colour, FLOOR_TINT).filled());
            chart.plotting_area().draw(&area)?;
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
                let dot = Circle::new((units(DOTS_PT), 0), units(DOT_PT), tint(key.colour, DOT_TINT).filled());
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
        for (point, place) in points.iter().zip(places) {
            match place {
                Some(place) if point.hollow => draw_hollow(plane, place, key.colour)?,
                Some(place) => draw_marker(plane, place, key)?,
                None => {}
            }
        }
        Ok(())
    }
}

fn signs(keys: &[Line], panels: &[Panel], sweep: &AlphaSweep) -> Vec<Sign> {
    let colours: Vec<RGBColor> = keys.iter().map(|key| key.colour).collect();
    let any = |holds: fn(&Point) -> bool| panels.iter().flat_map(|panel| panel.curves.iter().flatten()).any(holds);
    let conditions = || sweep.curves.iter().flat_map(|curve| &curve.points).map(|point| point.condition);
    let with_interval = |several: bool| {
        let has = |point: &SeriesPoint| point.generation == sweep.generation && point.du_interval.is_some();
        conditions().any(|condition| (condition.members.len() > 1) == several && condition.mean.points.iter().any(has))
    };
    let mut single: Vec<Option<f64>> =
        conditions().filter(|condition| condition.members.len() == 1).map(Condition::confidence).collect();
    single.dedup();
    // several that aim at different probabilities have no number in common
    let confidence = if let [only] = single[..] { only } else { None };
    let over_prompts = format!("one seed: over prompts{}", aimed_at(confidence));
    let found = [
        (
            any(|point| point.floor.is_some()),
            "noise of the base, 95 %",
            Shape::Areas { colours: colours.clone(), tint: FLOOR_TINT },
        ),
        (with_interval(true), "over seeds, 95 %", Shape::Whiskers(vec![INK])),
        (with_interval(false), &*over_prompts, Shape::Whiskers(vec![INK])),
        (any(|point| !point.seeds.is_empty()), "single seeds", Shape::Dots(colours)),
        (any(|point| point.hollow), DIFFERS, Shape::Hollow),
    ];
    found
        .into_iter()
        .filter(|(shown, ..)| *shown)
        .map(|(_, label, shape)| Sign { label: label.to_owned(), shape })
        .collect()
}
