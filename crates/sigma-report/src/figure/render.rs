//! SVG to PDF and PNG. Both come from one parsed tree, so they cannot differ in what they show. What the picture is of
//! is not known.

use std::error::Error;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, Tree};
use svg2pdf::{ConversionOptions, PageOptions};

use super::font;
use super::style::UNITS_PER_INCH;

/// CSS pixels per inch, by which SVG lengths in inches are read.
const CSS_DPI: f32 = 96.0;

pub(super) type Cause = Box<dyn Error + Send + Sync>;

pub(super) fn parse(svg: &str) -> Result<Tree, usvg::Error> {
    let options = usvg::Options { dpi: CSS_DPI, fontdb: font::database(), ..usvg::Options::default() };
    Tree::from_str(svg, &options)
}

/// Text stays text, in an embedded subset of the font.
pub(super) fn pdf(tree: &Tree) -> Result<Vec<u8>, Cause> {
    svg2pdf::to_pdf(tree, ConversionOptions::default(), PageOptions { dpi: CSS_DPI })
        .map_err(|error| error.to_string().into())
}

pub(super) fn png(tree: &Tree) -> Result<Vec<u8>, Cause> {
    let scale = UNITS_PER_INCH as f32 / CSS_DPI;
    let size = tree.size().to_int_size().scale_by(scale).ok_or("the picture has no area")?;
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or("the picture has no area")?;
    resvg::render(tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    Ok(pixels.encode_png()?)
}
