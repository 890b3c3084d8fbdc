//! Control chains: thresholds, areas, latencies and paired onsets from the exported points, by formulas written out
//! here; and what is no control.

use std::fs;
use std::path::Path;

use sigma_report::{CsvTable, ReportError, ReportOptions, Run, Setting, write_report_with};

use crate::fixture::{noise, seeded_run};

const T: usize = 8;
const REAL: &str = "mixture: { real_fraction: 1.0, mode: replace }\nsigma: { delta: 0.001 }\n";
const PURE: &str = "mixture: { real_fraction: 0.0, mode: replace }\nsigma: { delta: 0.001 }\n";

fn run(parent: &Path, seed: u64, config: &str, fall: f64) -> Run {
    let wobble = |t: usize| if t == 0 { 0.0 } else { noise(t + 17 * seed as usize) };
    let tracks: Vec<(f64, f64)> =
        (0..=T).map(|t| (-900.0 - fall * t as f64 + wobble(t), 40.0 + 0.1 * wobble(t))).collect();
    Run::open(&seeded_run(parent, (Setting::S2, seed), config, &tracks)).unwrap()
}

/// `count` runs that fall by a nat a generation, and as many controls that do not; the table and its note.
fn reported(count: u64) -> (CsvTable, String, Vec<Run>, Vec<Run>) {
    let folder = tempfile::tempdir().unwrap();
    let runs: Vec<Run> = (1..=count).map(|seed| run(folder.path(), seed, PURE, 1.0)).collect();
    let control: Vec<Run> = (1..=count).map(|seed| run(folder.path(), seed, REAL, 0.0)).collect();
    let out = folder.path().join("report");
    let options = ReportOptions { control: control.clone(), ..ReportOptions::new("fin") };
    write_report_with(&runs, &out, &options).unwrap();
    let stem = out.join("tables/tab_fin_control");
    let note = fs::read_to_string(stem.with_extension("md")).unwrap();
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("<h2>Control chains</h2>") && page.contains("control chains, mean and range"));
    let figure = fs::read_to_string(out.join("figures/fin_s2_two_tracks.svg")).unwrap();
    assert!(figure.contains("control chains, range"));
    (CsvTable::read(&stem.with_extension("csv")).unwrap(), note, runs, control)
}

fn du(run: &Run) -> Vec<f64> {
    run.series().points.iter().map(|point| point.du_cov.unwrap()).collect()
}

