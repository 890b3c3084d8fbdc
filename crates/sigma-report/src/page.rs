//! `index.html`: a report in one file that needs no network, to look at in a browser. Text and tables are written here;
//! charts and sample answers travel as JSON and are drawn by `page/*.js`. All text from runs is escaped, and the page
//! forbids itself to load anything.

mod answers;
mod chart;
pub(crate) mod escape;
mod heat_map;
mod metrics_chart;

use std::path::Path;

use serde::Serialize;

use crate::alpha::AlphaSweep;
use crate::alpha_tables;
use crate::bucket_tables;
use crate::condition::{Condition, Member};
use crate::control::Controls;
use crate::control_tables;
use crate::error::{ReportError, Result};
use crate::onset_tables;
use crate::page_tables;
use crate::paper_tables;
use crate::published_difference;
use crate::published_tables;
use crate::report::ReportOptions;
use crate::repro_tables;
use crate::spectrum::Spectrum;
use crate::summary_tables;
use crate::verdict::Verdict;
use answers::Sample;
use chart::Chart;
use escape::{html as escaped, script_json};
use heat_map::HeatMap;

const STYLE: &str = include_str!("page/page.css");
const CHART_SCRIPT: &str = include_str!("page/chart.js");
const HEAT_MAP_SCRIPT: &str = include_str!("page/heat_map.js");
const SPECTRUM_SCRIPT: &str = include_str!("page/spectrum.js");
const PAGE_SCRIPT: &str = include_str!("page/page.js");

/// More conditions than this are counted in the title and not named.
const TITLE_NAMES: usize = 4;

/// Everything on a page, gathered before a file is touched.
pub(crate) struct Contents {
    title: String,
    sections: Vec<Section>,
    payload: Payload,
}

/// What the scripts read.
#[derive(Serialize)]
struct Payload {
    charts: Vec<Chart>,
    samples: Vec<Sample>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heat_map: Option<HeatMap>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    spectra: Vec<Spectrum>,
}

struct Section {
    id: &'static str,
    title: &'static str,
    /// HTML.
    body: String,
}

impl Contents {
    /// # Errors
    /// A file of answers that is damaged.
    pub(crate) fn of(
        conditions: &[Condition],
        controls: &Controls,
        spectra: &[Spectrum],
        options: &ReportOptions,
    ) -> Result<Contents> {
        let members: Vec<&Member> = conditions.iter().flat_map(|condition| &condition.members).collect();
        let samples = answers::samples(&members, &options.prompts)?;
        let buckets = chart::buckets(conditions);
        let sweep = AlphaSweep::of(conditions);
        let mut sections = vec![verdict(conditions), runs(conditions), tracks(conditions, options)];
        sections.extend((!controls.is_empty()).then(|| control(conditions, controls)));
        sections.extend(sweep.as_ref().map(alpha));
        sections.extend([surface(conditions), columns()]);
        sections.extend(buckets.is_some().then(|| bucket_section(conditions)));
        // Both ends alone say little beside the whole, but they are all there is of a run without the file.
        let ends = spectra.len() < conditions.len();
        sections.push(spectrum(spectra, ends));
        sections.extend([answer_section(!samples.is_empty()), reproduction(conditions)?, configs(&members)]);
        let mut charts = chart::tracks(conditions, options.published.as_ref(), controls.range());
        charts.extend([chart::surface(conditions), metrics_chart::chart(conditions)]);
        charts.extend(ends.then(|| chart::spectrum_ends(conditions)));
        charts.extend(sweep.as_ref().map(chart::alpha));
        charts.extend(buckets);
        let names: Vec<&str> = conditions.iter().map(|condition| condition.label.as_str()).collect();
        let named = if names.len() > TITLE_NAMES { format!("{} conditions", names.len()) } else { names.join("; ") };
        let title = format!("{}: {named}", options.prefix);
        let heat_map = sweep.as_ref().map(HeatMap::of);
        let payload = Payload { charts, samples, heat_map, spectra: spectra.to_vec() };
        Ok(Contents { title, sections, payload })
    }
}

