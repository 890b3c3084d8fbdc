//! Measured beside published: the numbers of the paper, the differences, the sentence.

use std::fs;
use std::path::{Path, PathBuf};

use sigma_report::{CsvTable, Published, ReportError, ReportOptions, Run, Setting, write_report_with};

use crate::fixture::{noise, published_s1, run_folder};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/paper")
}

struct Reported {
    _folder: tempfile::TempDir,
    out: PathBuf,
}

fn reported(runs: &[(Setting, Vec<(f64, f64)>)], edit: impl Fn(&mut Run)) -> Reported {
    let folder = tempfile::tempdir().unwrap();
    let open = |(setting, tracks): &(Setting, Vec<(f64, f64)>)| {
        let mut run = Run::open(&run_folder(folder.path(), *setting, tracks)).unwrap();
        edit(&mut run);
        run
    };
    let runs: Vec<Run> = runs.iter().map(open).collect();
    let out = folder.path().join("report");
    let options = ReportOptions { published: Some(Published::bundled().unwrap()), ..ReportOptions::new("fin") };
    write_report_with(&runs, &out, &options).unwrap();
    Reported { out, _folder: folder }
}

impl Reported {
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.out.join(name)).unwrap()
    }

    fn table(&self, name: &str) -> CsvTable {
        CsvTable::read(&self.out.join(format!("tables/{name}.csv"))).unwrap()
    }
}

/// Eleven generations beside the paper's twenty-six.
fn falling() -> Vec<(f64, f64)> {
    (0..11).map(|t| (-700.0 - 11.0 * t as f64 + noise(t), 30.0 - 0.5 * t as f64 + noise(t + 5))).collect()
}

#[test]
fn the_copy_in_the_program_is_the_data_of_the_paper() {
    let published = Published::bundled().unwrap();
    assert_eq!(published, Published::read(&data()).unwrap());
    let points: Vec<(f64, f64)> = published.s1_points.iter().map(|point| (point.du_cov, point.dg_kf)).collect();
    assert_eq!(points, published_s1());
    assert_eq!(published.summaries[1].final_du, -1536.562);
    assert_eq!((published.surfaces[0].distinct_2_first, published.surfaces[1].hhi_last), (0.731, 0.097262));
}

#[test]
fn a_difference_is_measured_minus_published_at_every_generation_of_both() {
    let reported = reported(&[(Setting::S1, falling())], |_| {});
    let points = reported.table("fin_s1_published_points");
    let own = reported.table("fin_s1_two_tracks_points");
    assert_eq!(points.len(), 26);
    for (track, published) in [("delta_u_cov", 0), ("delta_g_kf", 1)] {
        let column = |suffix: &str| points.numbers(&format!("{track}{suffix}")).unwrap();
        let (measured, printed, difference) = (column(""), column("_published"), column("_difference"));
        assert_eq!(measured[..11], own.numbers(track).unwrap());
        for (t, (du, dg)) in published_s1().into_iter().enumerate() {
            assert_eq!(printed[t], Some(if published == 0 { du } else { dg }));
            assert_eq!(difference[t], measured[t].map(|measured| measured - printed[t].unwrap()));
        }
        assert_eq!(measured[11..], [None; 15]);
    }
    // Track II with every block observed, as the paper observed them.
    let metrics = CsvTable::read(&reported.out.join("final/fin/metrics_paper.csv")).unwrap();
    let full = points.numbers("delta_u_cov_full").unwrap();
    assert_eq!(full[..11], metrics.numbers("du_cov_full").unwrap());
    let difference = points.numbers("delta_u_cov_full_difference").unwrap();
    assert_eq!(difference[7], Some(full[7].unwrap() - published_s1()[7].0));
}

