//! Measured beside published: the numbers of the paper, the rows behind them, the differences, the sentence.

use std::fs;
use std::path::{Path, PathBuf};

use sigma_report::{CsvTable, Published, ReportError, ReportOptions, Run, Setting, write_report_with};

use crate::fixture::{noise, published_s1, run_folder};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/paper")
}

const PROXIES: [&str; 7] = [
    "distinct_2_first",
    "distinct_2_last",
    "hhi_first",
    "hhi_last",
    "pearson_distinct_2",
    "pearson_hhi",
    "spearman_hhi",
];

pub(crate) struct Reported {
    _folder: tempfile::TempDir,
    pub(crate) out: PathBuf,
}

pub(crate) fn reported(runs: &[(Setting, Vec<(f64, f64)>)], edit: impl Fn(&mut Run)) -> Reported {
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
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.out.join(name)).unwrap()
    }

    pub(crate) fn table(&self, name: &str) -> CsvTable {
        CsvTable::read(&self.out.join(format!("tables/{name}.csv"))).unwrap()
    }
}

/// Eleven generations beside the paper's fifty-one.
pub(crate) fn falling() -> Vec<(f64, f64)> {
    (0..11).map(|t| (-700.0 - 11.0 * t as f64 + noise(t), 30.0 - 0.5 * t as f64 + noise(t + 5))).collect()
}

pub(crate) fn printed(setting: Setting) -> Vec<(f64, f64)> {
    let published = Published::bundled().unwrap();
    let points = if setting == Setting::S1 { published.s1_points } else { published.s2_points };
    points.iter().map(|point| (point.du_cov, point.dg_kf)).collect()
}

fn slope(y: &[f64]) -> f64 {
    let middle = (y.len() - 1) as f64 / 2.0;
    let (over, under) = y.iter().enumerate().fold((0.0, 0.0), |(over, under), (t, y)| {
        let t = t as f64 - middle;
        (over + t * y, under + t * t)
    });
    over / under
}

#[test]
fn the_copy_in_the_program_is_the_data_of_the_paper() {
    let published = Published::bundled().unwrap();
    assert_eq!(published, Published::read(&data()).unwrap());
    for points in [&published.s1_points, &published.s2_points] {
        assert!(points.iter().map(|point| point.generation).eq(0..=50));
    }
    assert_eq!(printed(Setting::S1)[..26], published_s1(), "the first version printed these");
    let names: Vec<&str> = published.s1_buckets.iter().map(|bucket| bucket.bucket.as_str()).collect();
    assert_eq!(names, ["creative", "divergent", "analogy", "what_if", "neutral"]);
    assert!(published.s1_buckets.iter().all(|bucket| bucket.du_cov.iter().map(|(t, _)| *t).eq(0..=50)));
    assert_eq!(published.s1_buckets[4].du_cov[1], (1, 5.319456));
    assert_eq!((published.surfaces[0].distinct_2_first, published.surfaces[1].hhi_last), (0.731, 0.097262));
    let correlations = |line: usize| {
        let surface = &published.surfaces[line];
        [surface.pearson_distinct_2, surface.pearson_hhi, surface.spearman_hhi]
    };
    // In thousandths, because Clippy takes one of them for 1 / pi.
    let thousandths = |line: usize| correlations(line).map(|correlation| (1000.0 * correlation).round() as i32);
    assert_eq!([thousandths(0), thousandths(1)], [[926, -286, -318], [-165, -468, -685]]);
}

#[test]
fn table_1_follows_from_the_printed_points() {
    let published = Published::bundled().unwrap();
    for summary in &published.summaries {
        let (du, dg): (Vec<f64>, Vec<f64>) = printed(summary.setting).into_iter().unzip();
        for (printed, found) in [
            (summary.final_du, du[50]),
            (summary.slope_u, slope(&du)),
            (summary.final_dg, dg[50]),
            (summary.slope_g, slope(&dg)),
        ] {
            assert!((printed - found).abs() <= 5e-4 + 1e-9, "{:?}: {printed} is not {found}", summary.setting);
        }
    }
}

