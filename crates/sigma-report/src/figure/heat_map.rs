//! A heat map of mean ΔU: real fractions upwards, generations to the right, one panel for each curve of the sweep, one
//! colour scale for all. A cell that contracts is cold, one that expands is warm and carries a mark, for readers
//! without colours.

use std::io;

use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, RGBColor, WHITE};

use super::axis::Axis;
use super::colour_bar::ColourBar;
use super::colour_map::diverging;
use super::panel::{Area, Drawn, document, letters, titled};
use super::style::*;
use crate::alpha::{AlphaCurve, AlphaSweep};

const RIGHT: Pos = Pos { h_pos: HPos::Right, v_pos: VPos::Center };
const CENTRE: Pos = Pos { h_pos: HPos::Center, v_pos: VPos::Center };
/// Height of a row of cells, and of a panel's rows together.
const ROW_IN: f64 = 0.3;
const ROWS_IN: (f64, f64) = (0.9, 2.4);
/// Of title, ticks and axis title.
const AROUND_IN: f64 = 0.62;
/// Panels beside each other.
const COLUMNS: usize = 2;
/// Where nothing was measured.
const NOTHING: RGBColor = RGBColor(205, 205, 205);

pub(super) struct Picture {
    panels: Vec<Panel>,
    generations: u32,
    bar: ColourBar,
    /// The largest distance from zero, on the bar's scale.
    limit: f64,
}

struct Panel {
    title: String,
    rows: Vec<Row>,
}

struct Row {
    alpha: f64,
    /// On the bar's scale.
    cells: Vec<Option<f64>>,
}

impl Picture {
    pub(super) fn of(sweep: &AlphaSweep) -> Picture {
        let drift = |point: &crate::alpha::AlphaPoint, t: u32| point.mean(t).and_then(|point| point.du_cov);
        let all = || {
            let points = sweep.curves.iter().flat_map(|curve| &curve.points);
            points.flat_map(|point| (0..=sweep.generation).filter_map(move |t| drift(point, t)))
        };
        let finite = || all().filter(|value| value.is_finite());
        let (low, high) = (finite().fold(0.0, f64::min), finite().fold(0.0, f64::max));
        let axis = Axis::between(low, high);
        let row = |point: &crate::alpha::AlphaPoint| Row {
            alpha: point.alpha,
            cells: (0..=sweep.generation).map(|t| axis.position(drift(point, t)?)).collect(),
        };
        let panel = |curve: &AlphaCurve| Panel { title: curve.label(), rows: curve.points.iter().map(row).collect() };
        let panels = sweep.curves.iter().map(panel).collect();
        let limit = axis.low.abs().max(axis.high.abs());
        let bar = ColourBar { title: format!("ΔU ({})", axis.unit("nats")), axis };
        Picture { panels, generations: sweep.generation, bar, limit }
    }

    pub(super) fn svg(&self) -> Result<String, DrawingAreaErrorKind<io::Error>> {
        let columns = self.panels.len().clamp(1, COLUMNS);
        let rows = self.panels.len().div_ceil(columns).max(1);
        let most = self.panels.iter().map(|panel| panel.rows.len()).max().unwrap_or(1);
        let height = rows as f64 * ((ROW_IN * most as f64).clamp(ROWS_IN.0, ROWS_IN.1) + AROUND_IN);
        let width = if columns == 1 { SINGLE_WIDTH_IN } else { DOUBLE_WIDTH_IN };
        document(width, (height * 100.0).round() / 100.0, |root| {
            let all = root.dim_in_pixel().0 as i32;
            let (body, strip) = root.split_horizontally(all - self.bar.width());
            for (index, (panel, area)) in self.panels.iter().zip(body.split_evenly((rows, columns))).enumerate() {
                self.draw(panel, &area, index % columns == 0)?;
            }
            let (_, total) = strip.dim_in_pixel();
            let (top, bottom) = (units(1.6 * TITLE_PT + MARGIN_PT), (total as i32) / rows as i32 - below());
            self.bar.draw(&strip, top, bottom, |place| diverging(place / self.limit))
        })
    }

