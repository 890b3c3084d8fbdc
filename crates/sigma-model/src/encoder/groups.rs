//! Rows in groups that threads embed side by side. Rows are stored without padding, so a group is bounded by its
//! tokens, and how rows are grouped changes no bit.

use rayon::prelude::*;

use crate::ModelError;

/// Tokens of a group: enough for products at full speed, few enough for many groups in a batch.
const TOKENS: usize = 384;

/// What `embed` makes of the groups of `rows`, on all threads. It computes on the thread that calls it, and is given
/// space that the thread's earlier groups have used.
pub(super) fn in_groups<S: Default + Send>(
    rows: &[&[u32]],
    embed: impl Fn(&[&[u32]], &mut S) -> Result<Vec<f32>, ModelError> + Sync,
) -> Result<Vec<f32>, ModelError> {
    let embedded: Vec<Vec<f32>> = groups(rows)
        .into_par_iter()
        .with_max_len(1)
        .map_init(S::default, |space, group| embed(group, space))
        .collect::<Result<_, ModelError>>()?;
    Ok(embedded.concat())
}

/// Consecutive rows of at most `TOKENS` tokens in all, or a single longer one.
fn groups<'a, 'b>(mut rows: &'a [&'b [u32]]) -> Vec<&'a [&'b [u32]]> {
    let mut groups = Vec::new();
    while !rows.is_empty() {
        let mut tokens = 0;
        let fitting = rows.iter().take_while(|row| {
            tokens += row.len();
            tokens <= TOKENS
        });
        let (group, rest) = rows.split_at(fitting.count().max(1));
        groups.push(group);
        rows = rest;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_every_row_once_in_order_and_only_a_long_row_exceeds_their_size() {
        let ids = vec![7u32; 4 * TOKENS];
        let rows: Vec<&[u32]> = [0, 1, TOKENS, 3, TOKENS - 3, 1, 2 * TOKENS, 0].iter().map(|n| &ids[..*n]).collect();
        let groups = groups(&rows);
        assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [2, 1, 2, 1, 1, 1]);
        assert_eq!(groups.concat(), rows);
    }
}
