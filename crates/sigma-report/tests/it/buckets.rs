//! Localisation by prompt bucket: the figure, the points, the table.

use std::fs;
use std::path::{Path, PathBuf};

use sigma_report::{BucketNumbers, CsvTable, Record, Run, Setting, write_report};

use crate::fixture::{noise, run_folder};

const TRACKS: [(f64, f64); 6] =
    [(-900.0, 40.0), (-912.0, 39.0), (-931.0, 37.5), (-940.0, 38.0), (-966.0, 36.0), (-970.0, 35.0)];

/// A run whose buckets all drift differently.
fn run(parent: &Path, names: &[String]) -> Run {
    let mut run = Run::open(&run_folder(parent, Setting::S1, &TRACKS)).unwrap();
    for (t, record) in run.records.iter_mut().enumerate() {
        let template = record.buckets[0].clone();
        let bucket = |(index, name): (usize, &String)| {
            let mut sigma = template.sigma.clone().unwrap();
            sigma.u_cov -= (t * (index + 1)) as f64 * 3.0 + noise(t + index);
            sigma.g_kf += t as f64 * 0.5 * noise(index + 1);
            BucketNumbers { bucket: name.clone(), sigma: Some(sigma), ..template.clone() }
        };
        record.buckets = names.iter().enumerate().map(bucket).collect();
    }
    run
}

fn written(run: &Run, out: &Path) -> Vec<PathBuf> {
    write_report(std::slice::from_ref(run), out, "fin").unwrap()
}

fn names(count: usize) -> Vec<String> {
    ["creative", "divergent", "analogy", "what_if", "neutral", "sixth bucket", "seventh bucket", "eighth bucket"]
        .map(str::to_owned)[..count]
        .to_vec()
}

/// Drift of a bucket, taken from the records.
fn drift(records: &[Record], bucket: &str, t: usize) -> f64 {
    let level = |record: &Record| {
        let numbers = record.buckets.iter().find(|numbers| numbers.bucket == bucket).unwrap();
        numbers.sigma.as_ref().unwrap().u_cov
    };
    level(&records[t]) - level(&records[0])
}

#[test]
fn every_scalar_of_the_bucket_table_follows_from_the_exported_points() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path(), &names(5));
    let out = folder.path().join("report");
    written(&run, &out);
    let points = CsvTable::read(&out.join("tables/fin_s1_buckets_points.csv")).unwrap();
    let summary = CsvTable::read(&out.join("tables/tab_fin_buckets.csv")).unwrap();
    let buckets = points.texts("bucket").unwrap();
    let series = |bucket: &str, column: &str| -> Vec<f64> {
        let values = points.numbers(column).unwrap();
        buckets.iter().zip(values).filter(|(name, _)| **name == bucket).map(|(_, value)| value.unwrap()).collect()
    };
    let mut expected = vec!["(all prompts)".to_owned()];
    expected.extend(names(5));
    assert_eq!(summary.texts("bucket").unwrap(), expected);
    let scalar = |line: usize, column: &str| summary.numbers(column).unwrap()[line].unwrap();
    for (line, bucket) in expected.iter().enumerate() {
        for (track, slope) in [("delta_u_cov", "slope_u_cov"), ("delta_g_kf", "slope_g_kf")] {
            let values = series(bucket, track);
            assert_eq!(scalar(line, &format!("{track}_final")), values[5]);
            let centred: f64 = values.iter().enumerate().map(|(t, y)| (t as f64 - 2.5) * y).sum();
            assert!((scalar(line, slope) - centred / 17.5).abs() < 1e-9, "{bucket} {slope}");
        }
        let excess = series(bucket, "delta_u_cov")[5] - series("(all prompts)", "delta_u_cov")[5];
        assert!((scalar(line, "delta_u_cov_excess") - excess).abs() < 1e-9);
        if line > 0 {
            for (t, value) in series(bucket, "delta_u_cov").into_iter().enumerate() {
                assert_eq!(value, drift(&run.records, bucket, t), "{bucket} at {t}");
            }
        }
    }
    assert_eq!(scalar(0, "answers"), 200.0);
    assert_eq!((scalar(1, "answers"), scalar(1, "blocks"), scalar(1, "observed")), (40.0, 1000.0, 500.0));
}

fn lines(svg: &str, colour: &str) -> Vec<Vec<(f64, f64)>> {
    let corner = |corner: &str| {
        let (x, y) = corner.split_once(',').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    };
    svg.lines()
        .filter(|line| line.starts_with("<polyline") && line.contains(colour))
        .map(|line| {
            let (_, points) = line.split_once("points=\"").unwrap();
            points.split_once('"').unwrap().0.split_whitespace().map(corner).collect()
        })
        .collect()
}

#[test]
fn every_plotted_point_of_a_bucket_is_in_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path(), &names(5));
    let out = folder.path().join("report");
    written(&run, &out);
    let svg = fs::read_to_string(out.join("figures/fin_buckets.svg")).unwrap();
    // Legend, Track II, Track I, in the colour of the first bucket.
    let drawn = lines(&svg, "#0072B2");
    assert_eq!(drawn.len(), 3);
    let exported: Vec<f64> = (0..6).map(|t| drift(&run.records, "creative", t)).collect();
    let per_nat = (drawn[1][5].1 - drawn[1][0].1) / exported[5];
    assert!(per_nat < 0.0);
    for (place, value) in drawn[1].iter().zip(&exported) {
        assert!((place.1 - drawn[1][0].1 - per_nat * value).abs() <= 1.5, "{place:?} for {value}");
    }
}

#[test]
fn many_buckets_take_further_rows_of_the_legend_and_stay_in_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path(), &names(8));
    let out = folder.path().join("report");
    written(&run, &out);
    let svg = fs::read_to_string(out.join("figures/fin_buckets.svg")).unwrap();
    let mut places: Vec<(i32, i32)> = Vec::new();
    for name in names(8) {
        let (before, _) = svg.split_once(&format!(">\n{name}\n<")).expect("in the legend");
        assert!(!before.contains(&format!(">\n{name}\n<")), "{name} twice");
        let (_, text) = before.rsplit_once("<text ").unwrap();
        let number = |name: &str| -> i32 {
            text.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0.parse().unwrap()
        };
        let (x, y) = (number("x"), number("y"));
        // A letter is some 16 units wide.
        assert!(x + 16 * name.len() as i32 <= 2100, "{name} begins at {x}");
        assert!(places.iter().all(|(other, row)| *row != y || (other - x).abs() > 150), "{name} on another entry");
        places.push((x, y));
    }
    let corners = lines(&svg, "stroke").into_iter().flatten();
    for (x, y) in corners {
        assert!((0.0..=2100.0).contains(&x) && (0.0..=975.0).contains(&y), "({x}, {y})");
    }
}

#[test]
fn a_bucket_observed_on_fewer_blocks_than_dimensions_is_pointed_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = run(folder.path(), &names(2));
    let out = folder.path().join("report");
    let note = || fs::read_to_string(out.join("tables/tab_fin_buckets.md")).unwrap().contains("n_A < d = 384");
    written(&run, &out);
    assert!(!note());
    run.records[3].buckets[1].sigma.as_mut().unwrap().n_a = 383;
    written(&run, &out);
    assert!(note());
}

#[test]
fn a_run_without_buckets_has_no_bucket_figure() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path(), &[]);
    let out = folder.path().join("report");
    let written = written(&run, &out);
    assert!(!written.iter().any(|path| path.to_string_lossy().contains("buckets")), "{written:?}");
    assert!(!fs::read_to_string(out.join("index.html")).unwrap().contains("data-chart=\"buckets\""));
}
