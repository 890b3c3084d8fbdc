//! The report of one or several runs under the paper's artefact names (appendix C.2), with a page to look at. It
//! decides which files there are and what they are called; what is in them is decided elsewhere.

mod files;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::alpha::AlphaSweep;
use crate::alpha_tables;
use crate::bucket_tables;
use crate::condition::{Condition, Member, conditions};
use crate::control::Controls;
use crate::control_tables;
use crate::error::{ReportError, Result};
use crate::figure::Figure;
use crate::metrics_csv::{buckets_table, metrics_table, noise_table};
use crate::names::check_file_name_part;
use crate::onset_tables;
use crate::page::{self, Contents};
use crate::paper_tables;
use crate::published::Published;
use crate::published_difference;
use crate::published_tables;
use crate::record::Setting;
use crate::repro_tables;
use crate::run::Run;
use crate::series::RunSeries;
use crate::spectrum::{Spectrum, spectra};
use crate::spectrum_tables;
use crate::summary_tables;
use files::Files;
pub use files::{LIST_FILE_NAME, check_report, remove_report};

/// Name of the page in a report's folder.
pub const PAGE_FILE_NAME: &str = "index.html";

/// What a report is to hold beyond what follows from its runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportOptions {
    /// First part of the names of figures and tables.
    pub prefix: String,
    /// Published numbers to set beside the measured ones.
    pub published: Option<Published>,
    /// Texts of prompts by their id, shown above the answers on the page; a prompt that is not here is shown by its id.
    pub prompts: BTreeMap<String, String>,
    /// Runs on real text only, with the same base, prompts, encoder and settings of the measurement.
    pub control: Vec<Run>,
}

impl ReportOptions {
    /// Neither published numbers nor texts of prompts nor control chains.
    pub fn new(prefix: &str) -> ReportOptions {
        ReportOptions { prefix: prefix.to_owned(), published: None, prompts: BTreeMap::new(), control: Vec::new() }
    }
}

/// Writes the report of `runs` below `out` and gives the paths written. File names start with `prefix`.
///
/// # Errors
/// See [`write_report_with`].
pub fn write_report(runs: &[Run], out: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    write_report_with(runs, out, &ReportOptions::new(prefix))
}

