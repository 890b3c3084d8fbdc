//! What the paper printed about its runs, read from `data/paper` or from the copy that the program carries. Tables and
//! figures of both are made elsewhere, and so is the sentence that says in what a run is another experiment than the
//! published one.

use std::path::Path;

use sigma_metrics::Drift;

use crate::error::{ReportError, Result};
use crate::published_rows::{rows_behind, stretches};
use crate::record::Setting;
use crate::run_files;
use crate::series::{RunSeries, SeriesPoint};
use crate::table::CsvTable;

const S1_POINTS: File = ("s1_points.csv", include_str!("../../../data/paper/s1_points.csv"));
const S2_POINTS: File = ("s2_points.csv", include_str!("../../../data/paper/s2_points.csv"));
const BUCKETS: File = ("s1_buckets.csv", include_str!("../../../data/paper/s1_buckets.csv"));
const SUMMARY: File = ("summary.csv", include_str!("../../../data/paper/summary.csv"));
const SURFACE: File = ("surface_proxies.csv", include_str!("../../../data/paper/surface_proxies.csv"));

/// Name and content.
type File = (&'static str, &'static str);

/// What the third version calls the domain of the runs; the first calls it FIN.
pub(crate) const DOMAIN: &str = "tech";
/// Of the embeddings, all-MiniLM-L6-v2's.
pub const DIMENSION: u32 = 384;

/// The published numbers. Drifts are in nats, slopes in nats per generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Both tracks of S1, t = 0 to 50 (third version, Table 9).
    pub s1_points: Vec<PublishedPoint>,
    /// Both tracks of S2, t = 0 to 50 (third version, Table 10).
    pub s2_points: Vec<PublishedPoint>,
    /// Track II of S1 within each prompt bucket (third version, Table 12).
    pub s1_buckets: Vec<PublishedBucket>,
    /// Table 1.
    pub summaries: Vec<PublishedSummary>,
    /// Ends of the surface proxies (first version, Table 14), correlations with Track II (named in the third version,
    /// Table 11).
    pub surfaces: Vec<PublishedSurface>,
}

/// One generation of a published run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedPoint {
    pub generation: u32,
    pub du_cov: f64,
    pub dg_kf: f64,
    /// n_t, recovered from the drifts by [`rows_behind`]: `None` where rows were left out (beta > 0).
    pub rows: Option<u32>,
}

/// Track II within the answers to the prompts of one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedBucket {
    pub bucket: String,
    /// Generation, and dU in nats.
    pub du_cov: Vec<(u32, f64)>,
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

/// One line of the surface table. Correlations are over t = 0 to 50.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedSurface {
    pub setting: Setting,
    pub distinct_2_first: f64,
    pub distinct_2_last: f64,
    pub hhi_first: f64,
    pub hhi_last: f64,
    /// Pearson(dU, distinct-2)
    pub pearson_distinct_2: f64,
    /// Pearson(dU, HHI)
    pub pearson_hhi: f64,
    /// Spearman(dU, HHI)
    pub spearman_hhi: f64,
}

impl Published {
    /// The copy that the program carries.
    pub fn bundled() -> Result<Published> {
        Published::parse(|(name, text)| CsvTable::parse(Path::new(name), text.as_bytes()))
    }

    /// Reads the files of the same names in `dir`.
    ///
    /// # Errors
    /// A file that is not there, lacks a column, or holds something else than numbers where numbers are expected.
    pub fn read(dir: &Path) -> Result<Published> {
        Published::parse(|(name, _)| {
            let path = dir.join(name);
            let bytes = run_files::read(&path).map_err(ReportError::read(&path))?;
            CsvTable::parse(&path, &bytes)
        })
    }

    fn parse(open: impl Fn(File) -> Result<CsvTable>) -> Result<Published> {
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
        let [pearson_distinct_2, pearson_hhi, spearman_hhi] =
            columns(&surface, ["pearson_distinct_2", "pearson_hhi", "spearman_hhi"])?;
        let surfaces = settings(&surface)?.into_iter().enumerate().map(|(line, setting)| PublishedSurface {
            setting,
            distinct_2_first: distinct_2_first[line],
            distinct_2_last: distinct_2_last[line],
            hhi_first: hhi_first[line],
            hhi_last: hhi_last[line],
            pearson_distinct_2: pearson_distinct_2[line],
            pearson_hhi: pearson_hhi[line],
            spearman_hhi: spearman_hhi[line],
        });
        Ok(Published {
            s1_points: points(&open(S1_POINTS)?)?,
            s2_points: points(&open(S2_POINTS)?)?,
            s1_buckets: buckets(&open(BUCKETS)?)?,
            summaries: summaries.collect(),
            surfaces: surfaces.collect(),
        })
    }

