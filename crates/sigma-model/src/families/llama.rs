//! Llama 1 to 3.2, and what has its form: SmolLM, SmolLM2, TinyLlama.

use serde_json::json;

use super::config_file::ConfigFile;
use super::gated_rms::{self, Defaults};
use super::{Family, rope_write};
use crate::ModelError;
use crate::spec::{Activation, DecoderSpec, SpecialTokens};

pub(super) const FAMILY: Family = Family {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    prefix: "model.",
    closed: false,
    buffers: &["rotary_emb.inv_freq"],
    spec,
    write_rope: rope_write::write,
    place: |slot| gated_rms::place(slot, "post_attention_layernorm"),
};

fn spec(config: &mut ConfigFile) -> Result<DecoderSpec, ModelError> {
    let defaults = Defaults {
        vocab_size: 32_000,
        hidden_size: 4096,
        intermediate_size: 11_008,
        num_hidden_layers: 32,
        num_attention_heads: 32,
        num_key_value_heads: None,
        head_dim: None,
        max_position_embeddings: 2048,
        rms_norm_eps: 1e-6,
        tied: false,
        activation: ("hidden_act", Activation::Silu),
        special_tokens: SpecialTokens { bos: Some(1), eos: vec![2], pad: None },
    };
    let mut spec = gated_rms::spec(config, &defaults)?;
    gated_rms::attention_bias(config, &mut spec)?;
    spec.mlp.bias = config.flag("mlp_bias", false)?;
    // Llama 1 and 2 were released without the key
    let rope = gated_rms::rope(config, &spec, Some(10_000.0))?;
    let windows = vec![None; gated_rms::layers(config, &defaults)?];
    spec.layers = gated_rms::turning_layers(&rope, gated_rms::score_scale(&spec), windows);
    // how products were cut into slices on several devices; the sums are the same
    config.ignore(&["pretraining_tp"]);
    // notes of SmolLM's training framework
    config.only(
        "rope_interleaved",
        &[json!(false), json!(null)],
        "only pairs of dimension j with j + head_dim / 2 are supported",
    )?;
    config.ignore(&["is_llama_config", "transformers.js_config"]);
    Ok(spec)
}
