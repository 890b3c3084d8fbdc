//! Whole reports: the files, and that tables and figures say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sigma_report::{CsvTable, ReportError, Run, Setting, read_metrics, write_report};

use crate::fixture::{noise, published_s1, run_folder};

fn falling() -> Vec<(f64, f64)> {
    published_s1().into_iter().map(|(du, dg)| (du - 1234.5, dg + 321.0)).collect()
}

fn diverging() -> Vec<(f64, f64)> {
    (0..51).map(|t| (-30.0 * t as f64 + 5.0 * noise(t), 100.0 + 2.0 * t as f64 - noise(t))).collect()
}

struct Reported {
    _folder: tempfile::TempDir,
    out: PathBuf,
    written: Vec<PathBuf>,
}

fn reported(runs: &[(Setting, Vec<(f64, f64)>)]) -> Reported {
    let folder = tempfile::tempdir().unwrap();
    let open = |(setting, tracks): &(Setting, Vec<(f64, f64)>)| {
        Run::open(&run_folder(folder.path(), *setting, tracks)).unwrap()
    };
    let runs: Vec<Run> = runs.iter().map(open).collect();
    let out = folder.path().join("report");
    let written = write_report(&runs, &out, "fin").unwrap();
    Reported { out, written, _folder: folder }
}

fn names(reported: &Reported) -> BTreeSet<String> {
    reported.written.iter().map(|path| path.strip_prefix(&reported.out).unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_report_of_both_settings_has_the_papers_file_names() {
    // In the other order than the paper's, which must not matter.
    let reported = reported(&[(Setting::S2, diverging()), (Setting::S1, falling())]);
    let mut expected: BTreeSet<String> = [
        "final/fin/metrics_paper.csv",
        "final/fin/metrics_buckets_paper.csv",
        "true_recursion/fin/metrics_paper_recursion.csv",
        "true_recursion/fin/metrics_buckets_paper_recursion.csv",
        "index.html",
    ]
    .map(str::to_owned)
    .into();
    for figure in [
        "fin_s1_two_tracks",
        "fin_s2_two_tracks",
        "fin_s1s2_two_tracks",
        "fin_length",
        "fin_surface_proxies",
        "fin_buckets",
    ] {
        expected.extend(["svg", "pdf", "png"].map(|extension| format!("figures/{figure}.{extension}")));
    }
    for table in [
        "fin_s1_two_tracks_points",
        "fin_s2_two_tracks_points",
        "fin_s1_surface_proxies_points",
        "fin_s2_surface_proxies_points",
        "fin_s1_buckets_points",
        "fin_s2_buckets_points",
        "tab_fin_s1s2_summary",
        "tab_fin_surface_proxies",
        "tab_fin_buckets",
        "tab_fin_repro_model_training",
        "tab_fin_repro_data_mixture",
        "tab_fin_repro_decoding",
        "tab_fin_repro_seeds",
        "tab_fin_repro_sigma_ub",
        "tab_fin_repro_environment",
        "tab_fin_diagnostics",
    ] {
        expected.extend(["csv", "md", "tex"].map(|extension| format!("tables/{table}.{extension}")));
    }
    assert_eq!(names(&reported), expected);
    assert!(reported.written.iter().all(|path| fs::metadata(path).unwrap().len() > 0));
    assert_eq!(read_metrics(&reported.out.join("final/fin/metrics_paper.csv")).unwrap().len(), 26);
}

#[test]
fn a_report_of_one_setting_leaves_the_other_out() {
    let names = names(&reported(&[(Setting::S2, diverging())]));
    assert!(names.contains("figures/fin_s2_two_tracks.pdf") && names.contains("tables/tab_fin_s1s2_summary.tex"));
    assert!(
        !names
            .iter()
            .any(|name| name.contains("fin_s1_") || name.contains("s1s2_two_tracks") || name.starts_with("final"))
    );
}

fn column(path: &Path, name: &str) -> Vec<f64> {
    CsvTable::read(path).unwrap().numbers(name).unwrap().into_iter().map(Option::unwrap).collect()
}

/// Written out from the normal equations, so as to share nothing with the program.
fn slope(y: &[f64]) -> f64 {
    let n = y.len() as f64;
    let t = || (0..y.len()).map(|t| t as f64);
    let (sum_t, sum_y): (f64, f64) = (t().sum(), y.iter().sum());
    let sum_ty: f64 = t().zip(y).map(|(t, y)| t * y).sum();
    let sum_tt: f64 = t().map(|t| t * t).sum();
    (n * sum_ty - sum_t * sum_y) / (n * sum_tt - sum_t * sum_t)
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let (x_mean, y_mean) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let moment = |a: &[f64], a_mean: f64, b: &[f64], b_mean: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - a_mean) * (b - b_mean)).sum()
    };
    moment(x, x_mean, y, y_mean) / (moment(x, x_mean, x, x_mean) * moment(y, y_mean, y, y_mean)).sqrt()
}

