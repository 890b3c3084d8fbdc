//! OLMo 2: norms behind the branches instead of before them, and of whole rows of queries and keys.

use super::config_file::ConfigFile;
use super::gated_rms::{self, Defaults};
use super::{Family, rope_write};
use crate::ModelError;
use crate::spec::{Activation, DecoderSpec, NormPlace, QkNorm, SpecialTokens};

pub(super) const FAMILY: Family = Family {
    model_type: "olmo2",
    architecture: "Olmo2ForCausalLM",
    prefix: "model.",
    closed: false,
    buffers: &["rotary_emb.inv_freq"],
    spec,
    write_rope: rope_write::write,
    // it has no norm before its MLP
    place: |slot| gated_rms::place(slot, ""),
};

fn spec(config: &mut ConfigFile) -> Result<DecoderSpec, ModelError> {
    let defaults = Defaults {
        vocab_size: 50_304,
        hidden_size: 4096,
        intermediate_size: 11_008,
        num_hidden_layers: 32,
        num_attention_heads: 32,
        num_key_value_heads: None,
        head_dim: None,
        max_position_embeddings: 2048,
        rms_norm_eps: 1e-5,
        tied: false,
        activation: ("hidden_act", Activation::Silu),
        special_tokens: SpecialTokens { bos: None, eos: vec![50_279], pad: Some(1) },
    };
    let mut spec = gated_rms::spec(config, &defaults)?;
    gated_rms::attention_bias(config, &mut spec)?;
    spec.attention.qk_norm = QkNorm::WholeRow;
    spec.norm_place = NormPlace::AfterBranch;
    let rope = gated_rms::rope(config, &spec, None)?;
    let windows = vec![None; gated_rms::layers(config, &defaults)?];
    spec.layers = gated_rms::turning_layers(&rope, gated_rms::score_scale(&spec), windows);
    Ok(spec)
}
