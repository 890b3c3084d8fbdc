//! Reports of several runs: which runs are one experiment, and what becomes of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sigma_metrics::mean_interval;
use sigma_report::{CsvTable, ReportError, Run, Setting, write_report};

use crate::fixture::{noise, seeded_run};

fn falling(seed: u64, length: usize) -> Vec<(f64, f64)> {
    let wobble = |t: usize| if t == 0 { 0.0 } else { noise(t + 100 * seed as usize) };
    (0..length).map(|t| (-900.0 - 20.0 * t as f64 + 9.0 * wobble(t), 40.0 - t as f64 + wobble(t + 50))).collect()
}

struct Reported {
    _folder: tempfile::TempDir,
    out: PathBuf,
    names: BTreeSet<String>,
}

impl Reported {
    fn table(&self, name: &str) -> CsvTable {
        CsvTable::read(&self.out.join(format!("tables/{name}.csv"))).unwrap()
    }

    fn column(&self, table: &str, column: &str) -> Vec<f64> {
        self.table(table).numbers(column).unwrap().into_iter().map(Option::unwrap).collect()
    }
}

fn opened(parent: &Path, runs: &[(Setting, u64, &str, usize)]) -> Vec<Run> {
    let folder = |(setting, seed, config, length): &(Setting, u64, &str, usize)| {
        seeded_run(parent, (*setting, *seed), config, &falling(*seed, *length))
    };
    runs.iter().map(|run| Run::open(&folder(run)).unwrap()).collect()
}

fn reported(runs: &[(Setting, u64, &str, usize)]) -> Reported {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("report");
    let written = write_report(&opened(folder.path(), runs), &out, "fin").unwrap();
    let names = written.iter().map(|path| path.strip_prefix(&out).unwrap().to_str().unwrap().to_owned()).collect();
    Reported { _folder: folder, out, names }
}

const PURE: &str = "mixture: { real_fraction: 0.0, mode: replace }\n";
const TENTH: &str = "mixture: { real_fraction: 0.1, mode: replace }\n";

fn three_seeds() -> Reported {
    reported(&[(Setting::S2, 44, PURE, 8), (Setting::S2, 42, PURE, 8), (Setting::S2, 43, PURE, 8)])
}

#[test]
fn seeds_of_one_experiment_are_one_line_and_every_seed_keeps_its_own() {
    let reported = three_seeds();
    let summary = reported.table("tab_fin_s1s2_summary");
    assert_eq!((summary.len(), summary.numbers("seeds").unwrap()), (1, vec![Some(3.0)]));
    assert_eq!(reported.column("tab_fin_seeds", "seed"), [42.0, 43.0, 44.0]);
    for seed in [42, 43, 44] {
        assert!(reported.names.contains(&format!("tables/fin_s2_seed{seed}_two_tracks_points.csv")));
        assert!(
            reported.names.contains(&format!("true_recursion/fin/metrics_paper_recursion_s2_seed{seed}.csv")),
            "{:?}",
            reported.names
        );
    }
}

#[test]
fn means_and_intervals_follow_from_the_exported_points_of_the_seeds() {
    let reported = three_seeds();
    for (track, slope) in [("delta_u_cov", "slope_u_cov"), ("delta_g_kf", "slope_g_kf")] {
        let seeds: Vec<Vec<f64>> =
            [42, 43, 44].map(|seed| reported.column(&format!("fin_s2_seed{seed}_two_tracks_points"), track)).to_vec();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / 3.0;
        let points = |suffix: &str| reported.column("fin_s2_two_tracks_points", &format!("{track}{suffix}"));
        let (means, lows, highs) = (points(""), points("_low"), points("_high"));
        for t in 0..8 {
            let values: Vec<f64> = seeds.iter().map(|seed| seed[t]).collect();
            assert!((means[t] - mean(&values)).abs() < 1e-9, "{track} at {t}");
            let interval = mean_interval(&values, 0.95).unwrap();
            assert_eq!((lows[t], highs[t]), (interval.low, interval.high), "{track} at {t}");
            assert!(lows[t] <= means[t] && means[t] <= highs[t] && (t == 0 || lows[t] < highs[t]));
        }
        let scalar = |name: &str| reported.column("tab_fin_s1s2_summary", name)[0];
        let finals: Vec<f64> = seeds.iter().map(|seed| seed[7]).collect();
        assert!((scalar(&format!("{track}_final")) - mean(&finals)).abs() < 1e-9);
        let interval = mean_interval(&finals, 0.95).unwrap();
        assert_eq!(scalar(&format!("{track}_final_low")), interval.low);
        assert_eq!(scalar(&format!("{track}_final_high")), interval.high);

        let slopes = reported.column("tab_fin_seeds", slope);
        for (seed, slope) in seeds.iter().zip(&slopes) {
            let centred: f64 = seed.iter().enumerate().map(|(t, y)| (t as f64 - 3.5) * y).sum();
            assert!((slope - centred / 42.0).abs() < 1e-9);
        }
        assert!((scalar(slope) - mean(&slopes)).abs() < 1e-9);
        let interval = mean_interval(&slopes, 0.95).unwrap();
        assert_eq!((scalar(&format!("{slope}_low")), scalar(&format!("{slope}_high"))), (interval.low, interval.high));
    }
}

