//! Everything that is measured against NumPy and SciPy: `goldens/sigma_ub.json`, written by
//! `scripts/goldens/sigma_ub.py`.
//!
//! |found - expected| <= TOLERANCE * max(1, |expected|), except log det G_A without ridge, which no algorithm that forms G_A can
//! give better than the rounding of G_A allows: there eps * sum_i lambda_1 / lambda_i is added.

use serde::Deserialize;
use sigma_metrics::{
    Drift, SigmaConfig, SurfaceConfig, correlate, distinct_n, hashed_hhi, normal_quantile, observed_rows, required_n_a,
    sigma_ub, statistics, summarize, surface,
};

use crate::published::s1_points;
use crate::synthetic::Case;

const TOLERANCE: f64 = 1e-10;

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Measured>,
    surface: SurfaceGolden,
    statistics: StatisticsGolden,
}

#[derive(Deserialize)]
struct Measured {
    input: Case,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    n: usize,
    n_a: usize,
    beta: f64,
    s: f64,
    u_cov: f64,
    g_kf: f64,
    u_cov_full: f64,
    rank: usize,
    condition: f64,
    lambda_max: f64,
    lambda_min: f64,
    log_det_ga: Option<f64>,
    plugin: Option<f64>,
    sensitivity: Option<f64>,
    theorem1: Theorem1,
    theorem3: Option<Theorem3>,
    required_n_a: Option<[u64; 2]>,
    overestimation: f64,
    spectrum_power_sums: [f64; 3],
}

#[derive(Deserialize)]
struct Theorem1 {
    log_lower: f64,
    log_upper: f64,
    lambda_b: f64,
    lambda_b_exact: bool,
}

#[derive(Deserialize)]
struct Theorem3 {
    s: f64,
    center: f64,
    half_width: f64,
    lower: f64,
    upper: f64,
}

#[derive(Deserialize)]
struct SurfaceGolden {
    texts: Vec<String>,
    words: usize,
    empty: usize,
    mean_words: f64,
    bigrams: usize,
    distinct_n: Vec<DistinctN>,
    hhi: Vec<Hhi>,
}

#[derive(Deserialize)]
struct DistinctN {
    n: usize,
    value: f64,
}

#[derive(Deserialize)]
struct Hhi {
    ngram: usize,
    buckets: usize,
    value: f64,
}

#[derive(Deserialize)]
struct StatisticsGolden {
    x: Vec<f64>,
    y: Vec<f64>,
    mean: f64,
    sample_std: f64,
    ols_slope: f64,
    pearson: f64,
    spearman: f64,
    normal_quantile: Vec<Quantile>,
    published_s1: PublishedS1,
}

#[derive(Deserialize)]
struct Quantile {
    p: f64,
    x: f64,
}

#[derive(Deserialize)]
struct PublishedS1 {
    slope_u: f64,
    slope_g: f64,
    pearson_du_dg: f64,
    spearman_du_dg: f64,
}

fn goldens() -> Goldens {
    serde_json::from_str(include_str!("../goldens/sigma_ub.json")).unwrap()
}

/// Compares numbers and remembers the largest deviation, which `cargo test -- --nocapture` prints.
#[derive(Default)]
struct Check {
    worst: f64,
    at: String,
}

impl Check {
    fn near(&mut self, what: &str, found: f64, expected: f64, extra: f64) {
        let scale = expected.abs().max(1.0);
        let deviation = (found - expected).abs() / scale;
        assert!(deviation <= TOLERANCE + extra / scale, "{what}: found {found:e}, NumPy {expected:e}");
        if extra == 0.0 && deviation > self.worst {
            (self.worst, self.at) = (deviation, what.to_owned());
        }
    }

    fn near_option(&mut self, what: &str, found: Option<f64>, expected: Option<f64>, extra: f64) {
        match (found, expected) {
            (Some(found), Some(expected)) => self.near(what, found, expected, extra),
            (found, expected) => assert_eq!(found, expected, "{what}"),
        }
    }

    fn report(&self) {
        println!("largest relative deviation {:.1e} ({})", self.worst, self.at);
    }
}

