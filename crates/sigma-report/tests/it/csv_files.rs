//! metrics.csv, buckets.csv, timings.csv and noise_floor.csv.

use std::fs;
use std::path::Path;

use sigma_report::metrics_csv::{BUCKETS_FILE_NAME, METRICS_FILE_NAME, NOISE_FILE_NAME, TIMINGS_FILE_NAME};
use sigma_report::{
    CsvTable, Record, ReportError, Setting, Stopped, read_buckets, read_metrics, read_noise_floor, read_timings,
    stale_metrics, write_metrics,
};

use crate::fixture::{noise, records, replicates};

fn awkward_records() -> Vec<Record> {
    let tracks: Vec<(f64, f64)> = (0..5).map(|t| (-1000.0 / 3.0 + noise(t) * 1e-7, noise(t + 9) / 7.0)).collect();
    let mut records = records(Setting::S1, &tracks);
    records[4].sigma = None;
    records[3].flags = vec!["rank_deficient".to_owned(), "all_answers_empty".to_owned()];
    let sigma = records[3].sigma.as_mut().unwrap();
    sigma.log_det_ga = None;
    sigma.theorem1_log_lower = f64::NEG_INFINITY;
    records
}

fn written(records: &[Record], name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write_metrics(folder.path(), records).unwrap();
    fs::read_to_string(folder.path().join(name)).unwrap()
}

fn read(records: &[Record], read: fn(&Path) -> sigma_report::Result<CsvTable>, name: &str) -> CsvTable {
    let folder = tempfile::tempdir().unwrap();
    write_metrics(folder.path(), records).unwrap();
    read(&folder.path().join(name)).unwrap()
}

#[test]
fn a_checkpoint_is_one_row_of_metrics_csv() {
    let tracks = [(-100.5, 40.0), (-130.75, 39.5)];
    assert_eq!(
        written(&records(Setting::S1, &tracks), METRICS_FILE_NAME),
        "generation,n,n_a,d,delta,rho,beta,s,u_cov,du_cov,g_kf,dg_kf,g_kf_fixed_beta,dg_kf_fixed_beta,u_cov_full,\
         du_cov_full,full_estimate,full_lower,full_upper,rank,condition,lambda_max,lambda_min,log_det_ga,plugin,theorem1_log_lower,theorem1_log_upper,theorem3_s,theorem3_half_width,\
         overestimation,distinct_2,hhi,distinct_1,distinct_3,distinct_4,repeated_4grams,compression_ratio,self_bleu,\
         words,mean_words,du_lower,du_upper,dg_lower,dg_upper,effective_rank,rank_me,vendi_1,vendi_2,vendi_inf,mean_cosine,perplexity_held_out,\
         perplexity_answers_under_base,answers,empty_answers,truncated_answers,read_share,stopped_at_eos,stop_rate,\
         mean_tokens,blocks,real_blocks,synthetic_blocks,steps,skipped_steps,first_loss,last_loss,mean_loss_last_epoch,\
         grad_norm_max,weight_distance,flags\n\
         0,1000,500,384,0.001,1,500,2286,-100.5,0,40,0,40,0,-100.4,0,-100.375,-101.5,-99.25,384,123456.789,98.7,0.0008,-321.5,-55.25,\
         -321.5,2000,17.5,1.5,900,0.731,0.000102,0.25,0.875,0.9375,0.0625,2.5,0.375,40000,200,\
         ,,,,210.5,210.75,90.5,40.25,8.5,0.125,31.25,12.5,200,0,1,0.96875,3,0.015,254.5,1000,0,0,,,,,,,,\n\
         1,1000,500,384,0.001,1,500,2255.75,-130.75,-30.25,39.5,-0.5,39.5,-0.5,-130.65,-30.25,-130.625,-131.75,-129.5,384,123456.789,98.7,\
         0.0008,-321.5,-55.25,-321.5,2000,17.5,1.5,900,0.723,0.000204,0.249,0.875,0.9375,0.0635,2.51,0.375,40000,200,\
         -132.75,-128.75,38.5,40.5,209.5,209.75,89.5,39.75,8.375,0.1328125,32.25,12.5,200,0,1,0.96875,3,0.015,254.5,1000,0,1100,345,0,4.25,\
         2.5,2.875,3.75,0.0625,\n"
    );
}

#[test]
fn metrics_and_buckets_do_not_depend_on_the_clock_and_timings_do() {
    let calm = awkward_records();
    let mut slow = calm.clone();
    for record in &mut slow {
        record.started = "2030-01-01T00:00:00Z".to_owned();
        record.finished = "2030-01-02T00:00:00Z".to_owned();
        record.seconds *= 7.3;
        record.evaluation.seconds *= 7.3;
        record.embedding.seconds *= 7.3;
        if let Some(training) = &mut record.training {
            training.seconds *= 7.3;
            training.tokens_per_second /= 7.3;
        }
        if let Some(regeneration) = &mut record.regeneration {
            regeneration.seconds *= 7.3;
        }
    }
    for name in [METRICS_FILE_NAME, BUCKETS_FILE_NAME] {
        assert_eq!(written(&slow, name), written(&calm, name), "{name}");
    }
    assert_ne!(written(&slow, TIMINGS_FILE_NAME), written(&calm, TIMINGS_FILE_NAME));
}

