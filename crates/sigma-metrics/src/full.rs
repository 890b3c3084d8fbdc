//! The log-volume of all n rows from the n_A observed ones: U_n = log det G_n - d log n with an interval for it. Unlike
//! the plug-in of Theorem 3 its centre is corrected for the bias of log det near d, and its interval is one that
//! simulation confirms at the aspect ratios n_A / d of real runs (`docs/metrics.md`). Where the numbers come from, and
//! the ridge, are the caller's business.

use serde::{Deserialize, Serialize};

use crate::config::check_confidence;
use crate::leverage::{growth_beyond_gaussian, squared_variation, variation_error};
use crate::quantiles::two_sided_z;
use crate::wishart::LogDetMoments;
use crate::{MetricsError, NoInterval};

/// By how many nats the ridge may move S = log det(G_A + delta I) away from log det G_A for the interval to be given.
pub const LARGEST_RIDGE_SHIFT: f64 = 0.1;

/// How many different rows per dimension there must be where rows are copies of others: copies make n_A look further
/// from d than it is, and how often the missing rows repeat them cannot be told from so few.
pub const LEAST_DISTINCT: f64 = 1.5;

/// The share of copies that does not count.
const IGNORED_COPIES: f64 = 0.01;

/// The largest squared variation of row weights at which an interval is given: where rows nearly repeat each other and
/// n_A is near d, the simulated coverage breaks down.
pub const LARGEST_VARIATION: f64 = 0.5;

/// Estimate and interval for the realised U_n = log det G_n - d log n over all n rows, without ridge, in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FullVolume {
    /// log det G_A + E[log det G_n - log det G_A] - d log n.
    pub estimate: f64,
    /// Lower end of the interval; `estimate` itself if all rows are observed.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
}

/// What the observed rows say.
#[derive(Clone, Copy, Debug)]
pub struct ObservedVolume<'a> {
    /// log det G_A, without ridge.
    pub log_det: f64,
    /// v^T G_A^-1 v of each of the n_A observed rows.
    pub leverages: &'a [f64],
    /// Width of a row.
    pub d: usize,
    /// How many of the observed rows differ from each other.
    pub distinct: usize,
    /// Share of all rows at hand, observed or not, that are copies of an earlier one.
    pub copies: f64,
}

/// The volume over n rows of which those of `observed` are a random part.
///
/// For Gaussian rows in any covariance log det G_n - log det G_A has the mean sum_{j<d} [psi((n-j)/2) - psi((n_A-j)/2)]
/// and the variance sum_{j<d} [psi'((n_A-j)/2) - psi'((n-j)/2)], exactly. Rows of other kurtosis add d^2 cv^2 (1/n_A -
/// 1/n) to the variance, where cv^2 = (Var(v^T C^-1 v) - 2 d) / d^2 comes from the leverages, less what Gaussian rows
/// of this n_A would show, and they move the mean (`leverage`), by an estimate whose own error is added to the
/// variance. The interval is normal, with that variance.
///
/// # Errors
/// [`NoInterval::FewRows`] for n_A <= d + 4 where rows are missing, [`NoInterval::RepeatedRows`] for too few different
/// rows, [`NoInterval::UnequalRows`] for cv^2 above [`LARGEST_VARIATION`], [`NoInterval::Input`] for n < n_A or an
/// impossible confidence.
pub fn full_volume(observed: &ObservedVolume<'_>, n: usize, confidence: f64) -> Result<FullVolume, NoInterval> {
    let ObservedVolume { log_det, leverages, d, distinct, copies } = *observed;
    let n_a = leverages.len();
    check_confidence(confidence)?;
    if n < n_a {
        return Err(MetricsError::Total { total: n, n_a }.into());
    }
    let per_row = d as f64 * (n as f64).ln();
    if n == n_a {
        let known = log_det - per_row;
        return Ok(FullVolume { estimate: known, lower: known, upper: known });
    }
    if n_a <= d + 4 {
        return Err(NoInterval::FewRows { n_a, d });
    }
    if copies > IGNORED_COPIES && distinct as f64 <= LEAST_DISTINCT * d as f64 {
        return Err(NoInterval::RepeatedRows { distinct, ratio: LEAST_DISTINCT, least: LEAST_DISTINCT * d as f64 });
    }
    let variation = squared_variation(leverages, d as f64);
    if variation > LARGEST_VARIATION {
        return Err(NoInterval::UnequalRows { variation, limit: LARGEST_VARIATION });
    }
    let (seen, all) = (LogDetMoments::of(n_a, d), LogDetMoments::of(n, d));
    let growth = all.mean - seen.mean + growth_beyond_gaussian(leverages, d, n, variation);
    let squares = (d * d) as f64 * (1.0 / n_a as f64 - 1.0 / n as f64);
    // the error of cv^2 moves the centre by half of `squares` times as much
    let of_centre = 0.5 * squares * variation_error(n_a, d);
    let variance = seen.variance - all.variance + squares * variation + of_centre * of_centre;
    // A confidence within (0, 1) always has a quantile.
    let half = two_sided_z(confidence).unwrap_or(f64::INFINITY) * variance.max(0.0).sqrt();
    let estimate = log_det + growth - per_row;
    Ok(FullVolume { estimate, lower: estimate - half, upper: estimate + half })
}
