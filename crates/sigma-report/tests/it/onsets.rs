//! Onsets and diagnostics: every scalar of their tables from the exported files, by formulas written out here.

use std::fs;
use std::path::PathBuf;

use sigma_report::{CsvTable, Record, Run, Setting, read_noise_floor, write_report};

use crate::fixture::{noise, record, record_path, replicates, seeded_run, write_record};

const PURE: &str = "mixture: { real_fraction: 0.0, mode: replace }\n";
const T: usize = 12;
/// t for 95 % and 5, 10 degrees of freedom, from a printed table.
const T_5: f64 = 2.570_582;
const T_10: f64 = 2.228_139;

struct Reported {
    _folder: tempfile::TempDir,
    out: PathBuf,
}

impl Reported {
    fn csv(&self, path: &str) -> CsvTable {
        CsvTable::read(&self.out.join(path)).unwrap()
    }

    fn column(&self, path: &str, column: &str) -> Vec<f64> {
        self.csv(path).numbers(column).unwrap().into_iter().map(Option::unwrap).collect()
    }
}

/// Track II falls from generation 4 on, Track I does not move.
fn tracks(seed: u64) -> Vec<(f64, f64)> {
    let fall = |t: usize| if t < 4 { 0.0 } else { 12.0 * (t - 3) as f64 };
    (0..=T).map(|t| (-900.0 - fall(t) + noise(t + 31 * seed as usize), 40.0 + 0.2 * noise(3 * t))).collect()
}

/// The proxies move later, from generation 8 on.
fn moved(mut record: Record) -> Record {
    let t = record.generation as usize;
    let by = t.saturating_sub(7) as f64;
    record.surface.distinct_2 = Some(0.731 - 0.02 * by + 0.001 * noise(t));
    record.surface.hhi = Some(1.02e-4 * (1.0 + by + 0.1 * noise(t + 5)));
    record
}

fn reported(seeds: &[u64], replicates_each: usize) -> Reported {
    let folder = tempfile::tempdir().unwrap();
    let open = |seed: &u64| {
        let tracks = tracks(*seed);
        let dir = seeded_run(folder.path(), (Setting::S2, *seed), PURE, &tracks);
        for (t, tracks) in (0..).zip(tracks) {
            let mut record = moved(record(Setting::S2, t, tracks));
            if t == 0 {
                record.noise = replicates(&record, replicates_each, *seed as usize);
            }
            fs::remove_file(record_path(&dir, t)).unwrap();
            write_record(&dir, &record);
        }
        Run::open(&dir).unwrap()
    };
    let runs: Vec<Run> = seeds.iter().map(open).collect();
    let out = folder.path().join("report");
    write_report(&runs, &out, "fin").unwrap();
    Reported { _folder: folder, out }
}

struct Moments {
    mean: f64,
    sd: f64,
    count: f64,
}

fn moments(values: &[f64]) -> Moments {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let sd = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
    Moments { mean, sd, count }
}

/// The first generation from which on all are beyond the limit, at least three.
fn onset(values: &[f64], beyond: impl Fn(f64) -> bool) -> Option<f64> {
    let start = (1..values.len()).find(|&start| values[start..].iter().all(|&value| beyond(value)))?;
    (values.len() - start >= 3).then_some(start as f64)
}

/// Name in the table, column of the replicates, whether collapse raises it.
const SIGNALS: [(&str, &str, bool); 4] =
    [("u_cov", "du_cov", false), ("g_kf", "dg_kf", false), ("distinct_2", "distinct_2", false), ("hhi", "hhi", true)];

fn close(got: Option<f64>, expected: f64) -> bool {
    got.is_some_and(|got| (got - expected).abs() < 1e-6 * expected.abs().max(1e-4))
}

fn series(reported: &Reported, points: &str, metrics: &str, name: &str) -> Vec<f64> {
    match name {
        "u_cov" | "g_kf" => reported.column(points, &format!("delta_{name}")),
        proxy => reported.column(metrics, proxy),
    }
}

fn check_line(table: &CsvTable, line: usize, limits: [f64; 4], values: [Vec<f64>; 4]) {
    let cell = |name: &str| table.numbers(name).unwrap()[line];
    let mut onsets = Vec::new();
    for (((name, _, above), limit), values) in SIGNALS.into_iter().zip(limits).zip(values) {
        assert!(close(cell(&format!("limit_{name}")), limit), "{name}: {limit} on line {line}");
        let expected = onset(&values, |value| if above { value > limit } else { value < limit });
        assert_eq!(cell(&format!("onset_{name}")), expected, "{name} on line {line}");
        onsets.push(expected);
    }
    assert_eq!(cell("lead_distinct_2"), onsets[2].zip(onsets[0]).map(|(proxy, track)| proxy - track));
    assert_eq!(cell("lead_hhi"), onsets[3].zip(onsets[0]).map(|(proxy, track)| proxy - track));
}

#[test]
fn the_figure_names_the_noise_of_the_base_and_only_where_there_is_one() {
    let named = |count: usize| {
        let reported = reported(&[42], count);
        let figure = reported.out.join("figures/fin_s2_two_tracks.svg");
        std::fs::read_to_string(figure).unwrap().contains("noise of the base, 95 %")
    };
    assert!(named(6));
    assert!(!named(0));
}

