//! What the definitions imply for any embeddings. Entries are multiples of 2^-13, so that the rotation used here is
//! exact in float32 and what is left is the rounding of float64.

use proptest::prelude::*;
use sigma_metrics::{Embeddings, Observed, SigmaConfig, SigmaUb, observed_rows, sigma_ub};

/// Width of all rows here; the rotation wants a multiple of four.
const D: usize = 8;
/// Log-volumes of these inputs are below 100 and lose at most a few digits to the ridge: lambda_1 / delta < 1e5.
const TOLERANCE: f64 = 1e-9;

type Row = [f32; D];

fn row() -> impl Strategy<Value = Row> {
    // Entries up to sqrt(1/8), so that ||v||^2 <= 1.
    prop::array::uniform8(-2896i16..=2896).prop_map(|entries| entries.map(|entry| f32::from(entry) / 8192.0))
}

/// Rows (some of them often repeated, so that rank-deficient sets occur) and a priority for each.
fn set() -> impl Strategy<Value = (Vec<Row>, Vec<u64>)> {
    let distinct = prop::collection::vec(row(), 1..40);
    let repeated = (prop::collection::vec(row(), 1..4), 2usize..30)
        .prop_map(|(base, n)| base.iter().copied().cycle().take(n).collect::<Vec<_>>());
    prop_oneof![3 => distinct, 1 => repeated]
        .prop_flat_map(|rows| (Just(rows.clone()), prop::collection::vec(any::<u64>(), rows.len())))
}

/// The same, with how many are observed.
fn split_set() -> impl Strategy<Value = (Vec<Row>, Vec<usize>)> {
    set().prop_flat_map(|(rows, keys)| {
        let n = rows.len();
        (Just(rows), (1..=n).prop_map(move |n_a| observed_rows(&keys, Observed::Count(n_a))))
    })
}

fn embeddings(rows: &[Row]) -> Embeddings {
    Embeddings::new(rows.len(), D, rows.concat()).unwrap()
}

fn measure(rows: &[Row], observed: &[usize], total: Option<usize>) -> SigmaUb {
    sigma_ub(&embeddings(rows), observed, total, &SigmaConfig::default()).unwrap()
}

fn all(n: usize) -> Vec<usize> {
    (0..n).collect()
}

