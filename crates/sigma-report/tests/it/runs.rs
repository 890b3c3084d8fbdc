//! Run folders: what opens, what does not, and the series that come out.

use std::fs;

use sigma_report::{Agreement, ProxySummary, ReportError, Run, RunSummary, Setting, generation_dir_name};

use crate::fixture::{noise, published_s1, record, record_path, run_folder, seal, series, write_record};

const FALLING: [(f64, f64); 4] = [(-100.0, 50.0), (-110.0, 49.0), (-125.0, 47.5), (-120.0, 46.0)];

#[test]
fn a_run_opens_with_its_records_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let tracks: Vec<(f64, f64)> = (0..12).map(|t| (f64::from(t), 1.0)).collect();
    let run = Run::open(&run_folder(folder.path(), Setting::S2, &tracks)).unwrap();
    assert_eq!(run.config, "name: fin\n");
    assert_eq!(run.manifest.name, "fin_s2");
    assert_eq!(run.records.iter().map(|record| record.generation).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
}

#[test]
fn drifts_are_differences_to_generation_0() {
    let folder = tempfile::tempdir().unwrap();
    let series = Run::open(&run_folder(folder.path(), Setting::S1, &FALLING)).unwrap().series();
    let drifts: Vec<_> = series.points.iter().map(|point| (point.du_cov.unwrap(), point.dg_kf.unwrap())).collect();
    assert_eq!(drifts, [(0.0, 0.0), (-10.0, -1.0), (-25.0, -2.5), (-20.0, -4.0)]);
    let full: Vec<_> = series.points.iter().map(|point| point.du_cov_full.unwrap()).collect();
    assert!(full.iter().zip(&drifts).all(|(full, (du, _))| (full - du).abs() < 1e-12));
    let losses: Vec<_> = series.points.iter().map(|point| point.loss).collect();
    assert_eq!(losses, [None, Some(2.875), Some(2.75), Some(2.625)]);
}

#[test]
fn an_interrupted_last_generation_is_left_out_and_other_folders_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let dir = run_folder(folder.path(), Setting::S1, &FALLING);
    for name in ["gen-004", "gen-005.tmp", "gen-5", "report"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    assert_eq!(Run::open(&dir).unwrap().records.len(), 4);
}

#[test]
fn a_run_without_generations_opens_and_has_an_empty_series() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(&run_folder(folder.path(), Setting::S1, &[])).unwrap();
    assert!(run.records.is_empty() && run.series().points.is_empty());
    assert_eq!(RunSummary::of(&run.series()), None);
}

#[test]
fn a_gap_is_refused_by_the_name_of_what_is_missing() {
    for missing in [0, 2] {
        let folder = tempfile::tempdir().unwrap();
        let dir = run_folder(folder.path(), Setting::S1, &FALLING);
        fs::remove_file(record_path(&dir, missing)).unwrap();
        let Err(ReportError::Gap { missing: found, later }) = Run::open(&dir) else { panic!("no gap at {missing}") };
        assert_eq!((found, later), (record_path(&dir, missing), record_path(&dir, missing + 1)));
    }
}

#[test]
fn a_record_that_does_not_belong_is_refused_by_field() {
    type Edit = fn(&mut sigma_report::Record);
    let edits: [(&str, Edit); 5] = [
        ("generation", |record| record.generation = 3),
        ("setting", |record| record.setting = Setting::S2),
        ("sigma.d", |record| record.sigma.as_mut().unwrap().d = 128),
        ("sigma.delta", |record| record.sigma.as_mut().unwrap().delta = 1e-2),
        ("sigma.rho", |record| record.sigma.as_mut().unwrap().rho = 2.0),
    ];
    for (field, edit) in edits {
        let folder = tempfile::tempdir().unwrap();
        let dir = run_folder(folder.path(), Setting::S1, &FALLING);
        let mut stranger = record(Setting::S1, 2, FALLING[2]);
        edit(&mut stranger);
        stranger.write(&record_path(&dir, 2)).unwrap();
        seal(&dir);
        let error = Run::open(&dir).unwrap_err();
        assert!(
            matches!(&error, ReportError::Inconsistent { path, field: found, .. }
                if *found == field && *path == record_path(&dir, 2)),
            "{field}: {error}"
        );
    }
}