/// A run that was interrupted knows its first generations only from their records.
#[test]
fn records_read_from_disk_give_the_same_bytes_as_records_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let in_memory = awkward_records();
    let path = folder.path().join("record.json");
    let from_disk: Vec<Record> = in_memory
        .iter()
        .map(|record| {
            record.write(&path).unwrap();
            Record::read(&path).unwrap()
        })
        .collect();
    for name in [METRICS_FILE_NAME, BUCKETS_FILE_NAME, TIMINGS_FILE_NAME] {
        assert_eq!(written(&from_disk, name), written(&in_memory, name), "{name}");
    }
}

#[test]
fn numbers_in_metrics_csv_are_those_of_the_records_to_the_last_bit() {
    let records = awkward_records();
    let table = read(&records, read_metrics, METRICS_FILE_NAME);
    assert_eq!(table.len(), 5);
    let u_cov = |t: usize| records[t].sigma.as_ref().map(|sigma| sigma.u_cov);
    let base = u_cov(0).unwrap();
    assert_eq!(table.numbers("u_cov").unwrap(), (0..5).map(u_cov).collect::<Vec<_>>());
    assert_eq!(table.numbers("du_cov").unwrap(), (0..5).map(|t| Some(u_cov(t)? - base)).collect::<Vec<_>>());
    assert_eq!(table.numbers("theorem1_log_lower").unwrap()[3], Some(f64::NEG_INFINITY));
}

#[test]
fn what_was_not_measured_is_an_empty_cell_and_flags_are_joined() {
    let table = read(&awkward_records(), read_metrics, METRICS_FILE_NAME);
    assert_eq!(table.texts("log_det_ga").unwrap()[3], "");
    assert_eq!(table.texts("g_kf").unwrap()[4], "");
    assert_eq!(table.texts("first_loss").unwrap()[0], "");
    assert_eq!(table.texts("flags").unwrap()[3], "rank_deficient;all_answers_empty");
}

#[test]
fn a_bucket_drifts_against_itself_at_generation_0_wherever_it_stands() {
    let mut records = records(Setting::S1, &[(-10.0, 5.0), (-20.0, 4.0)]);
    records[0].buckets[0].sigma.as_mut().unwrap().u_cov = -3.0;
    records[1].buckets.reverse();
    let table = read(&records, read_buckets, BUCKETS_FILE_NAME);
    assert_eq!(table.texts("bucket").unwrap(), ["creative", "neutral", "neutral", "creative"]);
    assert_eq!(table.numbers("generation").unwrap(), [Some(0.0), Some(0.0), Some(1.0), Some(1.0)]);
    assert_eq!(table.numbers("du_cov").unwrap(), [Some(0.0), Some(0.0), Some(-10.0), Some(-18.0)]);
    assert_eq!(table.numbers("dg_kf").unwrap()[3], Some(-1.0));
}

#[test]
fn a_bucket_that_could_not_be_measured_keeps_its_row_and_a_new_one_has_no_drift() {
    let mut records = records(Setting::S1, &[(-10.0, 5.0), (-20.0, 4.0)]);
    records[0].buckets[0].sigma = None;
    records[0].buckets.remove(1);
    let table = read(&records, read_buckets, BUCKETS_FILE_NAME);
    assert_eq!(table.numbers("u_cov").unwrap(), [None, Some(-21.0), Some(-21.0)]);
    assert_eq!(table.numbers("du_cov").unwrap(), [None, None, None]);
}

#[test]
fn timings_add_up_where_the_metrics_do_not_look() {
    let table = read(&records(Setting::S2, &[(0.0, 0.0), (0.0, 0.0)]), read_timings, TIMINGS_FILE_NAME);
    assert_eq!(table.numbers("seconds").unwrap(), [Some(25.0), Some(25.0)]);
    assert_eq!(table.numbers("seconds_training").unwrap(), [None, Some(12.5)]);
    assert_eq!(table.numbers("regeneration_tokens").unwrap(), [None, Some(70_400.0)]);
    assert_eq!(table.texts("started").unwrap()[0], "2026-01-02T03:04:05Z");
}

