//! The accumulator against its float64 twin and against itself.

use super::*;
use crate::gram::tests::rows;
use crate::spectrum::Spectrum;
use crate::{Embeddings, Observed, QuadraticMoments, SigmaConfig, diversity, sigma_ub, sigma_ub_of_gram};

fn unit(rows: &Embeddings) -> Vec<f32> {
    let norm = |i: usize| rows.energy(i).sqrt() as f32;
    (0..rows.n()).flat_map(|i| rows.row(i).iter().map(move |x| x / norm(i)).collect::<Vec<_>>()).collect()
}

fn accumulated(d: usize, precision: Precision, blocks: &[&[f32]]) -> GramAccumulator {
    let mut accumulator = GramAccumulator::with_precision(d, precision).unwrap();
    for block in blocks {
        accumulator.push(block).unwrap();
    }
    accumulator
}

/// The largest difference of two matrices in spectral norm, over the trace of the second.
fn relative_error(found: &Gram, exact: &Gram) -> f64 {
    let (difference, d) = (found.lower() - exact.lower(), exact.d());
    let trace: f64 = (0..d).map(|i| exact.lower()[(i, i)]).sum();
    // the spectral norm is at most the largest row sum
    let row = |i: usize| (0..d).map(|j| difference[(i.max(j), i.min(j))].abs()).sum::<f64>();
    let bound = (0..d).map(row).fold(0.0, f64::max);
    let squares: f64 = (0..d)
        .flat_map(|i| (0..=i).map(move |j| (i, j)))
        .map(|(i, j)| difference[(i, j)].powi(2) * if i == j { 1.0 } else { 2.0 })
        .sum();
    bound.min(squares.sqrt()) / trace
}

fn exact(d: usize, values: &[f32]) -> Gram {
    let n = values.len() / d;
    Gram::of(&Embeddings::new(n, d, values.to_vec()).unwrap(), &(0..n).collect::<Vec<_>>())
}

#[test]
fn float32_products_keep_the_stated_error_and_float64_products_are_exact() {
    for (n, d) in [(1, 1), (5, 3), (255, 17), (257, 64), (9000, 40), (4500, 384), (700, 520), (300, 1100)] {
        let values = unit(&rows(n, d, 7));
        let oracle = exact(d, &values);
        let single = accumulated(d, Precision::Single, &[&values]);
        let error = relative_error(&single.complete().unwrap().gram(), &oracle);
        assert!(error < 1e-6, "n {n} d {d}: {error}");
        assert!((single.eigenvalue_error() / (SINGLE_ERROR * n as f64) - 1.0).abs() < 1e-4);
        let double = accumulated(d, Precision::Double, &[&values]);
        assert!(relative_error(&double.complete().unwrap().gram(), &oracle) < 1e-14, "n {n} d {d}");
        assert_eq!(double.eigenvalue_error(), 0.0);
    }
}

/// Rows that are alike round alike, so their errors add up instead of averaging out.
#[test]
fn rows_that_are_all_equal_and_rows_of_low_rank_keep_the_stated_error() {
    let d = 48;
    for seed in 0..20 {
        let basis = unit(&rows(5, d, seed));
        for rank in [1, 2, 5] {
            let values: Vec<f32> = (0..5000).flat_map(|i| basis[i % rank * d..][..d].to_vec()).collect();
            let single = accumulated(d, Precision::Single, &[&values]).complete().unwrap().into_owned();
            let error = relative_error(&single.gram(), &exact(d, &values));
            assert!(error < SINGLE_ERROR, "rank {rank}: {error}");
            assert_eq!(Spectrum::of(&single.gram()).unwrap().rank_above(single.eigenvalue_error()), rank);
        }
    }
}

#[test]
fn neither_threads_nor_the_cut_into_blocks_change_a_byte() {
    for d in [24, 530] {
        let values = unit(&rows(3 * GROUP + 100, d, 3));
        let whole = accumulated(d, Precision::Single, &[&values]);
        let blocks: Vec<&[f32]> = values.chunks(997 * d).collect();
        assert!(accumulated(d, Precision::Single, &blocks) == whole);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let same = pool.install(|| accumulated(d, Precision::Single, &[&values]).complete().unwrap().into_owned());
            assert!(same == *whole.complete().unwrap(), "{threads} threads");
        }
    }
}