/// Mean rank: how many are smaller, plus half of those that are equal.
fn ranks(x: &[f64]) -> Vec<f64> {
    let below = |value: f64| x.iter().filter(|other| **other < value).count() as f64;
    let equal = |value: f64| x.iter().filter(|other| **other == value).count() as f64;
    x.iter().map(|value| below(*value) + equal(*value) / 2.0).collect()
}

fn assert_close(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{what}: {got} is not {expected}");
}

#[test]
fn every_scalar_of_the_summary_follows_from_the_exported_points() {
    let reported = reported(&[(Setting::S1, falling()), (Setting::S2, diverging())]);
    let tables = reported.out.join("tables");
    let summary = CsvTable::read(&tables.join("tab_fin_s1s2_summary.csv")).unwrap();
    // The scalars of the published summary come first and keep their names, so that the two can be compared by a
    // script.
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/paper/summary.csv");
    assert_eq!(summary.header()[..6], CsvTable::read(&published).unwrap().header()[..6]);
    assert_eq!(summary.texts("setting").unwrap(), ["S1", "S2"]);
    for (line, setting) in ["s1", "s2"].into_iter().enumerate() {
        let points = tables.join(format!("fin_{setting}_two_tracks_points.csv"));
        let (generation, du, dg) =
            (column(&points, "generation"), column(&points, "delta_u_cov"), column(&points, "delta_g_kf"));
        let scalar = |name: &str| summary.numbers(name).unwrap()[line].unwrap();
        assert_eq!(scalar("generations"), *generation.last().unwrap());
        assert_eq!(scalar("delta_u_cov_final"), *du.last().unwrap());
        assert_eq!(scalar("delta_g_kf_final"), *dg.last().unwrap());
        assert_close(scalar("slope_u_cov"), slope(&du), "slope_u_cov");
        assert_close(scalar("slope_g_kf"), slope(&dg), "slope_g_kf");
        assert_eq!([scalar("n"), scalar("n_a"), scalar("empty_answers")], [1000.0, 500.0, 0.0]);
    }
    // Both fall, and without replicates of the base nobody knows whether that is noise.
    assert_eq!(summary.texts("beyond_noise").unwrap(), ["not measured"; 2]);
}

#[test]
fn every_scalar_of_the_proxy_table_follows_from_the_exported_points() {
    let reported = reported(&[(Setting::S1, falling()), (Setting::S2, diverging())]);
    let tables = reported.out.join("tables");
    let summary = CsvTable::read(&tables.join("tab_fin_surface_proxies.csv")).unwrap();
    for (line, setting) in ["s1", "s2"].into_iter().enumerate() {
        let du = column(&tables.join(format!("fin_{setting}_two_tracks_points.csv")), "delta_u_cov");
        let points = tables.join(format!("fin_{setting}_surface_proxies_points.csv"));
        let scalar = |name: String| summary.numbers(&name).unwrap()[line].unwrap();
        for proxy in ["distinct_2", "hhi"] {
            let values = column(&points, proxy);
            assert_eq!(scalar(format!("{proxy}_first")), values[0]);
            assert_eq!(scalar(format!("{proxy}_last")), *values.last().unwrap());
            assert_close(scalar(format!("pearson_{proxy}")), correlation(&du, &values), proxy);
            assert_close(scalar(format!("spearman_{proxy}")), correlation(&ranks(&du), &ranks(&values)), proxy);
        }
    }
}

#[test]
fn exported_points_are_the_drifts_of_the_records() {
    let reported = reported(&[(Setting::S1, falling())]);
    let points = reported.out.join("tables/fin_s1_two_tracks_points.csv");
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/paper/s1_points.csv");
    let header = CsvTable::read(&points).unwrap().header().to_vec();
    for name in CsvTable::read(&published).unwrap().header() {
        assert!(header.contains(name), "{name}");
    }
    for (name, published) in [("delta_u_cov", 0), ("delta_g_kf", 1)] {
        for (got, expected) in column(&points, name).iter().zip(published_s1()) {
            assert_close(*got, if published == 0 { expected.0 } else { expected.1 }, name);
        }
    }
    // The same numbers, in the digits of the paper, for people.
    let markdown = fs::read_to_string(points.with_extension("md")).unwrap();
    assert!(
        markdown.contains("|         25 |       -108.036399 |") && markdown.contains("|      -99.101246 |"),
        "{markdown}"
    );
}

