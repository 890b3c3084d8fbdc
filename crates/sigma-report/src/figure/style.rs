//! How every figure looks: print sizes, colours, line widths, letter sizes. Nothing here draws.
//!
//! Drawing happens on a grid of 300 units per inch, because plotters places things on whole units; at that grain
//! nothing shows.

use plotters::style::RGBColor;

/// Grid units per inch, and pixels per inch of the PNG.
pub(super) const UNITS_PER_INCH: u32 = 300;

/// Width of a text column of the usual one-column styles.
pub(super) const SINGLE_WIDTH_IN: f64 = 5.5;
/// Two panels side by side.
pub(super) const DOUBLE_WIDTH_IN: f64 = 7.0;
pub(super) const HEIGHT_IN: f64 = 3.25;

pub(super) const TITLE_PT: f64 = 9.5;
pub(super) const AXIS_TITLE_PT: f64 = 9.0;
pub(super) const LEGEND_PT: f64 = 8.5;
pub(super) const TICK_PT: f64 = 8.0;

pub(super) const LINE_PT: f64 = 1.2;
pub(super) const AXIS_PT: f64 = 0.6;
pub(super) const GRID_PT: f64 = 0.4;
pub(super) const DASH_PT: f64 = 4.0;
pub(super) const DASH_GAP_PT: f64 = 2.0;
/// Half the extent of a marker.
pub(super) const MARKER_PT: f64 = 1.7;
/// The same of the circle in place of a marker where n or n_A is not that of t = 0.
pub(super) const HOLLOW_PT: f64 = 1.9;
/// Of the upright line at an onset.
pub(super) const ONSET_DASH_PT: f64 = 1.5;
/// Half the extent of a single seed's dot, and how much of its line's colour it has.
pub(super) const DOT_PT: f64 = 1.0;
pub(super) const DOT_TINT: f64 = 0.5;
/// Markers come no closer than this.
pub(super) const MARKER_SPACING_PT: f64 = 7.0;
/// Around a panel.
pub(super) const MARGIN_PT: f64 = 4.0;

/// Colours of Okabe and Ito, which stay apart for colour-blind readers; the page has the same ones.
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const VERMILLION: RGBColor = RGBColor(213, 94, 0);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const PURPLE: RGBColor = RGBColor(204, 121, 167);
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(super) const SKY: RGBColor = RGBColor(86, 180, 233);

pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
pub(super) const AXIS: RGBColor = RGBColor(90, 90, 90);
pub(super) const ZERO: RGBColor = RGBColor(150, 150, 150);
pub(super) const GRID: RGBColor = RGBColor(224, 224, 224);

/// How much of its line's colour an interval has.
pub(super) const TINT: f64 = 0.2;
/// The same of a noise floor, which lies behind everything.
pub(super) const FLOOR_TINT: f64 = 0.1;
/// The same of control chains, which lie upon that.
pub(super) const CONTROL_TINT: f64 = 0.16;
/// Half the width of the caps of a whisker.
pub(super) const WHISKER_CAP_PT: f64 = 1.6;

/// How far a character of the figure font moves on, as a fraction of its size and on the generous side: room for text
/// is reserved with it.
fn advance_em(character: char) -> f64 {
    match character {
        ' ' | ',' | '.' | ':' | ';' | '\'' | '|' | '(' | ')' | 'i' | 'j' | 'l' | 'I' => 0.32,
        'f' | 'r' | 't' | '-' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' => 0.95,
        _ if character.is_uppercase() => 0.72,
        _ => 0.6,
    }
}

/// A colour of which `share` is left, the rest white: opaque, because svg2pdf writes several transparencies in the
/// order of a hash table, that is, in another order every time.
pub(super) fn tint(RGBColor(red, green, blue): RGBColor, share: f64) -> RGBColor {
    let mixed = |part: u8| (255.0 - share * (255.0 - f64::from(part))).round() as u8;
    RGBColor(mixed(red), mixed(green), mixed(blue))
}

/// Points as grid units.
pub(super) fn units(points: f64) -> i32 {
    (points / 72.0 * f64::from(UNITS_PER_INCH)).round() as i32
}

pub(super) fn inches(inches: f64) -> u32 {
    (inches * f64::from(UNITS_PER_INCH)).round() as u32
}

/// A stroke width; plotters takes whole units.
pub(super) fn stroke(points: f64) -> u32 {
    units(points).unsigned_abs().max(1)
}

/// What to ask plotters for to get letters of `points`: its SVG backend divides by 1.24.
pub(super) fn font_size(points: f64) -> f64 {
    1.24 * f64::from(units(points))
}

/// How far to lower text so that its digits are centred: plotters centres on half the x-height, and digits are taller.
pub(super) fn baseline_shift(points: f64) -> i32 {
    units(0.1 * points)
}

/// About how wide `text` will be.
pub(super) fn text_width(text: &str, points: f64) -> i32 {
    (text.chars().map(advance_em).sum::<f64>() * f64::from(units(points))).ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_colours_of_the_figures_in_their_order() {
        let page = include_str!("../page/page.css");
        for (index, RGBColor(red, green, blue)) in
            [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY].into_iter().enumerate()
        {
            let line = format!("--line-{index}: #{red:02x}{green:02x}{blue:02x};");
            assert!(page.contains(&line), "{line}");
        }
    }
}
