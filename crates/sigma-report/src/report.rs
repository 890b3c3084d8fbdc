//! The report of one or two runs under the paper's artefact names (appendix C.2). It decides which files there are and what they are
//! called; what is in them is decided elsewhere.

use std::path::{Path, PathBuf};

use crate::durable;
use crate::error::{ReportError, Result};
use crate::figure::Figure;
use crate::metrics_csv::{buckets_table, metrics_table};
use crate::paper_tables;
use crate::record::Setting;
use crate::run::Run;
use crate::series::RunSeries;
use crate::summary::RunSummary;
use crate::table::Table;

/// Writes the report of `runs` (one S1, one S2, or both) below `out` and gives the paths written. File names start with `prefix`.
///
/// ```text
/// final/<DOMAIN>/metrics_paper.csv                        S1, with metrics_buckets_paper.csv
/// true_recursion/<DOMAIN>/metrics_paper_recursion.csv     S2, with metrics_buckets_paper_recursion.csv
/// figures/<prefix>_{s1,s2,s1s2}_two_tracks.{svg,pdf,png}
/// figures/<prefix>_surface_proxies.{svg,pdf,png}
/// tables/<prefix>_{s1,s2}_{two_tracks,surface_proxies}_points.{csv,md,tex}
/// tables/tab_<prefix>_{s1s2_summary,surface_proxies}.{csv,md,tex}
/// ```
pub fn write_report(runs: &[Run], out: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    check_file_name_part("prefix", prefix)?;
    let runs = in_order(runs)?;
    let series: Vec<RunSeries> = runs.iter().map(|run| run.series()).collect();
    let summaries: Vec<RunSummary> = series.iter().filter_map(RunSummary::of).collect();
    let mut report = Report { out, written: Vec::new() };
    for (run, series) in runs.iter().zip(&series) {
        let setting = series.setting.name();
        let (folder, suffix) = match series.setting {
            Setting::S1 => ("final", ""),
            Setting::S2 => ("true_recursion", "_recursion"),
        };
        let folder = format!("{folder}/{}", run.manifest.domain);
        report.csv(&format!("{folder}/metrics_paper{suffix}"), &metrics_table(&run.records))?;
        if run.records.iter().any(|record| !record.buckets.is_empty()) {
            report.csv(&format!("{folder}/metrics_buckets_paper{suffix}"), &buckets_table(&run.records))?;
        }
        let tracks = format!("{prefix}_{setting}_two_tracks");
        report.figure(&tracks, &Figure::two_tracks(std::slice::from_ref(series)))?;
        report.table(&format!("{tracks}_points"), &paper_tables::two_tracks_points(series))?;
        let proxies = format!("{prefix}_{setting}_surface_proxies");
        report.table(&format!("{proxies}_points"), &paper_tables::surface_points(series))?;
    }
    if series.len() > 1 {
        report.figure(&format!("{prefix}_s1s2_two_tracks"), &Figure::two_tracks(&series))?;
    }
    report.figure(&format!("{prefix}_surface_proxies"), &Figure::surface_proxies(&series))?;
    report.table(&format!("tab_{prefix}_s1s2_summary"), &paper_tables::summary(&summaries))?;
    report.table(&format!("tab_{prefix}_surface_proxies"), &paper_tables::surface_summary(&series))?;
    Ok(report.written)
}

/// S1 before S2, each at most once, each with something to report.
fn in_order(runs: &[Run]) -> Result<Vec<&Run>> {
    let mut ordered: Vec<&Run> = runs.iter().collect();
    ordered.sort_by_key(|run| run.manifest.setting);
    for run in &ordered {
        check_file_name_part("domain", &run.manifest.domain)?;
        if run.records.is_empty() {
            return Err(ReportError::EmptyRun { dir: run.dir.clone() });
        }
    }
    match ordered.windows(2).find(|pair| pair[0].manifest.setting == pair[1].manifest.setting) {
        Some(pair) => Err(ReportError::SettingTwice {
            setting: pair[0].manifest.setting.title(),
            first: pair[0].dir.clone(),
            second: pair[1].dir.clone(),
        }),
        None => Ok(ordered),
    }
}

/// A name from a config must not lead out of the report's folder.
fn check_file_name_part(what: &'static str, name: &str) -> Result<()> {
    let plain = |character: char| character.is_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(ReportError::Name { what, got: name.to_owned() });
    }
    Ok(())
}

/// The files of a report as they are written.
struct Report<'a> {
    out: &'a Path,
    written: Vec<PathBuf>,
}

impl Report<'_> {
    fn csv(&mut self, stem: &str, table: &Table) -> Result<()> {
        let path = self.place(&format!("{stem}.csv"))?;
        table.write_csv(&path)?;
        self.written.push(path);
        Ok(())
    }

    /// A table for programs, for readers of Markdown and for LaTeX.
    fn table(&mut self, stem: &str, table: &Table) -> Result<()> {
        self.csv(&format!("tables/{stem}"), table)?;
        for (extension, text) in [("md", table.markdown()), ("tex", table.latex())] {
            let path = self.place(&format!("tables/{stem}.{extension}"))?;
            durable::replace(&path, text.as_bytes())?;
            self.written.push(path);
        }
        Ok(())
    }

    fn figure(&mut self, stem: &str, figure: &Figure) -> Result<()> {
        let path = self.place(&format!("figures/{stem}"))?;
        self.written.extend(figure.save(&path)?);
        Ok(())
    }

    /// The path of `name` in the report, its folder made.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let path = self.out.join(name);
        if let Some(folder) = path.parent() {
            durable::create_dir(folder)?;
        }
        Ok(path)
    }
}
