//! Measured beside published: a column for each track, and under both the rows behind every point. No line crosses a
//! checkpoint where the tail budget goes to 0 or leaves it, because Track I changes its normalisation there; where only
//! some checkpoints have all rows observed, those are shaded, and Track I has a second panel without them. The
//! published n_t are recovered elsewhere.

use std::io;

use plotters::chart::ChartBuilder;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::Rectangle;
use plotters::style::{Color, RGBColor};

use super::axis::Axis;
use super::legend::{Key, Legend, Shape, Sign};
use super::line::{Line, Marker, draw_line};
use super::panel::{Area, Chart, Drawn, document, draw_zero, left_of_data, letters, titled};
use super::style::*;
use crate::condition::Condition;
use crate::published::PublishedPoint;
use crate::published_rows::stretches;
use crate::published_tables::{every_row_observed, measured_rows};
use crate::series::SeriesPoint;

/// Height of the strip with the rows, its axis included.
const STRIP_IN: f64 = 1.15;
/// Added where Track I has two panels above each other.
const SECOND_PANEL_IN: f64 = 1.2;
const SHADE_TINT: f64 = 0.08;

type Measured = fn(&SeriesPoint) -> Option<f64>;
type Printed = fn(&PublishedPoint) -> Option<f64>;

pub(super) struct Picture {
    x: Axis,
    columns: [Column; 2],
    rows: Panel,
    /// First and last generation of every stretch with all rows observed, where not all have them.
    shades: Vec<(u32, u32)>,
}

struct Column {
    title: &'static str,
    panels: Vec<Panel>,
}

struct Panel {
    y: Axis,
    y_title: String,
    lines: Vec<Line>,
    zero_line: bool,
}

impl Picture {
    pub(super) fn of(condition: &Condition, published: &[PublishedPoint]) -> Picture {
        let last = condition.mean.points.last().map_or(0, |point| point.generation);
        let stretches: Vec<&[PublishedPoint]> = stretches(published).collect();
        let ends = |stretch: &&[PublishedPoint]| Some((stretch.first()?.generation, stretch.last()?.generation));
        let observed = stretches.iter().filter(|stretch| stretch.iter().all(|point| point.rows.is_some()));
        let shades: Vec<(u32, u32)> =
            if stretches.len() > 1 { observed.filter_map(ends).collect() } else { Vec::new() };

        let measured = MeasuredRun::of(condition);
        let both = |track: Measured, printed: Printed| -> Vec<Line> {
            let mut lines = measured.lines("measured", Marker::Circle, BLUE, track, |_| true);
            lines.extend(stretches.iter().map(|stretch| published_line(stretch, printed)));
            lines
        };
        let mut track_two = both(|point| point.du_cov, |point| Some(point.du_cov));
        let full = |point: &SeriesPoint| point.du_cov_full;
        if measured.rows.iter().any(|rows| !rows.all_observed) {
            track_two.extend(measured.lines("measured, every row observed", Marker::Triangle, GREEN, full, |_| true));
        }
        let mut track_one = vec![Panel::of_drifts("ΔG", both(|point| point.dg_kf, |point| Some(point.dg_kf)))];
        if !shades.is_empty() {
            let mut lines =
                measured.lines("measured", Marker::Circle, BLUE, |point| point.dg_kf, |t| measured.as_base(t));
            let rest = stretches.iter().filter(|stretch| stretch.iter().all(|point| point.rows.is_none()));
            lines.extend(rest.map(|stretch| published_line(stretch, |point| Some(point.dg_kf))));
            track_one.push(Panel::of_drifts("ΔG where β > 0", lines));
        }
        Picture {
            x: Axis::generations(published.iter().map(|point| point.generation).fold(last, u32::max)),
            columns: [
                Column { title: "Track II, ΔU", panels: vec![Panel::of_drifts("ΔU", track_two)] },
                Column { title: "Track I, ΔG", panels: track_one },
            ],
            rows: Panel::of_rows(&measured, &stretches),
            shades,
        }
    }