/// The whole document; `path` is for error messages.
pub(crate) fn html(contents: &Contents, path: &Path) -> Result<String> {
    let json = serde_json::to_string(&contents.payload)
        .map_err(|source| ReportError::Page { path: path.to_path_buf(), source })?;
    let links: String = contents
        .sections
        .iter()
        .map(|section| format!("<a href=\"#{}\">{}</a>\n", section.id, escaped(section.title)))
        .collect();
    let sections: String = contents
        .sections
        .iter()
        .map(|Section { id, title, body }| {
            format!("<section id=\"{id}\">\n<h2>{}</h2>\n{body}</section>\n", escaped(title))
        })
        .collect();
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>{title}</h1>\n<nav>\n{links}</nav>\n</header>\n<main>\n\
         <noscript><p class=\"note\">Charts and sample answers need JavaScript; the tables hold every number.</p></noscript>\n\
         {sections}</main>\n\
         <script type=\"application/json\" id=\"report-data\">{json}</script>\n\
         <script>\n{CHART_SCRIPT}{HEAT_MAP_SCRIPT}{SPECTRUM_SCRIPT}{PAGE_SCRIPT}</script>\n</body>\n</html>\n",
        title = escaped(&contents.title),
        json = script_json(&json),
    ))
}

/// What there is to say, before all numbers.
fn verdict(conditions: &[Condition]) -> Section {
    let line = |condition: &Condition| {
        let verdict = Verdict::of(&condition.mean, &condition.floors);
        let rate = verdict.false_alarms().map(|rate| format!("<p class=\"note\">{}</p>\n", escaped(&rate)));
        let words = format!(
            "<p class=\"verdict\"><strong>{}</strong> {}</p>\n",
            escaped(&condition.label),
            escaped(&verdict.sentences())
        );
        (words, rate)
    };
    let (words, rates): (Vec<String>, Vec<Option<String>>) = conditions.iter().map(line).unzip();
    let rate = rates.into_iter().flatten().next();
    Section { id: "verdict", title: "Verdict", body: words.into_iter().chain(rate).collect() }
}

fn runs(conditions: &[Condition]) -> Section {
    let mut body = page_tables::runs(conditions).html();
    for note in page_tables::arithmetic(conditions) {
        body.push_str(&format!("<p>{}</p>\n", escaped(&note)));
    }
    let flags = page_tables::flags(conditions);
    if !flags.rows.is_empty() {
        body.push_str("<h3>To know before trusting the numbers</h3>\n");
        body.push_str(&flags.html());
    }
    Section { id: "runs", title: "Runs", body }
}

fn tracks(conditions: &[Condition], options: &ReportOptions) -> Section {
    let mut body = chart_place("track-two", "Track II, the sensitive one, over generations");
    body.push_str(&chart_place("track-one", "Track I, the conservative envelope, over generations"));
    body.push_str(
        "<p>A drift says something where it has left the noise of the base for good; within it, its sign says nothing.</p>\n",
    );
    body.push_str(&summary_tables::conditions(conditions).html());
    if summary_tables::has_seeds(conditions) {
        body.push_str("<p>Means over seeds. Seed by seed:</p>\n");
        body.push_str(&summary_tables::seeds(conditions).html());
    }
    let onsets = onset_tables::onsets(conditions);
    if !onsets.rows.is_empty() {
        body.push_str(&format!("{}<p>{}</p>\n", onsets.html(), escaped(&onset_tables::onset_note())));
    }
    if let Some(published) = &options.published {
        body.push_str("<h3>Beside the published numbers</h3>\n");
        for note in published_difference::notes(conditions, published) {
            body.push_str(&format!("<p>{}</p>\n", escaped(&note)));
        }
        body.push_str(&published_tables::scalars(conditions, published).html());
        for words in summary_tables::in_the_papers_words(conditions) {
            body.push_str(&format!("<p>{}</p>\n", escaped(&words)));
        }
    }
    for condition in conditions {
        let mut points = paper_tables::two_tracks_points(&condition.mean).html();
        for note in paper_tables::two_tracks_notes(&condition.mean, condition.members.len(), condition.confidence()) {
            points.push_str(&format!("<p>{}</p>\n", escaped(&note)));
        }
        body.push_str(&folded(&format!("Points of {}", condition.label), &points));
    }
    Section { id: "tracks", title: "Two tracks", body }
}

fn control(conditions: &[Condition], controls: &Controls) -> Section {
    let mut body = control_tables::control(conditions, controls).html();
    for note in control_tables::notes(controls) {
        body.push_str(&format!("<p>{}</p>\n", escaped(&note)));
    }
    Section { id: "control", title: "Control chains", body }
}

fn surface(conditions: &[Condition]) -> Section {
    let mut body = chart_place("surface", "Both tracks and the surface proxies, each scaled to [0, 1]");
    body.push_str(&paper_tables::surface_summary(conditions).html());
    body.push_str(&folded("All other diagnostics", &onset_tables::diagnostics(conditions).html()));
    for condition in conditions {
        let points = paper_tables::surface_points(&condition.mean).html();
        body.push_str(&folded(&format!("Points of {}", condition.label), &points));
    }
    Section { id: "surface-proxies", title: "Surface proxies", body }
}

