//! Panels: axes, a thin grid, intervals as areas or whiskers, lines with markers. It knows nothing of what the lines
//! mean.

use std::io;
use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, DashedPathElement, EmptyElement, PathElement, Polygon, Text};
use plotters::prelude::{Cartesian2d, SVGBackend};
use plotters::style::{Color, FontFamily, FontStyle, IntoFont, RGBColor, TextStyle, WHITE};

use super::axis::Axis;
use super::legend::{Key, LEFT, Legend, Sign};
use super::line::{Line, draw_line, marker_stride};
use super::style::*;

pub(super) struct Panel {
    pub(super) title: Option<String>,
    pub(super) y_title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// A line at zero, for data that have a sign.
    pub(super) zero_line: bool,
    /// Areas behind the lines.
    pub(super) bands: Vec<Band>,
    /// Intervals around single points, behind the lines too.
    pub(super) whiskers: Option<Band>,
    pub(super) lines: Vec<Line>,
    /// Single values beside the lines: generation, value.
    pub(super) dots: Vec<Dots>,
    /// From where on a line is beyond the noise.
    pub(super) onset: Option<u32>,
    /// What areas, whiskers and marks are, for the legend.
    pub(super) signs: Vec<Sign>,
}

/// Values that no line joins.
pub(super) struct Dots {
    pub(super) colour: RGBColor,
    pub(super) points: Vec<(u32, f64)>,
}

/// An interval around a line, in a tint of its colour; interrupted where there is none.
pub(super) struct Band {
    pub(super) colour: RGBColor,
    /// How much of the colour it has.
    pub(super) tint: f64,
    /// Generation, low end, high end.
    pub(super) points: Vec<(u32, Option<(f64, f64)>)>,
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;
pub(super) type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// Draws `panels` row by row, `columns` of them beside each other, as an SVG document of `width` by `height` inches.
/// The legend has every label once, and what else any panel shows.
pub(super) fn draw_svg(
    panels: &[Panel],
    columns: usize,
    width_in: f64,
    height_in: f64,
) -> Result<String, DrawingAreaErrorKind<io::Error>> {
    document(width_in, height_in, |root| {
        let width = root.dim_in_pixel().0;
        let (lines, signs) = (key_lines(panels), signs(panels));
        let legend = panels.first().map(|first| {
            let keys = lines.into_iter().map(Key::Line).chain(signs.iter().map(Key::Sign));
            Legend::of(keys, left_of_data(&first.y), width as i32)
        });
        let (strip, body) = root.split_vertically(legend.as_ref().map_or(0, Legend::height));
        if let Some(legend) = legend {
            legend.draw(&strip)?;
        }
        let columns = columns.max(1);
        let rows = panels.len().div_ceil(columns).max(1);
        for (panel, area) in panels.iter().zip(body.split_evenly((rows, columns))) {
            panel.draw(&area)?;
        }
        Ok(())
    })
}

/// Of every label the first line.
fn key_lines(panels: &[Panel]) -> Vec<&Line> {
    let mut found: Vec<&Line> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if found.iter().all(|known| known.label != line.label) {
            found.push(line);
        }
    }
    found
}

/// Of every label one, in the order in which they are met.
fn signs(panels: &[Panel]) -> Vec<Sign> {
    let mut found: Vec<Sign> = Vec::new();
    for sign in panels.iter().flat_map(|panel| &panel.signs) {
        match found.iter_mut().find(|known| known.label == sign.label) {
            Some(known) => known.merged(sign),
            None => found.push(sign.clone()),
        }
    }
    found
}

/// An SVG document of `width` by `height` inches with white ground and what `draw` puts on it.
pub(super) fn document(
    width_in: f64,
    height_in: f64,
    draw: impl FnOnce(&Area) -> Drawn,
) -> Result<String, DrawingAreaErrorKind<io::Error>> {
    let mut svg = String::new();
    let (width, height) = (inches(width_in), inches(height_in));
    {
        let root = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        root.fill(&WHITE)?;
        draw(&root)?;
        root.present()?;
    }
    // plotters counts in pixels; the document has a size on paper.
    let grid = format!("width=\"{width}\" height=\"{height}\"");
    Ok(svg.replacen(&grid, &format!("width=\"{width_in}in\" height=\"{height_in}in\""), 1))
}

/// `area` below its title, if it has one.
pub(super) fn titled<'a>(
    area: &Area<'a>,
    title: Option<&str>,
    left: i32,
) -> Result<Area<'a>, DrawingAreaErrorKind<io::Error>> {
    let Some(title) = title else { return Ok(area.clone()) };
    let (strip, plot) = area.split_vertically(units(1.6 * TITLE_PT));
    let at = (left, units(0.8 * TITLE_PT) + baseline_shift(TITLE_PT));
    strip.draw(&Text::new(title, at, letters(TITLE_PT).pos(LEFT)))?;
    Ok(plot)
}

/// Axes with a thin grid, to draw on.
pub(super) fn axes<'a>(
    plot: &Area<'a>,
    (x, x_title): (&Axis, &str),
    (y, y_title): (&Axis, &str),
) -> Result<Chart<'a, 'static>, DrawingAreaErrorKind<io::Error>> {
    let mut chart = ChartBuilder::on(plot)
        .margin(units(MARGIN_PT))
        .margin_right(units(2.0 * MARGIN_PT))
        .x_label_area_size(units(1.9 * TICK_PT + 1.3 * AXIS_TITLE_PT))
        .y_label_area_size(label_area(y))
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .bold_line_style(GRID.stroke_width(stroke(GRID_PT)))
        .axis_style(AXIS.stroke_width(stroke(AXIS_PT)))
        .set_all_tick_mark_size(units(2.5))
        .label_style(letters(TICK_PT))
        .y_label_offset(baseline_shift(TICK_PT))
        .axis_desc_style(letters(AXIS_TITLE_PT))
        .x_desc(x_title)
        .y_desc(y_title)
        .draw()?;
    Ok(chart)
}

