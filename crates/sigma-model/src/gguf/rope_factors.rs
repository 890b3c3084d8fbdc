//! Llama 3's stretched rotation, which a GGUF file holds as one divisor per frequency in `rope_freqs.weight`. The
//! numbers of config.json are found again from the divisors, and checked against every one of them.

use serde_json::{Value, json};

/// Every Llama 3.1, 3.2 and 3.3 has these; only the factor differs.
const LOW_FREQ_FACTOR: f64 = 1.0;
const HIGH_FREQ_FACTOR: f64 = 4.0;
const ORIGINAL_POSITIONS: f64 = 8192.0;

/// Relative; the divisors are computed in float32.
const TOLERANCE: f64 = 1e-4;

/// `rope_scaling` of type `llama3`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Llama3Scaling {
    factor: f64,
}

impl Llama3Scaling {
    /// The scaling that gives these divisors for heads of twice as many dimensions, if there is one.
    pub(super) fn recognise(divisors: &[f32], theta: f32) -> Option<Self> {
        let factor = divisors.iter().copied().fold(1.0, f32::max).into();
        let scaling = Self { factor };
        let head_dim = 2 * divisors.len();
        let fits = divisors.iter().enumerate().all(|(j, divisor)| {
            let expected = scaling.divisor(f64::from(theta).powf(-2.0 * j as f64 / head_dim as f64));
            (f64::from(*divisor) - expected).abs() <= TOLERANCE * expected
        });
        (factor > 1.0 && fits).then_some(scaling)
    }

    /// What the frequency is divided by.
    fn divisor(&self, frequency: f64) -> f64 {
        let wavelength = std::f64::consts::TAU / frequency;
        if wavelength < ORIGINAL_POSITIONS / HIGH_FREQ_FACTOR {
            1.0
        } else if wavelength > ORIGINAL_POSITIONS / LOW_FREQ_FACTOR {
            self.factor
        } else {
            let smooth = (ORIGINAL_POSITIONS / wavelength - LOW_FREQ_FACTOR) / (HIGH_FREQ_FACTOR - LOW_FREQ_FACTOR);
            1.0 / ((1.0 - smooth) / self.factor + smooth)
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "rope_type": "llama3",
            "factor": self.factor,
            "low_freq_factor": LOW_FREQ_FACTOR,
            "high_freq_factor": HIGH_FREQ_FACTOR,
            "original_max_position_embeddings": ORIGINAL_POSITIONS as u32,
        })
    }
}
