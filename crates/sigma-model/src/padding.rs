//! Rows of different lengths as one rectangle, for computations on tensors.

/// Rows padded on the right to the longest, one after another, and their lengths.
pub(crate) fn pad_right(rows: &[&[u32]], padding: u32) -> (Vec<u32>, Vec<usize>) {
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let padded = rows.iter().flat_map(|row| {
        let missing = longest - row.len();
        row.iter().copied().chain(std::iter::repeat_n(padding, missing))
    });
    (padded.collect(), rows.iter().map(|row| row.len()).collect())
}
