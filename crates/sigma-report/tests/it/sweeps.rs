//! Reports over the real fraction, spectra, and experiment cards: that what is drawn is exported, and exported what was
//! measured.

use std::fs;
use std::path::{Path, PathBuf};

use sigma_report::{CsvTable, ReportError, Run, Setting, generation_dir_name, write_report};

use crate::fixture::{noise, seeded_run};

fn run(parent: &Path, key: (Setting, u64), alpha: f64, mode: &str, length: usize) -> Run {
    let depth = 30.0 * (1.1 - alpha);
    let track = |t: usize| (-depth * t as f64 + noise(t + 9 * key.1 as usize), 2.0 * noise(3 * t + key.1 as usize));
    let tracks: Vec<(f64, f64)> = (0..length).map(track).collect();
    let config = format!("mixture: {{ real_fraction: {alpha}, mode: {mode} }}\n");
    Run::open(&seeded_run(parent, key, &config, &tracks)).unwrap()
}

fn write_spectrum(run: &Run, generation: u32, text: &str) -> PathBuf {
    let path = run.dir.join(generation_dir_name(generation)).join("spectrum.csv");
    fs::write(&path, text).unwrap();
    path
}

fn numbers(out: &Path, table: &str, column: &str) -> Vec<Option<f64>> {
    CsvTable::read(&out.join(format!("tables/{table}.csv"))).unwrap().numbers(column).unwrap()
}

#[test]
fn the_points_over_alpha_follow_from_the_series_at_the_generation_that_all_have() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Setting::S1, Setting::S2);
    let runs = [
        run(folder.path(), (two, 1), 0.5, "replace", 9),
        run(folder.path(), (two, 2), 0.5, "replace", 9),
        run(folder.path(), (two, 1), 0.0, "replace", 7),
        run(folder.path(), (one, 1), 0.0, "replace", 9),
    ];
    let out = folder.path().join("report");
    write_report(&runs, &out, "fin").unwrap();
    let last = |run: &Run| run.series().points[6].clone();
    let du = |run: &Run| last(run).du_cov.unwrap();
    let dg = |run: &Run| last(run).dg_kf.unwrap();
    let table = "fin_alpha_points";
    assert_eq!(numbers(&out, table, "real_fraction"), [Some(0.0), Some(0.0), Some(0.5)]);
    let mean = (du(&runs[0]) + du(&runs[1])) / 2.0;
    assert_eq!(numbers(&out, table, "delta_u_cov_final"), [Some(du(&runs[3])), Some(du(&runs[2])), Some(mean)]);
    assert_eq!(numbers(&out, table, "delta_g_kf_final")[2], Some((dg(&runs[0]) + dg(&runs[1])) / 2.0));
    // Single seeds have the intervals of their records, and two seeds have none.
    let ends =
        |run: &Run| run.records[6].drift.as_ref().map(|drift| (drift.dg_lower.unwrap(), drift.dg_upper.unwrap()));
    for (column, of) in [("delta_g_kf_final_low", 0), ("delta_g_kf_final_high", 1)] {
        let expected = |run: &Run| ends(run).map(|ends| if of == 0 { ends.0 } else { ends.1 });
        assert_eq!(numbers(&out, table, column), [expected(&runs[3]), expected(&runs[2]), None]);
    }
    let seeds = numbers(&out, "fin_alpha_seed_points", "delta_u_cov_final");
    assert_eq!(seeds, [Some(du(&runs[0])), Some(du(&runs[1]))]);
    let note = fs::read_to_string(out.join(format!("tables/{table}.md"))).unwrap();
    assert!(note.contains("taken at t = 6, the last generation that all of them have"), "{note}");
    // Every cell of the heat map, too.
    let cells = numbers(&out, "fin_alpha_heatmap", "delta_u_cov_s2_a0");
    let series: Vec<Option<f64>> = runs[2].series().points.iter().map(|point| point.du_cov).collect();
    assert_eq!(cells, series);
    for figure in ["fin_alpha", "fin_alpha_heatmap"] {
        for extension in ["svg", "pdf", "png"] {
            assert!(out.join(format!("figures/{figure}.{extension}")).exists(), "{figure}.{extension}");
        }
    }
    // 3 conditions of 7 checkpoints are as many cells, besides the ground and the bar.
    let svg = fs::read_to_string(out.join("figures/fin_alpha_heatmap.svg")).unwrap();
    assert_eq!(svg.matches("<rect").count(), 1 + 128 + 3 * 7);
}