/// Writes the report of `runs` below `out` and gives the paths written.
///
/// Runs whose configs and sources differ in the seed alone are one condition, of which tables and figures show the
/// mean, with an interval from three seeds on. `<c>` is the name of a condition: `s1`, `s2`, and where the setting does
/// not tell conditions apart the real fraction or the name of the run behind it, as in `s2_a0.1`. Lines in brackets
/// depend on the runs.
///
/// ```text
/// index.html                                              everything to look at, self-contained
/// files.json                                              the names of all files, by which a later report knows what it may replace
/// final/<DOMAIN>/metrics_paper.csv                        S1, with metrics_buckets_paper.csv
/// true_recursion/<DOMAIN>/metrics_paper_recursion.csv     S2, with metrics_buckets_paper_recursion.csv
/// figures/<prefix>_<c>_two_tracks.{svg,pdf,png}
/// figures/<prefix>_{length,surface_proxies,buckets}.{svg,pdf,png}
/// tables/<prefix>_<c>_{two_tracks,surface_proxies,buckets}_points.{csv,md,tex}
/// tables/tab_<prefix>_{s1s2_summary,surface_proxies,buckets,diagnostics}.{csv,md,tex}
/// tables/tab_<prefix>_repro_{model_training,data_mixture,decoding,seeds,sigma_ub,environment}.{csv,md,tex}
/// [several conditions]  figures/<prefix>_s1s2_two_tracks.{svg,pdf,png}
/// [several seeds]       tables/<prefix>_<c>_seed<seed>_two_tracks_points.{csv,md,tex}, tables/tab_<prefix>_seeds.{csv,md,tex}
/// [noise replicates]    tables/tab_<prefix>_onset.{csv,md,tex}, and noise_floor*.csv beside metrics_paper*.csv
/// [control chains]      tables/tab_<prefix>_control.{csv,md,tex}
/// [several alphas]      figures/<prefix>_alpha{,_heatmap}.{svg,pdf,png}, tables/<prefix>_alpha_{points,seed_points,heatmap}.{csv,md,tex}
/// [spectrum.csv]        figures/<prefix>_<c>_spectrum.{svg,pdf,png} of the first seed, tables/<prefix>_<c>_spectrum.csv
/// [published numbers]   figures/<prefix>_<c>_published.{svg,pdf,png}, tables/<prefix>_<c>_published_points.{csv,md,tex},
///                       the same with `_buckets` where the run has published buckets, tables/tab_<prefix>_published.{csv,md,tex}
/// ```
///
/// Where one folder would hold the metrics of several runs, `_<c>_seed<seed>` is added to their names.
///
/// # Errors
/// Nothing is written if there is no run, a run has no checkpoint, a name cannot be part of a file name, a config or a
/// file of answers cannot be read, one experiment is given twice with the same seed among `runs`, a control is none, or
/// a file that no report wrote would be replaced.
pub fn write_report_with(runs: &[Run], out: &Path, options: &ReportOptions) -> Result<Vec<PathBuf>> {
    let conditions = checked(runs, options)?;
    let spectra = spectra(&conditions)?;
    let cards = repro_tables::cards(&conditions)?;
    let controls = Controls::of(&options.control, &conditions)?;
    let contents = Contents::of(&conditions, &controls, &spectra, options)?;
    let page = page::html(&contents, &out.join(PAGE_FILE_NAME))?;

    let mut report = Report { prefix: &options.prefix, files: Files::below(out) };
    report.metrics(&conditions)?;
    report.tracks(&conditions, controls.range().as_ref())?;
    report.surface(&conditions)?;
    report.buckets(&conditions)?;
    report.diagnostics(&conditions)?;
    report.control(&conditions, &controls)?;
    if let Some(sweep) = AlphaSweep::of(&conditions) {
        report.alpha(&sweep)?;
    }
    report.spectra(&spectra)?;
    for card in &cards {
        report.files.table(&format!("tab_{}_repro_{}", options.prefix, card.name), &card.table, &[])?;
    }
    if let Some(published) = &options.published {
        report.published(&conditions, published)?;
    }
    report.files.page(PAGE_FILE_NAME, page);
    report.files.write()
}

/// Writes the page alone, which is quick enough to be done after every generation of a run.
///
/// # Errors
/// See [`write_report_with`].
pub fn write_page(runs: &[Run], out: &Path, options: &ReportOptions) -> Result<PathBuf> {
    let conditions = checked(runs, options)?;
    let controls = Controls::of(&options.control, &conditions)?;
    let contents = Contents::of(&conditions, &controls, &spectra(&conditions)?, options)?;
    let page = page::html(&contents, &out.join(PAGE_FILE_NAME))?;
    let mut files = Files::below(out);
    files.page(PAGE_FILE_NAME, page);
    files.write()?;
    Ok(out.join(PAGE_FILE_NAME))
}

/// The conditions of runs that can be reported on.
fn checked<'a>(runs: &'a [Run], options: &ReportOptions) -> Result<Vec<Condition<'a>>> {
    check_file_name_part("prefix", &options.prefix)?;
    if runs.is_empty() {
        return Err(ReportError::NoRuns);
    }
    for run in runs {
        check_file_name_part("domain", &run.manifest.domain)?;
        if run.records.is_empty() {
            return Err(ReportError::EmptyRun { dir: run.dir.clone() });
        }
    }
    conditions(runs)
}

/// The parts of a report, in the order of the paper.
struct Report<'a> {
    prefix: &'a str,
    files: Files<'a>,
}