/// A line at zero, for data that have a sign.
pub(super) fn draw_zero(chart: &Chart, x: &Axis) -> Drawn {
    let ends = vec![(x.low, 0.0), (x.high, 0.0)];
    chart.plotting_area().draw(&PathElement::new(ends, ZERO.stroke_width(stroke(AXIS_PT))))
}

/// Where the data begin.
pub(super) fn left_of_data(y: &Axis) -> i32 {
    units(MARGIN_PT) + label_area(y)
}

/// Room left of the axis: the widest label, the tick, the title.
fn label_area(y: &Axis) -> i32 {
    let labels = y.ticks.iter().map(|&tick| text_width(&y.label(tick), TICK_PT));
    labels.max().unwrap_or(0) + units(8.0) + units(1.4 * AXIS_TITLE_PT)
}

impl Panel {
    /// Lines of drifts over the generations up to `last`, around zero, with nothing behind them. `what` is on the y
    /// axis, in nats.
    pub(super) fn of_drifts(title: Option<String>, what: &str, last: u32, lines: Vec<Line>) -> Panel {
        let values = lines.iter().flat_map(|line| &line.points).filter_map(|(_, value)| *value);
        let y = Axis::around(values, true);
        Panel {
            title,
            y_title: format!("{what} ({})", y.unit("nats")),
            x: Axis::generations(last),
            y,
            zero_line: true,
            bands: Vec::new(),
            whiskers: None,
            lines,
            dots: Vec::new(),
            onset: None,
            signs: Vec::new(),
        }
    }

    fn draw(&self, area: &Area) -> Drawn {
        let plot = titled(area, self.title.as_deref(), left_of_data(&self.y))?;
        let chart = axes(&plot, (&self.x, "generation"), (&self.y, &self.y_title))?;
        for band in &self.bands {
            self.draw_band(&chart, band)?;
        }
        if self.zero_line {
            draw_zero(&chart, &self.x)?;
        }
        if let Some(onset) = self.onset {
            let ends = vec![(f64::from(onset), self.y.low), (f64::from(onset), self.y.high)];
            let style = INK.stroke_width(stroke(GRID_PT));
            chart.plotting_area().draw(&DashedPathElement::new(
                ends,
                units(ONSET_DASH_PT),
                units(ONSET_DASH_PT),
                style,
            ))?;
        }
        if let Some(whiskers) = &self.whiskers {
            self.draw_whiskers(&chart, whiskers)?;
        }
        for dots in &self.dots {
            for (generation, value) in &dots.points {
                let Some(value) = self.y.position(*value) else { continue };
                let dot = Circle::new((0, 0), units(DOT_PT), tint(dots.colour, DOT_TINT).filled());
                chart.plotting_area().draw(&(EmptyElement::at((f64::from(*generation), value)) + dot))?;
            }
        }
        for line in &self.lines {
            draw_line(&chart, &self.y, line)?;
        }
        Ok(())
    }

    fn draw_band(&self, chart: &Chart, band: &Band) -> Drawn {
        let place = |&(generation, ends): &(u32, Option<(f64, f64)>)| {
            let (low, high) = ends?;
            Some((f64::from(generation), self.y.position(low)?, self.y.position(high)?))
        };
        let places: Vec<Option<(f64, f64, f64)>> = band.points.iter().map(place).collect();
        for run in places.split(Option::is_none).filter(|run| run.len() > 1) {
            let there = run.iter().flatten().map(|&(x, low, _)| (x, low));
            let back = run.iter().rev().flatten().map(|&(x, _, high)| (x, high));
            let outline: Vec<(f64, f64)> = there.chain(back).collect();
            chart.plotting_area().draw(&Polygon::new(outline, tint(band.colour, band.tint).filled()))?;
        }
        Ok(())
    }

    fn draw_whiskers(&self, chart: &Chart, whiskers: &Band) -> Drawn {
        let plane = chart.plotting_area();
        let line = tint(whiskers.colour, whiskers.tint).stroke_width(stroke(GRID_PT));
        // On the points that have markers.
        let stride = marker_stride(whiskers.points.len(), plane.dim_in_pixel().0);
        for (generation, ends) in whiskers.points.iter().step_by(stride) {
            let ends = ends.and_then(|(low, high)| Some([self.y.position(low)?, self.y.position(high)?]));
            let Some([low, high]) = ends else { continue };
            let x = f64::from(*generation);
            plane.draw(&PathElement::new(vec![(x, low), (x, high)], line))?;
            for end in [low, high] {
                let cap = PathElement::new(vec![(-units(WHISKER_CAP_PT), 0), (units(WHISKER_CAP_PT), 0)], line);
                plane.draw(&(EmptyElement::at((x, end)) + cap))?;
            }
        }
        Ok(())
    }
}

/// To plotters an axis is a coordinate with our ticks and labels instead of its own.
impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        start + (share * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Grid lines between ticks would only be ink.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, tick: &f64) -> String {
        self.label(*tick)
    }
}

pub(super) fn letters(points: f64) -> TextStyle<'static> {
    TextStyle::from((FontFamily::SansSerif, font_size(points), FontStyle::Normal).into_font()).color(&INK)
}
