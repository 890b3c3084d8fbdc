//! Which layers see a window of the text, from the keys by which configs say so.

use serde_json::json;

use super::config_file::ConfigFile;
use crate::ModelError;

pub(super) const FULL: &str = "full_attention";
pub(super) const SLIDING: &str = "sliding_attention";

/// `sliding_window` in the layers from `max_window_layers` on, or in those of `layer_types`, if `use_sliding_window`.
pub(super) fn of_last_layers(config: &mut ConfigFile, layers: usize) -> Result<Vec<Option<usize>>, ModelError> {
    let used = config.flag("use_sliding_window", false)?;
    let window = config.size_or_null("sliding_window", Some(4096))?.filter(|_| used);
    let full = match config.value("max_window_layers") {
        None => 28,
        Some(value) => match value.as_u64() {
            Some(layers) => layers as usize,
            None => return config.refuse("max_window_layers", &value, "it must be a number of layers"),
        },
    };
    let by_default = (0..layers).map(|layer| layer >= full && window.is_some()).collect();
    by_type(config, layers, window, by_default)
}

/// `window` in the layers that `layer_types` names, or where it is absent in those of `by_default`.
pub(super) fn by_type(
    config: &mut ConfigFile,
    layers: usize,
    window: Option<usize>,
    by_default: Vec<bool>,
) -> Result<Vec<Option<usize>>, ModelError> {
    let slides = match config.words("layer_types", layers, &[FULL, SLIDING])? {
        Some(words) => words.into_iter().map(|word| word == SLIDING).collect(),
        None => by_default,
    };
    if window.is_none() && slides.contains(&true) {
        let remedy = "`layer_types` names layers with a window, so that `sliding_window` must say how wide it is (and \
                      `use_sliding_window`, where a family has it, must be true)";
        return config.refuse("sliding_window", &json!(null), remedy);
    }
    Ok(slides.into_iter().map(|slides| window.filter(|_| slides)).collect())
}
