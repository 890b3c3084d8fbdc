//! The sections of an experiment's config, as YAML.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigma_data::{CorpusConfig, PromptsConfig};
use sigma_embed::EncoderConfig;
use sigma_generate::{EvaluationConfig, RegenerationConfig};
use sigma_metrics::{SigmaConfig, SurfaceConfig};
use sigma_train::TrainingConfig;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = serde_yaml::from_str::<CorpusConfig>(text).map(|section| section.text_file().is_ok());
    let _ = serde_yaml::from_str::<PromptsConfig>(text).map(|section| section.text_file().is_ok());
    let _ = serde_yaml::from_str::<TrainingConfig>(text).map(|section| section.validate().is_ok());
    let _ = serde_yaml::from_str::<RegenerationConfig>(text).map(|section| section.nucleus().is_ok());
    let _ = serde_yaml::from_str::<EvaluationConfig>(text).map(|section| section.nucleus().is_ok());
    let _ = serde_yaml::from_str::<EncoderConfig>(text).map(|section| section.validate().is_ok());
    let _ = serde_yaml::from_str::<SigmaConfig>(text).map(|section| section.validate().is_ok());
    let _ = serde_yaml::from_str::<SurfaceConfig>(text).map(|section| section.validate().is_ok());
});
