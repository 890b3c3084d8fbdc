//! Self-BLEU against NLTK: `scripts/goldens/self_bleu.py` writes the goldens.

use serde::Deserialize;
use sigma_metrics::{SurfaceConfig, surface};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    texts: Vec<String>,
    self_bleu: f64,
}

#[test]
fn self_bleu_is_that_of_nltk() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../goldens/self_bleu.json")).unwrap();
    assert_eq!(cases.len(), 7);
    for Case { name, texts, self_bleu } in cases {
        let found = surface(texts.iter().map(String::as_str), &SurfaceConfig::default()).unwrap().self_bleu.unwrap();
        assert!((found - self_bleu).abs() < 1e-12, "{name}: {found} is not {self_bleu}");
    }
}
