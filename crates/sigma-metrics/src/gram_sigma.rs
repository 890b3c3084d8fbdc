//! The Sigma-UB measurement of rows of which only the accumulated Gram matrix is left. All of them are observed; blocks
//! that were written but not pushed are counted by a stated total. It cannot know single rows, so Theorem 3 takes a
//! second pass ([`crate::quadratic`]).

use serde::Serialize;

use crate::cholesky::Cholesky;
use crate::diversity::{Diversity, of_spectrum};
use crate::sigma_ub::{ENERGY_TOLERANCE, bare_log_det, track_two};
use crate::spectrum::{Spectrum, rank_tolerance};
use crate::theorem3::Sizes;
use crate::{
    GramAccumulator, MetricsError, NoInterval, Observed, QuadraticMoments, SigmaConfig, SigmaUb, Theorem1, Theorem3,
    overestimation,
};

/// What a Gram matrix tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GramMeasurement {
    /// The two tracks and their bounds. `theorem3` is None without a second pass.
    #[serde(flatten)]
    pub sigma: SigmaUb,
    /// Counts of the spectrum, and the mean cosine.
    pub diversity: Diversity,
    /// By how much rounding may have moved an eigenvalue: [`GramAccumulator::eigenvalue_error`]. Eigenvalues up to this
    /// are not told from zero: they count neither for the rank nor for the diversity.
    pub eigenvalue_error: f64,
    /// By how much S and U_cov may be off if every eigenvalue is, in nats. Large where the ridge or the smallest
    /// eigenvalues drown in the rounding of float32.
    pub s_error: f64,
}

/// Measures accumulated rows: they are A, n_A of them, and `config.observed` must be `all`. `total` is the number of
/// blocks n where more were written than were pushed: then beta = (n - n_A) rho, and lambda_max(G_B) of Theorem 1 is
/// capped by it. `moments` of a second pass over the same rows gives Theorem 3.
///
/// # Errors
/// A setting out of range, a count in `config.observed` ([`MetricsError::ObservedOfGram`]), no rows, a total below n_A,
/// a row above the energy cap, moments of other rows ([`MetricsError::SecondPass`]), or a ridge so small that G_A +
/// delta I is singular.
pub fn sigma_ub_of_gram(
    accumulator: &GramAccumulator,
    total: Option<usize>,
    moments: Option<&QuadraticMoments>,
    config: &SigmaConfig,
) -> Result<GramMeasurement, MetricsError> {
    config.validate()?;
    let SigmaConfig { observed, delta, rho, confidence } = *config;
    if let Observed::Count(count) = observed {
        return Err(MetricsError::ObservedOfGram { count });
    }
    let accumulator = accumulator.complete()?;
    let (n_a, d) = (usize::try_from(accumulator.n()).unwrap_or(usize::MAX), accumulator.d());
    let n = total.unwrap_or(n_a);
    if n_a == 0 {
        return Err(MetricsError::NothingObserved { n });
    }
    if n < n_a {
        return Err(MetricsError::Total { total: n, n_a });
    }
    let largest = accumulator.largest_energy();
    if largest > rho * (1.0 + ENERGY_TOLERANCE) {
        return Err(MetricsError::LargestEnergy { norm: largest.sqrt(), cap: rho.sqrt() });
    }
    if let Some(moments) = moments
        && moments.n() != accumulator.n()
    {
        return Err(MetricsError::SecondPass { expected: accumulator.n(), found: moments.n() });
    }
    let beta = (n - n_a) as f64 * rho;
    let error = accumulator.eigenvalue_error();

    let g_a = accumulator.gram();
    let spectrum = Spectrum::of(&g_a)?;
    // Rounded in float32, the zeros of a singular matrix may be negative by more than the ridge; the spectrum has them
    // cut off.
    let s = match Cholesky::of(&g_a, delta) {
        Ok(cholesky) => cholesky.log_det(),
        Err(MetricsError::NotPositiveDefinite { .. }) if error > 0.0 => spectrum.log_det(delta),
        Err(other) => return Err(other),
    };
    let tolerance = rank_tolerance(n_a, d, spectrum.largest()).max(error);
    let rank = spectrum.rank_above(tolerance);
    let log_det_ga = if rank == d { bare_log_det(&g_a)? } else { None };
    let log_growth = d as f64 * (n as f64 / n_a as f64).ln();
    let u_cov = track_two(s, d, n_a);
    let shifted = || spectrum.descending().iter().map(|lambda| lambda + delta);
    let sigma = SigmaUb {
        n,
        n_a,
        d,
        delta,
        rho,
        beta,
        s,
        u_cov,
        g_kf: spectrum.log_volume_over(beta + delta),
        u_cov_full: u_cov,
        rank,
        rank_deficient: rank < d,
        condition: spectrum.condition(delta),
        lambda_max: spectrum.largest(),
        lambda_min: spectrum.smallest(),
        log_det_ga,
        plugin: log_det_ga.map(|log_det| log_det + log_growth),
        theorem1: Theorem1::of(&spectrum, delta, beta, n == n_a),
        theorem3: Theorem3::of(
            moments.and_then(QuadraticMoments::std),
            Sizes { n, n_a, d },
            s + log_growth,
            confidence,
        ),
        full: None,
        full_missing: Some(NoInterval::OnlyGram.to_string()),
        overestimation: overestimation(n_a as f64 / n as f64, shifted()),
        spectrum: spectrum.descending().to_vec(),
    };
    Ok(GramMeasurement {
        diversity: of_spectrum(spectrum.descending(), tolerance, n_a, accumulator.mean_cosine()),
        eigenvalue_error: error,
        s_error: spectrum.descending().iter().map(|&lambda| log_error(lambda, delta, error)).sum(),
        sigma,
    })
}

/// The most by which log(lambda + delta) differs from that of an eigenvalue within `error` of lambda that is not
/// negative.
fn log_error(lambda: f64, delta: f64, error: f64) -> f64 {
    let found = lambda + delta;
    let up = (error / found).ln_1p();
    let down = (found / (found - error).max(delta)).ln();
    up.max(down)
}
