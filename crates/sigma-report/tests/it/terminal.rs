//! The table at the end of a run.

use sigma_report::{Record, Setting, run_table};

use crate::fixture::{manifest, records, replicates};

/// A run of S1 with eight replicates of the base.
fn with_noise(tracks: &[(f64, f64)]) -> Vec<Record> {
    let mut records = records(Setting::S1, tracks);
    records[0].noise = replicates(&records[0], 8, 1);
    records
}

fn table(records: &[Record]) -> String {
    run_table(&manifest(Setting::S1, "fin"), records)
}

#[test]
fn the_table_reads_like_this() {
    let mut run = records(Setting::S1, &[(0.0, 0.0), (-50.937706, -42.771322), (-150.986, -142.051)]);
    for (record, (distinct_2, hhi)) in
        run.iter_mut().zip([(Some(0.731), Some(1.02e-4)), (Some(0.5), None), (Some(0.334), Some(0.013385))])
    {
        (record.surface.distinct_2, record.surface.hhi) = (distinct_2, hhi);
    }
    run[2].evaluation.empty = 7;
    run[2].sigma.as_mut().unwrap().n = 993;
    run[2].flags = vec!["n_differs".to_owned(), "theorem3_below_10_d".to_owned()];
    let expected = "\
No verdict: the noise of the base was not measured (evaluation.noise_replicates).

 t        ΔU        ΔG  distinct-2      HHI   loss     n  n_A  empty  tokens
──  ────────  ────────  ──────────  ───────  ─────  ────  ───  ─────  ──────
 0     0.000     0.000       0.731  1.02e-4      –  1000  500      0   254.5
 1   -50.938   -42.771       0.500        –  2.875  1000  500      0   254.5
2*  -150.986  -142.051       0.334  1.34e-2  2.750   993  500      7   254.5
* n or n_A is not that of t = 0

S1 at t = 2: ΔU -150.986, ΔG -142.051 nats; slope ΔU -75.493, ΔG -71.025 nats per generation
note: t = 2: the number of rows n is not that of t = 0, so the drift of Track I also holds the move of its tail budget
";
    assert_eq!(table(&run), expected);
}

#[test]
fn a_frozen_model_is_inside_the_noise_although_both_drifts_are_negative() {
    let mut run = with_noise(&[(0.0, 0.0), (-0.5, -0.1), (-0.5, -0.1), (-0.5, -0.1), (-0.5, -0.1)]);
    let surface = run[0].surface.clone();
    run.iter_mut().for_each(|record| record.surface = surface.clone());
    let table = table(&run);
    assert!(table.starts_with("Inside the noise.\n"), "{table}");
    assert!(!table.contains("negative") && !table.contains("collapse"), "{table}");
}

#[test]
fn the_signal_that_left_its_band_first_is_named_first() {
    let mut run =
        with_noise(&[(0.0, 0.0), (0.1, 0.1), (-0.1, 0.1), (0.1, 0.0), (-40.0, 0.1), (-60.0, 0.0), (-90.0, 0.1)]);
    for record in &mut run[1..] {
        record.surface.distinct_2 = Some(0.5);
        record.surface.hhi = Some(1.02e-4);
    }
    let table = table(&run);
    let first = "distinct-2 left its band at t = 1, ΔU left its band at t = 4; ΔG and HHI are inside the noise.\n";
    assert!(table.starts_with(first), "{table}");
    assert!(table.contains("leaves its band in at most 2.5 % of finished runs"), "{table}");
}

#[test]
fn a_drift_of_track_one_that_is_a_move_of_n_is_said_to_be_one() {
    let mut run = with_noise(&[(0.0, 0.0), (0.0, -0.1), (0.0, -0.2), (0.0, -0.353)]);
    for (record, n) in run.iter_mut().zip([1000, 1010, 1025, 1047]) {
        let sigma = record.sigma.as_mut().unwrap();
        (sigma.n, sigma.beta, sigma.g_kf_fixed_beta) = (n, (n - 500) as f64, Some(sigma.g_kf / 8.0));
    }
    let said = table(&run);
    let expected = "ΔG mostly follows the row count n, which went from 1000 to 1047 (more rows): it is -0.353, and -0.044 with the tail \
                    budget β of t = 0.";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("ΔG, β of 0"), "{said}");
    run[3].sigma.as_mut().unwrap().g_kf_fixed_beta = Some(-0.3);
    assert!(!table(&run).contains("mostly follows"), "most of it is left with the budget held");
}

#[test]
fn a_long_run_is_thinned_to_a_screen_and_keeps_its_first_and_last_checkpoint() {
    let tracks: Vec<(f64, f64)> = (0..51).map(|t| (-30.0 * f64::from(t), 2.0 * f64::from(t))).collect();
    let table = run_table(&manifest(Setting::S2, "fin"), &records(Setting::S2, &tracks));
    let generations: Vec<&str> = table.lines().skip(4).map_while(|line| line.split_whitespace().next()).collect();
    assert!(generations.len() <= 22, "{table}");
    assert_eq!(generations[..3], ["0", "3", "6"]);
    assert!(table.contains("\n50  -1500.000"), "{table}");
    assert!(table.contains("every 3rd generation and the last; all are in metrics.csv\n"), "{table}");
}

#[test]
fn one_checkpoint_has_no_slope_and_none_has_no_table() {
    let table = table(&with_noise(&[(0.0, 0.0)]));
    assert!(table.starts_with("No verdict yet: fewer than three generations after t = 0.\n"), "{table}");
    assert!(table.ends_with("slope ΔU –, ΔG – nats per generation\n"), "{table}");
    assert_eq!(self::table(&[]), "no generation is finished yet\n");
}
