//! The observed index set (3.2): which n_A of a generation's blocks form A. It is one set for the whole run, held fixed
//! by giving every block a random priority that never changes; where the priorities come from is not known here.

use crate::Observed;

/// The rows to observe, ascending: those with the smallest `(keys[i], i)`, n_A of them, or all where there are no more
/// than that.
///
/// `keys[i]` is a fixed random priority of block i: the same block has the same key in every generation. So the same
/// blocks are observed throughout, and one that is missing from a generation (its answer ended early) is replaced by
/// the next in the fixed order without disturbing the others.
pub fn observed_rows(keys: &[u64], observed: Observed) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..keys.len()).collect();
    if let Observed::Count(count) = observed
        && count < rows.len()
    {
        rows.sort_unstable_by_key(|&row| (keys[row], row));
        rows.truncate(count);
        rows.sort_unstable();
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smallest_keys_are_observed_in_ascending_row_order() {
        assert_eq!(observed_rows(&[30, 10, 40, 20], Observed::Count(2)), [1, 3]);
    }

    #[test]
    fn equal_keys_fall_back_to_the_row_number() {
        assert_eq!(observed_rows(&[7, 7, 7, 1], Observed::Count(3)), [0, 1, 3]);
    }

    #[test]
    fn all_and_counts_beyond_the_rows_observe_everything() {
        for observed in [Observed::All, Observed::Count(3), Observed::Count(4), Observed::Count(usize::MAX)] {
            assert_eq!(observed_rows(&[3, 2, 1], observed), [0, 1, 2], "{observed}");
        }
        assert!(observed_rows(&[], Observed::All).is_empty());
    }
}