#[test]
fn missing_and_damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = run_folder(folder.path(), Setting::S1, &FALLING);
    let damaged = record_path(&dir, 1);
    fs::write(&damaged, "{").unwrap();
    assert!(matches!(Run::open(&dir), Err(ReportError::Json { path, .. }) if path == damaged));
    for name in ["config.yaml", "manifest.json"] {
        let folder = tempfile::tempdir().unwrap();
        let dir = run_folder(folder.path(), Setting::S1, &FALLING);
        fs::remove_file(dir.join(name)).unwrap();
        assert!(matches!(Run::open(&dir), Err(ReportError::Read { path, .. }) if path == dir.join(name)));
    }
    let nowhere = folder.path().join("nowhere");
    assert!(matches!(Run::open(&nowhere), Err(ReportError::Read { .. })));
}

#[test]
fn generations_beyond_999_sort_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let dir = run_folder(folder.path(), Setting::S1, &[]);
    for generation in 0..1002 {
        fs::create_dir(dir.join(generation_dir_name(generation))).unwrap();
    }
    for generation in [0, 1, 2, 1000] {
        write_record(&dir, &record(Setting::S1, generation, (0.0, 0.0)));
    }
    let Err(ReportError::Gap { missing, later }) = Run::open(&dir) else { panic!("no gap") };
    assert_eq!((missing, later), (record_path(&dir, 3), record_path(&dir, 1000)));
}

#[test]
fn a_generation_without_embeddings_leaves_a_gap_and_no_slope() {
    let folder = tempfile::tempdir().unwrap();
    let dir = run_folder(folder.path(), Setting::S1, &FALLING);
    let mut silent = record(Setting::S1, 2, (0.0, 0.0));
    silent.sigma = None;
    write_record(&dir, &silent);
    let series = Run::open(&dir).unwrap().series();
    assert_eq!((series.points[2].du_cov, series.points[3].du_cov), (None, Some(-20.0)));
    let summary = RunSummary::of(&series).unwrap();
    assert_eq!((summary.final_du, summary.slope_u, summary.agreement), (Some(-20.0), None, None));
}

#[test]
fn the_published_s1_run_agrees_and_s2_does_not() {
    let s1 = RunSummary::of(&series(Setting::S1, published_s1())).unwrap();
    assert_eq!((s1.generations, s1.final_du), (25, Some(-108.036399)));
    assert_eq!(s1.agreement, Some(Agreement::BothContract));

    // Table 1: Track II falls by 42.6 a generation; Track I rises by 2.35, although it ends at -2.426.
    let last = 50;
    let track_one = |t: usize| if t == last { -2.426 } else { 2.5 * t as f64 };
    let s2 = series(Setting::S2, (0..=last).map(|t| (-42.6 * t as f64 + 20.0 * noise(t), track_one(t))));
    let s2 = RunSummary::of(&s2).unwrap();
    assert!(s2.slope_g.unwrap() > 0.0);
    assert_eq!(s2.agreement, Some(Agreement::OnlyTrackTwo));
    assert_eq!(s2.agreement.unwrap().phrase(), "no (Track II collapses; Track I does not)");
}

#[test]
fn proxies_correlate_over_the_checkpoints_that_have_them() {
    let mut run = series(Setting::S1, (0..6).map(|t| (-f64::from(t), 0.0)));
    for (t, point) in run.points.iter_mut().enumerate() {
        point.distinct_2 = Some(0.9 - 0.1 * t as f64);
        point.hhi = (t != 3).then_some((t as f64).powi(3));
    }
    let distinct_2 = ProxySummary::of(&run, |point| point.distinct_2);
    assert_eq!((distinct_2.first, distinct_2.spearman), (Some(0.9), Some(1.0)));
    assert!((distinct_2.pearson.unwrap() - 1.0).abs() < 1e-12);
    let hhi = ProxySummary::of(&run, |point| point.hhi);
    assert_eq!((hhi.last, hhi.spearman), (Some(125.0), Some(-1.0)));
    assert!(hhi.pearson.unwrap() > -0.99);
}

#[test]
fn normalised_signals_span_0_to_1_and_constant_ones_lie_between() {
    let mut run = series(Setting::S1, [(0.0, 7.0), (-40.0, 7.0), (-30.0, 7.0)]);
    run.points[0].hhi = Some(f64::MAX);
    run.points[1].hhi = Some(f64::MIN);
    run.points[2].hhi = Some(f64::NAN);
    let scaled = run.normalised();
    let column =
        |value: fn(&sigma_report::NormalisedPoint) -> Option<f64>| scaled.iter().map(value).collect::<Vec<_>>();
    assert_eq!(column(|point| point.du_cov), [Some(1.0), Some(0.0), Some(0.25)]);
    assert_eq!(column(|point| point.dg_kf), [Some(0.5); 3]);
    assert_eq!(column(|point| point.hhi), [Some(1.0), Some(0.0), None]);
}
