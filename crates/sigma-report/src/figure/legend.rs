//! The one legend of a figure, in a strip of its own above the panels, where it can cover no data. It takes as many rows as its
//! entries need.

use plotters::element::Text;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::panel::{Area, Drawn, Line, draw_marker, draw_path, letters};
use super::style::*;

pub(super) const LEFT: Pos = Pos { h_pos: HPos::Left, v_pos: VPos::Center };

/// Entries with their places.
pub(super) struct Legend<'a> {
    entries: Vec<(&'a Line, Place)>,
}

#[derive(Clone, Copy)]
struct Place {
    x: i32,
    row: i32,
}

impl<'a> Legend<'a> {
    /// The entries of `lines` between `left` and `right`; one that is too long for any row has a row of its own.
    pub(super) fn of(lines: &'a [Line], left: i32, right: i32) -> Legend<'a> {
        let mut at = Place { x: left, row: 0 };
        let mut entries = Vec::new();
        for line in lines {
            let width = dash() + gap() + text_width(&line.label, LEGEND_PT);
            if at.x > left && at.x + width > right {
                at = Place { x: left, row: at.row + 1 };
            }
            entries.push((line, at));
            at.x += width + units(10.0);
        }
        Legend { entries }
    }

    pub(super) fn height(&self) -> i32 {
        let rows = self.entries.last().map_or(0, |(_, place)| place.row);
        units(2.4 * LEGEND_PT) + rows * row_height()
    }

    pub(super) fn draw(&self, area: &Area) -> Drawn {
        for (line, Place { x, row }) in &self.entries {
            let middle = units(1.5 * LEGEND_PT) + row * row_height();
            draw_path(area, vec![(*x, middle), (x + dash(), middle)], line)?;
            draw_marker(area, (x + dash() / 2, middle), line)?;
            let at = (x + dash() + gap(), middle + baseline_shift(LEGEND_PT));
            area.draw(&Text::new(line.label.as_str(), at, letters(LEGEND_PT).pos(LEFT)))?;
        }
        Ok(())
    }
}

fn dash() -> i32 {
    units(18.0)
}

fn gap() -> i32 {
    units(4.0)
}

fn row_height() -> i32 {
    units(1.5 * LEGEND_PT)
}