impl Report<'_> {
    fn metrics(&mut self, conditions: &[Condition]) -> Result<()> {
        let members: Vec<&Member> = conditions.iter().flat_map(|condition| &condition.members).collect();
        let place = |member: &Member| {
            let (folder, suffix) = match member.run.manifest.setting {
                Setting::S1 => ("final", ""),
                Setting::S2 => ("true_recursion", "_recursion"),
            };
            (format!("{folder}/{}", member.run.manifest.domain), suffix)
        };
        for member in &members {
            let (folder, suffix) = place(member);
            let shared = members.iter().filter(|other| place(other).0 == folder).count() > 1;
            let name = if shared { format!("_{}", member.slug) } else { String::new() };
            let records = &member.run.records;
            self.files.csv(&format!("{folder}/metrics_paper{suffix}{name}"), &metrics_table(records))?;
            if records.first().is_some_and(|base| !base.noise.is_empty()) {
                self.files.csv(&format!("{folder}/noise_floor{suffix}{name}"), &noise_table(records))?;
            }
            if records.iter().any(|record| !record.buckets.is_empty()) {
                self.files.csv(&format!("{folder}/metrics_buckets_paper{suffix}{name}"), &buckets_table(records))?;
            }
        }
        Ok(())
    }

    fn tracks(&mut self, conditions: &[Condition], control: Option<&RunSeries>) -> Result<()> {
        let prefix = self.prefix;
        for condition in conditions {
            let (name, seeds) = (format!("{prefix}_{}_two_tracks", condition.slug), condition.members.len());
            self.files.figure(&name, &Figure::two_tracks_of(std::slice::from_ref(condition), control))?;
            let notes = paper_tables::two_tracks_notes(&condition.mean, seeds, condition.confidence());
            self.files.table(&format!("{name}_points"), &paper_tables::two_tracks_points(&condition.mean), &notes)?;
            for member in condition.members.iter().filter(|_| seeds > 1) {
                let points = paper_tables::two_tracks_points(&member.series);
                let notes = paper_tables::two_tracks_notes(&member.series, 1, condition.confidence());
                self.files.table(&format!("{prefix}_{}_two_tracks_points", member.slug), &points, &notes)?;
            }
        }
        if conditions.len() > 1 {
            self.files.figure(&format!("{prefix}_s1s2_two_tracks"), &Figure::two_tracks_of(conditions, control))?;
        }
        self.files.figure(&format!("{prefix}_length"), &Figure::lengths(conditions))?;
        let notes = summary_tables::notes(conditions);
        self.files.table(&format!("tab_{prefix}_s1s2_summary"), &summary_tables::conditions(conditions), &notes)?;
        if summary_tables::has_seeds(conditions) {
            self.files.table(&format!("tab_{prefix}_seeds"), &summary_tables::seeds(conditions), &notes)?;
        }
        Ok(())
    }

    fn surface(&mut self, conditions: &[Condition]) -> Result<()> {
        let prefix = self.prefix;
        self.files.figure(&format!("{prefix}_surface_proxies"), &Figure::surface_proxies_of(conditions))?;
        for condition in conditions {
            let points = paper_tables::surface_points(&condition.mean);
            let notes: Vec<String> = paper_tables::differs_note([&condition.mean]).into_iter().collect();
            self.files.table(&format!("{prefix}_{}_surface_proxies_points", condition.slug), &points, &notes)?;
        }
        self.files.table(&format!("tab_{prefix}_surface_proxies"), &paper_tables::surface_summary(conditions), &[])
    }

    fn buckets(&mut self, conditions: &[Condition]) -> Result<()> {
        let prefix = self.prefix;
        let with_buckets: Vec<&Condition> =
            conditions.iter().filter(|condition| !condition.buckets.is_empty()).collect();
        let Some(first) = with_buckets.first() else { return Ok(()) };
        let names = |condition: &Condition| -> Vec<String> {
            condition.buckets.iter().map(|bucket| bucket.name.clone()).collect()
        };
        // One figure has one legend, so conditions with other buckets have figures of their own.
        let (alike, others): (Vec<&Condition>, Vec<&Condition>) =
            with_buckets.iter().partition(|condition| names(condition) == names(first));
        self.files.figure(&format!("{prefix}_buckets"), &Figure::buckets(&alike))?;
        for condition in others {
            self.files.figure(&format!("{prefix}_{}_buckets", condition.slug), &Figure::buckets(&[condition]))?;
        }
        for condition in with_buckets {
            let points = bucket_tables::points(condition);
            let notes: Vec<String> = paper_tables::differs_note(&condition.buckets).into_iter().collect();
            self.files.table(&format!("{prefix}_{}_buckets_points", condition.slug), &points, &notes)?;
        }
        let notes = bucket_tables::notes(conditions);
        self.files.table(&format!("tab_{prefix}_buckets"), &bucket_tables::summary(conditions), &notes)
    }

    fn alpha(&mut self, sweep: &AlphaSweep) -> Result<()> {
        let (prefix, mut notes) = (self.prefix, sweep.notes());
        self.files.figure(&format!("{prefix}_alpha"), &Figure::alpha(sweep))?;
        self.files.figure(&format!("{prefix}_alpha_heatmap"), &Figure::alpha_heat_map(sweep))?;
        self.files.table(&format!("{prefix}_alpha_points"), &alpha_tables::points(sweep), &notes)?;
        if let Some(seeds) = alpha_tables::seed_points(sweep) {
            self.files.table(&format!("{prefix}_alpha_seed_points"), &seeds, &notes)?;
        }
        notes.insert(0, alpha_tables::heat_map_note());
        self.files.table(&format!("{prefix}_alpha_heatmap"), &alpha_tables::heat_map(sweep), &notes)
    }

    fn spectra(&mut self, spectra: &[Spectrum]) -> Result<()> {
        for spectrum in spectra {
            let name = format!("{}_{}_spectrum", self.prefix, spectrum.slug);
            self.files.figure(&name, &Figure::spectrum(spectrum))?;
            self.files.csv(&format!("tables/{name}"), &spectrum_tables::points(spectrum))?;
        }
        Ok(())
    }

    fn diagnostics(&mut self, conditions: &[Condition]) -> Result<()> {
        let prefix = self.prefix;
        let diagnostics = onset_tables::diagnostics(conditions);
        self.files.table(&format!("tab_{prefix}_diagnostics"), &diagnostics, &[])?;
        let onsets = onset_tables::onsets(conditions);
        if onsets.rows.is_empty() {
            return Ok(());
        }
        self.files.table(&format!("tab_{prefix}_onset"), &onsets, &[onset_tables::onset_note()])
    }

    fn control(&mut self, conditions: &[Condition], controls: &Controls) -> Result<()> {
        if controls.is_empty() {
            return Ok(());
        }
        let (name, notes) = (format!("tab_{}_control", self.prefix), control_tables::notes(controls));
        self.files.table(&name, &control_tables::control(conditions, controls), &notes)
    }

    fn published(&mut self, conditions: &[Condition], published: &Published) -> Result<()> {
        let prefix = self.prefix;
        for condition in conditions {
            let name = format!("{prefix}_{}_published", condition.slug);
            let notes = published_difference::notes(std::slice::from_ref(condition), published);
            let points = published.points(condition.setting);
            self.files.figure(&name, &Figure::published(condition, points))?;
            self.files.table(&format!("{name}_points"), &published_tables::points(condition, points), &notes)?;
            let buckets = published.buckets(condition.setting);
            if buckets.iter().any(|bucket| published_tables::measured_bucket(condition, bucket).is_some()) {
                let table = published_tables::bucket_points(condition, buckets);
                self.files.figure(&format!("{name}_buckets"), &Figure::published_buckets(condition, buckets))?;
                self.files.table(&format!("{name}_buckets_points"), &table, &notes)?;
            }
        }
        let scalars = published_tables::scalars(conditions, published);
        let mut notes = published_difference::notes(conditions, published);
        notes.extend(summary_tables::in_the_papers_words(conditions));
        self.files.table(&format!("tab_{prefix}_published"), &scalars, &notes)
    }
}
