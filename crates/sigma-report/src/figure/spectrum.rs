//! The spectrum of G_A over generations: one curve for each, dark to light, on a logarithmic scale. An eigenvalue that is not positive has
//! no place there and leaves a gap.

use std::io;

use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::PathElement;
use plotters::style::{Color, RGBColor};

use super::axis::Axis;
use super::colour_bar::ColourBar;
use super::colour_map::sequential;
use super::panel::{axes, document};
use super::style::*;
use crate::spectrum::Spectrum;

const CURVE_PT: f64 = 0.7;

pub(super) struct Picture {
    x: Axis,
    y: Axis,
    bar: ColourBar,
    curves: Vec<Curve>,
}

struct Curve {
    colour: RGBColor,
    /// Place and log10 of the eigenvalue there.
    points: Vec<Option<(f64, f64)>>,
}

impl Picture {
    pub(super) fn of(spectrum: &Spectrum) -> Picture {
        let last = spectrum.curves.last().map_or(0, |curve| curve.generation);
        let bar = ColourBar { axis: Axis::between(0.0, f64::from(last.max(1))), title: "generation".to_owned() };
        let log = |(place, value): (&usize, &f64)| (*value > 0.0).then(|| (*place as f64, value.log10()));
        let curve = |curve: &crate::spectrum::Curve| Curve {
            colour: sequential(f64::from(curve.generation) / f64::from(last.max(1))),
            points: spectrum.places.iter().zip(&curve.eigenvalues).map(log).collect(),
        };
        let curves: Vec<Curve> = spectrum.curves.iter().map(curve).collect();
        let drawn = || curves.iter().flat_map(|curve| curve.points.iter().flatten());
        Picture {
            x: Axis::around(spectrum.places.iter().map(|place| *place as f64), false),
            y: Axis::around(drawn().map(|(_, y)| *y), false),
            bar,
            curves,
        }
    }

    pub(super) fn svg(&self) -> Result<String, DrawingAreaErrorKind<io::Error>> {
        document(SINGLE_WIDTH_IN, HEIGHT_IN, |root| {
            let all = root.dim_in_pixel().0 as i32;
            let (body, strip) = root.split_horizontally(all - self.bar.width());
            let chart = axes(&body, (&self.x, "index i"), (&self.y, "log10 of eigenvalue λ of G_A"))?;
            let line = |colour: RGBColor| colour.stroke_width(stroke(CURVE_PT));
            for curve in &self.curves {
                for run in curve.points.split(Option::is_none).filter(|run| run.len() > 1) {
                    let path: Vec<(f64, f64)> = run.iter().flatten().copied().collect();
                    chart.plotting_area().draw(&PathElement::new(path, line(curve.colour)))?;
                }
            }
            let (top, height) = (units(MARGIN_PT + 2.0 * TICK_PT), strip.dim_in_pixel().1 as i32);
            let bottom = height - units(1.9 * TICK_PT + 1.3 * AXIS_TITLE_PT + MARGIN_PT);
            let last = self.bar.axis.high;
            self.bar.draw(&strip, top, bottom, |generation| sequential(generation / last))
        })
    }
}
