//! Rows drawn from Knuth's MMIX generator, in numbers that float32 holds exactly: the twin of
//! `scripts/goldens/sigma_ub.py`, so that goldens need not store embeddings.

use serde::Deserialize;
use sigma_metrics::{Embeddings, Observed};

pub(crate) struct Lcg(pub(crate) u64);

impl Lcg {
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0
    }

    /// A multiple of 2^-24 in [0, 1).
    pub(crate) fn next_unit(&mut self) -> f64 {
        (self.next_u64() >> 40) as f64 / f64::from(1 << 24)
    }

    /// A standard normal number, by Box and Muller.
    pub(crate) fn next_normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.next_unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.next_unit()).cos()
    }
}

/// The input of one golden case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) n: usize,
    pub(crate) d: usize,
    pub(crate) observed: Observed,
    pub(crate) seed: u64,
    /// Row i repeats row i % period.
    pub(crate) period: usize,
    /// Column j is halved once per this many columns; 0 for never.
    pub(crate) halving: usize,
    /// Entries in [0, 1) instead of [-1, 1), before scaling.
    pub(crate) positive: bool,
    pub(crate) total: Option<usize>,
    pub(crate) delta: f64,
    pub(crate) rho: f64,
    pub(crate) confidence: f64,
}

impl Case {
    pub(crate) fn embeddings(&self) -> Embeddings {
        let mut lcg = Lcg(self.seed);
        let scale = (-(self.d as f64).sqrt().log2().ceil()).exp2();
        let mut base = Vec::new();
        for _ in 0..self.period.min(self.n) {
            for j in 0..self.d {
                let unit = lcg.next_unit();
                let value = if self.positive { unit } else { 2.0 * unit - 1.0 };
                let halvings = j.checked_div(self.halving).unwrap_or(0);
                base.push((value * scale * 0.5f64.powi(halvings as i32)) as f32);
            }
        }
        let values = base.iter().copied().cycle().take(self.n * self.d).collect();
        Embeddings::new(self.n, self.d, values).unwrap()
    }

    pub(crate) fn keys(&self) -> Vec<u64> {
        let mut lcg = Lcg(self.seed + 1);
        (0..self.n).map(|_| lcg.next_u64()).collect()
    }
}

/// n rows of width d with independent entries, all norms below 1.
pub(crate) fn rows(n: usize, d: usize, seed: u64) -> Embeddings {
    let mut lcg = Lcg(seed);
    let scale = 1.0 / (d as f64).sqrt();
    Embeddings::new(n, d, (0..n * d).map(|_| ((2.0 * lcg.next_unit() - 1.0) * scale) as f32).collect()).unwrap()
}
