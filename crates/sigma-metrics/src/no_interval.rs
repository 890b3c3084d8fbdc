//! Why an interval is not there: conditions under which no simulation has confirmed one, each with the numbers that
//! decided. Which interval is missing, and where it would have been printed, is for the caller to say.

use crate::MetricsError;

/// A reason for which [`crate::full_volume`] or [`crate::drift_intervals`] gives no interval.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoInterval {
    /// G_A is singular: its log-determinant does not exist.
    #[error("G_A has rank {rank} below d = {d}: observe more rows")]
    RankDeficient { rank: usize, d: usize },

    /// Too few rows for the moments of the log-determinant.
    #[error("n_A = {n_a} observed rows are not more than d + 4 = {}: observe more rows", d + 4)]
    FewRows { n_a: usize, d: usize },

    /// The ridge is a part of S that is not small.
    #[error("delta = {delta:e} is not small beside lambda_min = {lambda_min:.3e}: it moves S by {moved:.3} nats")]
    Ridge { delta: f64, lambda_min: f64, moved: f64 },

    /// Rows that are copies of each other say nothing new.
    #[error(
        "observed rows repeat each other, and only {distinct} differ, not more than {ratio} d = {least:.1}: observe more rows"
    )]
    RepeatedRows { distinct: usize, ratio: f64, least: f64 },

    /// Rows of very different weight.
    #[error(
        "the leverages of the rows vary too much (squared variation of their weights {variation:.2}, above {limit}): many rows repeat \
         each other, and no interval was found to cover"
    )]
    UnequalRows { variation: f64, limit: f64 },

    /// Single rows are not at hand.
    #[error("only a Gram matrix is given, and the spread of the rows cannot be read from it")]
    OnlyGram,

    /// A jackknife needs prompts to leave out.
    #[error("{prompts} prompts are fewer than the {least} that a jackknife over prompts needs")]
    FewPrompts { prompts: usize, least: usize },

    /// Without one group of prompts, too few rows are left to tell how log det varies.
    #[error(
        "without one group of prompts n_A is {rows} at a checkpoint, not more than {ratio} d = {least:.1}: observe more rows"
    )]
    FewRowsLeft { rows: usize, ratio: f64, least: f64 },

    /// Without one group of prompts G_A is singular.
    #[error("without one group of prompts G_A is singular at a checkpoint: too many rows repeat each other")]
    SingularWithoutGroup,

    /// The input itself is wrong.
    #[error(transparent)]
    Input(#[from] MetricsError),
}