#[test]
fn conditions_that_differ_beside_alpha_are_curves_of_their_own_with_their_difference_as_name() {
    let folder = tempfile::tempdir().unwrap();
    let of = |alpha: f64, mode: &str| run(folder.path(), (Setting::S2, 1), alpha, mode, 4);
    let runs = [of(0.0, "replace"), of(0.5, "replace"), of(0.0, "accumulate"), of(0.5, "accumulate")];
    let out = folder.path().join("report");
    write_report(&runs, &out, "fin").unwrap();
    let table = CsvTable::read(&out.join("tables/fin_alpha_points.csv")).unwrap();
    let mut groups = table.texts("group").unwrap();
    groups.sort_unstable();
    let expected = ["mixture.mode = accumulate", "mixture.mode = replace"];
    assert_eq!(groups, [expected[0], expected[0], expected[1], expected[1]]);
    // Two alphas that differ in their mode as well are no curve.
    let other = folder.path().join("other");
    write_report(&[runs[0].clone(), runs[3].clone()], &other, "fin").unwrap();
    assert!(!other.join("figures/fin_alpha.svg").exists());
}

#[test]
fn every_plotted_eigenvalue_is_exported_and_is_that_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path(), (Setting::S2, 1), 0.0, "replace", 51);
    let value = |t: u32, i: usize| 1e3 / (i as f64).powf(1.0 + f64::from(t) / 50.0);
    for t in 0..51 {
        let rows: String = (1..=384).map(|i| format!("{i},{}\n", value(t, i))).collect();
        write_spectrum(&run, t, &format!("i,lambda\n{rows}"));
    }
    let out = folder.path().join("report");
    write_report(&[run], &out, "fin").unwrap();
    let column =
        |name: &str| -> Vec<f64> { numbers(&out, "fin_s2_spectrum", name).into_iter().map(Option::unwrap).collect() };
    let (generations, places, eigenvalues) = (column("generation"), column("i"), column("lambda"));
    for ((t, i), lambda) in generations.iter().zip(&places).zip(&eigenvalues) {
        assert_eq!(*lambda, value(*t as u32, *i as usize));
    }
    for ((t, i), ratio) in generations.iter().zip(&places).zip(column("log10_ratio")) {
        let expected = (value(*t as u32, *i as usize) / value(0, *i as usize)).log10();
        assert!((ratio - expected).abs() < 1e-12, "generation {t}, i = {i}: {ratio} and {expected}");
    }
    for (values, last) in [(&generations, 50.0), (&places, 384.0)] {
        assert!(values.contains(&last));
    }
    assert!(generations.contains(&0.0) && places.contains(&1.0) && eigenvalues.len() <= 26 * 64);
    assert!(out.join("figures/fin_s2_spectrum.png").exists());
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("data-spectrum") && !page.contains("data-chart=\"spectrum\""));
}