/// The cells of a column on the lines of a signal.
fn of_signal(table: &CsvTable, signal: &str, column: &str) -> Vec<Option<f64>> {
    let values = table.numbers(column).unwrap();
    table
        .texts("signal")
        .unwrap()
        .iter()
        .zip(values)
        .filter(|(name, _)| **name == signal)
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn the_threshold_is_the_worst_of_the_controls_and_three_of_them_have_a_rate() {
    let (table, note, runs, control) = reported(3);
    let worst = control.iter().flat_map(|run| du(run)[1..].to_vec()).fold(f64::INFINITY, f64::min);
    assert_eq!(of_signal(&table, "ΔU", "threshold"), [Some(worst), Some(worst), Some(worst), None]);
    assert_eq!(of_signal(&table, "ΔU", "false_alarm_rate")[..3], [Some(0.25); 3]);
    assert!(note.contains("with a probability of 1 / 4 at most"), "{note}");
    for (line, run) in runs.iter().enumerate() {
        let series = du(run);
        let latency = (1..=T).find(|t| series[*t] < worst).map(|t| t as f64);
        assert_eq!(of_signal(&table, "ΔU", "latency")[line], latency);
        let (mut wins, mut pairs) = (0.0, 0.0);
        for value in &series[1..] {
            for other in control.iter().flat_map(|run| du(run)[1..].to_vec()) {
                wins += if *value < other {
                    1.0
                } else if *value == other {
                    0.5
                } else {
                    0.0
                };
                pairs += 1.0;
            }
        }
        let auc = of_signal(&table, "ΔU", "auc")[line].unwrap();
        assert!((auc - wins / pairs).abs() < 1e-12, "{auc} and {}", wins / pairs);
    }
}

#[test]
fn a_paired_onset_is_where_the_interval_of_the_differences_leaves_zero_for_good() {
    let (table, _, runs, control) = reported(3);
    let differences = |t: usize| -> Vec<f64> { runs.iter().zip(&control).map(|(a, b)| du(a)[t] - du(b)[t]).collect() };
    let high = |t: usize| {
        let values = differences(t);
        let mean = values.iter().sum::<f64>() / 3.0;
        let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / 2.0;
        // Student's t for 95 % and 2 degrees of freedom, from a printed table.
        mean + 4.302_653 * (variance / 3.0).sqrt()
    };
    let onset = (1..=T).find(|from| (*from..=T).all(|t| high(t) < 0.0)).map(|t| t as f64);
    assert!(onset.is_some(), "the series were made to have one");
    assert_eq!(of_signal(&table, "ΔU", "paired_onset")[3], onset);
    assert_eq!(of_signal(&table, "ΔU", "pairs")[3], Some(3.0));
    assert_eq!(of_signal(&table, "ΔG", "paired_onset")[3], None, "Track I does not fall");
}

#[test]
fn below_three_controls_there_is_no_rate_no_alarm_and_no_paired_onset() {
    let (table, note, ..) = reported(2);
    assert!(of_signal(&table, "ΔU", "false_alarm_rate").iter().all(Option::is_none));
    assert!(of_signal(&table, "ΔU", "paired_onset").iter().all(Option::is_none));
    assert!(
        note.contains("With 2 control chains there is no false-alarm rate, and going beyond the threshold is no alarm")
    );
}

#[test]
fn a_control_that_is_given_twice_counts_once_and_the_note_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let judged = run(folder.path(), 1, PURE, 1.0);
    let control: Vec<Run> = (1..=3).map(|seed| run(folder.path(), seed, REAL, 0.0)).collect();
    // the same answers under another setting of the real text, which is no other chain where all text is real
    let resampled = REAL.replace("mode: replace", "mode: replace, real: resample");
    let named = |seed: u64, config: &str| {
        let mut run = run(folder.path(), seed, config, 0.0);
        run.manifest.name = format!("again{seed}");
        run
    };
    let with_texts_of = |mut run: Run, other: &Run, generations: usize| {
        for (record, other) in run.records.iter_mut().zip(&other.records).take(generations) {
            record.files = other.files.clone();
        }
        run
    };
    let same = |(seed, other): (u64, &Run)| with_texts_of(named(seed, &resampled), other, usize::MAX);
    let same_texts: Vec<Run> = (1..=3).zip(&control).map(same).collect();
    let same_experiment = named(2, REAL);
    let reported = |control: Vec<Run>| {
        let out = folder.path().join(format!("report of {}", control.len()));
        write_report_with(std::slice::from_ref(&judged), &out, &ReportOptions { control, ..ReportOptions::new("fin") })
            .unwrap();
        let stem = out.join("tables/tab_fin_control");
        let page = fs::read_to_string(out.join("index.html")).unwrap();
        (
            CsvTable::read(&stem.with_extension("csv")).unwrap(),
            fs::read_to_string(stem.with_extension("md")).unwrap(),
            page,
        )
    };
    let (once, note, _) = reported(control.clone());
    assert!(!note.contains("count as one"), "{note}");
    // a run that was stopped early gives way to the whole one, whatever the order
    let mut stopped = same_texts[0].clone();
    stopped.records.truncate(4);
    let all = [vec![stopped], control.clone(), same_texts[1..].to_vec(), vec![same_experiment]].concat();
    let (table, note, page) = reported(all);
    for column in ["chains", "threshold", "false_alarm_rate", "auc", "generations"] {
        assert_eq!(table.texts(column).unwrap(), once.texts(column).unwrap(), "{column}");
    }
    assert_eq!(of_signal(&table, "ΔU", "false_alarm_rate")[0], Some(0.25));
    assert!(note.contains("1 / 4 at most"), "{note}");
    for text in [&note, &page] {
        assert_eq!(text.matches("hold the same texts in every generation, and count as one").count(), 3, "{text}");
        assert_eq!(text.matches("are the same experiment, and count as one control chain").count(), 1, "{text}");
        assert!(text.contains("again3 (S2, seed 3)"), "{text}");
    }
    // the answers of the base alone, which all chains of a seed begin with, make no two chains one
    let begun = with_texts_of(named(1, &REAL.replace("mode: replace", "mode: append")), &control[0], 1);
    let (table, note, _) = reported([&control[..1], &[begun]].concat());
    assert_eq!(of_signal(&table, "ΔU", "chains")[0], Some(2.0), "{note}");
}

#[test]
fn what_is_no_control_or_does_not_compare_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (judged, control) = (run(folder.path(), 1, PURE, 1.0), run(folder.path(), 1, REAL, 0.0));
    let out = folder.path().join("report");
    let refused = |control: Vec<Run>| {
        let options = ReportOptions { control, ..ReportOptions::new("fin") };
        let error = write_report_with(std::slice::from_ref(&judged), &out, &options).unwrap_err();
        assert!(!out.exists(), "nothing is written");
        error
    };
    let half = run(folder.path(), 2, &REAL.replace("1.0", "0.5"), 0.0);
    assert!(
        matches!(refused(vec![half.clone()]), ReportError::ControlAlpha { dir, got } if dir == half.dir && got == "0.5")
    );
    for change in [
        (|run: &mut Run| run.manifest.sources.prompts.hash = "other".into()) as fn(&mut Run),
        |run| run.manifest.sources.encoder.hash = "other".into(),
        |run| run.manifest.sources.model.hash = "other".into(),
        |run| run.config = run.config.replace("delta: 0.001", "delta: 0.01"),
        |run| run.config = format!("{}evaluation: {{ responses_per_prompt: 3 }}\n", run.config),
    ] {
        let mut other = control.clone();
        change(&mut other);
        let error = refused(vec![other]);
        assert!(matches!(error, ReportError::ControlDiffers { .. }), "{error}");
    }
    let mut batches = control.clone();
    batches.config = format!("{}evaluation: {{ batch_size: 3 }}\n", batches.config);
    // How many texts are decoded together changes no number.
    let options = ReportOptions { control: vec![batches], ..ReportOptions::new("fin") };
    assert!(write_report_with(std::slice::from_ref(&judged), &out, &options).is_ok());
}