#[test]
fn two_seeds_have_points_and_no_interval() {
    let reported = reported(&[(Setting::S2, 42, PURE, 8), (Setting::S2, 43, PURE, 8)]);
    let table = reported.table("fin_s2_two_tracks_points");
    assert!(table.numbers("delta_u_cov_low").unwrap().iter().all(Option::is_none));
    assert!(reported.table("tab_fin_s1s2_summary").numbers("slope_u_cov_high").unwrap().iter().all(Option::is_none));
    let figure = fs::read_to_string(reported.out.join("figures/fin_s2_two_tracks.svg")).unwrap();
    assert!(figure.contains("single seeds") && !figure.contains("over seeds, 95 %"));
    let three = three_seeds();
    let figure = fs::read_to_string(three.out.join("figures/fin_s2_two_tracks.svg")).unwrap();
    assert!(!figure.contains("single seeds") && figure.contains("over seeds, 95 %"));
}

#[test]
fn real_fractions_are_conditions_of_their_own_and_a_lone_setting_keeps_the_papers_names() {
    let reported = reported(&[(Setting::S2, 42, TENTH, 4), (Setting::S1, 42, PURE, 4), (Setting::S2, 42, PURE, 4)]);
    for stem in ["fin_s1_two_tracks", "fin_s2_a0_two_tracks", "fin_s2_a0.1_two_tracks", "fin_s1s2_two_tracks"] {
        assert!(reported.names.contains(&format!("figures/{stem}.pdf")), "{stem} not in {:?}", reported.names);
    }
    assert!(reported.names.contains("final/fin/metrics_paper.csv"));
    let summary = reported.table("tab_fin_s1s2_summary");
    assert_eq!(summary.texts("setting").unwrap(), ["S1", "S2", "S2"]);
    assert_eq!(summary.numbers("real_fraction").unwrap(), [Some(0.0), Some(0.0), Some(0.1)]);
    assert_eq!(summary.texts("condition").unwrap(), ["S1, α = 0", "S2, α = 0", "S2, α = 0.1"]);
    assert!(!reported.names.contains("tables/tab_fin_seeds.csv"), "there is one seed each");
}

#[test]
fn runs_that_differ_in_more_than_the_seed_are_never_averaged() {
    let slow = format!("{PURE}training: {{ learning_rate: 0.00001 }}\n");
    let fast = format!("{PURE}training: {{ learning_rate: 0.001 }}\n");
    let differing = reported(&[(Setting::S2, 42, &slow, 4), (Setting::S2, 43, &fast, 4)]);
    assert_eq!(differing.table("tab_fin_s1s2_summary").len(), 2);
}

#[test]
fn runs_are_repetitions_if_their_condition_hash_says_so_whatever_their_configs_spell() {
    let here = format!("{PURE}device: cpu\nevaluation: {{ top_p: 0.95, batch_size: 8 }}\n");
    let there = format!("{PURE}device: cuda\nevaluation: {{ top_p: 0.95, batch_size: 64 }}\n");
    let folder = tempfile::tempdir().unwrap();
    let mut runs = opened(folder.path(), &[(Setting::S2, 42, &here, 3), (Setting::S2, 43, &there, 3)]);
    let conditions = |runs: &[Run], name: &str| {
        let out = folder.path().join(name);
        write_report(runs, &out, "fin").unwrap();
        CsvTable::read(&out.join("tables/tab_fin_s1s2_summary.csv")).unwrap().len()
    };
    assert_eq!(conditions(&runs, "two"), 2);
    runs[1].manifest.condition_hash = runs[0].manifest.condition_hash.clone();
    assert_eq!(conditions(&runs, "one"), 1);
}