    pub(super) fn svg(&self) -> Result<String, DrawingAreaErrorKind<io::Error>> {
        let two = self.columns.iter().any(|column| column.panels.len() > 1);
        let height = HEIGHT_IN + STRIP_IN + if two { SECOND_PANEL_IN } else { 0.0 };
        document(DOUBLE_WIDTH_IN, height, |root| {
            let width = root.dim_in_pixel().0 as i32;
            let sign = Sign {
                label: "published with every row observed (β = 0)".to_owned(),
                shape: Shape::Areas { colours: vec![INK], tint: SHADE_TINT },
            };
            let keys = self.key_lines().into_iter().map(Key::Line);
            let keys = keys.chain((!self.shades.is_empty()).then_some(Key::Sign(&sign)));
            let legend = Legend::of(keys, self.left(&self.columns[0]), width);
            let (strip, body) = root.split_vertically(legend.height());
            legend.draw(&strip)?;
            for (column, area) in self.columns.iter().zip(body.split_evenly((1, self.columns.len()))) {
                self.draw_column(column, &area)?;
            }
            Ok(())
        })
    }

    /// Of every label the first line.
    fn key_lines(&self) -> Vec<&Line> {
        let mut keys: Vec<&Line> = Vec::new();
        for line in self.columns.iter().flat_map(|column| &column.panels).flat_map(|panel| &panel.lines) {
            if keys.iter().all(|key| key.label != line.label) {
                keys.push(line);
            }
        }
        keys
    }

    /// Where the data of all panels of a column begin, so that a generation stands above itself.
    fn left(&self, column: &Column) -> i32 {
        let panels = column.panels.iter().chain([&self.rows]);
        panels.map(|panel| left_of_data(&panel.y)).max().unwrap_or(0)
    }

    fn draw_column(&self, column: &Column, area: &Area) -> Drawn {
        let left = self.left(column);
        let plot = titled(area, Some(column.title), left)?;
        let height = plot.dim_in_pixel().1 as i32;
        let (above, strip) = plot.split_vertically(height - inches(STRIP_IN) as i32);
        for (panel, area) in column.panels.iter().zip(above.split_evenly((column.panels.len(), 1))) {
            self.draw_panel(panel, &area, left, None)?;
        }
        self.draw_panel(&self.rows, &strip, left, Some("generation"))
    }

    /// The labels of the x axis stand under the strip alone, whose title is `x_title`.
    fn draw_panel(&self, panel: &Panel, area: &Area, left: i32, x_title: Option<&str>) -> Drawn {
        let below = if x_title.is_some() { 1.9 * TICK_PT + 1.3 * AXIS_TITLE_PT } else { 0.6 * TICK_PT };
        let mut chart: Chart = ChartBuilder::on(area)
            .margin(units(MARGIN_PT))
            .margin_right(units(2.0 * MARGIN_PT))
            .x_label_area_size(units(below))
            .y_label_area_size(left - units(MARGIN_PT))
            .build_cartesian_2d(self.x.clone(), panel.y.clone())?;
        let (floor, roof) = (panel.y.low, panel.y.high);
        for (first, last) in &self.shades {
            // to the middle between two checkpoints, where the line breaks
            let (from, to) = ((f64::from(*first) - 0.5).max(self.x.low), (f64::from(*last) + 0.5).min(self.x.high));
            let shade = tint(INK, SHADE_TINT).filled();
            chart.plotting_area().draw(&Rectangle::new([(from, floor), (to, roof)], shade))?;
        }
        let mut mesh = chart.configure_mesh();
        let unlabelled = |_: &f64| String::new();
        mesh.bold_line_style(GRID.stroke_width(stroke(GRID_PT)))
            .axis_style(AXIS.stroke_width(stroke(AXIS_PT)))
            .set_all_tick_mark_size(units(2.5))
            .label_style(letters(TICK_PT))
            .y_label_offset(baseline_shift(TICK_PT))
            .axis_desc_style(letters(AXIS_TITLE_PT))
            .y_desc(&panel.y_title);
        match x_title {
            Some(title) => mesh.x_desc(title).draw()?,
            None => mesh.x_label_formatter(&unlabelled).draw()?,
        }
        if panel.zero_line {
            draw_zero(&chart, &self.x)?;
        }
        panel.lines.iter().try_for_each(|line| draw_line(&chart, &panel.y, line))
    }
}

