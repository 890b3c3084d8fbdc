//! The table of docs/metrics.md on how late an onset is where a signal really falls, by simulation.

use crate::quantiles::two_sided_t;
use crate::random::Normal;
use crate::{NoiseFloor, PERSISTENCE, Side, onset};

const REPLICATES: usize = 8;
const LEVEL: f64 = 0.95;
/// The first generation at which the mean is below that of the base.
const BEGIN: usize = 10;
/// Generations from there to the end of the run.
const LEFT: usize = 30;
const SERIES: usize = 20_000;
const PAGE: &str = include_str!("../../../../docs/metrics.md");

/// What becomes of series whose mean falls by `fall` standard deviations of a replicate per generation.
struct Detection {
    found: f64,
    /// Of the generations from the first that fell to the onset: the quantiles 0.05, 0.5 and 0.95.
    delays: [i64; 3],
}

fn detect(fall: f64) -> Detection {
    let t = two_sided_t(LEVEL, REPLICATES - 1).unwrap();
    let mut normal = Normal::seeded(7);
    let mut delays = Vec::new();
    for _ in 0..SERIES {
        let base = normal.draw();
        let replicates: Vec<f64> = (0..REPLICATES).map(|_| normal.draw()).collect();
        let floor = NoiseFloor::with_quantile(&replicates, base, t).unwrap();
        let value = |t: usize| if t == 0 { base } else { normal.draw() - fall * (t + 1).saturating_sub(BEGIN) as f64 };
        let series: Vec<Option<f64>> = (0..BEGIN + LEFT).map(value).map(Some).collect();
        delays.extend(onset(&series, &floor, Side::Below, PERSISTENCE).map(|at| at as i64 - BEGIN as i64));
    }
    delays.sort_unstable();
    let quantile = |q: f64| delays[(q * delays.len() as f64) as usize];
    Detection { found: delays.len() as f64 / SERIES as f64, delays: [0.05, 0.5, 0.95].map(quantile) }
}

#[test]
fn the_table_of_detection_is_what_a_simulation_gives() {
    for fall in [0.25, 0.5, 1.0, 2.0] {
        let Detection { found, delays: [early, median, late] } = detect(fall);
        let row = format!("| {fall} sd | {:.1} % | {median} | {early} to {late} |", 100.0 * found);
        assert!(PAGE.contains(&row), "docs/metrics.md lacks: {row}");
    }
}
