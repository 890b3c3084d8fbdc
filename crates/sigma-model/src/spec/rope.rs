//! Rotary positions: the angle by which each pair of dimensions turns from one position to the next.

use std::f64::consts::PI;

/// The first `rotated` dimensions of a head turn, dimension j together with j + rotated / 2.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    pub theta: f64,
    pub rotated: usize,
    pub scaling: RopeScaling,
}

/// How a model was stretched to longer texts than it was first trained on. Most of these change short texts too.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    Default,
    Linear {
        factor: f64,
    },
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_max_positions: f64,
    },
    Yarn {
        factor: f64,
        beta_fast: f64,
        beta_slow: f64,
        original_max_positions: f64,
        truncate: bool,
        attention_factor: f64,
    },
}

impl Rope {
    /// Radians per position of each pair. They are f32 because a model was trained with such.
    pub fn frequencies(&self) -> Vec<f32> {
        let width = self.rotated as f64;
        let plain: Vec<f64> = (0..self.rotated / 2).map(|j| self.theta.powf(-2.0 * j as f64 / width)).collect();
        let scaled: Vec<f64> = match &self.scaling {
            RopeScaling::Default => plain,
            RopeScaling::Linear { factor } => plain.iter().map(|w| w / factor).collect(),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions } => {
                let scale = |w: &f64| {
                    // turns within the original context
                    let turns = original_max_positions * w / (2.0 * PI);
                    if turns > *high_freq_factor {
                        *w
                    } else if turns < *low_freq_factor {
                        w / factor
                    } else {
                        let smooth = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                        (1.0 - smooth) * w / factor + smooth * w
                    }
                };
                plain.iter().map(scale).collect()
            }
            RopeScaling::Yarn { factor, beta_fast, beta_slow, original_max_positions, truncate, .. } => {
                // the pair that makes so many turns within the original context
                let pair_of =
                    |turns: f64| width * (original_max_positions / (turns * 2.0 * PI)).ln() / (2.0 * self.theta.ln());
                let (mut low, mut high) = (pair_of(*beta_fast), pair_of(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, mut high) = (low.max(0.0), high.min(width - 1.0));
                if low == high {
                    high += 0.001;
                }
                let scale = |(j, w): (usize, &f64)| {
                    let slow = ((j as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    w / factor * slow + w * (1.0 - slow)
                };
                plain.iter().enumerate().map(scale).collect()
            }
        };
        scaled.into_iter().map(|w| w as f32).collect()
    }

    /// Factor on cosines and sines.
    pub fn attention_factor(&self) -> f64 {
        match &self.scaling {
            RopeScaling::Yarn { attention_factor, .. } => *attention_factor,
            _ => 1.0,
        }
    }
}
