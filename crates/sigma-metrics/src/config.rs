//! The settings that change a measured number: the `sigma` and `surface` sections of a config, with the paper's values
//! as defaults and the checks that serde cannot make. Where a config file lies, and how its errors are shown, is not
//! known here.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::MetricsError;

/// Settings of [`crate::sigma_ub()`] and [`crate::observed_rows`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SigmaConfig {
    /// How many blocks of a generation are observed (n_A).
    pub observed: Observed,
    /// Ridge delta > 0 of log det(G + delta I), the same for all checkpoints.
    pub delta: f64,
    /// Energy cap rho > 0: no row has ||v||^2 above it. 1 for L2-normalised embeddings.
    pub rho: f64,
    /// Two-sided confidence of the Theorem 3 interval, strictly between 0 and 1.
    pub confidence: f64,
}

impl Default for SigmaConfig {
    fn default() -> Self {
        Self { observed: Observed::All, delta: 1e-3, rho: 1.0, confidence: 0.95 }
    }
}

/// Of delta and rho: the tail budget (n - n_A) rho, and sums of it, stay finite for any n.
const LARGEST: f64 = 1e250;

impl SigmaConfig {
    /// # Errors
    /// [`MetricsError::Config`] names the first setting out of range.
    pub fn validate(&self) -> Result<(), MetricsError> {
        let Self { observed, delta, rho, confidence } = *self;
        if observed == Observed::Count(0) {
            return Err(MetricsError::Config {
                field: "observed",
                value: 0.0,
                expected: "a positive integer or \"all\"",
            });
        }
        if !(delta.is_normal() && delta > 0.0) {
            let expected = "positive, finite and no subnormal number (1e-307 or more)";
            return Err(MetricsError::Config { field: "delta", value: delta, expected });
        }
        positive("rho", rho)?;
        for (field, value) in [("delta", delta), ("rho", rho)] {
            if value > LARGEST {
                return Err(MetricsError::Config {
                    field,
                    value,
                    expected: "at most 1e250, so that its products are numbers",
                });
            }
        }
        check_confidence(confidence)
    }
}

impl SigmaConfig {
    /// Whether rows of norm 1 can be measured with these settings, for a caller who knows before the first row that
    /// they will be L2-normalised.
    ///
    /// # Errors
    /// [`MetricsError::Config`] as from [`SigmaConfig::validate`], and for a `rho` that rows of norm 1 exceed.
    pub fn validate_for_unit_rows(&self) -> Result<(), MetricsError> {
        self.validate()?;
        if self.rho < 1.0 {
            let expected = "at least 1: embeddings have norm 1";
            return Err(MetricsError::Config { field: "rho", value: self.rho, expected });
        }
        Ok(())
    }
}

pub(crate) fn positive(field: &'static str, value: f64) -> Result<(), MetricsError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(MetricsError::Config { field, value, expected: "positive and finite" })
}

pub(crate) fn check_confidence(confidence: f64) -> Result<(), MetricsError> {
    if confidence > 0.0 && confidence < 1.0 {
        return Ok(());
    }
    Err(MetricsError::Config { field: "confidence", value: confidence, expected: "strictly between 0 and 1" })
}

/// The size of the observed set: in files a positive integer or the string `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// This many blocks, or all where a generation has fewer.
    Count(usize),
    /// Every block, so that the tail budget beta is zero. The paper's published S1 run.
    All,
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::All => f.write_str("all"),
        }
    }
}

impl FromStr for Observed {
    type Err = MetricsError;

    fn from_str(text: &str) -> Result<Self, MetricsError> {
        match text.parse() {
            _ if text == "all" => Ok(Self::All),
            Ok(count) if count > 0 => Ok(Self::Count(count)),
            _ => Err(MetricsError::ParseObserved { text: text.to_owned() }),
        }
    }
}

impl Serialize for Observed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => count.serialize(serializer),
            Self::All => serializer.serialize_str("all"),
        }
    }
}

impl<'de> Deserialize<'de> for Observed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntegerOrAll;

        impl de::Visitor<'_> for IntegerOrAll {
            type Value = Observed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a positive integer or \"all\"")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Observed, E> {
                match usize::try_from(value) {
                    Ok(count) if count > 0 => Ok(Observed::Count(count)),
                    _ => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Observed, E> {
                match u64::try_from(value) {
                    Ok(value) => self.visit_u64(value),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Observed, E> {
                match value {
                    "all" => Ok(Observed::All),
                    _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
                }
            }
        }

        deserializer.deserialize_any(IntegerOrAll)
    }
}

/// Settings of [`crate::surface()`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SurfaceConfig {
    /// Words per n-gram of the hashed HHI.
    pub hhi_ngram: usize,
    /// Hash buckets of the HHI. Even use of all gives 1 / buckets, which is the least possible value.
    pub hhi_buckets: usize,
    /// How many texts Self-BLEU is taken over, evenly spaced; fewer texts than this are taken whole. 0 turns it off.
    pub self_bleu_texts: usize,
}

impl Default for SurfaceConfig {
    fn default() -> Self {
        Self { hhi_ngram: 3, hhi_buckets: 1 << 14, self_bleu_texts: 100 }
    }
}

impl SurfaceConfig {
    /// # Errors
    /// [`MetricsError::Config`] names the first setting that is zero and must not be.
    pub fn validate(&self) -> Result<(), MetricsError> {
        let Self { hhi_ngram, hhi_buckets, self_bleu_texts: _ } = *self;
        for (field, value) in [("hhi_ngram", hhi_ngram), ("hhi_buckets", hhi_buckets)] {
            if value == 0 {
                return Err(MetricsError::Config { field, value: 0.0, expected: "a positive integer" });
            }
        }
        Ok(())
    }
}
