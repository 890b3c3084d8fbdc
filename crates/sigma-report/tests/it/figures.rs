//! Figures: what is drawn, where, and that it is the same everywhere.

use std::path::Path;

use sigma_metrics::Interval;
use sigma_report::{Figure, RunSeries, Setting};

use crate::fixture::{noise, published_s1, series};

const BLUE: &str = "#0072B2";

/// The figure as SVG, PDF and PNG.
fn rendered(figure: &Figure) -> (String, Vec<u8>, Vec<u8>) {
    let [(_, svg), (_, pdf), (_, png)] = figure.render(Path::new("v1.2_figure")).unwrap();
    (String::from_utf8(svg).unwrap(), pdf, png)
}

fn svg(runs: &[RunSeries]) -> String {
    rendered(&Figure::two_tracks(runs)).0
}

fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    let (_, rest) = element.split_once(&format!(" {name}=\"")).unwrap();
    rest.split_once('"').unwrap().0
}

/// The corners of the lines in a colour; the first is the legend's.
fn polylines(svg: &str, colour: &str) -> Vec<Vec<(f64, f64)>> {
    let lines = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(colour));
    let corner = |corner: &str| {
        let (x, y) = corner.split_once(',').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    };
    lines.map(|line| attribute(line, "points").split_whitespace().map(corner).collect()).collect()
}

/// The centres of the Track II markers; the first is the legend's.
fn circles(svg: &str) -> Vec<(f64, f64)> {
    let lines = svg.lines().filter(|line| line.starts_with("<circle"));
    lines.map(|line| (attribute(line, "cx").parse().unwrap(), attribute(line, "cy").parse().unwrap())).collect()
}

fn texts(svg: &str) -> Vec<&str> {
    svg.split("<text").skip(1).map(|text| text.split_once(">\n").unwrap().1.split_once("\n<").unwrap().0).collect()
}

#[test]
fn every_point_is_drawn_at_its_value() {
    let published = published_s1();
    let svg = svg(&[series(Setting::S1, published.clone())]);
    let lines = polylines(&svg, BLUE);
    assert_eq!(lines.len(), 2, "the legend and one line");
    let line = &lines[1];
    assert_eq!(line.len(), published.len());
    // Two points fix the scales, all others must lie on them to a grid unit.
    let (x_0, y_0) = line[0];
    let x_per_generation = (line[25].0 - x_0) / 25.0;
    let y_per_nat = (line[12].1 - y_0) / published[12].0;
    assert!(x_per_generation > 0.0 && y_per_nat < 0.0);
    for (t, ((x, y), (du, _))) in line.iter().zip(&published).enumerate() {
        assert!((x - x_0 - x_per_generation * t as f64).abs() <= 1.5, "generation {t} at x = {x}");
        assert!((y - y_0 - y_per_nat * du).abs() <= 1.5, "generation {t} at y = {y}");
    }
    assert_eq!(circles(&svg)[1..], line[..]);
}

#[test]
fn the_legend_lies_above_the_data() {
    let rising = series(Setting::S1, (0..51).map(|t| (f64::from(t), -f64::from(t))));
    let falling = series(Setting::S2, published_s1());
    let runs = [rising, falling];
    for figure in [Figure::two_tracks(&runs[..1]), Figure::two_tracks(&runs), Figure::surface_proxies(&runs)] {
        let (svg, _, _) = rendered(&figure);
        let (legend, data) = circles(&svg).split_first().map(|(first, rest)| (*first, rest.to_vec())).unwrap();
        let top = data.iter().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
        assert!(legend.1 + 20.0 < top, "legend at {legend:?}, data from {top}");
    }
}

#[test]
fn axes_are_titled_with_units_and_text_is_text_in_a_generic_font() {
    let svg = svg(&[series(Setting::S1, published_s1())]);
    let texts = texts(&svg);
    for expected in ["generation", "ΔU from generation 0 (nats)", "Track II, ΔU", "Track I, ΔG", "−150", "0", "25"]
    {
        assert!(texts.contains(&expected), "{expected} not in {texts:?}");
    }
    assert!(
        svg.lines().filter(|line| line.starts_with("<text")).all(|line| attribute(line, "font-family") == "sans-serif")
    );
}

