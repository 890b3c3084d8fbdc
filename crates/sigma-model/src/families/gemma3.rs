//! The text model of Gemma 3: Gemma 2 with norms of each head's queries and keys instead of caps, and another theta in
//! layers with a
//! window. The models of 4B and more wrap it with a vision tower under `gemma3`, which is not supported.

use serde_json::{Map, Value, json};

use super::config_file::ConfigFile;
use super::gated_rms::{self, Defaults};
use super::gemma2::{self, Caps};
use super::{Family, rope_keys, rope_write, windows};
use crate::ModelError;
use crate::spec::{Activation, DecoderSpec, Layer, QkNorm, Rope, SpecialTokens};

pub(super) const FAMILY: Family = Family {
    model_type: "gemma3_text",
    architecture: "Gemma3ForCausalLM",
    prefix: "model.",
    closed: false,
    buffers: &["rotary_emb.inv_freq"],
    spec,
    write_rope,
    place: |slot| gated_rms::place(slot, "pre_feedforward_layernorm"),
};

const GLOBAL_THETA: f64 = 1_000_000.0;
const LOCAL_THETA: f64 = 10_000.0;

fn spec(config: &mut ConfigFile) -> Result<DecoderSpec, ModelError> {
    let defaults = Defaults {
        vocab_size: 262_208,
        hidden_size: 2304,
        intermediate_size: 9216,
        num_hidden_layers: 26,
        num_attention_heads: 8,
        num_key_value_heads: Some(4),
        head_dim: Some(256),
        max_position_embeddings: 131_072,
        rms_norm_eps: 1e-6,
        tied: true,
        activation: ("hidden_activation", Activation::GeluTanh),
        special_tokens: SpecialTokens { bos: Some(2), eos: vec![1], pad: Some(0) },
    };
    let mut spec = gated_rms::spec(config, &defaults)?;
    let score_scale = gemma2::of_gemma(config, &mut spec, &Caps { scores: None, logits: None })?;
    spec.attention.qk_norm = QkNorm::PerHead;
    let layers = gated_rms::layers(config, &defaults)?;
    let window = config.size_or_null("sliding_window", Some(4096))?;
    let old_pattern = config.size("sliding_window_pattern", 6)?;
    let pattern = config.size("_sliding_window_pattern", old_pattern)?;
    let by_default = (1..=layers).map(|layer| window.is_some() && !layer.is_multiple_of(pattern)).collect();
    let windows = windows::by_type(config, layers, window, by_default)?;

    let keys = |theta, default_theta, layer_type, scaled| rope_keys::Keys {
        head_dim: spec.attention.head_dim,
        max_positions: spec.max_positions,
        theta,
        default_theta: Some(default_theta),
        layer_type: Some(layer_type),
        scaled,
        share: None,
    };
    let global = rope_keys::read(config, &keys("rope_theta", GLOBAL_THETA, windows::FULL, true))?;
    let local = rope_keys::read(config, &keys("rope_local_base_freq", LOCAL_THETA, windows::SLIDING, false))?;
    if let Some(Value::Object(all)) = config.some("rope_parameters") {
        let known = [windows::FULL, windows::SLIDING];
        if let Some((key, value)) = all.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            let remedy = "it must hold a dictionary for full_attention and one for sliding_attention";
            return config.refuse(&format!("rope_parameters.{key}"), value, remedy);
        }
    }
    let layer = |window: Option<usize>| {
        let rope = if window.is_some() { local.clone() } else { global.clone() };
        Layer { rope: Some(rope), window, score_scale }
    };
    spec.layers = windows.into_iter().map(layer).collect();
    Ok(spec)
}

fn write_rope(spec: &DecoderSpec, config: &mut Map<String, Value>) {
    let of = |sliding: bool| {
        spec.layers.iter().find(|layer| layer.window.is_some() == sliding).and_then(|layer| layer.rope.clone())
    };
    let plain = |theta| Rope { theta, rotated: spec.attention.head_dim, scaling: crate::spec::RopeScaling::Default };
    let global = of(false).unwrap_or_else(|| plain(GLOBAL_THETA));
    let local = of(true).unwrap_or_else(|| plain(LOCAL_THETA));
    rope_write::write_one(&global, config);
    config.insert("rope_local_base_freq".to_string(), json!(local.theta));
    let parameters = json!({
        "full_attention": rope_write::parameters(&global), "sliding_attention": rope_write::parameters(&local),
    });
    config.insert("rope_parameters".to_string(), parameters);
}