#[test]
fn every_quantity_agrees_with_numpy() {
    let mut check = Check::default();
    for Measured { input, expected } in goldens().cases {
        let name = input.name.clone();
        let config =
            SigmaConfig { observed: input.observed, delta: input.delta, rho: input.rho, confidence: input.confidence };
        let observed = observed_rows(&input.keys(), input.observed);
        let found = sigma_ub(&input.embeddings(), &observed, input.total, &config).unwrap();

        assert_eq!((found.n, found.n_a, found.d), (expected.n, expected.n_a, input.d), "{name}");
        assert_eq!(found.rank, expected.rank, "{name}: rank");
        assert_eq!(found.rank_deficient, expected.rank < input.d, "{name}");
        let bare = f64::EPSILON * expected.sensitivity.unwrap_or(0.0);
        for (what, found, expected) in [
            ("beta", found.beta, expected.beta),
            ("s", found.s, expected.s),
            ("u_cov", found.u_cov, expected.u_cov),
            ("g_kf", found.g_kf, expected.g_kf),
            ("u_cov_full", found.u_cov_full, expected.u_cov_full),
            ("condition", found.condition, expected.condition),
            ("lambda_max", found.lambda_max, expected.lambda_max),
            ("lambda_min", found.lambda_min, expected.lambda_min),
            ("log_lower", found.theorem1.log_lower, expected.theorem1.log_lower),
            ("log_upper", found.theorem1.log_upper, expected.theorem1.log_upper),
            ("lambda_b", found.theorem1.lambda_b, expected.theorem1.lambda_b),
            ("overestimation", found.overestimation, expected.overestimation),
        ] {
            check.near(&format!("{name}: {what}"), found, expected, 0.0);
        }
        check.near_option(&format!("{name}: log_det_ga"), found.log_det_ga, expected.log_det_ga, bare);
        check.near_option(&format!("{name}: plugin"), found.plugin, expected.plugin, bare);
        assert_eq!(found.theorem1.lambda_b_exact, expected.theorem1.lambda_b_exact, "{name}");
        for (power, expected) in (1..).zip(expected.spectrum_power_sums) {
            let sum = found.spectrum.iter().map(|lambda| lambda.powi(power)).sum();
            check.near(&format!("{name}: spectrum, power {power}"), sum, expected, 0.0);
        }

        match (&found.theorem3, expected.theorem3) {
            (Some(found), Some(expected)) => {
                for (what, found, expected) in [
                    ("theorem3 s", found.s, expected.s),
                    ("center", found.center, expected.center),
                    ("half_width", found.half_width, expected.half_width),
                    ("lower", found.lower, expected.lower),
                    ("upper", found.upper, expected.upper),
                ] {
                    check.near(&format!("{name}: {what}"), found, expected, 0.0);
                }
            }
            (found, expected) => assert!(found.is_none() && expected.is_none(), "{name}: {found:?}"),
        }
        // Rows that are all alike have s = 0 up to rounding, and ceil() has a step there.
        if let (Some(theorem3), Some(expected)) =
            (found.theorem3.filter(|theorem3| theorem3.s > 1e-9), expected.required_n_a)
        {
            for (precision, expected) in [0.5, 0.03].into_iter().zip(expected) {
                assert_eq!(theorem3.required_n_a(precision), Ok(expected), "{name}: precision {precision}");
                assert_eq!(required_n_a(theorem3.s, input.confidence, precision), Ok(expected), "{name}");
            }
        }
    }
    check.report();
}

#[test]
fn the_cases_cover_what_they_claim() {
    let cases = goldens().cases;
    let any = |what: fn(&Measured) -> bool| cases.iter().any(what);
    assert!(any(|case| case.expected.n_a < case.input.d));
    assert!(any(|case| case.expected.n_a > case.input.d && case.expected.rank < case.input.d));
    assert!(any(|case| case.expected.beta == 0.0));
    assert!(any(|case| case.input.d == 1));
    assert!(any(|case| case.input.d >= 128 && case.expected.lambda_min < 1e-8 && case.expected.rank == case.input.d));
    assert!(any(|case| !case.expected.theorem1.lambda_b_exact));
}

#[test]
fn surface_proxies_agree_with_their_python_twin() {
    let golden = goldens().surface;
    let texts = || golden.texts.iter().map(String::as_str);
    let mut check = Check::default();
    for DistinctN { n, value } in golden.distinct_n {
        check.near_option(&format!("distinct-{n}"), distinct_n(texts(), n), Some(value), 0.0);
    }
    for Hhi { ngram, buckets, value } in golden.hhi {
        check.near_option(&format!("{ngram}-gram HHI"), hashed_hhi(texts(), ngram, buckets), Some(value), 0.0);
    }
    let found = surface(texts(), &SurfaceConfig::default()).unwrap();
    assert_eq!((found.words, found.bigrams, found.empty), (golden.words, golden.bigrams, golden.empty));
    check.near_option("mean words", found.mean_words, Some(golden.mean_words), 0.0);
    check.report();
}

#[test]
fn statistics_agree_with_scipy() {
    let golden = goldens().statistics;
    let (x, y) = (&golden.x, &golden.y);
    let mut check = Check::default();
    for (what, found, expected) in [
        ("mean", statistics::mean(y), golden.mean),
        ("sample_std", statistics::sample_std(y), golden.sample_std),
        ("ols_slope", statistics::ols_slope(y), golden.ols_slope),
        ("pearson", statistics::pearson(x, y), golden.pearson),
        ("spearman", statistics::spearman(x, y), golden.spearman),
    ] {
        check.near_option(what, found, Some(expected), 0.0);
    }
    for Quantile { p, x } in golden.normal_quantile {
        check.near_option(&format!("quantile of {p:e}"), normal_quantile(p), Some(x), 0.0);
    }
    check.report();
}

#[test]
fn slopes_and_correlations_of_the_published_series_agree_with_numpy() {
    let golden = goldens().statistics.published_s1;
    let points = s1_points();
    let summary = summarize(&points).unwrap();
    let proxy: Vec<Option<f64>> = points.iter().map(|Drift { dg, .. }| Some(*dg)).collect();
    let correlation = correlate(&points, &proxy).unwrap();
    let mut check = Check::default();
    for (what, found, expected) in [
        ("slope_u", Some(summary.slope_u), golden.slope_u),
        ("slope_g", Some(summary.slope_g), golden.slope_g),
        ("pearson", correlation.pearson, golden.pearson_du_dg),
        ("spearman", correlation.spearman, golden.spearman_du_dg),
    ] {
        check.near_option(what, found, Some(expected), 0.0);
    }
    check.report();
}
