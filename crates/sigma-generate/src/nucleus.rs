//! One draw from the nucleus of a row of logits, without sorting it.
//!
//! Tokens rank by probability, equal ones by id. A token belongs to the nucleus if the mass ranked above it is below p:
//! the token that crosses p is kept, and there is always one. Instead of finding that set, a token is drawn from the
//! whole distribution and kept if it belongs; if not, everything from its rank down is out, and the next draw is among
//! the tokens ranked above. Each draw is proportional to probability on a superset of the nucleus, so an accepted token
//! is distributed exactly as on the nucleus. At p = 0.95 this takes 1.05 draws on average.

use sigma_data::seeds::Stream;
use sigma_kernels::lanes;

use crate::GenerateError;

/// Sampling settings: temperature, then top-p; no top-k.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nucleus {
    temperature: f64,
    top_p: f64,
}

/// Tokens whose weights are summed at a time when a draw is located.
const CHUNK: usize = 256;

impl Nucleus {
    /// Temperature 0 means greedy; top-p must lie in (0, 1], 1 keeps everything. `section` is for the error.
    pub fn new(section: &'static str, temperature: f64, top_p: f64) -> Result<Self, GenerateError> {
        // beyond these, logits divided by it are no numbers of f32, or all the same
        if temperature != 0.0 && !(1e-6..=1e6).contains(&temperature) {
            let rule = "it must be 0 (greedy) or lie in [1e-6, 1e6]";
            return Err(GenerateError::Config { section, field: "temperature", value: temperature, rule });
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            let rule = "it must lie in (0, 1]; 1 turns the filter off";
            return Err(GenerateError::Config { section, field: "top_p", value: top_p, rule });
        }
        Ok(Self { temperature, top_p })
    }

    /// Temperature and top-p.
    pub(crate) fn parameters(&self) -> (f64, f64) {
        (self.temperature, self.top_p)
    }

    /// Draws a token id from `logits` (overwritten). Tokens at negative infinity are never drawn. `None` if there is no
    /// distribution: NaN, positive infinity, or nothing above negative infinity.
    pub fn draw(&self, logits: &mut [f32], stream: &mut Stream) -> Option<u32> {
        let top = lanes::vectorized(
            #[inline(always)]
            || lanes::max(logits),
        );
        if !top.is_finite() || logits.iter().any(|x| x.is_nan()) {
            return None;
        }
        if self.temperature == 0.0 {
            return logits.iter().position(|x| *x == top).map(|id| id as u32);
        }
        let weights = logits;
        if self.temperature == 1.0 {
            lanes::vectorized(
                #[inline(always)]
                || lanes::exp_sum(weights, top),
            );
        } else {
            let scale = 1.0 / self.temperature;
            weights.iter_mut().for_each(|x| *x = (f64::from(*x - top) * scale) as f32);
            lanes::vectorized(
                #[inline(always)]
                || lanes::exp_sum(weights, 0.0),
            );
        }
        let total = lanes::vectorized(
            #[inline(always)]
            || mass(weights, Rank::LAST),
        );
        let mut bound = Rank::LAST;
        let mut allowed = total;
        loop {
            let drawn = locate(weights, bound, stream.uniform() * allowed)?;
            if self.top_p >= 1.0 {
                return Some(drawn.id as u32);
            }
            let above = lanes::vectorized(
                #[inline(always)]
                || mass(weights, drawn),
            );
            if above < self.top_p * total {
                return Some(drawn.id as u32);
            }
            (bound, allowed) = (drawn, above);
        }
    }

    /// The ids of the nucleus of `logits`, by sorting: the slow twin of [`Nucleus::draw`], for tests.
    pub fn kept(&self, logits: &[f32]) -> Vec<u32> {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
        if self.temperature == 0.0 {
            return order.first().map(|id| vec![*id as u32]).unwrap_or_default();
        }
        let weight = |id: usize| (f64::from(logits[id] - top) / self.temperature).exp();
        let total: f64 = (0..logits.len()).map(weight).sum();
        let mut above = 0.0;
        let mut kept = Vec::new();
        for id in order {
            if above >= self.top_p * total && self.top_p < 1.0 || weight(id) == 0.0 {
                break;
            }
            kept.push(id as u32);
            above += weight(id);
        }
        kept
    }
}

/// A token's place in the order: by weight, then by id.
#[derive(Debug, Clone, Copy)]
struct Rank {
    weight: f32,
    id: usize,
}

impl Rank {
    /// Behind every token.
    const LAST: Rank = Rank { weight: -1.0, id: 0 };

    #[inline(always)]
    fn is_behind(self, id: usize, weight: f32) -> bool {
        weight > self.weight || (weight == self.weight && id < self.id)
    }
}

/// The mass of the tokens that rank above `bound`, in f64.
#[inline(always)]
fn mass(weights: &[f32], bound: Rank) -> f64 {
    let mut total = 0f64;
    for (i, chunk) in weights.chunks(CHUNK).enumerate() {
        total += chunk_mass(chunk, i * CHUNK, bound);
    }
    total
}

#[inline(always)]
fn chunk_mass(chunk: &[f32], first: usize, bound: Rank) -> f64 {
    let mut lanes = [0f64; 16];
    let mut pieces = chunk.chunks_exact(16);
    let mut id = first;
    for piece in &mut pieces {
        for lane in 0..16 {
            let w = if bound.is_behind(id + lane, piece[lane]) { piece[lane] } else { 0.0 };
            lanes[lane] += f64::from(w);
        }
        id += 16;
    }
    let mut total = 0f64;
    for (i, w) in pieces.remainder().iter().enumerate() {
        total += if bound.is_behind(id + i, *w) { f64::from(*w) } else { 0.0 };
    }
    for lane in std::hint::black_box(lanes) {
        total += lane;
    }
    total
}

/// The token at which the mass of tokens above `bound`, added in order of id, exceeds `target`.
fn locate(weights: &[f32], bound: Rank, target: f64) -> Option<Rank> {
    let mut before = 0f64;
    // rounding can leave the target just beyond the sum: then it is the last token with any mass
    let mut last = None;
    for (i, chunk) in weights.chunks(CHUNK).enumerate() {
        let first = i * CHUNK;
        let here = lanes::vectorized(
            #[inline(always)]
            || chunk_mass(chunk, first, bound),
        );
        let reached = before + here > target;
        if reached || here > 0.0 {
            let mut sum = before;
            for (j, weight) in chunk.iter().enumerate() {
                if *weight > 0.0 && bound.is_behind(first + j, *weight) {
                    sum += f64::from(*weight);
                    last = Some(Rank { weight: *weight, id: first + j });
                    if reached && sum > target {
                        return last;
                    }
                }
            }
            if reached {
                return last;
            }
        }
        before += here;
    }
    last
}
