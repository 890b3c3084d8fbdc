//! Figures 1 and 2 of the paper: the drifts of both tracks over generations, a row for each run or mean of runs and a
//! column for each track, because the two differ in size: the panels of a track share one axis, so that rows compare.

use plotters::style::RGBColor;
use sigma_metrics::Interval;

use super::axis::Axis;
use super::legend::{DIFFERS, Shape, Sign};
use super::line::{Line, Marker};
use super::panel::{Band, Dots, Panel};
use super::style::{BLUE, CONTROL_TINT, FLOOR_TINT, GREEN, INK, TINT, VERMILLION};
use crate::condition::aimed_at;
use crate::floors::{Floors, Signal};
use crate::series::{RunSeries, SeriesPoint};

/// What a row shows.
pub(super) struct Row<'a> {
    /// `None` where there is no other row.
    pub(super) name: Option<String>,
    pub(super) series: &'a RunSeries,
    /// The runs of which `series` is the mean; none for a single run.
    pub(super) seeds: Vec<&'a RunSeries>,
    pub(super) floors: Floors,
    /// The mean of runs on real text only, with their range as its interval.
    pub(super) control: Option<&'a RunSeries>,
    /// What the intervals of a single run aim at, if that is known.
    pub(super) confidence: Option<f64>,
}