#[test]
fn a_mean_ends_where_the_shortest_seed_ends() {
    let reported = reported(&[(Setting::S1, 1, PURE, 9), (Setting::S1, 2, PURE, 5)]);
    assert_eq!(reported.column("tab_fin_s1s2_summary", "generations"), [4.0]);
    assert_eq!(reported.column("fin_s1_two_tracks_points", "generation").len(), 5);
    // The metrics of a run are its own and are whole.
    assert_eq!(CsvTable::read(&reported.out.join("final/fin/metrics_paper_s1_seed1.csv")).unwrap().len(), 9);
}

#[test]
fn the_order_of_runs_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let mut runs = opened(
        folder.path(),
        &[(Setting::S1, 1, PURE, 5), (Setting::S2, 2, PURE, 5), (Setting::S2, 1, TENTH, 5), (Setting::S2, 1, PURE, 5)],
    );
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let written = write_report(&runs, &first, "fin").unwrap();
    runs.reverse();
    assert_eq!(write_report(&runs, &second, "fin").unwrap().len(), written.len());
    for path in written {
        let name = path.strip_prefix(&first).unwrap();
        assert!(fs::read(&path).unwrap() == fs::read(second.join(name)).unwrap(), "{}", name.display());
    }
}

#[test]
fn a_config_that_is_no_yaml_and_a_report_of_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("report");
    let mut runs = opened(folder.path(), &[(Setting::S1, 1, PURE, 2)]);
    runs[0].config = "mixture: [".to_owned();
    assert!(matches!(write_report(&runs, &out, "fin"), Err(ReportError::Config { .. })));
    assert!(matches!(write_report(&[], &out, "fin"), Err(ReportError::NoRuns)));
    assert!(!out.exists());
}

#[test]
fn labels_of_intervals_over_prompts_say_what_the_config_says_and_those_over_seeds_95_percent() {
    for (sigma, number) in
        [("{ confidence: 0.9 }", ", 90 %"), ("{ confidence: 0.999 }", ", 99.9 %"), ("{ delta: 0.001 }", "")]
    {
        let config = format!("mixture: {{ real_fraction: 0.0, mode: replace }}\nsigma: {sigma}\n");
        let tenth = config.replace("0.0,", "0.1,");
        let reported = reported(&[(Setting::S2, 42, &config, 6), (Setting::S2, 42, &tenth, 6)]);
        let read = |name: &str| fs::read_to_string(reported.out.join(name)).unwrap();
        let figure = read("figures/fin_s2_a0_two_tracks.svg");
        let says = |figure: &str, label: String| figure.lines().any(|line| line.trim() == label);
        assert!(says(&figure, format!("over prompts{number}")), "{sigma}");
        let alphas = read("figures/fin_alpha.svg");
        assert!(says(&alphas, format!("one seed: over prompts{number}")), "{sigma}");
        let note = read("tables/fin_s2_a0_two_tracks_points.md");
        let expected = format!("over the prompts that both checkpoints were asked{number}; none where");
        assert!(note.contains(&expected), "{note}");
        assert!(read("index.html").contains(&expected), "{sigma}");
    }
    let three = three_seeds();
    let note = fs::read_to_string(three.out.join("tables/fin_s2_two_tracks_points.md")).unwrap();
    assert!(note.contains("Student's t, 95 %."), "{note}");
}

#[test]
fn two_runs_with_the_same_texts_in_some_generation_are_not_two_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let mut runs = opened(folder.path(), &[(Setting::S2, 42, PURE, 4), (Setting::S2, 43, PURE, 4)]);
    let out = folder.path().join("report");
    assert!(write_report(&runs, &out, "fin").is_ok());
    runs[1].records[2].files = runs[0].records[2].files.clone();
    let error = write_report(&runs, &out, "fin").unwrap_err();
    assert!(
        matches!(&error, ReportError::SameAnswers { first, second } if *first == runs[0].dir && *second == runs[1].dir)
    );
}
