//! The one legend of a figure, in a strip of its own above the panels, where it can cover no data. It takes as many
//! rows as its entries need.

use plotters::element::{Circle, DashedPathElement, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

use super::line::{Line, draw_hollow, draw_marker, draw_path};
use super::panel::{Area, Drawn, letters};
use super::style::*;

pub(super) const LEFT: Pos = Pos { h_pos: HPos::Left, v_pos: VPos::Center };

/// What a hollow point says.
pub(super) const DIFFERS: &str = "n or n_A not as at t = 0";

/// What stands for an entry, left of its words.
#[derive(Clone, Copy)]
pub(super) enum Key<'a> {
    Line(&'a Line),
    Sign(&'a Sign),
}

/// An entry that is no line.
#[derive(Clone, PartialEq)]
pub(super) struct Sign {
    pub(super) label: String,
    pub(super) shape: Shape,
}

#[derive(Clone, PartialEq)]
pub(super) enum Shape {
    /// An area of each of these colours, so strong.
    Areas { colours: Vec<RGBColor>, tint: f64 },
    /// A whisker of each of these colours.
    Whiskers(Vec<RGBColor>),
    /// A dot of each of these colours.
    Dots(Vec<RGBColor>),
    /// A hollow point.
    Hollow,
    /// The upright line at an onset.
    Upright,
}

/// Entries with their places.
pub(super) struct Legend<'a> {
    entries: Vec<(Key<'a>, Place)>,
}

#[derive(Clone, Copy)]
struct Place {
    x: i32,
    row: i32,
}

impl<'a> Legend<'a> {
    /// The entries for `keys` between `left` and `right`; one that is too long for any row has a row of its own.
    pub(super) fn of(keys: impl IntoIterator<Item = Key<'a>>, left: i32, right: i32) -> Legend<'a> {
        let mut at = Place { x: left, row: 0 };
        let mut entries = Vec::new();
        for key in keys {
            let width = dash() + gap() + text_width(key.label(), LEGEND_PT);
            if at.x > left && at.x + width > right {
                at = Place { x: left, row: at.row + 1 };
            }
            entries.push((key, at));
            at.x += width + units(8.0);
        }
        Legend { entries }
    }

    pub(super) fn height(&self) -> i32 {
        let rows = self.entries.last().map_or(0, |(_, place)| place.row);
        units(2.4 * LEGEND_PT) + rows * row_height()
    }

    pub(super) fn draw(&self, area: &Area) -> Drawn {
        for (key, Place { x, row }) in &self.entries {
            let middle = units(1.5 * LEGEND_PT) + row * row_height();
            match key {
                Key::Line(line) => {
                    draw_path(area, vec![(*x, middle), (x + dash(), middle)], line)?;
                    draw_marker(area, (x + dash() / 2, middle), line)?;
                }
                Key::Sign(sign) => sign.draw(area, *x, middle)?,
            }
            let at = (x + dash() + gap(), middle + baseline_shift(LEGEND_PT));
            area.draw(&Text::new(key.label(), at, letters(LEGEND_PT).pos(LEFT)))?;
        }
        Ok(())
    }
}

impl<'a> Key<'a> {
    fn label(&self) -> &'a str {
        match self {
            Key::Line(line) => line.label.as_str(),
            Key::Sign(sign) => sign.label.as_str(),
        }
    }
}

impl Sign {
    /// The sign of both: what has the same label has the colours of both.
    pub(super) fn merged(&mut self, other: &Sign) {
        let (colours, more) = match (&mut self.shape, &other.shape) {
            (Shape::Areas { colours, .. }, Shape::Areas { colours: more, .. })
            | (Shape::Whiskers(colours), Shape::Whiskers(more))
            | (Shape::Dots(colours), Shape::Dots(more)) => (colours, more),
            _ => return,
        };
        more.iter().for_each(|colour| {
            if !colours.contains(colour) {
                colours.push(*colour)
            }
        });
    }

    /// Between `left` and `left` + dash, around `middle`.
    fn draw(&self, area: &Area, left: i32, middle: i32) -> Drawn {
        let half = units(0.42 * LEGEND_PT);
        match &self.shape {
            Shape::Areas { colours, tint: share } => {
                let width = dash() / (colours.len().max(1) as i32);
                for (index, colour) in colours.iter().enumerate() {
                    let from = left + index as i32 * width;
                    let corners = [(from, middle - half), (from + width, middle + half)];
                    area.draw(&Rectangle::new(corners, tint(*colour, *share).filled()))?;
                }
                Ok(())
            }
            Shape::Dots(colours) => {
                for (index, colour) in (1..).zip(colours) {
                    let x = left + index * dash() / (colours.len() as i32 + 1);
                    area.draw(&Circle::new((x, middle), units(DOT_PT), tint(*colour, DOT_TINT).filled()))?;
                }
                Ok(())
            }
            Shape::Hollow => draw_hollow(area, (left + dash() / 2, middle), INK),
            Shape::Upright => {
                let x = left + dash() / 2;
                let ends = vec![(x, middle - half), (x, middle + half)];
                let style = INK.stroke_width(stroke(GRID_PT));
                area.draw(&DashedPathElement::new(ends, units(ONSET_DASH_PT), units(ONSET_DASH_PT), style))
            }
            Shape::Whiskers(colours) => {
                let cap = units(WHISKER_CAP_PT);
                for (index, colour) in (1..).zip(colours) {
                    let line = colour.stroke_width(stroke(GRID_PT));
                    let x = left + index * dash() / (colours.len() as i32 + 1);
                    for y in [middle - half, middle + half] {
                        area.draw(&PathElement::new(vec![(x - cap, y), (x + cap, y)], line))?;
                    }
                    area.draw(&PathElement::new(vec![(x, middle - half), (x, middle + half)], line))?;
                }
                Ok(())
            }
        }
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
