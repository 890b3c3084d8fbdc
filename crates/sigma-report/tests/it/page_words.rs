//! What the page says in words: verdict, flags, changes of arithmetic; and the chart of any column.

use std::fs;

use sigma_report::{CsvTable, Manifest, Published, ReportOptions, Run, Setting, write_report_with};

use crate::fixture::seeded_run;
use crate::page::{page, payload, run, tracks};

#[test]
fn flags_and_an_unfinished_run_are_told_at_the_top() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::open(&run(folder.path())).unwrap();
    for t in [1, 2, 3, 6] {
        run.records[t].flags = vec!["rank_deficient".to_owned()];
    }
    let html = page(&[run.clone()], &ReportOptions::new("fin"));
    assert!(html.contains("<td>1 to 3, 6</td><td>G_A is rank deficient: "), "flags");
    assert!(html.contains("<td>rank_deficient</td>"), "its name in metrics.csv");
    assert!(html.contains("<td>0 to 6 of 50</td>"), "unfinished");
    run.manifest = Manifest { generations: 6, ..run.manifest };
    assert!(page(&[run], &ReportOptions::new("fin")).contains("<td>0 to 6</td>"));
}

#[test]
fn the_verdict_stands_before_everything_else() {
    let folder = tempfile::tempdir().unwrap();
    let html = page(&[Run::open(&run(folder.path())).unwrap()], &ReportOptions::new("fin"));
    let (_, main) = html.split_once("<main>").unwrap();
    let first = main.split_once("<section id=\"").unwrap().1;
    assert!(first.starts_with("verdict\""), "{}", &first[..40]);
    assert!(!html.contains("negative drift") && !html.contains("both negative"));
    // The paper's wording stands beside its numbers and nowhere else.
    let options = ReportOptions { published: Some(Published::bundled().unwrap()), ..ReportOptions::new("fin") };
    let html = page(&[Run::open(&folder.path().join("fin_s1")).unwrap()], &options);
    assert!(
        html.contains("in the paper&#39;s words: tracks agree: yes (both negative).")
            && html.matches("both negative").count() == 1
    );
}

#[test]
fn a_change_of_arithmetic_inside_a_run_and_between_seeds_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let seed = |seed: u64| Run::open(&seeded_run(folder.path(), (Setting::S1, seed), "", &tracks())).unwrap();
    let mut runs = [seed(1), seed(2)];
    let alike = page(&runs, &ReportOptions::new("fin"));
    assert!(!alike.contains("not that of all seeds") && !alike.contains("before it was"));
    runs[0].records[3].arithmetic.resolved.device = "cuda:0".to_owned();
    for record in &mut runs[1].records {
        record.arithmetic.machine.cpu = "another CPU".to_owned();
    }
    let html = page(&runs, &ReportOptions::new("fin"));
    assert!(html.contains("S1, seed 1: from generation 3 on, the device is cuda:0, before it was cpu."));
    let cpus = "S1: the CPU is not that of all seeds: a CPU (avx2) (seed 1), another CPU (avx2) (seed 2).";
    assert!(html.contains(cpus), "{cpus}");
}

#[test]
fn any_column_of_metrics_csv_can_be_chosen_and_is_drawn_as_it_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(&run(folder.path())).unwrap();
    let out = folder.path().join("report");
    write_report_with(&[run], &out, &ReportOptions::new("fin")).unwrap();
    let data = payload(&fs::read_to_string(out.join("index.html")).unwrap());
    let charts = data["charts"].as_array().unwrap();
    let chart = charts.iter().find(|chart| chart["id"] == "metrics").unwrap();
    let metrics = CsvTable::read(&out.join("final/fin/metrics_paper.csv")).unwrap();
    let names: Vec<&str> =
        chart["signals"].as_array().unwrap().iter().map(|signal| signal["name"].as_str().unwrap()).collect();
    for name in ["mean_tokens", "stop_rate", "n", "mean_loss_last_epoch", "vendi_1", "self_bleu", "dg_kf_fixed_beta"] {
        let signal = names.iter().position(|other| *other == name).unwrap_or_else(|| panic!("{name} in {names:?}"));
        let lines = chart["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["signal"] == signal).unwrap();
        let drawn: Vec<Option<f64>> =
            line["points"].as_array().unwrap().iter().map(|point| point[1].as_f64()).collect();
        assert_eq!(drawn, metrics.numbers(name).unwrap(), "{name}");
    }
}
