//! What the paper printed about its FIN runs, read from `data/paper` or from the copy that the program carries, and the one sentence
//! that says in what a run is another experiment than the published one. Tables and figures of both are made elsewhere.

use std::fs;
use std::path::Path;

use crate::condition::Condition;
use crate::error::{ReportError, Result};
use crate::record::Setting;
use crate::series::{RunSeries, SeriesPoint};
use crate::table::CsvTable;

const POINTS: (&str, &str) = ("s1_points.csv", include_str!("../../../data/paper/s1_points.csv"));
const SUMMARY: (&str, &str) = ("summary.csv", include_str!("../../../data/paper/summary.csv"));
const SURFACE: (&str, &str) = ("surface_proxies.csv", include_str!("../../../data/paper/surface_proxies.csv"));

/// The base model of appendix C.2.
const MODEL: &str = "facebook/opt-125m";
/// The last part of the encoder's hub id.
const ENCODER: &str = "all-MiniLM-L6-v2";
const DOMAIN: &str = "fin";

/// The published numbers. Drifts are in nats, slopes in nats per generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Both tracks of S1, as far as the appendix prints them (C.3).
    pub s1_points: Vec<PublishedPoint>,
    /// Table 1.
    pub summaries: Vec<PublishedSummary>,
    /// Endpoints of the surface proxies (Table 14), without its correlations, of which the source does not name all.
    pub surfaces: Vec<PublishedSurface>,
}

/// One generation of the published S1 run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedPoint {
    pub generation: u32,
    pub du_cov: f64,
    pub dg_kf: f64,
}

/// One line of Table 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedSummary {
    pub setting: Setting,
    pub generations: u32,
    pub final_du: f64,
    pub slope_u: f64,
    pub final_dg: f64,
    pub slope_g: f64,
}

/// One line of Table 14.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedSurface {
    pub setting: Setting,
    pub distinct_2_first: f64,
    pub distinct_2_last: f64,
    pub hhi_first: f64,
    pub hhi_last: f64,
}

impl Published {
    /// The copy that the program carries.
    pub fn bundled() -> Result<Published> {
        Published::parse(|(name, text)| CsvTable::parse(Path::new(name), text.as_bytes()))
    }

    /// Reads `s1_points.csv`, `summary.csv` and `surface_proxies.csv` in `dir`.
    ///
    /// # Errors
    /// A file that is not there, lacks a column, or holds something else than numbers where numbers are expected.
    pub fn read(dir: &Path) -> Result<Published> {
        Published::parse(|(name, _)| {
            let path = dir.join(name);
            let bytes = fs::read(&path).map_err(ReportError::read(&path))?;
            CsvTable::parse(&path, &bytes)
        })
    }

    fn parse(open: impl Fn((&str, &str)) -> Result<CsvTable>) -> Result<Published> {
        let points = open(POINTS)?;
        let drifts = points.all_numbers("delta_u_cov")?.into_iter().zip(points.all_numbers("delta_g_kf")?);
        let s1_points = points.generations("generation")?.into_iter().zip(drifts);
        let s1_points = s1_points.map(|(generation, (du_cov, dg_kf))| PublishedPoint { generation, du_cov, dg_kf });

        let summary = open(SUMMARY)?;
        let generations = summary.generations("generations")?;
        let [final_du, slope_u, final_dg, slope_g] =
            columns(&summary, ["delta_u_cov_final", "slope_u_cov", "delta_g_kf_final", "slope_g_kf"])?;
        let summaries = settings(&summary)?.into_iter().enumerate().map(|(line, setting)| PublishedSummary {
            setting,
            generations: generations[line],
            final_du: final_du[line],
            slope_u: slope_u[line],
            final_dg: final_dg[line],
            slope_g: slope_g[line],
        });

        let surface = open(SURFACE)?;
        let [distinct_2_first, distinct_2_last, hhi_first, hhi_last] =
            columns(&surface, ["distinct_2_first", "distinct_2_last", "hhi_first", "hhi_last"])?;
        let surfaces = settings(&surface)?.into_iter().enumerate().map(|(line, setting)| PublishedSurface {
            setting,
            distinct_2_first: distinct_2_first[line],
            distinct_2_last: distinct_2_last[line],
            hhi_first: hhi_first[line],
            hhi_last: hhi_last[line],
        });
        Ok(Published { s1_points: s1_points.collect(), summaries: summaries.collect(), surfaces: surfaces.collect() })
    }

