//! The interactive charts of the page as data: lines in two dimensions, groups (runs, conditions) and signals (tracks, buckets), each
//! of which a reader can switch off. What draws them is `chart.js`; numbers are those of the exported tables.

use serde::Serialize;
use sigma_metrics::Interval;

use crate::alpha::{AlphaPoint, AlphaSweep};
use crate::buckets::BANK;
use crate::condition::{Band, Condition};
use crate::floors;
use crate::published::{Published, published_series};
use crate::record::SigmaNumbers;
use crate::run::Run;
use crate::series::{NormalisedPoint, RunSeries, SeriesPoint};

#[derive(Debug, Serialize)]
pub(super) struct Chart {
    /// Where in the page it stands.
    pub(super) id: &'static str,
    x_title: &'static str,
    /// Whether places on the x axis are whole numbers from 0, as generations are.
    whole: bool,
    y_title: String,
    /// What the y axis can be, the first at the beginning: `linear`, `symlog` (linear within 1 of zero), `log`.
    scales: &'static [&'static str],
    /// Whether a linear axis holds zero.
    zero: bool,
    /// Which dimension has the colours, `group` or `signal`; the other has the dashes.
    colour_by: &'static str,
    /// What groups and signals are, above their switches.
    titles: [&'static str; 2],
    groups: Vec<Switch>,
    signals: Vec<Switch>,
    lines: Vec<Line>,
}

