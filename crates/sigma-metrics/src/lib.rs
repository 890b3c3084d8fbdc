//! What a generation is measured by: the two Sigma-UB tracks of its embedding Gram matrix with their bounds, the
//! surface proxies of its texts, and the scalars that summarise a series of generations. Everything is float64 and in a
//! fixed order, so a result does not depend on the number of threads. The crate knows no model, no device and no file
//! but its own sums: rows and texts in, numbers out.
//!
//! Modules, in reading order:
//! - [`config`]: the `sigma` and `surface` sections of a config, with their checks;
//! - [`matrix`]: the embeddings, one row per text block;
//! - [`observe`]: which rows are observed, the same ones in every generation;
//! - [`mod@sigma_ub`]: the measurement of one generation, which puts together
//!   - `gram` and `cholesky`: G_A = A^T A and log det(G_A + delta I),
//!   - `spectrum`: the eigenvalues of G_A, hence the Ky Fan envelope, rank and condition,
//!   - [`theorem1`]: deterministic bounds, and how loose Weyl's bound is,
//!   - [`theorem3`]: the paper's asymptotic interval of the plug-in estimate,
//!   - [`full`]: the volume of all rows with an interval that covers, over `wishart` and `leverage`;
//! - [`accumulator`]: the Gram matrix of more rows than fit into memory, pushed block by block, saved, loaded and merged;
//!   [`gram_sigma`] measures it, and [`quadratic`] is the second pass over the rows that Theorem 3 needs;
//! - [`mod@diversity`]: effective rank, RankMe, Vendi scores and mean cosine of the same rows;
//! - [`mod@surface`], over the words of `words`: distinct-n, hashed n-gram HHI, `repetition`, `compression`, `self_bleu`;
//! - [`quantiles`] and [`statistics`]: quantiles, slope, correlations; [`seeds`]: the interval of a mean over seeds;
//! - [`jackknife`]: the interval of a drift over prompts; [`no_interval`]: why an interval is not there;
//! - [`noise`]: how far evaluation alone moves a number, and from which generation on a series is beyond that; [`false_alarms`]: how often
//!   it is so for nothing; [`control`]: the same questions asked of control chains;
//! - [`random`]: seeded normal numbers, for what is simulated;
//! - [`drift`]: a whole run: drifts, track agreement, correlation with the proxies;
//! - [`error`]: everything that can be wrong with an input.
//!
//! ```text
//! let rows = Embeddings::new(n, d, values)?;                     // row-major f32, L2-normalised
//! let observed = observed_rows(&keys, config.observed);          // keys[i]: fixed random priority of block i
//! let sigma = sigma_ub(&rows, &observed, None, &config)?;
//! println!("U_cov {} G_KF {}", sigma.u_cov, sigma.g_kf);
//! ```
//!
//! Symbols are the paper's: `n` blocks of which `n_a` are observed, width `d`, ridge `delta`, energy cap `rho`, tail
//! budget `beta`. Equation numbers refer to "Sigma: Scalable Spectral Insights for LLM Collapse" (arXiv 2601.03385), as
//! they are in its first version; `docs/metrics.md` has those of the third beside them.

pub mod config;
pub mod matrix;
pub mod observe;
pub mod sigma_ub;

mod cholesky;
mod gram;
mod spectrum;

pub mod full;
mod leverage;
mod wishart;

pub mod theorem1;
pub mod theorem3;

pub mod accumulator;
pub mod gram_sigma;
pub mod quadratic;

pub mod diversity;

mod compression;
mod repetition;
mod self_bleu;
pub mod surface;
mod words;

pub mod control;
pub mod false_alarms;
pub mod jackknife;
pub mod no_interval;
pub mod noise;
pub mod quantiles;
pub mod random;
pub mod seeds;
pub mod statistics;

pub mod drift;

pub mod error;

pub use accumulator::{GramAccumulator, MAX_WIDTH, Precision, check_width};
pub use config::{Observed, SigmaConfig, SurfaceConfig};
pub use control::{ControlThreshold, auc, paired_onset};
pub use diversity::{Diversity, diversity};
pub use drift::{Correlation, Drift, Summary, Tracks, Trend, correlate, drifts, summarize, tracks_agree};
pub use error::MetricsError;
pub use false_alarms::{AlarmRule, FalseAlarmRate, false_alarm_rate, worst_false_alarm_rate};
pub use full::{FullVolume, ObservedVolume, full_volume};
pub use gram_sigma::{GramMeasurement, sigma_ub_of_gram};
pub use jackknife::{DriftInterval, DriftIntervals, RowsOfPrompts, drift_intervals};
pub use matrix::Embeddings;
pub use no_interval::NoInterval;
pub use noise::{NoiseFloor, PERSISTENCE, Side, lead, onset};
pub use observe::observed_rows;
pub use quadratic::QuadraticMoments;
pub use quantiles::{binomial_upper_bound, normal_quantile};
pub use seeds::{Interval, mean_interval};
pub use sigma_ub::{SigmaUb, sigma_ub};
pub use spectrum::envelope;
pub use statistics::serial_correlation;
pub use surface::{Surface, distinct_n, hashed_hhi, surface};
pub use theorem1::{Theorem1, overestimation};
pub use theorem3::{Theorem3, required_n_a};
