//! The figures of a report, each as SVG, PDF and PNG. The SVG keeps its text as text in the generic `sans-serif`; PDF
//! and PNG are made from it with a font that the program brings along. A figure shows series and computes nothing
//! beyond its axes.

mod alpha;
mod axis;
mod buckets;
mod colour_bar;
mod colour_map;
mod font;
mod heat_map;
mod legend;
mod length;
mod line;
mod panel;
mod published;
mod published_buckets;
mod render;
mod spectrum;
mod style;
mod surface;
mod two_tracks;

use std::error::Error;
use std::path::Path;

use crate::alpha::AlphaSweep;
use crate::condition::Condition;
use crate::error::{ReportError, Result};
use crate::published::{PublishedBucket, PublishedPoint};
use crate::record::Setting;
use crate::series::RunSeries;
use crate::spectrum::Spectrum;
use panel::Panel;

/// A figure that can be saved in three formats.
pub struct Figure {
    drawing: Drawing,
}

enum Drawing {
    /// Lines over generations, row by row.
    Panels(Vec<Panel>),
    Alpha(alpha::Picture),
    HeatMap(heat_map::Picture),
    Published(published::Picture),
    Spectrum(spectrum::Picture),
}

/// Panels beside each other; more stand in further rows.
const COLUMNS: usize = 2;

impl Figure {
    fn lines(panels: Vec<Panel>) -> Figure {
        Figure { drawing: Drawing::Panels(panels) }
    }

    /// Drift of both tracks against generation, a row for each run and a panel for each track.
    pub fn two_tracks(runs: &[RunSeries]) -> Figure {
        let name = |run: &RunSeries| (runs.len() > 1).then(|| run.setting.title().to_owned());
        let rows: Vec<two_tracks::Row> = runs.iter().map(|run| two_tracks::Row::of_run(run, name(run))).collect();
        Figure::lines(two_tracks::panels(&rows))
    }

    /// The same for the means of conditions, with their intervals and the noise of the base, and the range of
    /// `control`.
    pub(crate) fn two_tracks_of(conditions: &[Condition], control: Option<&RunSeries>) -> Figure {
        let mut rows = Vec::new();
        for condition in conditions {
            let Condition { label, mean, members, floors, .. } = condition;
            let name = (conditions.len() > 1).then(|| label.clone());
            let seeds = members.iter().filter(|_| members.len() > 1).map(|member| &member.series).collect();
            let (floors, confidence) = (*floors, condition.confidence());
            rows.push(two_tracks::Row { seeds, floors, control, confidence, ..two_tracks::Row::of_run(mean, name) });
        }
        Figure::lines(two_tracks::panels(&rows))
    }

    /// Length of answers, stop rate, rows and empty answers over generations, a line for each condition.
    pub(crate) fn lengths(conditions: &[Condition]) -> Figure {
        Figure::lines(length::panels(conditions))
    }

    /// Both tracks and the surface proxies, normalised, one panel for each run.
    pub fn surface_proxies(runs: &[RunSeries]) -> Figure {
        let titled = runs.len() > 1;
        let panel = |run: &RunSeries| surface::panel(run, titled.then(|| panel_title(run.setting).to_owned()));
        Figure::lines(runs.iter().map(panel).collect())
    }

    /// The same for the means of conditions.
    pub(crate) fn surface_proxies_of(conditions: &[Condition]) -> Figure {
        let panel = |(condition, title): (&Condition, Option<String>)| surface::panel(&condition.mean, title);
        Figure::lines(conditions.iter().zip(titles(conditions)).map(panel).collect())
    }

    /// Drift of both tracks in every prompt bucket (appendix C.5), a row of two panels for each condition. The buckets
    /// of the first condition give the legend, so conditions with other buckets belong into another figure.
    pub(crate) fn buckets(conditions: &[&Condition]) -> Figure {
        let titled = |condition: &Condition, track: &str| match conditions.len() {
            1 => track.to_owned(),
            _ => format!("{}: {track}", condition.label),
        };
        let pair = |condition: &&Condition| {
            let (bank, buckets) = (&condition.mean, &condition.buckets[..]);
            [
                buckets::panel(titled(condition, "Track II, ΔU"), bank, buckets, |point| point.du_cov),
                buckets::panel(titled(condition, "Track I, ΔG"), bank, buckets, |point| point.dg_kf),
            ]
        };
        Figure::lines(conditions.iter().flat_map(pair).collect())
    }

    /// Both tracks of a condition beside the published ones, a column for each track, over the rows behind them.
    pub(crate) fn published(condition: &Condition, published: &[PublishedPoint]) -> Figure {
        Figure { drawing: Drawing::Published(published::Picture::of(condition, published)) }
    }

    /// Track II of a condition within the published buckets, one panel for each.
    pub(crate) fn published_buckets(condition: &Condition, published: &[PublishedBucket]) -> Figure {
        Figure::lines(published_buckets::panels(condition, published))
    }

    /// Final drift of both tracks against the real fraction, one panel for each track.
    pub(crate) fn alpha(sweep: &AlphaSweep) -> Figure {
        Figure { drawing: Drawing::Alpha(alpha::Picture::of(sweep)) }
    }

    /// Mean ΔU over real fraction and generation, one panel for each curve of the figure above.
    pub(crate) fn alpha_heat_map(sweep: &AlphaSweep) -> Figure {
        Figure { drawing: Drawing::HeatMap(heat_map::Picture::of(sweep)) }
    }

    /// The eigenvalues of G_A of one run, one curve for each generation.
    pub(crate) fn spectrum(spectrum: &Spectrum) -> Figure {
        Figure { drawing: Drawing::Spectrum(spectrum::Picture::of(spectrum)) }
    }

    /// The figure as SVG; `path` is for error messages.
    fn svg(&self, path: &Path) -> Result<String> {
        let drawn = match &self.drawing {
            Drawing::Panels(panels) => {
                let (columns, width) = match panels.len() {
                    0 | 1 => (1, style::SINGLE_WIDTH_IN),
                    _ => (COLUMNS, style::DOUBLE_WIDTH_IN),
                };
                let rows = panels.len().div_ceil(columns).max(1);
                panel::draw_svg(panels, columns, width, style::HEIGHT_IN * rows as f64)
            }
            Drawing::Alpha(picture) => picture.svg(),
            Drawing::HeatMap(picture) => picture.svg(),
            Drawing::Published(picture) => picture.svg(),
            Drawing::Spectrum(picture) => picture.svg(),
        };
        drawn.map_err(|error| failed("draw", path, error))
    }

    /// The figure as SVG, PDF and PNG, by extension; `stem` is for error messages.
    pub fn render(&self, stem: &Path) -> Result<[(&'static str, Vec<u8>); 3]> {
        let svg = self.svg(stem)?;
        let tree = render::parse(&svg).map_err(|error| failed("read back", stem, error))?;
        let pdf = render::pdf(&tree).map_err(|error| failed("convert", stem, error))?;
        let png = render::png(&tree).map_err(|error| failed("rasterise", stem, error))?;
        Ok([("svg", svg.into_bytes()), ("pdf", pdf), ("png", png)])
    }
}

/// A single condition needs no title; conditions that are one for each setting are called as in the paper.
fn titles(conditions: &[Condition]) -> Vec<Option<String>> {
    let title = |condition: &Condition| match condition.label == condition.setting.title() {
        true => panel_title(condition.setting).to_owned(),
        false => condition.label.clone(),
    };
    conditions.iter().map(|condition| (conditions.len() > 1).then(|| title(condition))).collect()
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