#[test]
fn the_noise_floor_is_one_row_per_replicate_with_its_drifts_against_generation_0() {
    let mut records = records(Setting::S1, &[(-10.0, 5.0), (-20.0, 4.0)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NOISE_FILE_NAME);
    write_metrics(folder.path(), &records).unwrap();
    assert!(!path.exists(), "there is no replicate");

    records[0].noise = replicates(&records[0], 3, 1);
    records[0].noise[2].sigma = None;
    write_metrics(folder.path(), &records).unwrap();
    let table = read_noise_floor(&path).unwrap();
    let noise = &records[0].noise;
    assert_eq!(table.numbers("replicate").unwrap(), [Some(1.0), Some(2.0), Some(3.0)]);
    let drift = |j: usize| noise[j].sigma.as_ref().map(|sigma| sigma.u_cov + 10.0);
    assert_eq!(table.numbers("du_cov").unwrap(), [drift(0), drift(1), None]);
    let g_kf: Vec<Option<f64>> = (0..3).map(|j| noise[j].sigma.as_ref().map(|sigma| sigma.g_kf)).collect();
    assert_eq!(table.numbers("g_kf").unwrap(), g_kf);
    for (column, value) in [("distinct_2", noise[2].surface.distinct_2), ("hhi", noise[2].surface.hhi)] {
        assert_eq!(table.numbers(column).unwrap()[2], value, "{column}");
    }
}

#[test]
fn a_checkpoint_without_answers_has_no_stop_rate() {
    let mut records = records(Setting::S1, &[(-10.0, 5.0)]);
    records[0].evaluation.answers = 0;
    records[0].diversity = None;
    records[0].perplexity = None;
    let table = read(&records, read_metrics, METRICS_FILE_NAME);
    for column in ["stop_rate", "vendi_1", "mean_cosine", "perplexity_held_out"] {
        assert_eq!(table.numbers(column).unwrap(), [None], "{column}");
    }
}

#[test]
fn a_run_without_generations_has_headers_only() {
    for name in [METRICS_FILE_NAME, BUCKETS_FILE_NAME, TIMINGS_FILE_NAME] {
        let text = written(&[], name);
        assert!(text.starts_with("generation,") && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn a_generation_that_could_not_be_made_is_a_last_row_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let records = records(Setting::S2, &[(-1.0, 1.0), (-2.0, 0.5)]);
    let path = folder.path().join(METRICS_FILE_NAME);
    write_metrics(folder.path(), &records).unwrap();
    let without = fs::read_to_string(&path).unwrap();
    for (generation, rows) in [(1, 2), (2, 3), (3, 2)] {
        let flag = "loss_not_finite".to_owned();
        Stopped { schema: 1, generation, flag, message: "the loss became NaN".to_owned() }
            .write(folder.path())
            .unwrap();
        write_metrics(folder.path(), &records).unwrap();
        assert!(stale_metrics(folder.path(), &records).unwrap().is_empty());
        assert_eq!(read_metrics(&path).unwrap().len(), rows, "generation {generation} is the next one or no news");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&without) && (rows == 2 || text.ends_with(",loss_not_finite\n")), "{text}");
    }
    assert!(Stopped::forget(folder.path()).unwrap() && !Stopped::forget(folder.path()).unwrap());
    assert_eq!(stale_metrics(folder.path(), &records).unwrap(), Vec::<&str>::new());
}

#[test]
fn readers_refuse_other_columns_by_position() {
    let folder = tempfile::tempdir().unwrap();
    write_metrics(folder.path(), &[]).unwrap();
    let path = folder.path().join(METRICS_FILE_NAME);
    let header = fs::read_to_string(&path).unwrap();
    for (edited, position) in [
        (header.replace("n_a", "m_a"), 3),
        (header.replace(",flags", ""), 70),
        (header.replace("flags", "flags,more"), 71),
    ] {
        fs::write(&path, edited).unwrap();
        let error = read_metrics(&path).unwrap_err();
        assert!(matches!(&error, ReportError::CsvHeader { position: found, .. } if *found == position), "{error}");
    }
    assert!(matches!(read_metrics(&folder.path().join(BUCKETS_FILE_NAME)), Err(ReportError::CsvHeader { .. })));
    assert!(matches!(read_metrics(&folder.path().join("nowhere.csv")), Err(ReportError::Csv { .. })));
}

#[test]
fn a_bad_cell_is_refused_by_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.csv");
    fs::write(&path, "generation,du\n0,0\n1,about 3\n").unwrap();
    let table = CsvTable::read(&path).unwrap();
    assert_eq!(table.header(), ["generation", "du"]);
    let error = table.numbers("du").unwrap_err();
    assert!(matches!(&error, ReportError::CsvCell { line: 3, column, got, .. } if column == "du" && got == "about 3"));
    assert!(matches!(table.numbers("dg"), Err(ReportError::CsvColumn { .. })));
    fs::write(&path, "generation,du\n0\n").unwrap();
    assert!(matches!(CsvTable::read(&path), Err(ReportError::Csv { .. })));
}
