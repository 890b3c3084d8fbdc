//! The charts of the two tracks: drifts of all conditions, of their seeds, of the paper and of control chains, a chart
//! for each track.

use sigma_metrics::Interval;

use super::{Chart, GENERATION, Line, Signal, Switch, TRACKS, off, on};
use crate::condition::Condition;
use crate::floors;
use crate::published::Published;
use crate::record::Setting;
use crate::series::{RunSeries, SeriesPoint};

/// The two differ in size, and so each has an axis of its own.
pub(super) const TRACK_CHARTS: [TrackChart; 2] = [
    TrackChart {
        id: "track-two",
        y_title: "ΔU from generation 0 (nats)",
        signals: [TRACKS[0], ("every block observed", |point| point.du_cov_full)],
        colours: [0, 3],
        interval: |point| point.du_interval,
    },
    TrackChart {
        id: "track-one",
        y_title: "ΔG from generation 0 (nats)",
        signals: [TRACKS[1], ("ΔG, β of t = 0", |point| point.dg_kf_fixed_beta)],
        colours: [1, 2],
        interval: |point| point.dg_interval,
    },
];

pub(super) struct TrackChart {
    id: &'static str,
    y_title: &'static str,
    /// The track, and what stands beside it.
    signals: [Signal<SeriesPoint>; 2],
    /// Of the signals, as in figures.
    colours: [usize; 2],
    /// Of the first signal.
    pub(super) interval: fn(&SeriesPoint) -> Option<Interval>,
}

/// One line of every signal.
struct Group {
    switch: Switch,
    series: RunSeries,
    ends: Ends,
}

/// Drifts of all conditions, of their seeds, of the paper and of control chains: one chart for each track.
pub(in crate::page) fn tracks(
    conditions: &[Condition],
    published: Option<&Published>,
    control: Option<RunSeries>,
) -> Vec<Chart> {
    let printed: Vec<RunSeries> = [Setting::S1, Setting::S2]
        .into_iter()
        .filter(|setting| conditions.iter().any(|condition| condition.setting == *setting))
        .filter_map(|setting| published?.broken_series(setting))
        .collect();
    // The noise of a single run does not count: it keeps the colours of its tracks.
    let single = conditions.iter().map(|condition| condition.members.len()).sum::<usize>() == 1
        && printed.is_empty()
        && control.is_none();
    let groups = groups(conditions, printed, control);
    TRACK_CHARTS.iter().map(|chart| chart.of(&groups, single)).collect()
}

/// What is on at the beginning comes first and has the clearest colours.
fn groups(conditions: &[Condition], printed: Vec<RunSeries>, control: Option<RunSeries>) -> Vec<Group> {
    let of_condition = |condition: &Condition| {
        let (name, ends) = match condition.members.len() {
            1 => (condition.label.clone(), Ends::Whiskers),
            seeds => (format!("{}, mean of {seeds} seeds", condition.label), Ends::Area),
        };
        Group { switch: on(&name), series: condition.mean.clone(), ends }
    };
    let of_paper = |series: RunSeries| {
        let switch = on(&format!("{} as published", series.setting.title()));
        Group { switch, series, ends: Ends::Whiskers }
    };
    let of_control = |series: RunSeries| {
        let switch = Switch { bare: true, ..on("control chains, mean and range") };
        Group { switch, series, ends: Ends::Area }
    };
    let mut groups: Vec<Group> = conditions.iter().map(of_condition).collect();
    groups.extend(printed.into_iter().map(of_paper));
    groups.extend(control.map(of_control));
    for (at, condition) in conditions.iter().enumerate().filter(|(_, condition)| condition.members.len() > 1) {
        for member in &condition.members {
            let switch = Switch { colour: Some(at), fold: Some("single seeds"), ..off(&member.label) };
            groups.push(Group { switch, series: member.series.clone(), ends: Ends::Whiskers });
        }
    }
    for (at, condition) in conditions.iter().enumerate().filter(|(_, condition)| !condition.floors.is_empty()) {
        let name = format!("{}, noise of the base", condition.label);
        let switch = match conditions.len() {
            1 => Switch { bare: true, ..on(&name) },
            _ => Switch { bare: true, colour: Some(at), fold: Some("noise of the base"), ..off(&name) },
        };
        groups.push(Group { switch, series: noise(condition), ends: Ends::Area });
    }
    groups
}

impl TrackChart {
    fn of(&self, groups: &[Group], single: bool) -> Chart {
        let mut lines = Vec::new();
        for (at, Group { series, ends, .. }) in groups.iter().enumerate() {
            for (signal, (_, track)) in self.signals.iter().enumerate() {
                let line = Line::of_series(at, signal, series, *track);
                let intervals = if signal == 0 { intervals(&series.points, self.interval) } else { Vec::new() };
                lines.push(match ends {
                    Ends::Whiskers => Line { whiskers: intervals, ..line },
                    Ends::Area => Line { band: intervals, ..line },
                });
            }
        }
        let moved = |group: &Group| group.series.points.iter().any(|point| point.dg_kf_fixed_beta != point.dg_kf);
        let signal = |(at, (name, _)): (usize, &Signal<SeriesPoint>)| Switch {
            on: at == 0 || self.id == "track-one" && groups.len() < 3 && groups.iter().take(1).any(moved),
            colour: Some(self.colours[at]),
            ..on(name)
        };
        Chart {
            id: self.id,
            x_title: GENERATION,
            whole: true,
            y_title: self.y_title.to_owned(),
            scales: &["linear", "symlog"],
            zero: true,
            choose: false,
            colour_by: if single { "signal" } else { "group" },
            titles: ["Runs", "Signals"],
            groups: groups.iter().map(|group| group.switch.clone()).collect(),
            signals: self.signals.iter().enumerate().map(signal).collect(),
            lines,
        }
    }
}

/// How intervals are drawn.
#[derive(Clone, Copy)]
enum Ends {
    Whiskers,
    Area,
}

/// The noise floors of both tracks as lines without slope.
fn noise(condition: &Condition) -> RunSeries {
    let floor = |signal: floors::Signal| condition.floors.get(signal);
    let ends = |signal: floors::Signal| floor(signal).map(|floor| Interval { low: floor.low, high: floor.high });
    let point = |point: &SeriesPoint| SeriesPoint {
        du_cov: floor(floors::Signal::TrackTwo).map(|floor| floor.mean),
        dg_kf: floor(floors::Signal::TrackOne).map(|floor| floor.mean),
        du_interval: ends(floors::Signal::TrackTwo),
        dg_interval: ends(floors::Signal::TrackOne),
        ..SeriesPoint::of_tracks(point.generation, None, None)
    };
    RunSeries { points: condition.mean.points.iter().map(point).collect(), ..condition.mean.clone() }
}

/// One interval for each point; none at all where no point has one.
pub(super) fn intervals(
    points: &[SeriesPoint],
    interval: fn(&SeriesPoint) -> Option<Interval>,
) -> Vec<Option<(f64, f64)>> {
    let ends: Vec<_> = points.iter().map(|point| interval(point).map(|ends| (ends.low, ends.high))).collect();
    if ends.iter().all(Option::is_none) { Vec::new() } else { ends }
}