    pub(crate) fn summary(&self, setting: Setting) -> Option<&PublishedSummary> {
        self.summaries.iter().find(|summary| summary.setting == setting)
    }

    pub(crate) fn surface(&self, setting: Setting) -> Option<&PublishedSurface> {
        self.surfaces.iter().find(|surface| surface.setting == setting)
    }

    pub(crate) fn points(&self, setting: Setting) -> &[PublishedPoint] {
        match setting {
            Setting::S1 => &self.s1_points,
            Setting::S2 => &self.s2_points,
        }
    }

    /// Only those of S1 were printed.
    pub(crate) fn buckets(&self, setting: Setting) -> &[PublishedBucket] {
        match setting {
            Setting::S1 => &self.s1_buckets,
            Setting::S2 => &[],
        }
    }

    /// The printed points of `setting` as a series, which has drifts and nothing else; `None` without points.
    pub(crate) fn series(&self, setting: Setting) -> Option<RunSeries> {
        self.series_of(setting, |points| points.iter().map(series_point).collect())
    }

    /// The same to draw lines through: a point without numbers stands wherever a line must not cross.
    pub(crate) fn broken_series(&self, setting: Setting) -> Option<RunSeries> {
        self.series_of(setting, |points| {
            let gap = |last: &PublishedPoint| SeriesPoint::of_tracks(last.generation, None, None);
            let with_gap = |stretch: &[PublishedPoint]| -> Vec<SeriesPoint> {
                stretch.iter().map(series_point).chain(stretch.last().map(gap)).collect()
            };
            let mut broken: Vec<SeriesPoint> = stretches(points).flat_map(with_gap).collect();
            broken.pop();
            broken
        })
    }

    fn series_of(
        &self,
        setting: Setting,
        points: impl FnOnce(&[PublishedPoint]) -> Vec<SeriesPoint>,
    ) -> Option<RunSeries> {
        let points = points(self.points(setting));
        let (name, domain) = ("published".to_owned(), DOMAIN.to_owned());
        (!points.is_empty()).then_some(RunSeries { name, domain, setting, points })
    }
}

fn series_point(point: &PublishedPoint) -> SeriesPoint {
    let drifts = SeriesPoint::of_tracks(point.generation, None, None);
    SeriesPoint { du_cov: Some(point.du_cov), dg_kf: Some(point.dg_kf), ..drifts }
}

fn points(table: &CsvTable) -> Result<Vec<PublishedPoint>> {
    let [du, dg] = columns(table, ["delta_u_cov", "delta_g_kf"])?;
    let drifts: Vec<Drift> = du.into_iter().zip(dg).map(|(du, dg)| Drift { du, dg }).collect();
    let points = table.generations("generation")?.into_iter().zip(&drifts).zip(rows_behind(&drifts, DIMENSION));
    let point = |((generation, drift), rows): ((u32, &Drift), Option<u32>)| PublishedPoint {
        generation,
        du_cov: drift.du,
        dg_kf: drift.dg,
        rows,
    };
    Ok(points.map(point).collect())
}

/// One bucket for each column but the generation.
fn buckets(table: &CsvTable) -> Result<Vec<PublishedBucket>> {
    let generations = table.generations("generation")?;
    let names = table.header().iter().filter(|name| *name != "generation");
    let bucket = |name: &String| -> Result<PublishedBucket> {
        let du_cov = generations.iter().copied().zip(table.all_numbers(name)?).collect();
        Ok(PublishedBucket { bucket: name.clone(), du_cov })
    };
    names.map(bucket).collect()
}

fn columns<const N: usize>(table: &CsvTable, names: [&str; N]) -> Result<[Vec<f64>; N]> {
    let mut columns = names.map(|_| Vec::new());
    for (column, name) in columns.iter_mut().zip(names) {
        *column = table.all_numbers(name)?;
    }
    Ok(columns)
}

fn settings(table: &CsvTable) -> Result<Vec<Setting>> {
    table.parsed("setting", "setting, S1 or S2", |text| match text {
        "S1" => Some(Setting::S1),
        "S2" => Some(Setting::S2),
        _ => None,
    })
}