    pub(crate) fn summary(&self, setting: Setting) -> Option<&PublishedSummary> {
        self.summaries.iter().find(|summary| summary.setting == setting)
    }

    pub(crate) fn surface(&self, setting: Setting) -> Option<&PublishedSurface> {
        self.surfaces.iter().find(|surface| surface.setting == setting)
    }

    /// The published series of `setting`; only that of S1 was printed.
    pub(crate) fn points(&self, setting: Setting) -> Option<&[PublishedPoint]> {
        (setting == Setting::S1 && !self.s1_points.is_empty()).then_some(&self.s1_points)
    }
}

/// The printed points of S1 as a series, which has drifts and nothing else.
pub(crate) fn published_series(published: &Published) -> RunSeries {
    let point = |point: &PublishedPoint| SeriesPoint {
        generation: point.generation,
        u_cov: None,
        g_kf: None,
        u_cov_full: None,
        du_cov: Some(point.du_cov),
        dg_kf: Some(point.dg_kf),
        du_cov_full: None,
        distinct_2: None,
        hhi: None,
        loss: None,
        theorem3_half_width: None,
    };
    RunSeries {
        name: "published".to_owned(),
        domain: DOMAIN.to_owned(),
        setting: Setting::S1,
        points: published.s1_points.iter().map(point).collect(),
    }
}

fn columns(table: &CsvTable, names: [&str; 4]) -> Result<[Vec<f64>; 4]> {
    let [a, b, c, d] = names.map(|name| table.all_numbers(name));
    Ok([a?, b?, c?, d?])
}

fn settings(table: &CsvTable) -> Result<Vec<Setting>> {
    table.parsed("setting", "setting, S1 or S2", |text| match text {
        "S1" => Some(Setting::S1),
        "S2" => Some(Setting::S2),
        _ => None,
    })
}

/// In what `condition` is not the published run, as one sentence. What the paper does not publish, its corpus and its prompts, always
/// differs.
pub(crate) fn difference(condition: &Condition) -> String {
    let run = condition.members[0].run;
    let sources = &run.manifest.sources;
    let mut parts = Vec::new();
    let mut part = |what: &str, here: String, there: &str| parts.push(format!("{what} ({here}; published: {there})"));
    if !run.manifest.domain.eq_ignore_ascii_case(DOMAIN) {
        part("domain", run.manifest.domain.clone(), "fin");
    }
    let corpus = format!("{}, {} contexts", sources.corpus.path, sources.corpus.contexts);
    part("corpus", corpus, "a FIN corpus of 1,000 to 1,200 contexts, itself not public");
    let prompts = format!("{}, {} prompts", sources.prompts.path, sources.prompts.count);
    part("prompts", prompts, "163 to 200, themselves not public");
    if sources.model.source != MODEL {
        part("model", sources.model.source.clone(), MODEL);
    }
    if !sources.encoder.source.ends_with(ENCODER) {
        part("encoder", sources.encoder.source.clone(), ENCODER);
    }
    let observed = run.records.first().and_then(|record| record.sigma.as_ref());
    if let Some(sigma) = observed {
        let here = format!("n_A = {} of {} at t = 0", sigma.n_a, sigma.n);
        match condition.setting {
            // dG - dU is d log(n_A / n_A at t = 0) with a tail budget of zero, and only then: so it is in the printed series.
            Setting::S1 if sigma.n_a == sigma.n => {}
            Setting::S1 => part("observed blocks", here, "all, about 1,000, as its two tracks imply"),
            Setting::S2 => part("observed blocks", here, "not stated"),
        }
    }
    if let Some(fraction) = condition.real_fraction.filter(|fraction| *fraction != 0.0) {
        part("real fraction", fraction.to_string(), "0");
    }
    let last = condition.mean.points.last().map_or(0, |point| point.generation);
    if last != 50 {
        part("generations", last.to_string(), "50");
    }
    if condition.members.len() > 1 {
        part("seeds", format!("a mean of {}", condition.members.len()), "one");
    }
    format!("{} differs from the published {} run in {}.", condition.label, condition.setting.title(), parts.join(", "))
}
