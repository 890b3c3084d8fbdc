//! Figures of measured beside published: values, the rows under them, and where lines end.

use sigma_report::Setting;

use crate::published::{falling, printed, reported};

/// Corners of the lines of a colour, the legend's first.
fn corners(svg: &str, colour: &str) -> Vec<Vec<(f64, f64)>> {
    let lines = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(colour));
    let corner = |corner: &str| {
        let (x, y) = corner.split_once(',').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    };
    let points = |line: &str| line.split_once("points=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    lines.map(|line| points(line).split_whitespace().map(corner).collect()).collect()
}

/// Centres of the open squares, which are the published markers.
fn squares(svg: &str) -> Vec<(f64, f64)> {
    let squares = corners(svg, "#222222").into_iter().filter(|corners| corners.len() == 6);
    squares.map(|corners| ((corners[0].0 + corners[2].0) / 2.0, (corners[0].1 + corners[2].1) / 2.0)).collect()
}

#[test]
fn the_overlay_draws_both_series_at_their_values_over_the_rows_behind_them() {
    let reported = reported(&[(Setting::S1, falling())], |_| {});
    let svg = reported.text("figures/fin_s1_published.svg");
    // The legend, then for each track the drifts and the rows of the run.
    let measured = corners(&svg, "#0072B2");
    assert_eq!(measured.iter().map(Vec::len).collect::<Vec<_>>(), [2, 11, 11, 11, 11]);
    let own = reported.table("fin_s1_two_tracks_points").numbers("delta_u_cov").unwrap();
    let (origin, tenth) = (measured[1][0], measured[1][10]);
    let per_nat = (tenth.1 - origin.1) / own[10].unwrap();
    // Published markers are open squares at the published values on the same scale; not every point has one.
    let squares = squares(&svg);
    let at = |t: usize, du: f64| (origin.0 + (tenth.0 - origin.0) / 10.0 * t as f64, origin.1 + per_nat * du);
    let published = printed(Setting::S1);
    let drawn = published.iter().enumerate().filter(|(t, (du, _))| {
        let (x, y) = at(*t, *du);
        squares.iter().any(|square| (square.0 - x).abs() <= 3.0 && (square.1 - y).abs() <= 3.0)
    });
    assert!(drawn.count() >= 17, "{squares:?}");
    // The strip below holds every count, in both columns; 1000 and 977 stand as far apart as the axis says.
    let top = squares.iter().map(|square| square.1).fold(0.0, f64::max) - 200.0;
    let strip: Vec<&(f64, f64)> = squares.iter().filter(|square| square.1 > top).collect();
    assert_eq!(strip.len() % 2, 0);
    let lowest = strip.iter().map(|square| square.1).fold(0.0, f64::max);
    assert_eq!(strip.iter().filter(|square| square.1 == lowest).count(), 2, "977 at t = 0 alone: {strip:?}");
    assert!(strip.len() >= 2 * 17, "{strip:?}");
}

#[test]
fn no_published_line_crosses_a_step_of_the_tail_budget() {
    let reported = reported(&[(Setting::S2, printed(Setting::S2))], |_| {});
    let svg = reported.text("figures/fin_s2_published.svg");
    let places = &corners(&svg, "#0072B2")[1];
    assert_eq!(places.len(), 51);
    let of = |t: usize| places[t].0;
    // Published lines are dashed: no dash may lie between t = 18 and 19, or 45 and 46, in any panel. The legend lies
    // above.
    let dashes = || {
        let lines = corners(&svg, "#222222").into_iter().filter(|ends| ends.len() == 2 && ends[0].0 != ends[1].0);
        lines.filter(|ends| ends[0].1 > 100.0)
    };
    let crossing = |from: usize| {
        let middle = (of(from) + of(from + 1)) / 2.0;
        dashes().filter(|ends| ends[0].0.min(ends[1].0) < middle && ends[0].0.max(ends[1].0) > middle).count()
    };
    assert_eq!((crossing(18), crossing(45)), (0, 0));
    assert!(dashes().count() > 100, "lines there are");
    // Rows are drawn where they are known alone, lower the fewer they are: 3 at t = 35 are the fewest.
    let squares = squares(&svg);
    let lowest = squares.iter().map(|square| square.1).fold(0.0, f64::max);
    let fewest: Vec<f64> = squares.iter().filter(|square| square.1 == lowest).map(|square| square.0).collect();
    assert!(fewest.iter().any(|x| (x - of(35)).abs() <= 3.0) && fewest.len() == 2, "{fewest:?}");
    // On the page too.
    let page = reported.text("index.html");
    let data = page.split_once("id=\"report-data\">").unwrap().1.split_once("</script>").unwrap().0;
    let data: serde_json::Value = serde_json::from_str(&data.replace("\\u003c", "<")).unwrap();
    let chart = data["charts"].as_array().unwrap().iter().find(|chart| chart["id"] == "track-one").unwrap();
    let groups = chart["groups"].as_array().unwrap();
    let group = groups.iter().position(|group| group["name"] == "S2 as published").unwrap();
    assert!(groups.iter().all(|group| group["name"] != "S1 as published"));
    let lines = chart["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["group"] == group && line["signal"] == 0).unwrap();
    let points = line["points"].as_array().unwrap();
    assert_eq!(points.len(), 53);
    for t in [18, 45] {
        let at = points.iter().position(|point| point[0] == t + 1).unwrap();
        assert!(points[at - 1][1].is_null() && points[at - 2][0] == t && !points[at - 2][1].is_null());
    }
    assert_eq!(points.last().unwrap()[1], -2.425766);
}