#[test]
fn a_difference_is_measured_minus_published_at_every_generation_of_both() {
    let reported = reported(&[(Setting::S1, falling())], |_| {});
    let points = reported.table("fin_s1_published_points");
    let own = reported.table("fin_s1_two_tracks_points");
    assert_eq!(points.len(), 51);
    for (track, published) in [("delta_u_cov", 0), ("delta_g_kf", 1)] {
        let column = |suffix: &str| points.numbers(&format!("{track}{suffix}")).unwrap();
        let (measured, printed, difference) = (column(""), column("_published"), column("_difference"));
        assert_eq!(measured[..11], own.numbers(track).unwrap());
        for (t, (du, dg)) in self::printed(Setting::S1).into_iter().enumerate() {
            assert_eq!(printed[t], Some(if published == 0 { du } else { dg }));
            assert_eq!(difference[t], measured[t].map(|measured| measured - printed[t].unwrap()));
        }
        assert_eq!(measured[11..], [None; 40]);
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
        for quantity in PROXIES {
            assert_eq!(cell(setting, quantity, "measured"), proxies.numbers(quantity).unwrap()[line], "{quantity}");
        }
        let surface = &published.surfaces[line];
        let correlations = [surface.pearson_distinct_2, surface.pearson_hhi, surface.spearman_hhi];
        for (quantity, printed) in PROXIES[4..].iter().zip(correlations) {
            assert_eq!(cell(setting, quantity, "published"), Some(printed), "{quantity}");
        }
        assert_eq!(cell(setting, "slope_u_cov", "published"), Some(published.summaries[line].slope_u));
        assert_eq!(cell(setting, "slope_u_cov", "generations_published"), Some(50.0));
        assert_eq!(cell(setting, "hhi_last", "published"), Some(published.surfaces[line].hhi_last));
    }
    // The published Track I of S2 steps at t = 19 and 46 because its tail budget does: nothing compares with a slope
    // across.
    let number = |column: &str, line: usize| table.numbers(column).unwrap()[line];
    for line in 0..table.len() {
        let across = (conditions[line], quantities[line]) == ("S2", "slope_g_kf");
        let difference = number("measured", line).unwrap() - number("published", line).unwrap();
        assert_eq!(number("difference", line), (!across).then_some(difference), "{}", quantities[line]);
    }
    // Like with like: both series to generation 10, where the run ends.
    for setting in [Setting::S1, Setting::S2] {
        let (du, dg): (Vec<f64>, Vec<f64>) = printed(setting)[..11].iter().copied().unzip();
        let cell = |quantity: &str, column: &str| cell(setting.title(), quantity, column);
        assert_eq!(cell("delta_u_cov_common", "published"), Some(du[10]));
        assert_eq!(cell("delta_g_kf_common", "published"), Some(dg[10]));
        assert!((cell("slope_u_cov_common", "published").unwrap() - slope(&du)).abs() < 1e-9);
        assert!((cell("slope_g_kf_common", "published").unwrap() - slope(&dg)).abs() < 1e-9);
        assert_eq!(cell("slope_u_cov_common", "measured"), cell("slope_u_cov", "measured"));
        assert_eq!(cell("slope_u_cov_common", "generations_published"), Some(10.0));
    }
    let metrics = CsvTable::read(&reported.out.join("final/fin/metrics_paper.csv")).unwrap();
    let full: Vec<f64> = metrics.numbers("du_cov_full").unwrap().into_iter().map(Option::unwrap).collect();
    for suffix in ["final", "common"] {
        assert_eq!(cell("S1", &format!("delta_u_cov_full_{suffix}"), "measured"), Some(full[10]));
    }
    for quantity in ["slope_u_cov_full", "slope_u_cov_full_common"] {
        assert!((cell("S1", quantity, "measured").unwrap() - slope(&full)).abs() < 1e-9);
    }
    let whole = self::reported(&[(Setting::S1, printed(Setting::S1))], |_| {});
    let quantities = whole.table("tab_fin_published").texts("quantity").unwrap().join(" ");
    assert!(!quantities.contains("common"), "a run as long as the paper's ends where it does: {quantities}");
}

#[test]
fn the_rows_behind_the_points_stand_beside_the_runs_own() {
    let reported = reported(&[(Setting::S1, falling()), (Setting::S2, falling())], |run| {
        run.records[3].sigma.as_mut().unwrap().n = 977;
    });
    let published = Published::bundled().unwrap();
    for (slug, points) in [("s1", &published.s1_points), ("s2", &published.s2_points)] {
        let table = reported.table(&format!("fin_{slug}_published_points"));
        let behind: Vec<Option<f64>> = points.iter().map(|point| point.rows.map(f64::from)).collect();
        assert_eq!(table.numbers("n_published").unwrap(), behind);
        let (n, n_a) = (table.numbers("n").unwrap(), table.numbers("n_a").unwrap());
        assert_eq!((n[2], n[3], n_a[3], n[11]), (Some(1000.0), Some(977.0), Some(500.0), None));
    }
    let long = self::reported(&[(Setting::S2, printed(Setting::S2))], |_| {});
    let differences = long.table("fin_s2_published_points").numbers("delta_g_kf_difference").unwrap();
    let compared: Vec<bool> = differences.iter().map(Option::is_some).collect();
    assert_eq!(compared, (0..51).map(|t| !(19..46).contains(&t)).collect::<Vec<_>>(), "a step compares with nothing");
    let markdown = reported.text("tables/fin_s2_published_points.md");
    for part in [
        "Published S2: dG − dU = const + 384 log n_t holds to 5e-6 nats with whole n_t at t = 19 to 45",
        "n_t is between 3 (t = 35) and 911 (t = 19)",
    ] {
        assert!(markdown.contains(part), "{part} not in {markdown}");
    }
    let markdown = reported.text("tables/fin_s1_published_points.md");
    assert!(
        markdown.contains("at every t: every row was observed (β = 0), n_t is between 977 (t = 0) and 1000 (t = 2)")
    );
    assert!(!markdown.contains("Published S2"), "a table of S1 says nothing of S2");
}

