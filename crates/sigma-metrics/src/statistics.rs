//! The scalars that summarise a series over generations: mean, spread, trend, correlation. Each is None where it is
//! undefined, and for any series that holds NaN or infinity. What the series mean is not known here.

/// Arithmetic mean. None for an empty series.
pub fn mean(x: &[f64]) -> Option<f64> {
    (!x.is_empty() && finite(x)).then(|| x.iter().sum::<f64>() / x.len() as f64)
}

/// Sample standard deviation, denominator len - 1. None for fewer than 2 points.
pub fn sample_std(x: &[f64]) -> Option<f64> {
    if x.len() < 2 {
        return None;
    }
    let x_mean = mean(x)?;
    let squares: f64 = x.iter().map(|x| (x - x_mean).powi(2)).sum();
    Some((squares / (x.len() - 1) as f64).sqrt())
}

/// Ordinary least squares slope of `y` over t = 0, 1, ..., len - 1, per generation. None for fewer than 2 points.
pub fn ols_slope(y: &[f64]) -> Option<f64> {
    if y.len() < 2 {
        return None;
    }
    let (t_mean, y_mean) = ((y.len() - 1) as f64 / 2.0, mean(y)?);
    let (mut ty, mut tt) = (0.0, 0.0);
    for (t, y) in y.iter().enumerate() {
        let t = t as f64 - t_mean;
        ty += t * (y - y_mean);
        tt += t * t;
    }
    Some(ty / tt)
}

/// Pearson correlation, within [-1, 1]. None if the lengths differ, for fewer than 2 points, or if either series is
/// constant.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    // Constancy is asked of the values: after centring, a constant series can leave rounding that correlates with
    // anything.
    if x.len() != y.len() || x.len() < 2 || constant(x) || constant(y) {
        return None;
    }
    let (x_mean, y_mean) = (mean(x)?, mean(y)?);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - x_mean, y - y_mean);
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    // One root of the product, not a product of roots: a series then correlates with itself by exactly 1.
    Some(xy / (xx * yy).sqrt()).filter(|r| r.is_finite()).map(|r| r.clamp(-1.0, 1.0))
}

/// Spearman correlation: Pearson correlation of the ranks, ties sharing their average rank. None as for [`pearson`].
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    if !finite(x) || !finite(y) {
        return None;
    }
    pearson(&average_ranks(x), &average_ranks(y))
}

/// How much neighbouring values of series correlate: the lag-1 autocorrelation pooled over `chains`, whose values are
/// taken about the mean of all of them. So a chain that repeats one value for ever counts as correlation, which within
/// that chain alone could not be seen. For the rho of [`crate::false_alarm_rate`] pass values at t >= 1 as measured,
/// not drifts: these share the error of t = 0. Within [-1, 1]; None without two neighbours, for values that are not
/// finite, or if all are equal.
pub fn serial_correlation(chains: &[Vec<f64>]) -> Option<f64> {
    let all = mean(&chains.concat())?;
    let (mut products, mut left, mut right) = (0.0, 0.0, 0.0);
    for pair in chains.iter().flat_map(|chain| chain.windows(2)) {
        let (a, b) = (pair[0] - all, pair[1] - all);
        products += a * b;
        left += a * a;
        right += b * b;
    }
    Some(products / (left * right).sqrt()).filter(|r| r.is_finite()).map(|r| r.clamp(-1.0, 1.0))
}

/// Ranks from 1, equal values sharing the mean of the ranks they cover. For finite values.
fn average_ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let mut ranks = vec![0.0; x.len()];
    let mut below = 0;
    for tied in order.chunk_by(|&a, &b| x[a] == x[b]) {
        let rank = below as f64 + (tied.len() + 1) as f64 / 2.0;
        for &i in tied {
            ranks[i] = rank;
        }
        below += tied.len();
    }
    ranks
}

fn finite(x: &[f64]) -> bool {
    x.iter().all(|x| x.is_finite())
}

fn constant(x: &[f64]) -> bool {
    x.iter().all(|value| *value == x[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope_and_perfect_correlation() {
        let line: Vec<f64> = (0..7).map(|t| 4.0 - 0.5 * f64::from(t)).collect();
        let steps: Vec<f64> = (0..7).map(f64::from).collect();
        assert_eq!(ols_slope(&line), Some(-0.5));
        assert_eq!(pearson(&line, &steps), Some(-1.0));
        assert_eq!(spearman(&line, &line), Some(1.0));
    }

    #[test]
    fn a_monotone_curve_has_rank_correlation_one_only() {
        let (x, y) = ([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 10.0, 1000.0]);
        assert_eq!(spearman(&x, &y), Some(1.0));
        assert!(pearson(&x, &y).is_some_and(|r| r < 0.9));
    }

    #[test]
    fn ties_share_the_average_rank() {
        assert_eq!(average_ranks(&[2.0, -1.0, 2.0, 5.0, 2.0]), [3.0, 1.0, 3.0, 5.0, 3.0]);
        assert_eq!(average_ranks(&[0.0, -0.0]), [1.5, 1.5]);
    }

    #[test]
    fn undefined_statistics_are_none() {
        let (constant, varied) = ([0.1; 5], [1.0, 2.0, 3.0, 4.0, 6.0]);
        assert_eq!(pearson(&constant, &varied), None);
        assert_eq!(spearman(&varied, &constant), None);
        assert_eq!(pearson(&varied, &varied[..4]), None);
        assert_eq!(pearson(&[1.0], &[2.0]), None);
        assert_eq!(pearson(&[], &[]), None);
        assert_eq!((mean(&[]), sample_std(&[1.0]), ols_slope(&[1.0])), (None, None, None));
        for bad in [f64::NAN, f64::INFINITY] {
            let series = [1.0, bad, 2.0];
            assert_eq!((mean(&series), ols_slope(&series), sample_std(&series)), (None, None, None));
            assert_eq!((pearson(&series, &varied[..3]), spearman(&series, &varied[..3])), (None, None));
        }
        assert_eq!(ols_slope(&constant), Some(0.0));
    }

    #[test]
    fn repeated_values_correlate_fully_and_alternating_ones_inversely() {
        assert_eq!(serial_correlation(&[vec![1.0; 5], vec![-1.0; 5]]), Some(1.0));
        assert_eq!(serial_correlation(&[vec![1.0, -1.0, 1.0, -1.0]]), Some(-1.0));
        // products 1, -1, 1 over the squares of three values each
        assert_eq!(serial_correlation(&[vec![1.0, 1.0, -1.0, -1.0]]), Some(1.0 / 3.0));
        for chains in [vec![], vec![vec![1.0], vec![2.0]], vec![vec![1.0; 4]], vec![vec![1.0, f64::NAN]]] {
            assert_eq!(serial_correlation(&chains), None, "{chains:?}");
        }
    }

    #[test]
    fn spread_divides_by_one_less_than_the_count() {
        assert_eq!(sample_std(&[1.0, 3.0]), Some(2f64.sqrt()));
    }
}
