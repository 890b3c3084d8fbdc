//! SmolLM3: Llama with some layers that have no positions.

use serde_json::Value;

use super::config_file::ConfigFile;
use super::gated_rms::{self, Defaults};
use super::{Family, rope_write, windows};
use crate::ModelError;
use crate::spec::{Activation, DecoderSpec, Layer, SpecialTokens};

pub(super) const FAMILY: Family = Family {
    model_type: "smollm3",
    architecture: "SmolLM3ForCausalLM",
    prefix: "model.",
    closed: false,
    buffers: &["rotary_emb.inv_freq"],
    spec,
    write_rope: rope_write::write,
    place: |slot| gated_rms::place(slot, "post_attention_layernorm"),
};

fn spec(config: &mut ConfigFile) -> Result<DecoderSpec, ModelError> {
    let defaults = Defaults {
        vocab_size: 128_256,
        hidden_size: 2048,
        intermediate_size: 11_008,
        num_hidden_layers: 36,
        num_attention_heads: 16,
        num_key_value_heads: Some(4),
        head_dim: None,
        max_position_embeddings: 32_768,
        rms_norm_eps: 1e-6,
        tied: true,
        activation: ("hidden_act", Activation::Silu),
        special_tokens: SpecialTokens { bos: Some(128_000), eos: vec![128_001], pad: Some(128_004) },
    };
    let mut spec = gated_rms::spec(config, &defaults)?;
    gated_rms::attention_bias(config, &mut spec)?;
    spec.mlp.bias = config.flag("mlp_bias", false)?;
    let rope = gated_rms::rope(config, &spec, Some(2_000_000.0))?;
    let layers = gated_rms::layers(config, &defaults)?;
    let turning = turning(config, layers)?;

    let used = config.flag("use_sliding_window", false)?;
    let window = config.size_or_null("sliding_window", None)?.filter(|_| used);
    let by_default = turning.iter().map(|turns| window.is_some() && !turns).collect();
    let windows = windows::by_type(config, layers, window, by_default)?;
    let score_scale = gated_rms::score_scale(&spec);
    let layer = |(turns, window): (bool, _)| Layer { rope: turns.then(|| rope.clone()), window, score_scale };
    spec.layers = turning.into_iter().zip(windows).map(layer).collect();
    // written by its training; neither is read
    config.ignore(&["max_window_layers", "pretraining_tp"]);
    Ok(spec)
}

/// Which layers have rotary positions: `no_rope_layers` is 1 where they have, or every layer but each fourth.
fn turning(config: &mut ConfigFile, layers: usize) -> Result<Vec<bool>, ModelError> {
    let interval = config.size("no_rope_layer_interval", 4)?;
    let Some(value) = config.some("no_rope_layers") else {
        return Ok((1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect());
    };
    let turns = |flag: &Value| match flag.as_u64() {
        Some(0) => Some(false),
        Some(1) => Some(true),
        _ => None,
    };
    let flags: Option<Vec<bool>> = value.as_array().and_then(|all| all.iter().map(turns).collect());
    match flags {
        Some(flags) if flags.len() == layers => Ok(flags),
        _ => {
            config.refuse("no_rope_layers", &value, &format!("it must be a list of 0 or 1 for each of {layers} layers"))
        }
    }
}