#[test]
fn merged_shards_equal_the_whole_and_widths_must_agree() {
    let d = 30;
    let values = unit(&rows(10_000, d, 5));
    let whole = accumulated(d, Precision::Double, &[&values]).complete().unwrap().into_owned();
    let mut merged = GramAccumulator::with_precision(d, Precision::Double).unwrap();
    for shard in values.chunks(3777 * d) {
        merged.merge(&accumulated(d, Precision::Double, &[shard])).unwrap();
    }
    assert_eq!((merged.n(), merged.sums.unit_rows), (10_000, 10_000));
    assert!(relative_error(&merged.gram(), &whole.gram()) < 1e-14);
    assert_eq!(merged.sums.largest_energy, whole.sums.largest_energy);
    assert!((merged.mean_cosine().unwrap() - whole.mean_cosine().unwrap()).abs() < 1e-12);
    let error = merged.merge(&GramAccumulator::new(31).unwrap()).unwrap_err();
    assert_eq!(error, MetricsError::Width { left: 30, right: 31 });
}

#[test]
fn the_measurement_of_a_gram_is_that_of_its_rows() {
    let (n, d) = (6000, 24);
    let values = unit(&rows(n, d, 9));
    let embeddings = Embeddings::new(n, d, values.clone()).unwrap();
    let observed: Vec<usize> = (0..n).collect();
    let config = SigmaConfig { observed: Observed::All, ..SigmaConfig::default() };
    for (precision, tolerance) in [(Precision::Double, 1e-10), (Precision::Single, 1e-4)] {
        let gram = accumulated(d, precision, &[&values]);
        let mut moments = QuadraticMoments::new(&gram, config.delta).unwrap();
        values.chunks(2500 * d).for_each(|block| moments.push(block).unwrap());
        for total in [None, Some(20_000)] {
            let slow = sigma_ub(&embeddings, &observed, total, &config).unwrap();
            let fast = sigma_ub_of_gram(&gram, total, Some(&moments), &config).unwrap();
            let near =
                |a: f64, b: f64| assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{precision:?}: {a} vs {b}");
            let (a, b) = (&fast.sigma, &slow);
            assert_eq!((a.n, a.n_a, a.d, a.rank, a.beta), (b.n, b.n_a, b.d, b.rank, b.beta));
            for (a, b) in [
                (a.s, b.s),
                (a.u_cov, b.u_cov),
                (a.g_kf, b.g_kf),
                (a.condition, b.condition),
                (a.lambda_max, b.lambda_max),
                (a.lambda_min, b.lambda_min),
                (a.plugin.unwrap(), b.plugin.unwrap()),
                (a.overestimation, b.overestimation),
                (a.theorem1.log_upper, b.theorem1.log_upper),
                (a.theorem1.lambda_b, b.theorem1.lambda_b),
            ] {
                near(a, b);
            }
            let (a, b) = (a.theorem3.clone().unwrap(), b.theorem3.clone().unwrap());
            near(a.s, b.s);
            near(a.half_width, b.half_width);
            let slow = diversity(&embeddings, &observed, &slow.spectrum).unwrap();
            near(fast.diversity.effective_rank, slow.effective_rank);
            near(fast.diversity.rank_me, slow.rank_me);
            near(fast.diversity.vendi_2, slow.vendi_2);
            near(fast.diversity.mean_cosine.unwrap(), slow.mean_cosine.unwrap());
            assert!(
                (fast.sigma.s - b.center + d as f64 * (fast.sigma.n as f64 / n as f64).ln()).abs()
                    <= fast.s_error + 1e-9
            );
        }
    }
    assert_eq!(
        sigma_ub_of_gram(&accumulated(d, Precision::Single, &[&values]), None, None, &config).unwrap().sigma.theorem3,
        None
    );
}

#[test]
fn a_collapsed_set_is_measured_without_ridge_trouble_and_says_how_uncertain_it_is() {
    let d = 16;
    let values: Vec<f32> = unit(&rows(1, d, 1)).repeat(50_000);
    let config = SigmaConfig { observed: Observed::All, ..SigmaConfig::default() };
    let single = sigma_ub_of_gram(&accumulated(d, Precision::Single, &[&values]), None, None, &config).unwrap();
    assert_eq!(single.sigma.rank, 1);
    assert!(single.s_error > 1.0, "{}", single.s_error);
    assert!((single.diversity.vendi_1 - 1.0).abs() < 1e-6);
    let double = sigma_ub_of_gram(&accumulated(d, Precision::Double, &[&values]), None, None, &config).unwrap();
    assert_eq!((double.sigma.rank, double.s_error), (1, 0.0));
    assert!((double.sigma.s - (50_000f64.ln() + 15.0 * 1e-3f64.ln())).abs() < 1e-3, "{}", double.sigma.s);
}