/// One value of a dimension, and whether it is on at the beginning.
#[derive(Debug, Serialize)]
struct Switch {
    name: String,
    on: bool,
    /// Whether its lines are dots alone.
    #[serde(skip_serializing_if = "is_false")]
    dots: bool,
    /// The group that it belongs to, whose colour it shares; its own without.
    #[serde(skip_serializing_if = "Option::is_none")]
    colour: Option<usize>,
    /// Under which heading it is folded away; in sight without.
    #[serde(skip_serializing_if = "Option::is_none")]
    fold: Option<&'static str>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

const GENERATION: &str = "generation";
const DRIFT: &str = "drift from generation 0 (nats)";

/// A place on the x axis.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
enum Place {
    Generation(u32),
    RealFraction(f64),
}

#[derive(Debug, Serialize)]
struct Line {
    group: usize,
    signal: usize,
    /// Place, value; `null` where nothing was measured.
    points: Vec<(Place, Option<f64>)>,
    /// Ends of intervals that are drawn as an area, one pair for each point; empty without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    band: Vec<Option<(f64, f64)>>,
    /// The same for intervals that are drawn as whiskers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    whiskers: Vec<Option<(f64, f64)>>,
}

impl Line {
    fn new<P>(group: usize, signal: usize, points: &[P], place: impl Fn(&P) -> (u32, Option<f64>)) -> Line {
        let of = |point: &P| {
            let (generation, value) = place(point);
            (Place::Generation(generation), value)
        };
        Line { group, signal, points: points.iter().map(of).collect(), band: Vec::new(), whiskers: Vec::new() }
    }
}

fn on(name: &str) -> Switch {
    Switch { name: name.to_owned(), on: true, dots: false, colour: None, fold: None }
}

fn off(name: &str) -> Switch {
    Switch { on: false, ..on(name) }
}

/// Up to so many conditions both tracks are on at the beginning.
const BOTH_TRACKS: usize = 4;

type Signal<P> = (&'static str, fn(&P) -> Option<f64>);

const TRACKS: [Signal<SeriesPoint>; 3] = [
    ("Track II, ΔU", |point| point.du_cov),
    ("Track I, ΔG", |point| point.dg_kf),
    ("Track II, every block observed", |point| point.du_cov_full),
];

/// Drifts of all conditions, of their seeds, and of the paper.
pub(super) fn two_tracks(conditions: &[Condition], published: Option<&Published>) -> Chart {
    let published = published.filter(|published| !published.s1_points.is_empty());
    // The noise of a single run does not count: it keeps the colours of its tracks.
    let single = conditions.iter().map(|condition| condition.members.len()).sum::<usize>() == 1 && published.is_none();
    let (mut groups, mut lines) = (Vec::new(), Vec::new());
    let mut add = |switch: Switch, series: &RunSeries, bands: &[Band]| {
        for (signal, (_, track)) in TRACKS.iter().enumerate() {
            let line = Line::new(groups.len(), signal, &series.points, |point| (point.generation, track(point)));
            // Theorem 3 is about one estimate; where there are seeds, what they say of their mean stands instead.
            let whiskers = if bands.is_empty() && signal == 0 { theorem3(series) } else { Vec::new() };
            lines.push(Line { band: band(bands, signal), whiskers, ..line });
        }
        groups.push(switch);
    };
    for condition in conditions {
        let name = match condition.members.len() {
            1 => condition.label.clone(),
            seeds => format!("{}, mean of {seeds} seeds", condition.label),
        };
        add(on(&name), &condition.mean, &condition.bands);
    }
    if let Some(printed) = published {
        add(on("S1 as published"), &published_series(printed), &[]);
    }
    // Last, and off, so that what is on at the beginning has the first and clearest colours.
    for (at, condition) in conditions.iter().enumerate().filter(|(_, condition)| condition.members.len() > 1) {
        for member in &condition.members {
            add(Switch { colour: Some(at), fold: Some("single seeds"), ..off(&member.label) }, &member.series, &[]);
        }
    }
    for (at, condition) in conditions.iter().enumerate().filter(|(_, condition)| !condition.floors.is_empty()) {
        let name = format!("{}, noise of the base", condition.label);
        let (noise, bands) = noise(condition);
        let switch = match conditions.len() {
            1 => on(&name),
            _ => Switch { colour: Some(at), fold: Some("noise of the base"), ..off(&name) },
        };
        add(switch, &noise, &bands);
    }
    // With many conditions the sensitive track is enough to begin with.
    let tracks = if conditions.len() > BOTH_TRACKS { 1 } else { 2 };
    Chart {
        id: "two-tracks",
        x_title: GENERATION,
        whole: true,
        y_title: DRIFT.to_owned(),
        scales: &["linear", "symlog"],
        zero: true,
        colour_by: if single { "signal" } else { "group" },
        titles: ["Runs", "Tracks"],
        groups,
        signals: TRACKS
            .iter()
            .enumerate()
            .map(|(at, (name, _))| if at < tracks { on(name) } else { off(name) })
            .collect(),
        lines,
    }
}

/// Theorem 3's intervals around Track II; none if no point has one.
fn theorem3(series: &RunSeries) -> Vec<Option<(f64, f64)>> {
    let ends: Vec<Option<(f64, f64)>> = series.points.iter().map(SeriesPoint::theorem3).collect();
    if ends.iter().all(Option::is_none) { Vec::new() } else { ends }
}

/// The noise floors of both tracks as lines without slope.
fn noise(condition: &Condition) -> (RunSeries, Vec<Band>) {
    let floor = |signal: floors::Signal| condition.floors.get(signal);
    let ends = |signal: floors::Signal| floor(signal).map(|floor| Interval { low: floor.low, high: floor.high });
    let point = |point: &SeriesPoint| SeriesPoint {
        du_cov: floor(floors::Signal::TrackTwo).map(|floor| floor.mean),
        dg_kf: floor(floors::Signal::TrackOne).map(|floor| floor.mean),
        ..SeriesPoint::of_tracks(point.generation, None, None)
    };
    let band = Band { du_cov: ends(floors::Signal::TrackTwo), dg_kf: ends(floors::Signal::TrackOne) };
    let points: Vec<SeriesPoint> = condition.mean.points.iter().map(point).collect();
    let bands = vec![band; points.len()];
    (RunSeries { points, ..condition.mean.clone() }, bands)
}

/// The intervals of a track; there are none for the track of all blocks.
fn band(bands: &[Band], signal: usize) -> Vec<Option<(f64, f64)>> {
    let ends = |interval: Option<Interval>| interval.map(|ends| (ends.low, ends.high));
    match signal {
        0 => bands.iter().map(|band| ends(band.du_cov)).collect(),
        1 => bands.iter().map(|band| ends(band.dg_kf)).collect(),
        _ => Vec::new(),
    }
}

const SCALED: [Signal<NormalisedPoint>; 4] = [
    ("Track II, ΔU", |point| point.du_cov),
    ("Track I, ΔG", |point| point.dg_kf),
    ("distinct-2", |point| point.distinct_2),
    ("n-gram HHI", |point| point.hhi),
];

/// Both tracks and the proxies of every condition, each stretched to [0, 1] over the run.
pub(super) fn surface(conditions: &[Condition]) -> Chart {
    let mut lines = Vec::new();
    for (group, condition) in conditions.iter().enumerate() {
        let points = condition.mean.normalised();
        for (signal, (_, value)) in SCALED.iter().enumerate() {
            lines.push(Line::new(group, signal, &points, |point| (point.generation, value(point))));
        }
    }
    Chart {
        id: "surface",
        x_title: GENERATION,
        whole: true,
        y_title: "scaled to [0, 1] over the run".to_owned(),
        scales: &["linear"],
        zero: true,
        colour_by: "signal",
        titles: ["Runs", "Signals"],
        groups: first_on(conditions.iter().map(|condition| condition.label.clone())),
        signals: SCALED.iter().map(|(name, _)| on(name)).collect(),
        lines,
    }
}

/// Drifts within prompt buckets beside those of the whole bank; `None` if no condition has buckets.
pub(super) fn buckets(conditions: &[Condition]) -> Option<Chart> {
    let mut names = vec![BANK.to_owned()];
    for bucket in conditions.iter().flat_map(|condition| &condition.buckets) {
        if !names.contains(&bucket.name) {
            names.push(bucket.name.clone());
        }
    }
    if names.len() == 1 {
        return None;
    }
    let (mut groups, mut lines) = (Vec::new(), Vec::new());
    for condition in conditions {
        for (track, drift) in &TRACKS[..2] {
            let group = groups.len();
            groups.push(format!("{}: {track}", condition.label));
            lines.push(Line::new(group, 0, &condition.mean.points, |point| (point.generation, drift(point))));
            for bucket in &condition.buckets {
                let signal = names.iter().position(|name| *name == bucket.name).unwrap_or(0);
                lines.push(Line::new(group, signal, &bucket.points, |point| (point.generation, drift(point))));
            }
        }
    }
    Some(Chart {
        id: "buckets",
        x_title: GENERATION,
        whole: true,
        y_title: DRIFT.to_owned(),
        scales: &["linear", "symlog"],
        zero: true,
        colour_by: "signal",
        titles: ["Tracks", "Buckets"],
        groups: first_on(groups.into_iter()),
        signals: names.iter().map(|name| on(name)).collect(),
        lines,
    })
}

/// Final drifts over the real fraction: means with whiskers, and single seeds as dots.
pub(super) fn alpha(sweep: &AlphaSweep) -> Chart {
    let (mut groups, mut lines) = (Vec::new(), Vec::new());
    for curve in &sweep.curves {
        for (signal, (_, drift)) in TRACKS[..2].iter().enumerate() {
            let place =
                |point: &AlphaPoint| (Place::RealFraction(point.alpha), point.mean(sweep.generation).and_then(drift));
            let ends =
                |point: &AlphaPoint| band(point.band(sweep.generation).map_or(&[], std::slice::from_ref), signal);
            let points = curve.points.iter().map(place).collect();
            let whiskers = curve.points.iter().map(|point| ends(point).into_iter().next().flatten()).collect();
            lines.push(Line { group: groups.len(), signal, points, band: Vec::new(), whiskers });
        }
        groups.push(on(&curve.label()));
    }
    for (index, curve) in sweep.curves.iter().enumerate() {
        for (signal, (_, drift)) in TRACKS[..2].iter().enumerate() {
            let dots = curve.points.iter().flat_map(|point| {
                let seeds = point.seeds(sweep.generation).into_iter();
                seeds.map(|(_, seed)| (Place::RealFraction(point.alpha), drift(seed)))
            });
            let points: Vec<(Place, Option<f64>)> = dots.collect();
            if !points.is_empty() {
                lines.push(Line { group: groups.len(), signal, points, band: Vec::new(), whiskers: Vec::new() });
            }
        }
        if lines.iter().any(|line| line.group == groups.len()) {
            groups.push(Switch { dots: true, colour: Some(index), ..off(&format!("{}, single seeds", curve.label())) });
        }
    }
    Chart {
        id: "alpha",
        x_title: "real fraction α",
        whole: false,
        y_title: format!("drift at generation {} (nats)", sweep.generation),
        scales: &["linear", "symlog"],
        zero: true,
        colour_by: "group",
        titles: ["Settings", "Tracks"],
        groups,
        signals: vec![on(TRACKS[0].0), off(TRACKS[1].0)],
        lines,
    }
}

const ENDS: [Signal<SigmaNumbers>; 2] = [
    ("largest eigenvalue", |sigma| Some(sigma.lambda_max)),
    ("smallest eigenvalue", |sigma| Some(sigma.lambda_min).filter(|lambda| *lambda > 0.0)),
];

/// The largest and the smallest eigenvalue of G_A of every run; one that is zero has no place on this axis.
pub(super) fn spectrum_ends(conditions: &[Condition]) -> Chart {
    let runs: Vec<(&str, &Run)> = conditions
        .iter()
        .flat_map(|condition| &condition.members)
        .map(|member| (member.label.as_str(), member.run))
        .collect();
    let mut lines = Vec::new();
    for (group, (_, run)) in runs.iter().enumerate() {
        for (signal, (_, value)) in ENDS.iter().enumerate() {
            lines.push(Line::new(group, signal, &run.records, |record| {
                (record.generation, record.sigma.as_ref().and_then(value))
            }));
        }
    }
    Chart {
        id: "spectrum",
        x_title: GENERATION,
        whole: true,
        y_title: "eigenvalue of G_A".to_owned(),
        scales: &["log", "linear"],
        zero: false,
        colour_by: if runs.len() > 1 { "group" } else { "signal" },
        titles: ["Runs", "Ends"],
        groups: runs.iter().map(|(label, _)| on(label)).collect(),
        signals: ENDS.iter().map(|(name, _)| on(name)).collect(),
        lines,
    }
}

/// Where lines of several groups would cover each other, a reader begins with one.
fn first_on(names: impl Iterator<Item = String>) -> Vec<Switch> {
    names.enumerate().map(|(at, name)| if at == 0 { on(&name) } else { off(&name) }).collect()
}
