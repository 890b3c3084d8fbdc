//! The legend of a colour map: a bar with ticks and numbers right of the data. It does not know what the numbers mean.

use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::{Color, RGBColor};

use super::axis::Axis;
use super::legend::LEFT;
use super::panel::{Area, Drawn, letters};
use super::style::*;

/// Steps of colour in the bar, more than an eye can tell.
const STEPS: i32 = 128;

pub(super) struct ColourBar {
    pub(super) axis: Axis,
    /// Above the bar.
    pub(super) title: String,
}

impl ColourBar {
    /// Room that the bar takes on the right.
    pub(super) fn width(&self) -> i32 {
        let labels = self.axis.ticks.iter().map(|&tick| text_width(&self.axis.label(tick), TICK_PT));
        let beside = bar_width() + units(5.0) + labels.max().unwrap_or(0);
        beside.max(text_width(&self.title, TICK_PT)) + units(2.0 * MARGIN_PT)
    }

    /// Draws the bar between `top` and `bottom` of `area`; `colour` gives the colour of a place on the axis.
    pub(super) fn draw(&self, area: &Area, top: i32, bottom: i32, colour: impl Fn(f64) -> RGBColor) -> Drawn {
        let (low, high) = (self.axis.low, self.axis.high);
        let y = |place: f64| bottom - ((place - low) / (high - low) * f64::from(bottom - top)).round() as i32;
        let right = bar_width();
        for step in 0..STEPS {
            let ends = [step, step + 1].map(|end| low + (high - low) * f64::from(end) / f64::from(STEPS));
            let fill = colour((ends[0] + ends[1]) / 2.0).filled();
            area.draw(&Rectangle::new([(0, y(ends[1])), (right, y(ends[0]))], fill))?;
        }
        let line = AXIS.stroke_width(stroke(AXIS_PT));
        let outline = vec![(0, top), (right, top), (right, bottom), (0, bottom), (0, top), (right, top)];
        area.draw(&PathElement::new(outline, line))?;
        for &tick in &self.axis.ticks {
            area.draw(&PathElement::new(vec![(right, y(tick)), (right + units(2.5), y(tick))], line))?;
            let at = (right + units(5.0), y(tick) + baseline_shift(TICK_PT));
            area.draw(&Text::new(self.axis.label(tick), at, letters(TICK_PT).pos(LEFT)))?;
        }
        let at = (0, top - units(1.2 * TICK_PT) + baseline_shift(TICK_PT));
        area.draw(&Text::new(self.title.as_str(), at, letters(TICK_PT).pos(LEFT)))
    }
}

fn bar_width() -> i32 {
    units(9.0)
}
