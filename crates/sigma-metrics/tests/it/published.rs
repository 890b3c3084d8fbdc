//! The paper's own figures (`data/paper`): the series of its S1 run and the two lines of its Table 1.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sigma_metrics::{Drift, SigmaConfig, Trend, drifts, sigma_ub, summarize, tracks_agree};

use crate::synthetic::rows;

#[derive(Deserialize)]
struct Point {
    generation: usize,
    delta_u_cov: f64,
    delta_g_kf: f64,
}

#[derive(Deserialize)]
struct Line {
    setting: String,
    delta_u_cov_final: f64,
    slope_u_cov: f64,
    delta_g_kf_final: f64,
    slope_g_kf: f64,
    tracks_agree: String,
}

fn read<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/paper").join(name);
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

/// The published drifts of S1, generations 0 to 50.
pub(crate) fn s1_points() -> Vec<Drift> {
    let points: Vec<Point> = read("s1_points.csv");
    assert!(points.iter().enumerate().all(|(t, point)| point.generation == t));
    points.iter().map(|point| Drift { du: point.delta_u_cov, dg: point.delta_g_kf }).collect()
}

/// With beta = 0, G_KF = S - d log delta, so that dG - dU = d log(n_t / n_0): the published series betrays its block
/// counts.
#[test]
fn published_s1_observed_every_block_of_a_whole_number() {
    let (d, n_0) = (384.0, 977.0);
    let points = s1_points();
    let counts: Vec<f64> = points.iter().map(|point| n_0 * ((point.dg - point.du) / d).exp()).collect();
    assert_eq!(counts[0], n_0);
    for (t, n) in counts.iter().enumerate().skip(1) {
        assert!((n - n.round()).abs() < 1e-3, "generation {t}: {n}");
        assert!((990.0..=1000.0).contains(&n.round()), "generation {t}: {n}");
    }
    let rounded: Vec<f64> = counts[1..5].iter().map(|n| n.round()).collect();
    assert_eq!(rounded, [998.0, 1000.0, 1000.0, 1000.0]);

    // 384 dimensions and 977 blocks are not just one fit among many: no other count makes every n_t whole, short of
    // doubling them all.
    let fits = |n_0: f64| counts.iter().map(|n| n / 977.0 * n_0).all(|n| (n - n.round()).abs() < 1e-3);
    assert_eq!((1..1954).filter(|&n_0| fits(f64::from(n_0))).collect::<Vec<_>>(), [977]);
}

#[test]
fn our_tracks_differ_by_the_same_law_when_everything_is_observed() {
    let (d, counts) = (12, [97, 100, 98]);
    let tracks = counts.map(|n| {
        let observed: Vec<usize> = (0..n).collect();
        (&sigma_ub(&rows(n, d, n as u64), &observed, None, &SigmaConfig::default()).unwrap()).into()
    });
    for (drift, n) in drifts(&tracks).iter().zip(counts) {
        let expected = d as f64 * (n as f64 / 97.0).ln();
        assert!((drift.dg - drift.du - expected).abs() < 1e-10, "n = {n}: {drift:?}");
    }
}

#[test]
fn agreement_of_table_one_is_reproduced() {
    let lines: Vec<Line> = read("summary.csv");
    assert_eq!(lines.len(), 2);
    for line in lines {
        let two = Trend { final_drift: line.delta_u_cov_final, slope: line.slope_u_cov };
        let one = Trend { final_drift: line.delta_g_kf_final, slope: line.slope_g_kf };
        assert_eq!(tracks_agree(two, one), line.tracks_agree == "yes", "{}", line.setting);
        assert!(two.contracts(), "{}", line.setting);
    }
}

#[test]
fn the_printed_series_gives_the_scalars_of_table_one() {
    let summary = summarize(&s1_points()).unwrap();
    let lines: Vec<Line> = read("summary.csv");
    let line = lines.iter().find(|line| line.setting == "S1").unwrap();
    for (printed, found) in [
        (line.delta_u_cov_final, summary.final_du),
        (line.slope_u_cov, summary.slope_u),
        (line.delta_g_kf_final, summary.final_dg),
        (line.slope_g_kf, summary.slope_g),
    ] {
        assert!((printed - found).abs() <= 5e-4 + 1e-9, "{printed} is not {found}");
    }
    assert_eq!(summary.tracks_agree, line.tracks_agree == "yes");
}