#[test]
fn a_run_is_a_row_of_two_titled_panels() {
    let runs = [series(Setting::S1, published_s1()), series(Setting::S2, published_s1())];
    let both = svg(&runs);
    assert_eq!(polylines(&both, BLUE).len(), 3, "one legend, two lines");
    assert!(both.starts_with("<svg width=\"7in\" height=\"6.5in\""));
    let one = svg(&runs[..1]);
    assert!(!texts(&one).iter().any(|text| text.starts_with("S1")));
    assert!(one.starts_with("<svg width=\"7in\" height=\"3.25in\""));
}

#[test]
fn a_missing_point_interrupts_the_line_and_a_lonely_one_keeps_its_marker() {
    let mut run = series(Setting::S1, (0..200).map(|t| (noise(t), 0.0)));
    for t in [100, 102] {
        run.points[t].du_cov = None;
    }
    run.points[150].du_cov = Some(f64::NAN);
    let svg = svg(&[run]);
    let lengths: Vec<usize> = polylines(&svg, BLUE)[1..].iter().map(Vec::len).collect();
    assert_eq!(lengths, [100, 47, 49]);
    // Generation 101 is not one of those marked by their turn.
    let x = |t: f64| {
        polylines(&svg, BLUE)[1][0].0 + t * (polylines(&svg, BLUE)[1][99].0 - polylines(&svg, BLUE)[1][0].0) / 99.0
    };
    assert!(circles(&svg).iter().any(|(cx, _)| (cx - x(101.0)).abs() < 1.5));
    assert!(!circles(&svg).iter().any(|(cx, _)| (cx - x(99.0)).abs() < 1.5));
}

#[test]
fn figures_do_not_depend_on_when_they_are_drawn() {
    let runs = [series(Setting::S1, published_s1()), series(Setting::S2, published_s1())];
    assert!(rendered(&Figure::surface_proxies(&runs)) == rendered(&Figure::surface_proxies(&runs)));
}

#[test]
fn pdf_carries_its_font_and_png_has_print_resolution() {
    let (_, pdf, png) = rendered(&Figure::two_tracks(&[series(Setting::S1, published_s1())]));
    assert!(pdf.starts_with(b"%PDF-"));
    let pdf = String::from_utf8_lossy(&pdf);
    assert!(pdf.contains("+NotoSans"), "no embedded subset of the font");
    assert!(pdf.contains("/FontFile2"), "the font is named but not embedded");
    assert!(pdf.contains("[0 0 504 234]"), "the page is not 7 by 3.25 inches");
    assert_eq!(&png[1..4], b"PNG");
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((side(16), side(20)), (2100, 975));
}

#[test]
fn extreme_series_are_drawn_inside_the_picture() {
    let cases: [Vec<(f64, f64)>; 8] = [
        vec![],
        vec![(0.0, 0.0)],
        vec![(0.0, 0.0); 12],
        vec![(0.0, 0.0), (f64::MAX, f64::MIN)],
        vec![(0.0, 0.0), (-5e-324, 5e-324)],
        vec![(f64::NAN, f64::INFINITY); 3],
        (0..20).map(|t| (-3.7e12 * f64::from(t), 1e11)).collect(),
        (0..2000).map(|t| (noise(t), -noise(t))).collect(),
    ];
    for case in cases {
        let shown = format!("{:?}", &case[..case.len().min(3)]);
        let run = [series(Setting::S1, case)];
        for figure in [Figure::two_tracks(&run), Figure::surface_proxies(&run)] {
            let (svg, _, _) = rendered(&figure);
            let corners = polylines(&svg, "stroke").into_iter().flatten().chain(circles(&svg));
            for (x, y) in corners {
                assert!((0.0..=2100.0).contains(&x) && (0.0..=975.0).contains(&y), "({x}, {y}) for {shown}");
            }
        }
    }
}

