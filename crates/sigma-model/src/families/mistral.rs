//! Mistral: Llama without biases, with a window over which all layers look back.

use super::config_file::ConfigFile;
use super::gated_rms::{self, Defaults};
use super::{Family, rope_write};
use crate::ModelError;
use crate::spec::{Activation, DecoderSpec, SpecialTokens};

pub(super) const FAMILY: Family = Family {
    model_type: "mistral",
    architecture: "MistralForCausalLM",
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
        intermediate_size: 14_336,
        num_hidden_layers: 32,
        num_attention_heads: 32,
        num_key_value_heads: Some(8),
        head_dim: None,
        max_position_embeddings: 131_072,
        rms_norm_eps: 1e-6,
        tied: false,
        activation: ("hidden_act", Activation::Silu),
        special_tokens: SpecialTokens { bos: Some(1), eos: vec![2], pad: None },
    };
    let mut spec = gated_rms::spec(config, &defaults)?;
    let rope = gated_rms::rope(config, &spec, Some(10_000.0))?;
    // null is none; absent is not
    let window = config.size_or_null("sliding_window", Some(4096))?;
    let windows = vec![window; gated_rms::layers(config, &defaults)?];
    spec.layers = gated_rms::turning_layers(&rope, gated_rms::score_scale(&spec), windows);
    Ok(spec)
}
