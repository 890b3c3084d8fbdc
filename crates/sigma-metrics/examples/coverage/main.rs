//! The coverage tables of `docs/metrics.md`, by simulation: `full`, and the intervals of drifts over prompts. Tables go
//! to stdout, the time that each line took to stderr. `docs/metrics.md` says what a full run takes.
//!
//! ```text
//! cargo run --release -p sigma-metrics --example coverage                  # both widths, 2,000 and 500 draws a cell
//! cargo run --release -p sigma-metrics --example coverage -- 32            # d = 32 only
//! cargo run --release -p sigma-metrics --example coverage -- 384 100       # d = 384 only, 100 draws a cell
//! cargo run --release -p sigma-metrics --example coverage -- 384 500 5     # d = 384 and n_A / d = 5 only
//! ```
//!
//! It fails if an interval that is printed covers less than 92 %, or more than 98 % for Gaussian and anisotropic rows
//! with n_A >= 2 d, by more than three standard errors of the simulation.

mod cells;
mod population;

use std::error::Error;
use std::time::Instant;

use cells::{Coverage, DriftCell, FullCell, drift, full};
use population::Kind;

/// Width of the rows and draws a cell.
const SIZES: [(usize, usize); 2] = [(32, 2000), (384, 500)];
/// n_A / d.
const RATIOS: [f64; 4] = [1.3, 2.0, 5.0, 20.0];
/// n / n_A of the table of `full`, as far as n / d is at most `LARGEST`.
const TOTALS: [usize; 2] = [2, 10];
const LARGEST: f64 = 40.0;
/// Answers of each prompt.
const ANSWERS: [usize; 3] = [1, 3, 5];

impl Kind {
    const ALL: [Kind; 4] = [Kind::Gaussian, Kind::Isotropic, Kind::Anisotropic, Kind::Repeated];

    fn name(self) -> &'static str {
        match self {
            Kind::Gaussian => "Gaussian",
            Kind::Isotropic => "isotropic, unit",
            Kind::Anisotropic => "anisotropic, unit",
            Kind::Repeated => "with repeated texts",
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let d = arguments.next().map(|width| width.parse::<usize>()).transpose()?;
    let draws = arguments.next().map(|draws| draws.parse::<usize>()).transpose()?;
    let only = arguments.next().map(|ratio| ratio.parse::<f64>()).transpose()?;
    let ratios: Vec<f64> = RATIOS.into_iter().filter(|&ratio| only.is_none_or(|only| only == ratio)).collect();
    let sizes = SIZES.into_iter().filter(|size| d.is_none_or(|d| d == size.0));
    let sizes: Vec<(usize, usize)> = sizes.map(|(d, all)| (d, draws.unwrap_or(all))).collect();
    if sizes.is_empty() || ratios.is_empty() {
        return Err("the width must be 32 or 384, and n_A / d one of 1.3, 2, 5 and 20".into());
    }
    let mut wrong = Vec::new();
    println!("| rows | d | n_A / d | n / n_A | draws | printed | covered | width |\n|---|--:|--:|--:|--:|--:|--:|--:|");
    for &(d, draws) in &sizes {
        for &ratio in &ratios {
            let totals: Vec<usize> = TOTALS.into_iter().filter(|&total| ratio * total as f64 <= LARGEST).collect();
            for (kind, total) in Kind::ALL.into_iter().flat_map(|kind| totals.iter().map(move |&total| (kind, total))) {
                let (n_a, start) = ((ratio * d as f64).round() as usize, Instant::now());
                let coverage = full(&FullCell { kind, d, n_a, n: n_a * total }, draws)?;
                let name = format!("| {} | {d} | {ratio} | {total} |", kind.name());
                report(&mut wrong, &name, kind, ratio, &coverage, start);
            }
        }
    }
    println!("\n| track | rows | d | n_A / d | answers | observed | draws | printed | covered | width |");
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for &(d, draws) in &sizes {
        for &ratio in &ratios {
            for (kind, answers) in Kind::ALL.into_iter().flat_map(|kind| ANSWERS.map(|answers| (kind, answers))) {
                // with one answer all rows are observed and both tracks drift alike; else one answer of each prompt is
                // not
                let (observed, start) = (answers.saturating_sub(1).max(1), Instant::now());
                let prompts = (ratio * d as f64 / observed as f64).round() as usize;
                let both = drift(&DriftCell { kind, d, prompts, answers, observed }, draws)?;
                for (track, coverage) in ["dU", "dG"].into_iter().zip(&both) {
                    let name = format!("| {track} | {} | {d} | {ratio} | {answers} | {observed} |", kind.name());
                    report(&mut wrong, &name, kind, ratio, coverage, start);
                }
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("not covered as promised:\n{}", wrong.join("\n")).into()) }
}

/// Prints one line, and remembers it if it breaks the promise.
fn report(wrong: &mut Vec<String>, name: &str, kind: Kind, ratio: f64, coverage: &Coverage, start: Instant) {
    let Coverage { draws, printed, width, .. } = *coverage;
    let line = match coverage.rate() {
        Some(rate) => format!("{name} {draws} | {printed} | {:.1} % | {width:.2} |", 100.0 * rate),
        None => format!("{name} {draws} | 0 | | |"),
    };
    println!("{line}");
    eprintln!("{:.0} s: {line}", start.elapsed().as_secs_f64());
    let Some(rate) = coverage.rate() else { return };
    let slack = |promised: f64| 3.0 * (promised * (1.0 - promised) / printed as f64).sqrt();
    let bounded = ratio >= 2.0 && matches!(kind, Kind::Gaussian | Kind::Anisotropic);
    if rate < 0.92 - slack(0.92) || (bounded && rate > 0.98 + slack(0.98)) {
        wrong.push(line);
    }
}
