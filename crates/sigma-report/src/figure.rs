//! The figures of a report, each as SVG, PDF and PNG. The SVG keeps its text as text in the generic `sans-serif`; PDF and PNG are made
//! from it with a font that the program brings along. A figure shows series and computes nothing beyond its axes.

mod axis;
mod font;
mod panel;
mod render;
mod style;
mod surface;
mod two_tracks;

use std::error::Error;
use std::path::{Path, PathBuf};

use crate::durable;
use crate::error::{ReportError, Result};
use crate::record::Setting;
use crate::series::RunSeries;
use panel::Panel;

/// A figure that can be saved in three formats.
pub struct Figure {
    panels: Vec<Panel>,
}

impl Figure {
    /// Drift of both tracks against generation, one panel for each run. A single run needs no title; its caption says what it is.
    pub fn two_tracks(runs: &[RunSeries]) -> Figure {
        Figure { panels: panels(runs, two_tracks::panel) }
    }

    /// Both tracks and the surface proxies, normalised, one panel for each run.
    pub fn surface_proxies(runs: &[RunSeries]) -> Figure {
        Figure { panels: panels(runs, surface::panel) }
    }

    /// The figure as SVG; `path` is for error messages.
    fn svg(&self, path: &Path) -> Result<String> {
        let width = if self.panels.len() > 1 { style::DOUBLE_WIDTH_IN } else { style::SINGLE_WIDTH_IN };
        panel::draw_svg(&self.panels, width, style::HEIGHT_IN).map_err(|error| failed("draw", path, error))
    }

    /// Writes `stem`.svg, `stem`.pdf and `stem`.png, and gives their paths.
    pub fn save(&self, stem: &Path) -> Result<Vec<PathBuf>> {
        // Not `with_extension`, which would cut a prefix such as `v1.2_s1`.
        let name = stem.file_name().unwrap_or_default().to_string_lossy();
        let paths = ["svg", "pdf", "png"].map(|extension| stem.with_file_name(format!("{name}.{extension}")));
        let [svg_path, pdf_path, png_path] = &paths;
        let svg = self.svg(svg_path)?;
        let tree = render::parse(&svg).map_err(|error| failed("read back", svg_path, error))?;
        let pdf = render::pdf(&tree).map_err(|error| failed("convert", pdf_path, error))?;
        let png = render::png(&tree).map_err(|error| failed("rasterise", png_path, error))?;
        durable::replace(svg_path, svg.as_bytes())?;
        durable::replace(pdf_path, &pdf)?;
        durable::replace(png_path, &png)?;
        Ok(paths.to_vec())
    }
}

fn panels(runs: &[RunSeries], panel: fn(&RunSeries, Option<String>) -> Panel) -> Vec<Panel> {
    let titled = runs.len() > 1;
    runs.iter().map(|run| panel(run, titled.then(|| panel_title(run.setting).to_owned()))).collect()
}

fn panel_title(setting: Setting) -> &'static str {
    match setting {
        Setting::S1 => "S1: restart from base",
        Setting::S2 => "S2: carry weights",
    }
}

fn failed(step: &'static str, path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> ReportError {
    ReportError::Figure { step, path: path.to_path_buf(), source: source.into() }
}
