//! The spectrum of G_A over generations: one curve for each, dark to light, on a logarithmic scale, and beside it the
//! same relative to t = 0, where contraction shows although the curves nearly cover each other. An eigenvalue that is
//! not positive leaves a gap.

use std::io;

use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::{Circle, EmptyElement, PathElement};
use plotters::style::{Color, RGBColor};

use super::axis::Axis;
use super::colour_bar::ColourBar;
use super::colour_map::sequential;
use super::panel::{Area, Drawn, axes, document, draw_zero};
use super::style::*;
use crate::spectrum::Spectrum;

const CURVE_PT: f64 = 0.7;
const DOT_PT: f64 = 0.7;

pub(super) struct Picture {
    x: Axis,
    bar: ColourBar,
    /// The colour of each curve.
    colours: Vec<RGBColor>,
    panels: Vec<Panel>,
}

struct Panel {
    y: Axis,
    y_title: &'static str,
    zero_line: bool,
    /// Place and height of the points of each curve.
    curves: Vec<Vec<Option<(f64, f64)>>>,
}

impl Picture {
    pub(super) fn of(spectrum: &Spectrum) -> Picture {
        let last = spectrum.curves.last().map_or(0, |curve| curve.generation);
        let bar = ColourBar { axis: Axis::between(0.0, f64::from(last.max(1))), title: "generation".to_owned() };
        let panel = |y_title, zero_line, height: fn(&crate::spectrum::Curve, usize) -> Option<f64>| {
            let curve = |curve| {
                let point = |(at, place): (usize, &usize)| Some((*place as f64, height(curve, at)?));
                spectrum.places.iter().enumerate().map(point).collect()
            };
            let curves: Vec<Vec<Option<(f64, f64)>>> = spectrum.curves.iter().map(curve).collect();
            let y = Axis::around(curves.iter().flatten().flatten().map(|(_, y)| *y), zero_line);
            Panel { y, y_title, zero_line, curves }
        };
        let mut panels = vec![panel("log10 of eigenvalue λ of G_A", false, |curve, at| {
            Some(curve.eigenvalues[at]).filter(|value| *value > 0.0).map(f64::log10)
        })];
        if spectrum.has_ratios() {
            panels.push(panel("log10 of λ at t / λ at 0", true, |curve, at| curve.log_ratios[at]));
        }
        let colour = |curve: &crate::spectrum::Curve| sequential(f64::from(curve.generation) / f64::from(last.max(1)));
        Picture {
            x: Axis::around(spectrum.places.iter().map(|place| *place as f64), false),
            bar,
            colours: spectrum.curves.iter().map(colour).collect(),
            panels,
        }
    }

    pub(super) fn svg(&self) -> Result<String, DrawingAreaErrorKind<io::Error>> {
        let width = if self.panels.len() > 1 { DOUBLE_WIDTH_IN } else { SINGLE_WIDTH_IN };
        document(width, HEIGHT_IN, |root| {
            let all = root.dim_in_pixel().0 as i32;
            let (body, strip) = root.split_horizontally(all - self.bar.width());
            for (panel, area) in self.panels.iter().zip(body.split_evenly((1, self.panels.len()))) {
                self.draw(panel, &area)?;
            }
            let (top, height) = (units(MARGIN_PT + 2.0 * TICK_PT), strip.dim_in_pixel().1 as i32);
            let bottom = height - units(1.9 * TICK_PT + 1.3 * AXIS_TITLE_PT + MARGIN_PT);
            let last = self.bar.axis.high;
            self.bar.draw(&strip, top, bottom, |generation| sequential(generation / last))
        })
    }

    fn draw(&self, panel: &Panel, area: &Area) -> Drawn {
        let chart = axes(area, (&self.x, "index i"), (&panel.y, panel.y_title))?;
        if panel.zero_line {
            draw_zero(&chart, &self.x)?;
        }
        let plane = chart.plotting_area();
        for (points, colour) in panel.curves.iter().zip(&self.colours) {
            let places: Vec<Option<(f64, f64)>> =
                points.iter().map(|point| point.and_then(|(x, y)| Some((x, panel.y.position(y)?)))).collect();
            for run in places.split(Option::is_none) {
                match &run.iter().flatten().copied().collect::<Vec<(f64, f64)>>()[..] {
                    [] => {}
                    // A line of one point would not be seen.
                    [alone] => {
                        plane.draw(&(EmptyElement::at(*alone) + Circle::new((0, 0), units(DOT_PT), colour.filled())))?
                    }
                    path => plane.draw(&PathElement::new(path.to_vec(), colour.stroke_width(stroke(CURVE_PT))))?,
                }
            }
        }
        Ok(())
    }
}