/// The y of a drawn point is an affine function of the exported value, for all points of all lines of both kinds of
/// figure.
#[test]
fn every_plotted_point_is_in_a_table() {
    let reported = reported(&[(Setting::S1, falling())]);
    let columns = [
        ("#0072B2", "delta_u_cov", "delta_u_cov_scaled"),
        ("#009E73", "", "distinct_2_scaled"),
        ("#CC79A7", "", "hhi_scaled"),
    ];
    for (colour, track, scaled) in columns {
        for (figure, table, name) in [
            ("fin_s1_two_tracks", "fin_s1_two_tracks_points", track),
            ("fin_surface_proxies", "fin_s1_surface_proxies_points", scaled),
        ] {
            if name.is_empty() {
                continue;
            }
            let svg = fs::read_to_string(reported.out.join(format!("figures/{figure}.svg"))).unwrap();
            let lines: Vec<&str> =
                svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(colour)).collect();
            let heights = |line: &&str| -> Vec<f64> {
                let points = line.split_once("points=\"").unwrap().1.trim_end_matches("\"/>");
                points.split_whitespace().map(|corner| corner.split_once(',').unwrap().1.parse().unwrap()).collect()
            };
            // Whiskers and the legend have a few corners each.
            let drawn = lines.iter().map(heights).max_by_key(Vec::len).unwrap();
            let exported = column(&reported.out.join(format!("tables/{table}.csv")), name);
            assert_eq!(drawn.len(), exported.len(), "{name} in {figure}");
            assert!(correlation(&drawn, &exported) < -0.9999, "{name} in {figure}");
        }
    }
}

#[test]
fn the_summary_in_latex_and_markdown_reads_like_this() {
    let tracks =
        |slope_u: f64, slope_g: f64| (0..3).map(|t| (slope_u * f64::from(t), slope_g * f64::from(t))).collect();
    let reported = reported(&[(Setting::S1, tracks(-1.5, -0.25)), (Setting::S2, tracks(-42.0, 2.0))]);
    let table = reported.out.join("tables/tab_fin_s1s2_summary");
    assert_eq!(
        fs::read_to_string(table.with_extension("tex")).unwrap(),
        r"% Made by sigma-exp; needs \usepackage{booktabs}.
{\scriptsize
\begin{tabular}{lrrrrrrrrll}
\toprule
Setting & $T$ & \shortstack[r]{$\Delta U_{\mathrm{cov}}$\\final} & \shortstack[r]{$\Delta U_{\mathrm{cov}}$\\slope} & \shortstack[r]{$\Delta G_{\mathrm{KF}}$\\final} & \shortstack[r]{$\Delta G_{\mathrm{KF}}$\\slope} & \shortstack[r]{$n$\\$t = T$} & \shortstack[r]{$n_A$\\$t = T$} & \shortstack[r]{empty\\$t = T$} & * & \shortstack[l]{beyond\\the noise} \\
\midrule
S1 & 2 & $-3.000$ & $-1.500$ & $-0.500$ & $-0.250$ & $1000$ & $500$ & $0$ &  & not measured \\
S2 & 2 & $-84.000$ & $-42.000$ & $4.000$ & $2.000$ & $1000$ & $500$ & $0$ &  & not measured \\
\bottomrule
\end{tabular}
\par}
\par\smallskip{\footnotesize S1: No verdict: the noise of the base was not measured (evaluation.noise\_replicates).\par}
\par\smallskip{\footnotesize S2: No verdict: the noise of the base was not measured (evaluation.noise\_replicates).\par}
"
    );
    let markdown = fs::read_to_string(table.with_extension("md")).unwrap();
    let line = "| S2      |   2 |        -84.000 |      -42.000 |         4.000 |       2.000 |      1000 |         500 |             0 |     | not measured     |";
    assert!(markdown.contains(line), "{markdown}");
}

#[test]
fn a_run_of_one_checkpoint_can_be_reported() {
    let reported = reported(&[(Setting::S1, vec![(-3.0, 4.0)])]);
    let summary = CsvTable::read(&reported.out.join("tables/tab_fin_s1s2_summary.csv")).unwrap();
    assert_eq!(summary.numbers("delta_u_cov_final").unwrap(), [Some(0.0)]);
    assert_eq!(summary.numbers("slope_u_cov").unwrap(), [None]);
    assert_eq!(summary.texts("beyond_noise").unwrap(), ["not measured"]);
}

#[test]
fn what_cannot_be_reported_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(&run_folder(folder.path(), Setting::S1, &falling())).unwrap();
    let out = folder.path().join("report");

    let twice = write_report(&[run.clone(), run.clone()], &out, "fin").unwrap_err();
    assert!(matches!(twice, ReportError::RunTwice { seed: 42, .. }), "{twice}");

    let mut empty = run.clone();
    empty.records.clear();
    assert!(matches!(write_report(&[empty], &out, "fin"), Err(ReportError::EmptyRun { dir }) if dir == run.dir));

    for prefix in ["", "../fin", "a/b", ".hidden", "a b"] {
        assert!(matches!(
            write_report(std::slice::from_ref(&run), &out, prefix),
            Err(ReportError::Name { what: "prefix", .. })
        ));
    }
    let mut astray = run.clone();
    astray.manifest.domain = "../../etc".to_owned();
    assert!(matches!(write_report(&[astray], &out, "fin"), Err(ReportError::Name { what: "domain", .. })));
    assert!(!out.exists());
}

#[test]
fn a_report_is_the_same_every_time() {
    let runs = [(Setting::S1, falling()), (Setting::S2, diverging())];
    let (first, second) = (reported(&runs), reported(&runs));
    for name in names(&first) {
        assert!(fs::read(first.out.join(&name)).unwrap() == fs::read(second.out.join(&name)).unwrap(), "{name}");
    }
}