#[test]
fn what_cannot_be_accumulated_is_refused_by_row_and_column() {
    assert_eq!(GramAccumulator::new(0).unwrap_err(), MetricsError::ZeroWidth);
    assert!(matches!(GramAccumulator::new(usize::MAX), Err(MetricsError::TooWide { .. })));
    let mut gram = GramAccumulator::new(2).unwrap();
    assert_eq!(gram.push(&[1.0; 3]), Err(MetricsError::Shape { n: 1, d: 2, values: 3 }));
    gram.push(&[1.0, 0.0]).unwrap();
    let error = gram.push(&[1.0, 0.0, 0.0, f32::INFINITY]).unwrap_err();
    assert_eq!(error, MetricsError::NonFinite { row: 2, column: 1, value: f32::INFINITY });
    let mut long = vec![0.5; 2 * 2 * GROUP];
    long[2 * 5000] = f32::NAN;
    let error = GramAccumulator::new(2).unwrap().push(&long).unwrap_err();
    assert!(matches!(error, MetricsError::NonFinite { row: 5000, column: 0, .. }), "{error}");
    assert!(matches!(gram.push(&[1e30, 0.0]), Err(MetricsError::Overflow { row: 1, .. })));
    let config = SigmaConfig { observed: Observed::All, ..SigmaConfig::default() };
    gram.push(&[3.0, 0.0]).unwrap();
    assert!(matches!(sigma_ub_of_gram(&gram, None, None, &config), Err(MetricsError::LargestEnergy { .. })));
    let fresh = GramAccumulator::new(2).unwrap();
    assert!(matches!(sigma_ub_of_gram(&fresh, None, None, &config), Err(MetricsError::NothingObserved { .. })));
    let some = SigmaConfig { observed: Observed::Count(500), ..config };
    assert!(matches!(sigma_ub_of_gram(&fresh, None, None, &some), Err(MetricsError::ObservedOfGram { count: 500 })));
}

#[test]
fn a_saved_accumulator_is_loaded_whole_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shard.gram");
    let values = unit(&rows(5000, 20, 2));
    let gram = accumulated(20, Precision::Single, &[&values]);
    gram.save(&path).unwrap();
    let loaded = GramAccumulator::load(&path).unwrap();
    let lower = |gram: &GramAccumulator| gram.complete().unwrap().gram().lower().clone();
    assert_eq!((loaded.n(), loaded.d(), lower(&loaded)), (5000, 20, lower(&gram)));
    assert_eq!(loaded.sums, gram.complete().unwrap().sums);
    let again = dir.path().join("again.gram");
    loaded.save(&again).unwrap();
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&again).unwrap(), "equal sums are equal files");
    let mut doubled = loaded.clone();
    doubled.merge(&gram).unwrap();
    assert_eq!(doubled.n(), 10_000);
}

#[test]
fn a_truncated_foreign_or_changed_file_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shard.gram");
    accumulated(3, Precision::Single, &[&[0.5; 30]]).save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    let refused = |content: &[u8], word: &str| {
        std::fs::write(&path, content).unwrap();
        let message = GramAccumulator::load(&path).unwrap_err().to_string();
        assert!(message.contains("shard.gram") && message.contains(word), "{message}");
    };
    for length in 0..good.len() {
        refused(&good[..length], "");
    }
    refused(&good[..good.len() - 1], "incomplete");
    refused(&[&good[..], &[0]].concat(), "damaged");
    refused(b"\x93NUMPY\x01\x00 something else entirely", "no Gram matrix");
    let text = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    refused(&text(br#""version":"1""#, br#""version":"9""#), "version 9");
    refused(&text(br#""d":"3""#, br#""d":"4""#), "damaged");
    refused(&text(br#""n":"10""#, br#""n":"1x""#), "damaged");
    refused(&text(br#""n":"10""#, br#""n":"01""#), "contradict");
    refused(&[&u64::MAX.to_le_bytes()[..], &good[8..]].concat(), "no Gram matrix");
    let mut nan = good.clone();
    let end = nan.len();
    nan[end - 8..].copy_from_slice(&f64::NAN.to_le_bytes());
    refused(&nan, "NaN");
    let missing = GramAccumulator::load(&dir.path().join("none.gram")).unwrap_err().to_string();
    assert!(missing.contains("none.gram"), "{missing}");
}
