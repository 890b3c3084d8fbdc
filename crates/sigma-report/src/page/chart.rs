//! The interactive charts of the page as data: lines in two dimensions, groups (runs, conditions) and signals (tracks,
//! buckets), each of which a reader can switch off. What draws them is `chart.js`; numbers are those of the exported
//! tables.

mod tracks;

use serde::Serialize;
use sigma_metrics::NoiseFloor;

use crate::alpha::{AlphaPoint, AlphaSweep};
use crate::buckets::BANK;
use crate::condition::Condition;
use crate::record::SigmaNumbers;
use crate::run::Run;
use crate::series::{NormalisedPoint, RunSeries, SeriesPoint};
pub(super) use tracks::tracks;
use tracks::{TRACK_CHARTS, intervals};

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
    /// Whether one signal at a time is chosen from a list.
    #[serde(skip_serializing_if = "is_false")]
    choose: bool,
    /// Which dimension has the colours, `group` or `signal`; the other has the dashes.
    colour_by: &'static str,
    /// What groups and signals are, above their switches.
    titles: [&'static str; 2],
    groups: Vec<Switch>,
    signals: Vec<Switch>,
    lines: Vec<Line>,
}

/// One value of a dimension, and whether it is on at the beginning.
#[derive(Clone, Debug, Serialize)]
struct Switch {
    name: String,
    on: bool,
    /// Whether its lines are dots alone.
    #[serde(skip_serializing_if = "is_false")]
    dots: bool,
    /// Whether its lines have no dots: nothing was measured at the generations.
    #[serde(skip_serializing_if = "is_false")]
    bare: bool,
    /// The group that it belongs to, or the place in the palette, whose colour it has; its own without.
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
pub(super) struct Line {
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
    /// Whether a point is hollow, one for each; empty where none is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hollow: Vec<bool>,
    /// Whether no line leads to a point from the one before, one for each; empty where all are joined.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    breaks: Vec<bool>,
}

impl Line {
    /// Points and the line through them.
    fn plain(group: usize, signal: usize, points: Vec<(Place, Option<f64>)>) -> Line {
        Line { group, signal, points, band: Vec::new(), whiskers: Vec::new(), hollow: Vec::new(), breaks: Vec::new() }
    }

    /// `values[t]` at generation t.
    pub(super) fn of_values(group: usize, signal: usize, values: &[Option<f64>]) -> Line {
        let points = (0..).zip(values).map(|(t, value)| (Place::Generation(t), *value)).collect();
        Line::plain(group, signal, points)
    }

    /// The mean of `floor` from generation 0 on for `length` generations, with its band.
    pub(super) fn of_floor(group: usize, signal: usize, floor: &NoiseFloor, length: usize) -> Line {
        Line {
            band: vec![Some((floor.low, floor.high)); length],
            ..Line::of_values(group, signal, &vec![Some(floor.mean); length])
        }
    }

    /// `value` of every checkpoint, hollow and broken as what is behind the values says.
    fn of_series(group: usize, signal: usize, series: &RunSeries, value: fn(&SeriesPoint) -> Option<f64>) -> Line {
        let flags = |holds: fn(&SeriesPoint) -> bool| {
            let flags: Vec<bool> = series.points.iter().map(holds).collect();
            if flags.contains(&true) { flags } else { Vec::new() }
        };
        Line {
            hollow: flags(|point| point.behind.differs),
            breaks: flags(|point| point.behind.broken),
            ..Line::new(group, signal, &series.points, |point| (point.generation, value(point)))
        }
    }

    fn new<P>(group: usize, signal: usize, points: &[P], place: impl Fn(&P) -> (u32, Option<f64>)) -> Line {
        let of = |point: &P| {
            let (generation, value) = place(point);
            (Place::Generation(generation), value)
        };
        Line::plain(group, signal, points.iter().map(of).collect())
    }
}

fn on(name: &str) -> Switch {
    Switch { name: name.to_owned(), on: true, dots: false, bare: false, colour: None, fold: None }
}

fn off(name: &str) -> Switch {
    Switch { on: false, ..on(name) }
}

impl Chart {
    /// Columns over generations, one of them at a time. `groups` are names, and whether nothing was measured at the
    /// generations.
    pub(super) fn of_columns(
        id: &'static str,
        groups: Vec<(String, bool)>,
        columns: Vec<String>,
        lines: Vec<Line>,
    ) -> Chart {
        let group = |(name, bare): (String, bool)| Switch { bare, ..on(&name) };
        Chart {
            id,
            x_title: GENERATION,
            whole: true,
            y_title: String::new(),
            scales: &["linear", "symlog", "log"],
            zero: false,
            choose: true,
            colour_by: "group",
            titles: ["Runs", "Column"],
            groups: groups.into_iter().map(group).collect(),
            signals: columns.iter().enumerate().map(|(at, name)| if at == 0 { on(name) } else { off(name) }).collect(),
            lines,
        }
    }
}

type Signal<P> = (&'static str, fn(&P) -> Option<f64>);

const TRACKS: [Signal<SeriesPoint>; 2] = [("Track II, ΔU", |point| point.du_cov), ("Track I, ΔG", |point| point.dg_kf)];

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
        choose: false,
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
        for (track, drift) in &TRACKS {
            let group = groups.len();
            groups.push(format!("{}: {track}", condition.label));
            lines.push(Line::of_series(group, 0, &condition.mean, *drift));
            for bucket in &condition.buckets {
                let signal = names.iter().position(|name| *name == bucket.name).unwrap_or(0);
                lines.push(Line::of_series(group, signal, bucket, *drift));
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
        choose: false,
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
        for (signal, (_, drift)) in TRACKS.iter().enumerate() {
            let place =
                |point: &AlphaPoint| (Place::RealFraction(point.alpha), point.mean(sweep.generation).and_then(drift));
            let mean = |point: &AlphaPoint| point.mean(sweep.generation).cloned();
            let ends = |point: &AlphaPoint| {
                intervals(mean(point).as_slice(), TRACK_CHARTS[signal].interval).first().copied().flatten()
            };
            let hollow = |point: &AlphaPoint| mean(point).is_some_and(|point| point.behind.differs);
            lines.push(Line {
                whiskers: curve.points.iter().map(ends).collect(),
                hollow: curve.points.iter().map(hollow).collect(),
                ..Line::plain(groups.len(), signal, curve.points.iter().map(place).collect())
            });
        }
        groups.push(on(&curve.label()));
    }
    for (index, curve) in sweep.curves.iter().enumerate() {
        for (signal, (_, drift)) in TRACKS.iter().enumerate() {
            let dots = curve.points.iter().flat_map(|point| {
                let seeds = point.seeds(sweep.generation).into_iter();
                seeds.map(|(_, seed)| (Place::RealFraction(point.alpha), drift(seed)))
            });
            let points: Vec<(Place, Option<f64>)> = dots.collect();
            if !points.is_empty() {
                lines.push(Line::plain(groups.len(), signal, points));
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
        choose: false,
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
        choose: false,
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