#[test]
fn published_buckets_stand_beside_those_of_the_same_name() {
    let reported = reported(&[(Setting::S1, falling()), (Setting::S2, falling())], |_| {});
    let table = reported.table("fin_s1_published_buckets_points");
    let own = reported.table("fin_s1_buckets_points");
    assert_eq!(table.len(), 5 * 51);
    let find = |table: &CsvTable, bucket: &str, t: f64, column: &str| {
        let (buckets, generations) = (table.texts("bucket").unwrap(), table.numbers("generation").unwrap());
        let line = (0..table.len()).find(|line| buckets[*line] == bucket && generations[*line] == Some(t));
        line.and_then(|line| table.numbers(column).unwrap()[line])
    };
    let measured = find(&own, "creative", 7.0, "delta_u_cov");
    assert!(measured.is_some());
    assert_eq!(find(&table, "creative", 7.0, "delta_u_cov"), measured);
    assert_eq!(find(&table, "creative", 7.0, "delta_u_cov_published"), Some(-168.494531));
    assert_eq!(find(&table, "creative", 7.0, "delta_u_cov_difference"), measured.map(|du| du + 168.494531));
    assert_eq!(find(&table, "creative", 50.0, "delta_u_cov"), None);
    assert_eq!(find(&table, "what_if", 50.0, "delta_u_cov_published"), Some(-51.253275));
    assert_eq!(find(&table, "what_if", 7.0, "delta_u_cov"), None, "the run has no such bucket");
    assert!(reported.out.join("figures/fin_s1_published_buckets.png").exists());
    assert!(!reported.out.join("figures/fin_s2_published_buckets.png").exists(), "none were printed");
}

#[test]
fn the_sentence_names_what_differs_and_nothing_that_does_not() {
    let own = reported(&[(Setting::S1, falling()), (Setting::S2, falling())], |run| {
        run.manifest.sources.model.source = "data/models/opt-tiny".to_owned();
        run.manifest.sources.encoder.source = "data/models/opt-tiny".to_owned();
        run.config = "mixture: { real_fraction: 0.1 }\ntraining: { learning_rate: 5e-5, batch_size: 16 }\n\
                      evaluation: { blocks: windows, responses_per_prompt: 1 }"
            .to_owned();
    });
    let markdown = own.text("tables/tab_fin_published.md");
    for part in [
        "\n\nS1 differs from the published S1 run in domain (fin; published: tech), corpus (corpus.jsonl, ",
        "prompts (prompts.jsonl, 200 prompts; published: ",
        "model (data/models/opt-tiny; published: facebook/opt-125m)",
        "encoder (data/models/opt-tiny; published: all-MiniLM-L6-v2)",
        "precision (f32; published: f16)",
        "evaluation.responses_per_prompt (1; published: not stated; 5 fits its row counts)",
        "evaluation.responses_per_prompt (1; published: not stated; 6 fits its row counts)",
        "mixture.real_fraction (0.1; published: 0)",
        "training.learning_rate (5e-5; published: 2e-5)",
        "evaluation.blocks (windows; published: whole)",
        "observed rows (n_A = 500 of 1000 at t = 0; published: all, 977 at t = 0, as its two tracks imply)",
        "observed rows (n_A = 500 of 1000 at t = 0; published: not stated; n_A = 1000 with some left out fits",
        "generations (10; published: 50)",
    ] {
        assert!(markdown.contains(part), "{part} not in {markdown}");
    }
    assert!(!markdown.contains("training.batch_size"), "{markdown}");
    for (setting, responses, rows) in [(Setting::S1, 5, 1000), (Setting::S2, 6, 1200)] {
        let close = reported(&[(setting, (0..51).map(|t| (-10.0 * f64::from(t), 1.0)).collect())], |run| {
            run.manifest.domain = "TECH".to_owned();
            run.manifest.starts[0].resolved.precision = "f16".to_owned();
            run.manifest.sources.encoder.source = "sentence-transformers/all-MiniLM-L6-v2".to_owned();
            run.config = format!(
                "training: {{ learning_rate: 2.0e-5, weight_decay: 0.01 }}\nsigma: {{ delta: 0.001 }}\n\
                 evaluation: {{ blocks: whole, empty: drop, responses_per_prompt: {responses} }}"
            );
            for record in &mut run.records {
                let sigma = record.sigma.as_mut().unwrap();
                (sigma.n_a, sigma.n) = (1000, rows);
            }
        });
        let markdown = close.text("tables/tab_fin_published.md");
        let sentence = markdown.lines().find(|line| line.contains("differs from")).unwrap();
        let named = sentence.matches("published: ").count();
        assert!(sentence.contains("corpus (") && sentence.contains("prompts (") && named == 2, "{sentence}");
    }
    // LaTeX has it too, as LaTeX.
    assert!(own.text("tables/tab_fin_published.tex").contains(r"n\_A = 500 of 1000"));
}

#[test]
fn damaged_published_data_are_refused_by_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["s1_points.csv", "s2_points.csv", "s1_buckets.csv", "summary.csv", "surface_proxies.csv"] {
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