    fn draw(&self, panel: &Panel, area: &Area, first_in_row: bool) -> Drawn {
        let labels = panel.rows.iter().map(|row| text_width(&row.alpha.to_string(), TICK_PT)).max().unwrap_or(0);
        let title = if first_in_row { units(1.4 * AXIS_TITLE_PT) } else { 0 };
        let left = units(MARGIN_PT) + title + labels + units(6.0);
        let plot = titled(area, Some(&panel.title), left)?;
        let (width, height) = plot.dim_in_pixel();
        let (right, top, bottom) = (width as i32 - units(3.0 * MARGIN_PT), units(MARGIN_PT), height as i32 - below());
        let (columns, rows) = (i64::from(self.generations) + 1, panel.rows.len().max(1) as i64);
        let x = |column: i64| left + (i64::from(right - left) * column / columns) as i32;
        let y = |row: i64| bottom - (i64::from(bottom - top) * row / rows) as i32;
        let line = AXIS.stroke_width(stroke(AXIS_PT));
        for (at, row) in (0..).zip(&panel.rows) {
            for (t, cell) in (0..).zip(&row.cells) {
                let corners = [(x(t), y(at + 1)), (x(t + 1), y(at))];
                let fill = cell.map_or(NOTHING, |value| diverging(value / self.limit));
                plot.draw(&Rectangle::new(corners, fill.filled()))?;
                if cell.is_some_and(|value| value > 0.0) {
                    draw_mark(&plot, corners)?;
                }
            }
            if at > 0 {
                // Rows are other experiments and not neighbours in time.
                plot.draw(&PathElement::new(vec![(left, y(at)), (right, y(at))], WHITE.stroke_width(stroke(AXIS_PT))))?;
            }
            let middle = (y(at) + y(at + 1)) / 2;
            plot.draw(&PathElement::new(vec![(left - units(2.5), middle), (left, middle)], line))?;
            let at = (left - units(5.0), middle + baseline_shift(TICK_PT));
            plot.draw(&Text::new(row.alpha.to_string(), at, letters(TICK_PT).pos(RIGHT)))?;
        }
        let ticks = Axis::generations(self.generations);
        for &tick in &ticks.ticks {
            let middle = (x(tick as i64) + x(tick as i64 + 1)) / 2;
            plot.draw(&PathElement::new(vec![(middle, bottom), (middle, bottom + units(2.5))], line))?;
            let at = (middle, bottom + units(2.5 + 0.75 * TICK_PT));
            plot.draw(&Text::new(ticks.label(tick), at, letters(TICK_PT).pos(CENTRE)))?;
        }
        let outline = vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top), (right, top)];
        plot.draw(&PathElement::new(outline, line))?;
        let at = ((left + right) / 2, bottom + units(2.5 + 1.4 * TICK_PT + 0.7 * AXIS_TITLE_PT));
        plot.draw(&Text::new("generation", at, letters(AXIS_TITLE_PT).pos(CENTRE)))?;
        if first_in_row {
            let turned = letters(AXIS_TITLE_PT).transform(FontTransform::Rotate270).pos(CENTRE);
            plot.draw(&Text::new("real fraction α", (units(0.9 * AXIS_TITLE_PT), (top + bottom) / 2), turned))?;
        }
        Ok(())
    }
}

/// A small cross in the middle of a cell.
fn draw_mark(area: &Area, [(left, top), (right, bottom)]: [(i32, i32); 2]) -> Drawn {
    let (x, y) = ((left + right) / 2, (top + bottom) / 2);
    let half = units(1.6).min((right - left) / 3).max(1);
    let line = INK.stroke_width(stroke(GRID_PT));
    area.draw(&PathElement::new(vec![(x - half, y), (x + half, y)], line))?;
    area.draw(&PathElement::new(vec![(x, y - half), (x, y + half)], line))
}

/// Room below the cells.
fn below() -> i32 {
    units(2.5 + 1.4 * TICK_PT + 1.4 * AXIS_TITLE_PT + MARGIN_PT)
}