#[test]
fn every_scalar_beside_the_published_one_follows_from_the_exported_points() {
    let reported = reported(&[(Setting::S1, falling()), (Setting::S2, falling())], |_| {});
    let table = reported.table("tab_fin_published");
    let summary = reported.table("tab_fin_s1s2_summary");
    let proxies = reported.table("tab_fin_surface_proxies");
    let published = Published::read(&data()).unwrap();
    let (conditions, quantities) = (table.texts("condition").unwrap(), table.texts("quantity").unwrap());
    let cell = |condition: &str, quantity: &str, column: &str| {
        let line = (0..table.len()).find(|line| conditions[*line] == condition && quantities[*line] == quantity);
        line.map(|line| table.numbers(column).unwrap()[line].unwrap())
    };
    for (line, setting) in ["S1", "S2"].into_iter().enumerate() {
        for quantity in ["delta_u_cov_final", "slope_u_cov", "delta_g_kf_final", "slope_g_kf"] {
            assert_eq!(cell(setting, quantity, "measured"), summary.numbers(quantity).unwrap()[line]);
        }
        for quantity in ["distinct_2_first", "distinct_2_last", "hhi_first", "hhi_last"] {
            assert_eq!(cell(setting, quantity, "measured"), proxies.numbers(quantity).unwrap()[line]);
        }
        assert_eq!(cell(setting, "slope_u_cov", "published"), Some(published.summaries[line].slope_u));
        assert_eq!(cell(setting, "slope_u_cov", "generations_published"), Some(50.0));
        assert_eq!(cell(setting, "hhi_last", "published"), Some(published.surfaces[line].hhi_last));
    }
    for line in 0..table.len() {
        let number = |column: &str| table.numbers(column).unwrap()[line].unwrap();
        assert_eq!(number("difference"), number("measured") - number("published"));
    }
    // Like with like: both series to generation 10, where the run ends.
    let slope = |y: Vec<f64>| y.iter().enumerate().map(|(t, y)| (t as f64 - 5.0) * y).sum::<f64>() / 110.0;
    let du: Vec<f64> = published_s1()[..11].iter().map(|(du, _)| *du).collect();
    assert_eq!(cell("S1", "delta_u_cov_common", "published"), Some(du[10]));
    assert!((cell("S1", "slope_u_cov_common", "published").unwrap() - slope(du)).abs() < 1e-9);
    assert_eq!(cell("S1", "slope_u_cov_common", "measured"), cell("S1", "slope_u_cov", "measured"));
    assert_eq!(cell("S1", "slope_u_cov_common", "generations_published"), Some(10.0));
    let metrics = CsvTable::read(&reported.out.join("final/fin/metrics_paper.csv")).unwrap();
    let full: Vec<f64> = metrics.numbers("du_cov_full").unwrap().into_iter().map(Option::unwrap).collect();
    for suffix in ["final", "common"] {
        assert_eq!(cell("S1", &format!("delta_u_cov_full_{suffix}"), "measured"), Some(full[10]));
    }
    for quantity in ["slope_u_cov_full", "slope_u_cov_full_common"] {
        assert!((cell("S1", quantity, "measured").unwrap() - slope(full.clone())).abs() < 1e-9);
    }
    assert_eq!(cell("S2", "slope_u_cov_common", "measured"), None, "no S2 series was printed");
}

