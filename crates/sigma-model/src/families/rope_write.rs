//! Rotary positions into a config.json: for transformers 4 under `rope_theta` and `rope_scaling`, for 5 as
//! `rope_parameters`.

use serde_json::{Map, Value, json};

use crate::spec::{DecoderSpec, Rope, RopeScaling};

/// Of a model whose rotating layers all rotate alike, by a whole head.
pub(super) fn write(spec: &DecoderSpec, config: &mut Map<String, Value>) {
    if let Some(rope) = spec.layers.iter().find_map(|layer| layer.rope.as_ref()) {
        write_one(rope, config);
    }
}

pub(super) fn write_one(rope: &Rope, config: &mut Map<String, Value>) {
    let scaling =
        if rope.scaling == RopeScaling::Default { Value::Null } else { Value::Object(scaling(&rope.scaling)) };
    config.insert("rope_theta".to_string(), json!(rope.theta));
    config.insert("rope_scaling".to_string(), scaling);
    config.insert("rope_parameters".to_string(), Value::Object(parameters(rope)));
}

/// As transformers 5 writes the dictionary of one kind of layer.
pub(super) fn parameters(rope: &Rope) -> Map<String, Value> {
    let mut parameters = scaling(&rope.scaling);
    parameters.insert("rope_theta".to_string(), json!(rope.theta));
    parameters
}

fn scaling(scaling: &RopeScaling) -> Map<String, Value> {
    let value = match scaling {
        RopeScaling::Default => json!({"rope_type": "default"}),
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions } => json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor, "original_max_position_embeddings": *original_max_positions as u64,
        }),
        RopeScaling::Yarn { factor, beta_fast, beta_slow, original_max_positions, truncate, attention_factor } => {
            json!({
                "rope_type": "yarn", "factor": factor, "beta_fast": beta_fast, "beta_slow": beta_slow,
                "truncate": truncate, "attention_factor": attention_factor,
                "original_max_position_embeddings": *original_max_positions as u64,
            })
        }
    };
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