fn columns() -> Section {
    let mut body = chart_place("metrics", "Any column of metrics.csv over generations");
    body.push_str(
        "<p>Means over seeds. Length of answers (mean_tokens) and stop rate move the row count n, and n moves Track I. The band is the \
         noise of the base, 95 %, where its replicates were measured by the column.</p>\n",
    );
    Section { id: "columns", title: "All measurements", body }
}

fn bucket_section(conditions: &[Condition]) -> Section {
    let mut body = chart_place("buckets", "Drift within prompt buckets");
    body.push_str(
        "<p>The same prompts, cut by kind. A bucket holds fewer blocks than the bank, so its series is noisier; excess is its \
         final ΔU minus that of the bank.</p>\n",
    );
    body.push_str(&bucket_tables::summary(conditions).html());
    for note in bucket_tables::notes(conditions) {
        body.push_str(&format!("<p>{}</p>\n", escaped(&note)));
    }
    for condition in conditions.iter().filter(|condition| !condition.buckets.is_empty()) {
        body.push_str(&folded(&format!("Points of {}", condition.label), &bucket_tables::points(condition).html()));
    }
    Section { id: "prompt-buckets", title: "Prompt buckets", body }
}

fn alpha(sweep: &AlphaSweep) -> Section {
    let mut body = chart_place("alpha", "Final drift against the real fraction");
    body.push_str("<figure data-heat-map aria-label=\"Mean ΔU over real fraction and generation\">\n");
    body.push_str("<figcaption>Mean ΔU over real fraction and generation</figcaption>\n</figure>\n");
    for note in sweep.notes() {
        body.push_str(&format!("<p>{}</p>\n", escaped(&note)));
    }
    body.push_str(&alpha_tables::points(sweep).html());
    if let Some(seeds) = alpha_tables::seed_points(sweep) {
        body.push_str(&folded("Single seeds", &seeds.html()));
    }
    body.push_str(&folded("Cells of the heat map", &alpha_tables::heat_map(sweep).html()));
    Section { id: "real-fraction", title: "Real fraction", body }
}

fn spectrum(spectra: &[Spectrum], ends: bool) -> Section {
    let mut body = String::new();
    if let Some(first) = spectra.first() {
        body.push_str("<figure data-spectrum aria-label=\"Eigenvalues of the observed Gram matrix\">\n");
        body.push_str("<figcaption>Eigenvalues of the observed Gram matrix G_A, one curve for each generation</figcaption>\n</figure>\n");
        body.push_str(
            "<p>Contraction gathers energy in the first eigenvalues and empties the last; one that is not positive has no place on \
             the logarithmic axis. Relative to t = 0 the same shows where the curves cover each other; an eigenvalue that is zero up to \
             rounding is left out there. Of several seeds the first is shown.</p>\n",
        );
        body.push_str(&format!("<p>{}</p>\n", escaped(&first.note())));
    }
    if ends {
        body.push_str(&chart_place("spectrum", "Largest and smallest eigenvalue of the observed Gram matrix"));
        body.push_str(
            "<p>Contraction gathers energy in the largest eigenvalue and empties the smallest; one that is zero is left out. \
             metrics_paper*.csv holds both, with rank and condition.</p>\n",
        );
    }
    Section { id: "spectra", title: "Spectrum", body }
}

fn answer_section(any: bool) -> Section {
    let body = match any {
        true => "<div data-answers></div>\n".to_owned(),
        false => "<p class=\"note\">The run folders hold no answers.</p>\n".to_owned(),
    };
    Section { id: "answers", title: "Sample answers", body }
}

fn reproduction(conditions: &[Condition]) -> Result<Section> {
    let card = |card: &repro_tables::Card| folded(card.title, &card.table.html());
    let body = repro_tables::cards(conditions)?.iter().map(card).collect();
    Ok(Section { id: "reproducibility", title: "Reproducibility", body })
}

fn configs(members: &[&Member]) -> Section {
    let config = |member: &&Member| {
        let heading = format!("{}: {}", member.label, member.run.manifest.name);
        folded(&heading, &format!("<pre>{}</pre>\n", escaped(&member.run.config)))
    };
    Section { id: "config", title: "Configs", body: members.iter().map(config).collect() }
}

fn chart_place(id: &str, caption: &str) -> String {
    let caption = escaped(caption);
    format!("<figure data-chart=\"{id}\" aria-label=\"{caption}\">\n<figcaption>{caption}</figcaption>\n</figure>\n")
}

fn folded(heading: &str, body: &str) -> String {
    format!("<details>\n<summary>{}</summary>\n{body}</details>\n", escaped(heading))
}
