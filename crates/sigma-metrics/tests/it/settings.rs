//! The config sections as they are written in files, and records as they are read back.

use sigma_metrics::{Observed, SigmaConfig, SigmaUb, SurfaceConfig, sigma_ub};

use crate::synthetic::rows;

fn sigma(json: &str) -> Result<SigmaConfig, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn an_empty_section_is_the_papers() {
    let paper = SigmaConfig { observed: Observed::All, delta: 1e-3, rho: 1.0, confidence: 0.95 };
    assert_eq!(sigma("{}"), Ok(paper.clone()));
    assert_eq!(paper.validate(), Ok(()));
    let surface: SurfaceConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(surface, SurfaceConfig { hhi_ngram: 3, hhi_buckets: 16384, self_bleu_texts: 100 });
    assert_eq!(surface.validate(), Ok(()));
}

#[test]
fn observed_is_a_positive_integer_or_all() {
    for (json, expected) in [("7", Observed::Count(7)), ("\"all\"", Observed::All)] {
        assert_eq!(serde_json::from_str::<Observed>(json).unwrap(), expected);
        assert_eq!(serde_json::to_string(&expected).unwrap(), json);
        assert_eq!(expected.to_string().parse(), Ok(expected));
    }
    for json in ["0", "-3", "1.5", "\"some\"", "\"7\"", "true", "null", "[1]"] {
        let error = serde_json::from_str::<Observed>(json).unwrap_err().to_string();
        assert!(error.contains("a positive integer or \"all\""), "{json}: {error}");
    }
    for text in ["0", "-3", "ALL", "", "1e3"] {
        assert!(text.parse::<Observed>().is_err(), "{text}");
    }
}

#[test]
fn unknown_keys_are_errors() {
    assert!(sigma(r#"{"obseved": 3}"#).is_err_and(|error| error.contains("obseved")));
    assert!(serde_json::from_str::<SurfaceConfig>(r#"{"ngram": 3}"#).is_err());
}

#[test]
fn settings_survive_a_round_trip() {
    let config = SigmaConfig { observed: Observed::All, delta: 0.5, rho: 2.0, confidence: 0.9 };
    assert_eq!(sigma(&serde_json::to_string(&config).unwrap()), Ok(config));
}

#[test]
fn a_measurement_carries_the_names_users_script_against_and_no_spectrum() {
    let observed: Vec<usize> = (0..6).collect();
    let mut measured = sigma_ub(&rows(9, 4, 3), &observed, None, &SigmaConfig::default()).unwrap();
    let json = serde_json::to_value(&measured).unwrap();
    for name in ["n", "n_a", "d", "delta", "rho", "beta", "s", "u_cov", "g_kf", "u_cov_full", "theorem1", "theorem3"] {
        assert!(json.get(name).is_some_and(|value| !value.is_null()), "{name}");
    }
    assert!(json.get("spectrum").is_none());
    assert_eq!(measured.spectrum.len(), 4);

    let read: SigmaUb = serde_json::from_value(json).unwrap();
    measured.spectrum.clear();
    assert_eq!(read, measured);
}
