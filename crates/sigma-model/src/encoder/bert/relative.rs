//! MPNet's attention: what is added to the score of two tokens depends on their distance, by buckets that grow wider
//! with it. How attention is computed is not known here.

/// From here on, all distances share a bucket.
const FARTHEST: f32 = 128.0;

/// The bias of each head for each distance from `1 - longest` to `longest - 1` (place of the key less that of the
/// query), `[heads, 2 * longest - 1]`, of a table `[buckets, heads]`.
pub(super) fn by_distance(table: &[f32], heads: usize, longest: usize) -> Vec<f32> {
    let (buckets, most) = (table.len() / heads, longest.max(1) as i64 - 1);
    let of = |head: usize| (-most..=most).map(move |distance| table[bucket(distance, buckets) * heads + head]);
    (0..heads).flat_map(of).collect()
}

/// As transformers computes it, in f32.
fn bucket(distance: i64, buckets: usize) -> usize {
    let half = buckets / 2;
    let (start, far) = if distance > 0 { (half, distance as usize) } else { (0, distance.unsigned_abs() as usize) };
    let exact = half / 2;
    if far < exact {
        return start + far;
    }
    let log = (far as f32 / exact as f32).ln() / (FARTHEST as f64 / exact as f64).ln() as f32;
    start + (exact + (log * (half - exact) as f32) as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::{bucket, by_distance};

    #[test]
    fn near_tokens_have_buckets_of_their_own_and_far_ones_share() {
        let buckets: Vec<usize> = [0, -1, -7, -8, -15, -16, -127, -500, 1, 8, 16, 500].map(|d| bucket(d, 32)).to_vec();
        assert_eq!(buckets, [0, 1, 7, 8, 9, 10, 15, 15, 17, 24, 26, 31]);
    }

    #[test]
    fn a_head_has_its_own_bias_for_each_distance() {
        let table: Vec<f32> = (0..64).map(|i| i as f32).collect();
        assert_eq!(by_distance(&table, 2, 2), [2.0, 0.0, 34.0, 3.0, 1.0, 35.0]);
        assert_eq!(by_distance(&table, 2, 0), [0.0, 1.0]);
    }
}
