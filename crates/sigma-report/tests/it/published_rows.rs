//! How many rows printed drifts were measured on: the paper's own, and series made with and without the law.

use sigma_metrics::Drift;
use sigma_report::Published;
use sigma_report::published::{DIMENSION, PublishedPoint};
use sigma_report::published_rows::rows_behind;

use crate::fixture::noise;

/// n_t of the published S2 run from t = 19 on, where every row was observed.
const S2_FROM_19: [u32; 27] = [
    911, 455, 439, 506, 780, 738, 602, 706, 650, 396, 206, 194, 188, 324, 152, 52, 3, 58, 80, 77, 188, 484, 662, 770,
    381, 546, 614,
];

/// Six decimals, as the paper prints them.
fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

/// Drifts of Track II that follow no law, and Track I from them and from the rows; without rows Track I follows none
/// either.
fn drifts(rows: &[Option<u32>], seed: usize) -> Vec<Drift> {
    let drift = |(t, rows): (usize, &Option<u32>)| {
        let du = 900.0 * noise(3 * t + 1000 * seed);
        let dg = match rows {
            Some(rows) => du + 1953.25 + f64::from(DIMENSION) * f64::from(*rows).ln(),
            None => 300.0 * noise(7 * t + 1000 * seed + 1),
        };
        Drift { du: rounded(du), dg: rounded(dg) }
    };
    rows.iter().enumerate().map(drift).collect()
}

/// How far the printed drifts are from the law of `points`, all of which have counts.
fn largest_deviation(points: &[PublishedPoint]) -> f64 {
    let (d, base) = (f64::from(DIMENSION), &points[0]);
    let law = |point: &PublishedPoint| d * f64::from(point.rows.unwrap()).ln();
    let off =
        |point: &PublishedPoint| (point.dg_kf - point.du_cov - base.dg_kf + base.du_cov) - (law(point) - law(base));
    points.iter().map(|point| off(point).abs()).fold(0.0, f64::max)
}

#[test]
fn every_row_of_the_published_s1_run_was_observed() {
    let points = Published::bundled().unwrap().s1_points;
    let rows: Vec<u32> = points.iter().map(|point| point.rows.unwrap()).collect();
    assert_eq!(rows[0], 977);
    assert!(rows[1..].iter().all(|rows| (998..=1000).contains(rows)), "{rows:?}");
    assert!(largest_deviation(&points) <= 5e-6, "{}", largest_deviation(&points));
}

#[test]
fn every_row_of_the_published_s2_run_was_observed_from_19_to_45_and_few_were_left() {
    let points = Published::bundled().unwrap().s2_points;
    let rows: Vec<Option<u32>> = points.iter().map(|point| point.rows).collect();
    let expected = [vec![None; 19], S2_FROM_19.map(Some).to_vec(), vec![None; 5]].concat();
    assert_eq!(rows, expected);
    assert!(largest_deviation(&points[19..46]) <= 5e-6);
}

#[test]
fn counts_are_found_wherever_beta_is_0_and_nowhere_else() {
    let mixed: Vec<Option<u32>> = (0..51).map(|t| (t % 3 == 1).then_some(101 + 3 * t * t / 5)).collect();
    let whole: Vec<Option<u32>> = (0..51).map(|t| Some(1000 - t % 4)).collect();
    for rows in [mixed, whole] {
        for seed in 0..4 {
            assert_eq!(rows_behind(&drifts(&rows, seed), DIMENSION), rows);
        }
    }
}

#[test]
fn counts_are_the_smallest_that_fit() {
    let doubled: Vec<Option<u32>> = S2_FROM_19.map(|rows| Some(2 * rows)).to_vec();
    assert_eq!(rows_behind(&drifts(&doubled, 1), DIMENSION), S2_FROM_19.map(Some));
}

#[test]
fn drifts_that_follow_no_law_have_no_counts() {
    for seed in 0..40 {
        assert_eq!(rows_behind(&drifts(&[None; 51], seed), DIMENSION), [None; 51], "{seed}");
    }
    // Four are too few to tell.
    let four: Vec<Option<u32>> = (0..51).map(|t| (10..14).contains(&t).then_some(500 + t * t)).collect();
    assert_eq!(rows_behind(&drifts(&four, 0), DIMENSION), [None; 51]);
    let wild = [f64::NAN, f64::INFINITY, f64::MAX, f64::MIN, -0.0, 5e-324].map(|dg| Drift { du: 1.0, dg });
    assert_eq!(rows_behind(&wild, DIMENSION), [None; 6]);
    assert_eq!((rows_behind(&[], DIMENSION), rows_behind(&wild[..1], 0)), (vec![], vec![None]));
}

/// What `docs/paper.md` says of the headline.
#[test]
fn the_slope_of_track_1_in_s2_comes_from_the_steps_of_the_tail_budget() {
    let points = Published::bundled().unwrap().s2_points;
    let slope = |points: &[&PublishedPoint]| {
        let mean =
            |of: &dyn Fn(&PublishedPoint) -> f64| points.iter().map(|p| of(p)).sum::<f64>() / points.len() as f64;
        let (t, y) = (mean(&|p| f64::from(p.generation)), mean(&|p| p.dg_kf));
        let over = mean(&|p| (f64::from(p.generation) - t) * (p.dg_kf - y));
        over / mean(&|p| (f64::from(p.generation) - t).powi(2))
    };
    let all: Vec<&PublishedPoint> = points.iter().collect();
    let left_out: Vec<&PublishedPoint> = points.iter().filter(|point| point.rows.is_none()).collect();
    assert_eq!((left_out.len(), format!("{:.3} {:.3}", slope(&all), slope(&left_out))), (24, "2.350 0.063".to_owned()));
    assert_eq!(points.iter().filter(|point| point.rows.is_some_and(|rows| rows < DIMENSION)).count(), 12);
    // G_KF cannot be negative, so at t = 0 it was at least as large as the deepest fall: n_A / (d beta) >= exp(G / d) -
    // 1.
    let deepest = left_out.iter().map(|point| -point.dg_kf).fold(0.0, f64::max);
    let (d, share) = (f64::from(DIMENSION), |d: f64| 1.0 / (d * ((deepest / d).exp() - 1.0)));
    assert_eq!((format!("{deepest:.3}"), format!("{:.2}", share(d))), ("2.918".to_owned(), "0.34".to_owned()));
}
