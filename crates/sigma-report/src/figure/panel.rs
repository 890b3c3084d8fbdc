//! Panels: axes, a thin grid, intervals as areas or whiskers, lines with markers. It knows nothing of what the lines mean.

use std::io;
use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::{CoordTranslate, Shift};
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, DashedPathElement, EmptyElement, PathElement, Polygon, Text};
use plotters::prelude::{Cartesian2d, SVGBackend};
use plotters::style::{Color, FontFamily, FontStyle, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE};

use super::axis::Axis;
use super::legend::{Key, LEFT, Legend, Sign};
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
    /// What areas and whiskers are, for the legend.
    pub(super) signs: Vec<Sign>,
}

/// An interval around a line, in a tint of its colour; interrupted where there is none.
pub(super) struct Band {
    pub(super) colour: RGBColor,
    /// How much of the colour it has.
    pub(super) tint: f64,
    /// Generation, low end, high end.
    pub(super) points: Vec<(u32, Option<(f64, f64)>)>,
}

pub(super) struct Line {
    pub(super) label: String,
    pub(super) colour: RGBColor,
    pub(super) marker: Marker,
    /// Generation and value; the line is interrupted where there is none.
    pub(super) points: Vec<(u32, Option<f64>)>,
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

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;
pub(super) type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// Draws `panels` row by row, `columns` of them beside each other, as an SVG document of `width` by `height` inches. The legend has
/// the lines of the first panel, and what else any panel shows.
pub(super) fn draw_svg(
    panels: &[Panel],
    columns: usize,
    width_in: f64,
    height_in: f64,
) -> Result<String, DrawingAreaErrorKind<io::Error>> {
    document(width_in, height_in, |root| {
        let width = root.dim_in_pixel().0;
        let signs = signs(panels);
        let legend = panels.first().map(|first| {
            let keys = first.lines.iter().map(Key::Line).chain(signs.iter().copied().map(Key::Sign));
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

/// Each once, in the order in which they are met.
fn signs(panels: &[Panel]) -> Vec<&Sign> {
    let mut found: Vec<&Sign> = Vec::new();
    for sign in panels.iter().flat_map(|panel| &panel.signs) {
        if !found.contains(&sign) {
            found.push(sign);
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
    fn draw(&self, area: &Area) -> Drawn {
        let plot = titled(area, self.title.as_deref(), left_of_data(&self.y))?;
        let chart = axes(&plot, (&self.x, "generation"), (&self.y, &self.y_title))?;
        for band in &self.bands {
            self.draw_band(&chart, band)?;
        }
        if self.zero_line {
            draw_zero(&chart, &self.x)?;
        }
        if let Some(whiskers) = &self.whiskers {
            self.draw_whiskers(&chart, whiskers)?;
        }
        for line in &self.lines {
            self.draw_line(&chart, line)?;
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

    fn draw_line(&self, chart: &Chart, line: &Line) -> Drawn {
        let plane = chart.plotting_area();
        let position =
            |&(generation, value): &(u32, Option<f64>)| Some((f64::from(generation), self.y.position(value?)?));
        let places: Vec<Option<(f64, f64)>> = line.points.iter().map(position).collect();
        let stride = marker_stride(places.len(), plane.dim_in_pixel().0);
        for (index, place) in places.iter().enumerate() {
            let alone = index.checked_sub(1).is_none_or(|before| places[before].is_none())
                && places.get(index + 1).is_none_or(Option::is_none);
            if let Some(place) = place
                && (index % stride == 0 || alone)
            {
                draw_marker(plane, *place, line)?;
            }
        }
        for run in places.split(Option::is_none).filter(|run| run.len() > 1) {
            draw_path(plane, run.iter().flatten().copied().collect(), line)?;
        }
        Ok(())
    }
}

/// Every how many points there is a marker, so that markers keep apart.
fn marker_stride(points: usize, width: u32) -> usize {
    let room = (f64::from(width) / f64::from(units(MARKER_SPACING_PT))).max(1.0);
    (points as f64 / room).ceil().max(1.0) as usize
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

pub(super) fn letters(points: f64) -> TextStyle<'static> {
    TextStyle::from((FontFamily::SansSerif, font_size(points), FontStyle::Normal).into_font()).color(&INK)
}