impl<'a> Row<'a> {
    /// The drifts and their intervals alone.
    pub(super) fn of_run(series: &'a RunSeries, name: Option<String>) -> Row<'a> {
        Row { name, series, seeds: Vec::new(), floors: Floors::default(), control: None, confidence: None }
    }
}

/// One of the columns.
struct Track {
    title: &'static str,
    symbol: &'static str,
    signal: Signal,
    colour: RGBColor,
    marker: Marker,
    drift: fn(&SeriesPoint) -> Option<f64>,
    interval: fn(&SeriesPoint) -> Option<Interval>,
}

const TRACKS: [Track; 2] = [
    Track {
        title: "Track II, ΔU",
        symbol: "ΔU",
        signal: Signal::TrackTwo,
        colour: BLUE,
        marker: Marker::Circle,
        drift: |point| point.du_cov,
        interval: |point| point.du_interval,
    },
    Track {
        title: "Track I, ΔG",
        symbol: "ΔG",
        signal: Signal::TrackOne,
        colour: VERMILLION,
        marker: Marker::OpenSquare,
        drift: |point| point.dg_kf,
        interval: |point| point.dg_interval,
    },
];

/// Row by row, Track II first.
pub(super) fn panels(rows: &[Row]) -> Vec<Panel> {
    let mut columns = TRACKS.map(|track| {
        let mut panels: Vec<Panel> = rows.iter().map(|row| panel(row, &track)).collect();
        let y = Axis::around(panels.iter().flat_map(heights).collect::<Vec<f64>>(), true);
        for panel in &mut panels {
            panel.y_title = format!("{} from generation 0 ({})", track.symbol, y.unit("nats"));
            panel.y = y.clone();
        }
        panels.into_iter()
    });
    (0..rows.len()).flat_map(|_| columns.each_mut().map(Iterator::next)).flatten().collect()
}

/// Every value that a panel shows.
fn heights(panel: &Panel) -> Vec<f64> {
    let of_lines = panel.lines.iter().flat_map(|line| &line.points).filter_map(|(_, value)| *value);
    let bands = panel.bands.iter().chain(&panel.whiskers).flat_map(|band| &band.points);
    let ends = bands.filter_map(|(_, ends)| *ends).flat_map(|(low, high)| [low, high]);
    let dots = panel.dots.iter().flat_map(|dots| &dots.points).map(|(_, value)| *value);
    of_lines.chain(ends).chain(dots).collect()
}

fn panel(row: &Row, track: &Track) -> Panel {
    let Row { name, series, seeds, floors, control, confidence } = row;
    let title = match name {
        Some(name) => format!("{name}: {}", track.title),
        None => track.title.to_owned(),
    };
    let mut lines = vec![Line::of((track.title, track.colour, track.marker), series, track.drift)];
    let budget = |point: &SeriesPoint| point.behind.beta;
    let moved = series.points.iter().any(|point| budget(point).is_some() && budget(point) != budget(&series.points[0]));
    if track.signal == Signal::TrackOne && moved {
        // Beneath the line of the paper's Track I, which it covers where nothing moved.
        lines.insert(0, Line::of(("ΔG, β of t = 0", GREEN, Marker::Triangle), series, |point| point.dg_kf_fixed_beta));
    }
    let last = series.points.last().map_or(0, |point| point.generation);
    let intervals = measured(Band {
        colour: track.colour,
        tint: if seeds.is_empty() { 1.0 } else { TINT },
        points: series.points.iter().map(|point| (point.generation, (track.interval)(point).map(ends))).collect(),
    });
    let noise = floors.get(track.signal).map(|floor| Band {
        colour: track.colour,
        tint: FLOOR_TINT,
        points: [0, last].map(|generation| (generation, Some((floor.low, floor.high)))).to_vec(),
    });
    let control = control.and_then(|control| {
        let points = control.points.iter().map(|point| (point.generation, (track.interval)(point).map(ends))).collect();
        measured(Band { colour: INK, tint: CONTROL_TINT, points })
    });
    let areas = |label: &str, band: &Option<Band>| {
        let sign = |band: &Band| Sign {
            label: label.to_owned(),
            shape: Shape::Areas { colours: vec![band.colour], tint: band.tint },
        };
        band.as_ref().map(sign)
    };
    let dots = if intervals.is_some() { Vec::new() } else { seed_dots(seeds, track) };
    let onset = floors.onset(track.signal, series).and_then(|onset| u32::try_from(onset).ok());
    let mut signs: Vec<Sign> = [areas("noise of the base, 95 %", &noise), areas("control chains, range", &control)]
        .into_iter()
        .flatten()
        .collect();
    if intervals.is_some() {
        signs.push(match seeds.is_empty() {
            true => {
                let label = format!("over prompts{}", aimed_at(*confidence));
                Sign { label, shape: Shape::Whiskers(vec![track.colour]) }
            }
            false => {
                let shape = Shape::Areas { colours: vec![track.colour], tint: TINT };
                Sign { label: "over seeds, 95 %".to_owned(), shape }
            }
        });
    }
    if !dots.is_empty() {
        signs.push(Sign { label: "single seeds".to_owned(), shape: Shape::Dots(vec![track.colour]) });
    }
    if lines.iter().any(|line| !line.hollow.is_empty()) {
        signs.push(Sign { label: DIFFERS.to_owned(), shape: Shape::Hollow });
    }
    if onset.is_some() {
        signs.push(Sign { label: "beyond the noise from here on".to_owned(), shape: Shape::Upright });
    }
    let (whiskers, over_seeds) = if seeds.is_empty() { (intervals, None) } else { (None, intervals) };
    let bands = noise.into_iter().chain(control).chain(over_seeds).collect();
    Panel { bands, whiskers, dots, onset, signs, ..Panel::of_drifts(Some(title), track.symbol, last, lines) }
}

/// Every seed at every generation after t = 0, where all are 0.
fn seed_dots(seeds: &[&RunSeries], track: &Track) -> Vec<Dots> {
    let points = seeds.iter().flat_map(|seed| seed.points.iter().skip(1));
    let points: Vec<(u32, f64)> = points.filter_map(|point| Some((point.generation, (track.drift)(point)?))).collect();
    if points.is_empty() { Vec::new() } else { vec![Dots { colour: track.colour, points }] }
}

fn ends(interval: Interval) -> (f64, f64) {
    (interval.low, interval.high)
}

fn measured(band: Band) -> Option<Band> {
    band.points.iter().any(|(_, ends)| ends.is_some()).then_some(band)
}