#[test]
fn onsets_of_one_run_follow_from_its_exported_files() {
    let reported = reported(&[42], 6);
    let table = reported.csv("tables/tab_fin_onset.csv");
    assert_eq!((table.len(), table.texts("seed").unwrap()), (1, vec!["42"]));
    assert_eq!(table.numbers("replicates").unwrap(), [Some(6.0)]);
    let floor = "true_recursion/fin/noise_floor_recursion.csv";
    assert_eq!(read_noise_floor(&reported.out.join(floor)).unwrap().len(), 6);
    let limits = SIGNALS.map(|(_, column, above)| {
        let Moments { mean, sd, count } = moments(&reported.column(floor, column));
        let half = T_5 * sd * (1.0 + 1.0 / count).sqrt();
        if above { mean + half } else { mean - half }
    });
    let metrics = "true_recursion/fin/metrics_paper_recursion.csv";
    let values = SIGNALS.map(|(name, _, _)| series(&reported, "tables/fin_s2_two_tracks_points.csv", metrics, name));
    check_line(&table, 0, limits, values);
    // As it was made: Track II first, the proxies four generations later or so, Track I never.
    let cell = |name: &str| table.numbers(name).unwrap()[0];
    assert!(cell("onset_u_cov").is_some_and(|onset| (4.0..=6.0).contains(&onset)));
    assert_eq!(cell("onset_g_kf"), None);
    assert!(
        cell("lead_distinct_2").is_some_and(|lead| lead >= 2.0) && cell("lead_hhi").is_some_and(|lead| lead >= 2.0)
    );
}

#[test]
fn seeds_have_floors_of_their_own_and_their_mean_has_a_narrower_one() {
    let reported = reported(&[42, 43], 6);
    let table = reported.csv("tables/tab_fin_onset.csv");
    assert_eq!(table.texts("seed").unwrap(), ["mean", "42", "43"]);
    assert_eq!(table.numbers("replicates").unwrap(), [Some(12.0), Some(6.0), Some(6.0)]);
    let folder = "true_recursion/fin";
    let of_seed = |seed: u64, column: &str| {
        moments(&reported.column(&format!("{folder}/noise_floor_recursion_s2_seed{seed}.csv"), column))
    };
    for (line, seed) in [(1, 42), (2, 43)] {
        let limits = SIGNALS.map(|(_, column, above)| {
            let Moments { mean, sd, count } = of_seed(seed, column);
            let half = T_5 * sd * (1.0 + 1.0 / count).sqrt();
            if above { mean + half } else { mean - half }
        });
        let points = format!("tables/fin_s2_seed{seed}_two_tracks_points.csv");
        let metrics = format!("{folder}/metrics_paper_recursion_s2_seed{seed}.csv");
        check_line(&table, line, limits, SIGNALS.map(|(name, _, _)| series(&reported, &points, &metrics, name)));
    }
    let limits = SIGNALS.map(|(_, column, above)| {
        let (a, b) = (of_seed(42, column), of_seed(43, column));
        let sd = ((a.sd * a.sd + b.sd * b.sd) / 2.0).sqrt();
        let half = T_10 * sd * (2.0 * (1.0 + 1.0 / 6.0) / 4.0f64).sqrt();
        (a.mean + b.mean) / 2.0 + if above { half } else { -half }
    });
    let points = "tables/fin_s2_two_tracks_points.csv";
    let proxies = "tables/fin_s2_surface_proxies_points.csv";
    check_line(&table, 0, limits, SIGNALS.map(|(name, _, _)| series(&reported, points, proxies, name)));
}

#[test]
fn diagnostics_are_the_ends_of_the_exported_series() {
    let reported = reported(&[42, 43], 0);
    let table = reported.csv("tables/tab_fin_diagnostics.csv");
    let names = table.texts("diagnostic").unwrap();
    for expected in
        ["effective_rank", "vendi_inf", "self_bleu", "compression_ratio", "stop_rate", "perplexity_held_out"]
    {
        assert!(names.contains(&expected), "{expected}");
    }
    for (line, name) in names.iter().enumerate() {
        let of_seed =
            |seed: u64| reported.column(&format!("true_recursion/fin/metrics_paper_recursion_s2_seed{seed}.csv"), name);
        let (one, two) = (of_seed(42), of_seed(43));
        let (first, last) = ((one[0] + two[0]) / 2.0, (one[T] + two[T]) / 2.0);
        let cell = |column: &str| table.numbers(column).unwrap()[line];
        assert!(close(cell("first"), first) && close(cell("last"), last), "{name}");
        assert!(cell("change").is_some_and(|change| (change - (last - first)).abs() < 1e-9), "{name}");
    }
}

#[test]
fn without_replicates_there_is_no_onset_and_no_band() {
    let (with, without) = (reported(&[42], 6), reported(&[42], 0));
    for path in ["tables/tab_fin_onset.tex", "true_recursion/fin/noise_floor_recursion.csv"] {
        assert!(with.out.join(path).exists() && !without.out.join(path).exists(), "{path}");
    }
    let figure = |reported: &Reported| fs::read_to_string(reported.out.join("figures/fin_s2_two_tracks.svg")).unwrap();
    let areas = |svg: &str| svg.matches("<polygon").count();
    assert_eq!((areas(&figure(&with)), areas(&figure(&without))), (2, 0), "a band for each track");
    let onset = "beyond the noise from here on";
    assert!(figure(&with).contains(onset) && !figure(&without).contains(onset));
    let page = |reported: &Reported| fs::read_to_string(reported.out.join("index.html")).unwrap();
    assert!(
        page(&with).contains("noise of the base")
            && page(&with).contains("lead over HHI")
            && !page(&without).contains(", noise of the base")
    );
}
