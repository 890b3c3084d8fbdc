//! The table at the end of a run.

use sigma_report::{Setting, run_table};

use crate::fixture::series;

#[test]
fn the_table_reads_like_this() {
    let mut run = series(Setting::S1, [(0.0, 0.0), (-50.937706, -42.771322), (-150.986, -142.051)]);
    for (point, (distinct_2, hhi, loss)) in run.points.iter_mut().zip([
        (Some(0.731), Some(1.02e-4), None),
        (Some(0.5), None, Some(3.25)),
        (Some(0.334), Some(0.013385), Some(2.0)),
    ]) {
        (point.distinct_2, point.hhi, point.loss) = (distinct_2, hhi, loss);
    }
    let expected = "\
t        ΔU        ΔG  distinct-2      HHI   loss
─  ────────  ────────  ──────────  ───────  ─────
0     0.000     0.000       0.731  1.02e-4      –
1   -50.938   -42.771       0.500        –  3.250
2  -150.986  -142.051       0.334  1.34e-2  2.000

S1 at t = 2: ΔU -150.986, ΔG -142.051 nats; slope ΔU -75.493, ΔG -71.025 nats per generation; \
tracks agree: yes (both negative)
";
    assert_eq!(run_table(&run), expected);
}

#[test]
fn a_long_run_is_thinned_to_a_screen_and_keeps_its_first_and_last_checkpoint() {
    let table = run_table(&series(Setting::S2, (0..51).map(|t| (-30.0 * f64::from(t), 2.0 * f64::from(t)))));
    let generations: Vec<&str> = table.lines().skip(2).map_while(|line| line.split_whitespace().next()).collect();
    assert!(generations.len() <= 21, "{table}");
    assert_eq!(generations[..3], ["0", "3", "6"]);
    assert!(table.contains("\n50  -1500.000"), "{table}");
    assert!(table.contains("every 3rd generation and the last; all are in metrics.csv\n"), "{table}");
    assert!(table.ends_with("tracks agree: no (Track II collapses; Track I does not)\n"), "{table}");
}

#[test]
fn one_checkpoint_has_no_slope_and_none_has_no_table() {
    let table = run_table(&series(Setting::S1, [(0.0, 0.0)]));
    assert!(table.ends_with("slope ΔU –, ΔG – nats per generation; tracks agree: –\n"), "{table}");
    assert_eq!(run_table(&series(Setting::S1, [])), "no generation is finished yet\n");
}
