//! Diversity for any rows: the order of the counts, and the n x n kernel as a slow twin of the d x d Gram matrix.

use faer::Mat;
use proptest::prelude::*;
use sigma_metrics::{Diversity, Embeddings, SigmaConfig, SigmaUb, diversity, sigma_ub};

use crate::synthetic::Lcg;

/// n rows of unit norm and width d, of which the first `period` repeat.
fn unit_rows(n: usize, d: usize, period: usize, seed: u64) -> Embeddings {
    let mut lcg = Lcg(seed);
    let mut values: Vec<f32> = Vec::new();
    for i in 0..n {
        if i >= period {
            let repeated = values[(i % period) * d..][..d].to_vec();
            values.extend(repeated);
            continue;
        }
        let row: Vec<f64> = (0..d).map(|_| lcg.next_normal()).collect();
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        values.extend(row.iter().map(|x| (x / norm) as f32));
    }
    Embeddings::new(n, d, values).unwrap()
}

fn measured(rows: &Embeddings, observed: &[usize]) -> (SigmaUb, Diversity) {
    let sigma = sigma_ub(rows, observed, None, &SigmaConfig::default()).unwrap();
    let diversity = diversity(rows, observed, &sigma.spectrum).unwrap();
    (sigma, diversity)
}

/// Cosines of all pairs of observed rows.
fn kernel(rows: &Embeddings, observed: &[usize]) -> Mat<f64> {
    let dot = |a: usize, b: usize| -> f64 {
        rows.row(a).iter().zip(rows.row(b)).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    Mat::from_fn(observed.len(), observed.len(), |i, j| {
        let (a, b) = (observed[i], observed[j]);
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    })
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-5 * expected.abs().max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn counts_lie_between_one_and_the_rank_in_order(
        (n, d, period) in (2..40usize, 1..24usize, 1..40usize), seed in any::<u64>(), step in 1..3usize
    ) {
        let rows = unit_rows(n, d, period.min(n), seed);
        let observed: Vec<usize> = (0..n).step_by(step).collect();
        let (sigma, found) = measured(&rows, &observed);
        let slack = 1.0 + 1e-9;
        prop_assert!(found.vendi_inf * slack >= 1.0, "{found:?}");
        prop_assert!(found.vendi_2 * slack >= found.vendi_inf, "{found:?}");
        prop_assert!(found.vendi_1 * slack >= found.vendi_2, "{found:?}");
        // Roots are spread more evenly than what they are roots of.
        prop_assert!(found.effective_rank * slack >= found.vendi_1, "{found:?}");
        prop_assert!(found.effective_rank <= sigma.rank as f64 * slack, "{found:?} rank {}", sigma.rank);
        prop_assert!((found.rank_me - found.effective_rank).abs() < 1e-3 * found.effective_rank, "{found:?}");
        if let Some(cosine) = found.mean_cosine {
            prop_assert!(cosine * slack + 1e-9 >= -1.0 / (observed.len() as f64 - 1.0) && cosine <= 1.0, "{cosine}");
        }
    }

    #[test]
    fn the_n_by_n_kernel_gives_the_same_scores(
        (n, d, period) in (2..30usize, 1..20usize, 1..30usize), seed in any::<u64>()
    ) {
        let rows = unit_rows(n, d, period.min(n), seed);
        let observed: Vec<usize> = (0..n).filter(|i| i % 3 != 2).collect();
        let (_, found) = measured(&rows, &observed);
        let kernel = kernel(&rows, &observed);
        let size = observed.len() as f64;
        let shares: Vec<f64> = kernel.self_adjoint_eigenvalues(faer::Side::Lower).unwrap().iter().map(|x| x / size).collect();
        let entropy: f64 = shares.iter().filter(|p| **p > 1e-13).map(|p| -p * p.ln()).sum();
        let largest = shares.iter().copied().fold(0.0, f64::max);
        prop_assert!(near(found.vendi_1, entropy.exp()), "{found:?} {}", entropy.exp());
        prop_assert!(near(found.vendi_2, 1.0 / shares.iter().map(|p| p * p).sum::<f64>()), "{found:?}");
        prop_assert!(near(found.vendi_inf, 1.0 / largest), "{found:?}");
        let pairs: f64 = (0..observed.len())
            .flat_map(|i| (0..observed.len()).map(move |j| (i, j)))
            .filter(|(i, j)| i != j)
            .map(|(i, j)| kernel[(i, j)])
            .sum();
        if observed.len() > 1 {
            prop_assert!((found.mean_cosine.unwrap() - pairs / (size * (size - 1.0))).abs() < 1e-9, "{found:?}");
        }
    }
}