#[test]
fn the_sentence_names_what_differs_and_nothing_that_does_not() {
    let own = reported(&[(Setting::S1, falling())], |run| {
        run.manifest.sources.model.source = "data/models/opt-tiny".to_owned();
        run.manifest.sources.encoder.source = "data/models/opt-tiny".to_owned();
        run.config = "mixture: { real_fraction: 0.1 }".to_owned();
    });
    let markdown = own.text("tables/tab_fin_published.md");
    for part in [
        "\n\nS1 differs from the published S1 run in corpus (corpus.jsonl, 1100 contexts; published: ",
        "prompts (prompts.jsonl, 200 prompts; published: ",
        "model (data/models/opt-tiny; published: facebook/opt-125m)",
        "encoder (data/models/opt-tiny; published: all-MiniLM-L6-v2)",
        "observed blocks (n_A = 500 of 1000 at t = 0; published: all, about 1,000, as its two tracks imply)",
        "real fraction (0.1; published: 0)",
        "generations (10; published: 50)",
    ] {
        assert!(markdown.contains(part), "{part} not in {markdown}");
    }
    let close = reported(&[(Setting::S1, (0..51).map(|t| (-10.0 * f64::from(t), 1.0)).collect())], |run| {
        run.manifest.sources.encoder.source = "sentence-transformers/all-MiniLM-L6-v2".to_owned();
        for record in &mut run.records {
            record.sigma.as_mut().unwrap().n_a = 1000;
        }
    });
    let markdown = close.text("tables/tab_fin_published.md");
    let sentence = markdown.lines().last().unwrap();
    assert!(sentence.contains("corpus (") && sentence.contains("prompts ("), "{sentence}");
    for same in ["model (", "encoder (", "observed", "real fraction", "generations (", "domain"] {
        assert!(!sentence.contains(same), "{same} in {sentence}");
    }
    // LaTeX has it too, as LaTeX.
    assert!(own.text("tables/tab_fin_published.tex").contains(r"n\_A = 500 of 1000"));
}

#[test]
fn the_overlay_draws_both_series_at_their_values_in_one_panel() {
    let reported = reported(&[(Setting::S1, falling())], |_| {});
    let svg = reported.text("figures/fin_s1_published.svg");
    let heights = |colour: &str| -> Vec<Vec<f64>> {
        let lines = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(colour));
        let height = |corner: &str| corner.split_once(',').unwrap().1.parse().unwrap();
        let points = |line: &str| line.split_once("points=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        lines.map(|line| points(line).split_whitespace().map(height).collect()).collect()
    };
    // The legend, Track II, Track I.
    let measured = heights("#0072B2");
    assert_eq!(measured.iter().map(Vec::len).collect::<Vec<_>>(), [2, 11, 11]);
    let own = reported.table("fin_s1_two_tracks_points").numbers("delta_u_cov").unwrap();
    let per_nat = (measured[1][10] - measured[1][0]) / own[10].unwrap();
    // Published markers are open squares at the published values on the same scale.
    let squares: Vec<f64> = svg
        .lines()
        .filter(|line| line.starts_with("<polyline") && line.contains("#222222"))
        .map(|line| line.split_once("points=\"").unwrap().1.split_once('"').unwrap().0.to_owned())
        .filter(|corners| corners.split_whitespace().count() == 6)
        .map(|corners| {
            let y: Vec<f64> =
                corners.split_whitespace().map(|c| c.split_once(',').unwrap().1.parse().unwrap()).collect();
            (y[0] + y[2]) / 2.0
        })
        .collect();
    for (du, _) in published_s1() {
        let expected = measured[1][0] + per_nat * du;
        assert!(squares.iter().any(|y| (y - expected).abs() <= 2.0), "{du} should be drawn at {expected}: {squares:?}");
    }
}

#[test]
fn a_run_of_s2_has_scalars_but_no_series_to_stand_beside() {
    let reported = reported(&[(Setting::S2, falling())], |_| {});
    assert!(!reported.out.join("figures/fin_s2_published.svg").exists());
    assert_eq!(reported.table("tab_fin_published").len(), 10);
}

#[test]
fn damaged_published_data_are_refused_by_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["s1_points.csv", "summary.csv", "surface_proxies.csv"] {
        fs::copy(data().join(name), folder.path().join(name)).unwrap();
    }
    assert!(Published::read(folder.path()).is_ok());
    let path = folder.path().join("summary.csv");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("-42.621", "")).unwrap();
    let error = Published::read(folder.path()).unwrap_err();
    assert!(matches!(&error, ReportError::CsvCell { line: 3, column, .. } if column == "slope_u_cov"), "{error}");
    fs::write(&path, text.replace("S2", "S3")).unwrap();
    assert!(matches!(Published::read(folder.path()), Err(ReportError::CsvCell { column, .. }) if column == "setting"));
    fs::remove_file(&path).unwrap();
    assert!(matches!(Published::read(folder.path()), Err(ReportError::Read { path: found, .. }) if found == path));
}
