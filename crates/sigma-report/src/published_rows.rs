//! How many rows the printed drifts were measured on. It knows the two formulas of the tracks and nothing of where the
//! drifts are from.

use std::cmp::Reverse;

use sigma_metrics::Drift;

use crate::published::PublishedPoint;
use crate::record::Setting;

/// Drifts are printed with six decimals, so that the difference of two of them, taken at two checkpoints, is off by
/// 2e-6 at most.
const TOLERANCE: f64 = 5e-6;
/// The largest count that is tried. 200 prompts with ten responses each are more than any reading of the protocol has.
const MOST: u32 = 2000;
/// So many points must agree: three can by chance; five random drifts do in none of the series of the tests.
const FEWEST: usize = 5;

/// The number of rows n_t behind each of `drifts` (in nats), where the drifts tell it; d is the dimension of the rows.
///
/// With every row observed beta is 0, so G_KF = log det(G + delta I) - d log delta, U_cov = log det(G + delta I) - d
/// log n (third version: 3.17, 3.19), and dG - dU = const + d log n_t. Only whole numbers are counts: of all sets of
/// checkpoints that share a constant and have whole n_t to 5e-6 nats, this is the largest, with the smallest counts, at
/// most 2000. So counts are known up to a common factor, and they need not be known at t = 0. A checkpoint outside the
/// set has `None`: there rows were left out (beta > 0). All have `None` where fewer than five agree, and where a drift
/// is not finite.
pub fn rows_behind(drifts: &[Drift], dimension: u32) -> Vec<Option<u32>> {
    let d = f64::from(dimension);
    let gaps: Vec<f64> = drifts.iter().map(|drift| drift.dg - drift.du).collect();
    let (mut best, mut agreeing) = (vec![None; gaps.len()], FEWEST - 1);
    for (first, base) in gaps.iter().enumerate() {
        if gaps.len() - first <= agreeing {
            break;
        }
        // n_t as a multiple of the count at `first`, the first checkpoint of its set
        let multiples: Vec<f64> = gaps.iter().map(|gap| ((gap - base) / d).exp()).collect();
        for count in 1..=MOST {
            let counts = || multiples.iter().map(|multiple| whole(multiple * f64::from(count), d));
            let found = counts().flatten().count();
            if found > agreeing {
                (best, agreeing) = (counts().collect(), found);
            }
        }
    }
    best
}

/// `n` as a count, if d log n is that of one to [`TOLERANCE`].
fn whole(n: f64, d: f64) -> Option<u32> {
    let count = n.round();
    // d |log(count / n)|, of which the rest is smaller by eight digits
    let off = d * (count - n).abs() / n;
    (off <= TOLERANCE && (1.0..=f64::from(MOST)).contains(&count)).then_some(count as u32)
}

/// `points` cut wherever beta goes to 0 or leaves it: Track I changes its normalisation there, so no line may cross.
pub(crate) fn stretches(points: &[PublishedPoint]) -> impl Iterator<Item = &[PublishedPoint]> {
    points.chunk_by(|a, b| a.rows.is_some() == b.rows.is_some())
}

/// What the counts of `points` mean for a reader of their drifts; `None` where no count is known.
pub(crate) fn counts_note(setting: Setting, points: &[PublishedPoint], dimension: u32) -> Option<String> {
    let counted = || points.iter().filter_map(|point| Some((point.rows?, point.generation)));
    let (fewest, most) = (counted().min()?, counted().max_by_key(|(rows, generation)| (*rows, Reverse(*generation)))?);
    let law = format!(
        "Published {}: dG − dU = const + {dimension} log n_t holds to {TOLERANCE:e} nats with whole n_t",
        setting.title()
    );
    let counts = format!("n_t is between {} (t = {}) and {} (t = {})", fewest.0, fewest.1, most.0, most.1);
    let meaning = "Track I carries nothing that n_t and Track II do not";
    let stretches: Vec<&[PublishedPoint]> = stretches(points).collect();
    if stretches.len() == 1 {
        return Some(format!("{law} at every t: every row was observed (β = 0), {counts}, and {meaning}."));
    }
    let spans = stretches.iter().filter_map(|stretch| {
        let (first, last) = (stretch.first()?, stretch.last()?);
        first.rows.map(|_| format!("{} to {}", first.generation, last.generation))
    });
    let spans: Vec<String> = spans.collect();
    Some(format!(
        "{law} at t = {}: there every row was observed (β = 0), {counts}, and {meaning}. Elsewhere rows were left \
         out (β > 0) and n_t is not known. Where β goes to 0 or leaves it Track I steps because its normalisation \
         changes; lines are broken there, and no difference of Track I across the step is shown.",
        spans.join(" and ")
    ))
}