/// An orthogonal matrix applied to a row, exactly: a 4 x 4 Hadamard matrix / 2 on the even and on the odd coordinates,
/// one sign, and the order reversed.
fn rotate(row: &Row) -> Row {
    const H: [[f32; 4]; 4] = [[1., 1., 1., 1.], [1., -1., 1., -1.], [1., 1., -1., -1.], [1., -1., -1., 1.]];
    let mut rotated = [0.0; D];
    for i in 0..D {
        let half: f32 = (0..4).map(|k| 0.5 * H[i / 2][k] * row[2 * k + i % 2]).sum();
        rotated[D - 1 - i] = if i == 0 { -half } else { half };
    }
    rotated
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rotations_of_the_space_change_nothing((rows, observed) in split_set()) {
        let rotated: Vec<Row> = rows.iter().map(rotate).collect();
        let (a, b) = (measure(&rows, &observed, None), measure(&rotated, &observed, None));
        prop_assert!(near(a.u_cov, b.u_cov) && near(a.g_kf, b.g_kf), "{} {} / {} {}", a.u_cov, b.u_cov, a.g_kf, b.g_kf);
        prop_assert!(near(a.u_cov_full, b.u_cov_full) && near(a.theorem1.log_upper, b.theorem1.log_upper));
    }

    #[test]
    fn the_order_of_rows_changes_nothing((rows, observed) in split_set(), shift in 0usize..40) {
        let n = rows.len();
        let moved = |i: usize| n - 1 - (i + shift) % n;
        let mut permuted = rows.clone();
        for (i, row) in rows.iter().enumerate() {
            permuted[moved(i)] = *row;
        }
        let mut moved_observed: Vec<usize> = observed.iter().map(|&i| moved(i)).collect();
        moved_observed.sort_unstable();
        let (a, b) = (measure(&rows, &observed, None), measure(&permuted, &moved_observed, None));
        prop_assert!(near(a.u_cov, b.u_cov) && near(a.g_kf, b.g_kf) && near(a.u_cov_full, b.u_cov_full));
    }

    #[test]
    fn the_envelope_is_not_negative_and_shrinks_with_the_budget((rows, observed) in split_set(), more in 1usize..10_000) {
        let here = measure(&rows, &observed, None);
        let beyond = measure(&rows, &observed, Some(rows.len() + more));
        prop_assert!(beyond.g_kf >= 0.0);
        prop_assert!(here.g_kf >= beyond.g_kf);
        prop_assert_eq!(here.u_cov, beyond.u_cov);
    }

    #[test]
    fn theorem_1_brackets_the_full_log_determinant((rows, observed) in split_set()) {
        let measured = measure(&rows, &observed, None);
        let truth = measured.u_cov_full + D as f64 * (rows.len() as f64).ln();
        let slack = TOLERANCE * truth.abs().max(1.0);
        let bounds = &measured.theorem1;
        prop_assert!(bounds.log_lower <= truth + slack && truth <= bounds.log_upper + slack, "{truth} {bounds:?}");
        prop_assert!(bounds.log_lower <= bounds.log_upper);
        prop_assert!(near(bounds.log_lower, measured.s));
        prop_assert!(bounds.lambda_b_exact);
    }

    #[test]
    fn theorem_1_still_brackets_when_the_tail_is_absent((rows, observed) in split_set()) {
        let truth = measure(&rows, &observed, None);
        let seen: Vec<Row> = observed.iter().map(|&i| rows[i]).collect();
        let capped = measure(&seen, &all(seen.len()), Some(rows.len()));
        let log_det = truth.u_cov_full + D as f64 * (rows.len() as f64).ln();
        prop_assert!(capped.theorem1.lambda_b >= truth.theorem1.lambda_b - TOLERANCE);
        prop_assert!(capped.theorem1.log_upper >= log_det - TOLERANCE * log_det.abs().max(1.0));
        prop_assert_eq!(capped.theorem1.lambda_b_exact, seen.len() == rows.len());
        prop_assert_eq!((capped.u_cov, capped.g_kf), (truth.u_cov, truth.g_kf));
    }

    #[test]
    fn observing_everything_makes_the_full_sample_the_sample((rows, _) in set()) {
        let measured = measure(&rows, &all(rows.len()), None);
        prop_assert_eq!(measured.u_cov_full, measured.u_cov);
        prop_assert_eq!(measured.beta, 0.0);
        prop_assert_eq!(measured.overestimation, 0.0);
        prop_assert!(measured.theorem3.is_none_or(|interval| interval.half_width == 0.0));
        prop_assert!(near(measured.g_kf, measured.s - D as f64 * 1e-3f64.ln()));
    }

    #[test]
    fn one_more_copy_of_a_row_never_lowers_s((mut rows, _) in set(), which in any::<prop::sample::Index>()) {
        let before = measure(&rows, &all(rows.len()), None);
        rows.push(rows[which.index(rows.len())]);
        let after = measure(&rows, &all(rows.len()), None);
        prop_assert!(after.s >= before.s - TOLERANCE, "{} {}", before.s, after.s);
        prop_assert_eq!(after.rank, before.rank);
    }

    #[test]
    fn copying_the_whole_set_leaves_track_two_where_the_ridge_is_negligible((rows, _) in set()) {
        let once = measure(&rows, &all(rows.len()), None);
        prop_assume!(once.lambda_min > 0.1);
        let twice = measure(&[rows.clone(), rows.clone()].concat(), &all(2 * rows.len()), None);
        // d log(2 lambda + delta) - d log 2 - d log(lambda + delta) is at most d * delta / lambda in size.
        prop_assert!((twice.u_cov - once.u_cov).abs() <= D as f64 * 1e-3 / once.lambda_min);
    }

    #[test]
    fn a_missing_block_is_replaced_by_the_next_and_no_other_moves(
        keys in prop::collection::hash_set(any::<u64>(), 2..60),
        gone in any::<prop::sample::Index>(),
        count in 1usize..40,
    ) {
        let keys: Vec<u64> = keys.into_iter().collect();
        let gone = keys[gone.index(keys.len())];
        let left: Vec<u64> = keys.iter().copied().filter(|&key| key != gone).collect();
        let observe = |keys: &[u64]| -> std::collections::BTreeSet<u64> {
            observed_rows(keys, Observed::Count(count)).into_iter().map(|row| keys[row]).collect()
        };
        let (mut before, after) = (observe(&keys), observe(&left));
        if before.remove(&gone) {
            let newcomers: Vec<u64> = after.difference(&before).copied().collect();
            prop_assert!(before.is_subset(&after));
            prop_assert_eq!(newcomers.len(), usize::from(count < keys.len()));
            prop_assert!(newcomers.iter().all(|new| before.iter().all(|old| old < new)));
        } else {
            prop_assert_eq!(before, after);
        }
    }
}

#[test]
fn the_rotation_is_orthogonal_and_no_permutation() {
    let basis: Vec<Row> = (0..D).map(|i| std::array::from_fn(|j| if i == j { 1.0 } else { 0.0 })).collect();
    let rotated: Vec<Row> = basis.iter().map(rotate).collect();
    for (i, a) in rotated.iter().enumerate() {
        for (j, b) in rotated.iter().enumerate() {
            let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            assert_eq!(product, if i == j { 1.0 } else { 0.0 });
        }
    }
    assert!(rotated[0].iter().filter(|x| **x != 0.0).count() > 1);
}