#[test]
fn a_single_run_has_the_intervals_of_its_drifts_as_whiskers_and_the_legend_names_them() {
    let mut run = series(Setting::S2, (0..9).map(|t| (-20.0 * f64::from(t), 0.0)));
    let without = svg(&[run.clone()]);
    assert!(!texts(&without).contains(&"over prompts"));
    let ends = |t: usize| (t > 0 && t != 4).then_some((3.0 + t as f64, 9.0));
    for (t, point) in run.points.iter_mut().enumerate() {
        let drift = -20.0 * t as f64;
        point.du_interval = ends(t).map(|(below, above)| Interval { low: drift - below, high: drift + above });
    }
    let with = svg(&[run.clone()]);
    // a series alone does not know what its intervals aim at
    assert!(texts(&with).contains(&"over prompts"), "{:?}", texts(&with));
    let all = polylines(&with, BLUE);
    let line = all.iter().find(|line| line.len() == 9).unwrap();
    let y_per_nat = (line[8].1 - line[0].1) / -160.0;
    for (t, (x, y)) in line.iter().enumerate() {
        let upright = |points: &&Vec<(f64, f64)>| points.len() == 2 && points[0].0 == *x && points[1].0 == *x;
        let found: Vec<_> = all.iter().filter(upright).collect();
        assert_eq!(found.len(), usize::from(ends(t).is_some()), "generation {t}");
        for (low, high) in found.iter().map(|ends| (ends[0].1.max(ends[1].1), ends[0].1.min(ends[1].1))) {
            let (below, above) = ends(t).unwrap();
            assert!((low - y + y_per_nat * below).abs() <= 2.0 && (y - high + y_per_nat * above).abs() <= 2.0, "{t}");
        }
    }
}

#[test]
fn no_line_leads_over_a_step_of_the_observed_rows_and_points_behind_it_are_hollow() {
    let mut run = series(Setting::S2, (0..9).map(|t| (-20.0 * f64::from(t), f64::from(t))));
    let plain = svg(&[run.clone()]);
    assert!(!texts(&plain).contains(&"n or n_A not as at t = 0"));
    for point in &mut run.points[4..] {
        point.behind.differs = true;
    }
    run.points[4].behind.broken = true;
    let svg = svg(&[run]);
    let lengths: Vec<usize> = polylines(&svg, BLUE)[1..].iter().map(Vec::len).collect();
    assert_eq!(lengths, [4, 5], "four points before the step, five from it on");
    assert!(texts(&svg).contains(&"n or n_A not as at t = 0"));
    let hollow = |svg: &str| svg.lines().filter(|line| line.starts_with("<circle") && line.contains("#FFFFFF")).count();
    // One of the legend and five in each panel.
    assert_eq!((hollow(&plain), hollow(&svg)), (0, 11));
}

#[test]
fn each_track_has_an_axis_of_its_own_which_all_runs_share() {
    let runs = [
        series(Setting::S1, (0..9).map(|t| (-f64::from(t), -0.01 * f64::from(t)))),
        series(Setting::S2, (0..9).map(|t| (-20.0 * f64::from(t), -0.2 * f64::from(t)))),
    ];
    let both = svg(&runs);
    for title in ["S1: Track II, ΔU", "S1: Track I, ΔG", "S2: Track II, ΔU", "S2: Track I, ΔG"] {
        assert!(texts(&both).contains(&title), "{title}");
    }
    let fall = |line: &[(f64, f64)]| line[8].1 - line[0].1;
    let lines: Vec<Vec<(f64, f64)>> = polylines(&both, BLUE).into_iter().filter(|line| line.len() == 9).collect();
    assert!((fall(&lines[1]) / fall(&lines[0]) - 20.0).abs() < 1.0, "one scale for both runs");
    // Track I, a hundredth in size, fills its panel as Track II does.
    let markers = |svg: &str| -> Vec<f64> {
        let squares = polylines(svg, "#D55E00").into_iter().filter(|line| line.len() == 6);
        squares.map(|corners| corners[0].1).collect()
    };
    let (top, bottom) = markers(&both)[1..].iter().fold((f64::INFINITY, 0.0f64), |(a, b), y| (a.min(*y), b.max(*y)));
    assert!(bottom - top > fall(&lines[1]), "{top} to {bottom}");
}
