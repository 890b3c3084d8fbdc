//! Inputs that are refused, by variant and by the values that explain why.

use sigma_metrics::{Embeddings, MetricsError, SigmaConfig, SurfaceConfig, sigma_ub, surface};

use crate::synthetic::rows;

fn refusal(n: usize, observed: &[usize], total: Option<usize>, change: impl FnOnce(&mut SigmaConfig)) -> MetricsError {
    let mut config = SigmaConfig::default();
    change(&mut config);
    sigma_ub(&rows(n, 3, 1), observed, total, &config).unwrap_err()
}

#[test]
fn values_that_are_no_matrix_are_refused() {
    assert_eq!(Embeddings::new(2, 3, vec![0.0; 5]), Err(MetricsError::Shape { n: 2, d: 3, values: 5 }));
    assert_eq!(Embeddings::new(usize::MAX, 2, Vec::new()), Err(MetricsError::Shape { n: usize::MAX, d: 2, values: 0 }));
    assert_eq!(Embeddings::new(4, 0, Vec::new()), Err(MetricsError::ZeroWidth));
}

#[test]
fn a_value_that_is_not_finite_is_named_by_row_and_column() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = Embeddings::new(2, 3, vec![0.0, 0.0, 0.0, 0.0, bad, 0.0]).unwrap_err();
        assert!(matches!(error, MetricsError::NonFinite { row: 1, column: 1, .. }), "{error}");
    }
}

#[test]
fn nothing_observed_is_refused_by_its_symbol() {
    let error = refusal(4, &[], None, |_| ());
    assert_eq!(error, MetricsError::NothingObserved { n: 4 });
    assert!(error.to_string().contains("n_A = 0"));
    assert_eq!(refusal(0, &[], Some(9), |_| ()), MetricsError::NothingObserved { n: 0 });
}

#[test]
fn malformed_observed_sets_are_refused() {
    assert_eq!(refusal(4, &[1, 4], None, |_| ()), MetricsError::ObservedOutOfRange { row: 4, n: 4 });
    assert_eq!(refusal(4, &[2, 2], None, |_| ()), MetricsError::ObservedOrder { previous: 2, row: 2 });
    assert_eq!(refusal(4, &[0, 3, 1], None, |_| ()), MetricsError::ObservedOrder { previous: 3, row: 1 });
}

#[test]
fn a_total_below_the_observed_is_refused() {
    assert_eq!(refusal(4, &[0, 1, 2], Some(2), |_| ()), MetricsError::Total { total: 2, n_a: 3 });
    assert!(sigma_ub(&rows(4, 3, 1), &[0, 1, 2], Some(3), &SigmaConfig::default()).is_ok());
}

#[test]
fn rows_above_the_energy_cap_are_refused_even_where_unobserved() {
    let rows = |norm: f32| Embeddings::new(2, 2, vec![0.6, 0.8, 0.0, norm]).unwrap();
    let config = SigmaConfig::default();
    let error = sigma_ub(&rows(2.0), &[0], None, &config).unwrap_err();
    assert_eq!(error, MetricsError::Energy { row: 1, norm: 2.0, cap: 1.0 });
    assert!(error.to_string().contains("L2-normalise"));
    // ||v||^2 = 1.0008 is the rounding of a norm of 1, and 1.0012 is not.
    assert!(sigma_ub(&rows(1.0004), &[0], None, &config).is_ok());
    assert!(sigma_ub(&rows(1.0006), &[0], None, &config).is_err());
    assert!(sigma_ub(&rows(2.0), &[0], None, &SigmaConfig { rho: 4.0, ..config }).is_ok());
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    use sigma_metrics::Observed::Count;
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        for (field, error) in [
            ("delta", refusal(2, &[0], None, |config| config.delta = bad)),
            ("rho", refusal(2, &[0], None, |config| config.rho = bad)),
            ("confidence", refusal(2, &[0], None, |config| config.confidence = bad)),
        ] {
            assert!(matches!(error, MetricsError::Config { field: found, .. } if found == field), "{error}");
        }
    }
    for error in [refusal(2, &[0], None, |c| c.confidence = 1.0), refusal(2, &[0], None, |c| c.observed = Count(0))] {
        assert!(matches!(error, MetricsError::Config { field: "confidence" | "observed", .. }), "{error}");
    }
    for (config, name) in [
        (SurfaceConfig { hhi_ngram: 0, ..SurfaceConfig::default() }, "hhi_ngram"),
        (SurfaceConfig { hhi_buckets: 0, ..SurfaceConfig::default() }, "hhi_buckets"),
    ] {
        let error = surface(["a b c"], &config).unwrap_err();
        assert!(matches!(error, MetricsError::Config { field, .. } if field == name), "{error}");
    }
}

#[test]
fn a_ridge_lost_in_rounding_is_an_error_and_no_number() {
    // G_A is [[1, 1], [1, 1]], without rounding, and 1 + 1e-300 is 1.
    let rows = Embeddings::new(4, 2, vec![0.5; 8]).unwrap();
    let config = SigmaConfig { delta: 1e-300, ..SigmaConfig::default() };
    let error = sigma_ub(&rows, &[0, 1, 2, 3], None, &config).unwrap_err();
    assert_eq!(error, MetricsError::NotPositiveDefinite { pivot: 1, shift: 1e-300 });
    assert!(error.to_string().contains("raise delta"));
}

#[test]
fn a_subnormal_ridge_is_refused_in_few_digits_and_a_cap_below_unit_rows_before_there_are_rows() {
    let config = SigmaConfig { delta: 1e-320, ..SigmaConfig::default() };
    let error = config.validate().unwrap_err();
    assert!(matches!(error, MetricsError::Config { field: "delta", .. }));
    assert_eq!(
        error.to_string(),
        "`delta` is 1e-320, but must be positive, finite and no subnormal number (1e-307 or more)"
    );

    let config = SigmaConfig { rho: 0.99, ..SigmaConfig::default() };
    assert_eq!(config.validate(), Ok(()));
    let error = config.validate_for_unit_rows().unwrap_err();
    assert_eq!(error.to_string(), "`rho` is 0.99, but must be at least 1: embeddings have norm 1");
    assert_eq!(SigmaConfig::default().validate_for_unit_rows(), Ok(()));
}

#[test]
fn rows_too_wide_for_a_matrix_are_refused_before_it_is_made() {
    let wide = Embeddings::new(2, 100_000, vec![0.0; 200_000]).unwrap();
    let error = sigma_ub(&wide, &[0, 1], None, &SigmaConfig::default()).unwrap_err();
    assert_eq!(error, MetricsError::TooWide { d: 100_000, limit: 16_384 });
}