#[test]
fn an_eigenvalue_that_is_zero_up_to_rounding_has_no_ratio() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path(), (Setting::S2, 1), 0.0, "replace", 2);
    write_spectrum(&run, 0, "i,lambda\n1,100\n2,1\n3,1e-15\n4,-1e-18\n");
    write_spectrum(&run, 1, "i,lambda\n1,1000\n2,1e-12\n3,1e-13\n4,1e-14\n");
    let out = folder.path().join("report");
    write_report(std::slice::from_ref(&run), &out, "fin").unwrap();
    let none = [None, None, None];
    let expected = [vec![Some(0.0), Some(0.0), None, None], vec![Some(1.0)], none.to_vec()].concat();
    assert_eq!(numbers(&out, "fin_s2_spectrum", "log10_ratio"), expected);
    // Without a spectrum of t = 0 there is nothing to set anything beside.
    fs::remove_file(run.dir.join(generation_dir_name(0)).join("spectrum.csv")).unwrap();
    write_report(&[run], &out, "fin").unwrap();
    assert_eq!(numbers(&out, "fin_s2_spectrum", "log10_ratio"), [None; 4]);
    let svg = fs::read_to_string(out.join("figures/fin_s2_spectrum.svg")).unwrap();
    assert!(!svg.contains("λ at 0"), "an empty panel");
}

#[test]
fn a_broken_spectrum_is_refused_by_file_and_line_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path(), (Setting::S2, 1), 0.0, "replace", 3);
    write_spectrum(&run, 0, "i,lambda\n1,3\n2,1\n");
    let out = folder.path().join("report");
    for (text, wrong) in [
        ("i,lambda\n1,3\n2,x\n", 3),
        ("i,lambda\n1,3\n2,4\n", 3),
        ("i,lambda\n1,NaN\n2,1\n", 2),
        ("i,lambda\n1,3\n3,1\n", 3),
        ("i,lambda\n", 2),
    ] {
        let path = write_spectrum(&run, 1, text);
        let error = write_report(std::slice::from_ref(&run), &out, "fin").unwrap_err();
        assert!(
            matches!(&error, ReportError::CsvCell { path: found, line, .. } if *found == path && *line == wrong),
            "{text:?}: {error}"
        );
        assert!(error.to_string().contains("spectrum.csv"), "{error}");
    }
    let path = write_spectrum(&run, 1, "i,lambda\n1,3\n");
    let error = write_report(std::slice::from_ref(&run), &out, "fin").unwrap_err();
    assert!(matches!(&error, ReportError::Inconsistent { path: found, .. } if *found == path), "{error}");
    assert!(!out.exists());
    // A generation without the file is left out.
    fs::remove_file(path).unwrap();
    write_report(&[run], &out, "fin").unwrap();
    assert_eq!(numbers(&out, "fin_s2_spectrum", "generation"), [Some(0.0), Some(0.0)]);
}

#[test]
fn every_key_of_a_config_stands_on_exactly_one_experiment_card() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = run(folder.path(), (Setting::S2, 7), 0.25, "replace", 3);
    run.config.push_str("training: { learning_rate: 5e-5 }\nsigma: { delta: 0.001 }\nregeneration: { top_p: 0.95 }\nnovel: { key: 3 }\n");
    let out = folder.path().join("report");
    write_report(&[run], &out, "fin").unwrap();
    let cards = ["model_training", "data_mixture", "decoding", "seeds", "sigma_ub", "environment"];
    let card = |name: &str| CsvTable::read(&out.join(format!("tables/tab_fin_repro_{name}.csv"))).unwrap();
    for (key, value, home) in [
        ("training.learning_rate", "0.00005", "model_training"),
        ("mixture.real_fraction", "0.25", "data_mixture"),
        ("regeneration.top_p", "0.95", "decoding"),
        ("seed", "7", "seeds"),
        ("sigma.delta", "0.001", "sigma_ub"),
        ("novel.key", "3", "environment"),
    ] {
        for name in cards {
            let table = card(name);
            let items = table.texts("item").unwrap();
            let found: Vec<&str> = items
                .iter()
                .zip(table.texts("s2").unwrap())
                .filter(|(item, _)| **item == key)
                .map(|(_, value)| value)
                .collect();
            assert_eq!(found, if name == home { vec![value] } else { Vec::new() }, "{key} on {name}");
        }
    }
    assert!(card("environment").texts("item").unwrap().contains(&"CPU"));
}