impl Panel {
    fn of_drifts(track: &str, lines: Vec<Line>) -> Panel {
        let y = Axis::around(lines.iter().flat_map(|line| &line.points).filter_map(|(_, drift)| *drift), true);
        Panel { y_title: format!("{track} ({})", y.unit("nats")), y, lines, zero_line: true }
    }

    /// From zero where counts differ much; where they hardly do, that they do shall show.
    fn of_rows(measured: &MeasuredRun, stretches: &[&[PublishedPoint]]) -> Panel {
        let run = measured.rows.iter().map(|rows| (rows.generation, rows.n)).collect();
        let mut lines = vec![Line::plain("", BLUE, Marker::Circle, run)];
        let rows = |point: &PublishedPoint| point.rows.map(f64::from);
        lines.extend(stretches.iter().map(|stretch| published_line(stretch, rows)));
        let counts = || lines.iter().flat_map(|line| &line.points).filter_map(|(_, rows)| *rows);
        let (fewest, most) = (counts().fold(f64::INFINITY, f64::min), counts().fold(0.0, f64::max));
        let zero_line = fewest < most / 2.0;
        let mut y = Axis::around(counts(), zero_line);
        // a strip has room for the ends of its scale
        y.ticks = y.ticks.first().into_iter().chain(y.ticks.iter().skip(1).next_back()).copied().collect();
        Panel { y_title: "rows n".to_owned(), y, lines, zero_line }
    }
}

/// A condition with the rows behind its points.
struct MeasuredRun<'a> {
    points: &'a [SeriesPoint],
    /// One for each of `points`.
    rows: Vec<Rows>,
}

struct Rows {
    generation: u32,
    n: Option<f64>,
    /// Whether the tail budget is 0.
    all_observed: bool,
}

impl MeasuredRun<'_> {
    fn of<'a>(condition: &'a Condition) -> MeasuredRun<'a> {
        let rows = |point: &SeriesPoint| {
            let n = measured_rows(condition, point.generation, |sigma| sigma.n);
            Rows { generation: point.generation, n, all_observed: every_row_observed(condition, point.generation) }
        };
        MeasuredRun { points: &condition.mean.points, rows: condition.mean.points.iter().map(rows).collect() }
    }

    /// Whether the tail budget at point `t` is 0 if and only if it is at the first.
    fn as_base(&self, t: usize) -> bool {
        self.rows[t].all_observed == self.rows[0].all_observed
    }

    /// `track` in lines that no change of the tail budget to 0 or from it interrupts, over the points that `shown`
    /// holds for.
    fn lines(
        &self,
        label: &str,
        marker: Marker,
        colour: RGBColor,
        track: Measured,
        shown: impl Fn(usize) -> bool,
    ) -> Vec<Line> {
        let places: Vec<usize> = (0..self.points.len()).filter(|t| shown(*t)).collect();
        let stretches = places.chunk_by(|a, b| a + 1 == *b && self.rows[*a].all_observed == self.rows[*b].all_observed);
        let point = |t: &usize| (self.points[*t].generation, track(&self.points[*t]));
        let line = |stretch: &[usize]| Line::plain(label, colour, marker, stretch.iter().map(point).collect());
        stretches.map(line).collect()
    }
}

fn published_line(stretch: &[PublishedPoint], printed: Printed) -> Line {
    let points = stretch.iter().map(|point| (point.generation, printed(point))).collect();
    Line::plain("published", INK, Marker::OpenSquare, points)
}
