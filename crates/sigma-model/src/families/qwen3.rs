//! Qwen3: Llama with norms of each head's queries and keys, heads of a width of their own, and windows in some layers.

use super::config_file::ConfigFile;
use super::gated_rms::{self, Defaults};
use super::{Family, rope_write, windows};
use crate::ModelError;
use crate::spec::{Activation, DecoderSpec, QkNorm, SpecialTokens};

pub(super) const FAMILY: Family = Family {
    model_type: "qwen3",
    architecture: "Qwen3ForCausalLM",
    prefix: "model.",
    closed: false,
    buffers: &["rotary_emb.inv_freq"],
    spec,
    write_rope: rope_write::write,
    place: |slot| gated_rms::place(slot, "post_attention_layernorm"),
};

fn spec(config: &mut ConfigFile) -> Result<DecoderSpec, ModelError> {
    let defaults = Defaults {
        vocab_size: 151_936,
        hidden_size: 4096,
        intermediate_size: 22_016,
        num_hidden_layers: 32,
        num_attention_heads: 32,
        num_key_value_heads: Some(32),
        head_dim: Some(128),
        max_position_embeddings: 32_768,
        rms_norm_eps: 1e-6,
        tied: false,
        activation: ("hidden_act", Activation::Silu),
        special_tokens: SpecialTokens::default(),
    };
    let mut spec = gated_rms::spec(config, &defaults)?;
    gated_rms::attention_bias(config, &mut spec)?;
    spec.attention.qk_norm = QkNorm::PerHead;
    let rope = gated_rms::rope(config, &spec, None)?;
    let layers = gated_rms::layers(config, &defaults)?;
    spec.layers =
        gated_rms::turning_layers(&rope, gated_rms::score_scale(&spec), windows::of_last_layers(config, layers)?);
    Ok(spec)
}
