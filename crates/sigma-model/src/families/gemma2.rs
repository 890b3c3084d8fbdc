//! Gemma 2: norms on both sides of each branch with a gain of 1 + weight, capped scores and logits, scaled embeddings,
//! and a window in
//! every other layer.

use serde_json::json;

use super::config_file::ConfigFile;
use super::gated_rms::{self, Defaults};
use super::{Family, rope_write, windows};
use crate::ModelError;
use crate::spec::{Activation, DecoderSpec, NormKind, NormPlace, SpecialTokens};

pub(super) const FAMILY: Family = Family {
    model_type: "gemma2",
    architecture: "Gemma2ForCausalLM",
    prefix: "model.",
    closed: false,
    buffers: &["rotary_emb.inv_freq"],
    spec,
    write_rope: rope_write::write,
    place: |slot| gated_rms::place(slot, "pre_feedforward_layernorm"),
};

fn spec(config: &mut ConfigFile) -> Result<DecoderSpec, ModelError> {
    let defaults = Defaults {
        vocab_size: 256_000,
        hidden_size: 2304,
        intermediate_size: 9216,
        num_hidden_layers: 26,
        num_attention_heads: 8,
        num_key_value_heads: Some(4),
        head_dim: Some(256),
        max_position_embeddings: 8192,
        rms_norm_eps: 1e-6,
        tied: true,
        activation: ("hidden_activation", Activation::GeluTanh),
        special_tokens: SpecialTokens { bos: Some(2), eos: vec![1], pad: Some(0) },
    };
    let mut spec = gated_rms::spec(config, &defaults)?;
    let caps = Caps { scores: Some(50.0), logits: Some(30.0) };
    let score_scale = of_gemma(config, &mut spec, &caps)?;
    let rope = gated_rms::rope(config, &spec, Some(10_000.0))?;
    let layers = gated_rms::layers(config, &defaults)?;
    let window = config.size_or_null("sliding_window", Some(4096))?;
    let by_default = (0..layers).map(|layer| window.is_some() && layer % 2 == 0).collect();
    let windows = windows::by_type(config, layers, window, by_default)?;
    spec.layers = gated_rms::turning_layers(&rope, score_scale, windows);
    Ok(spec)
}

/// Of the config class.
pub(super) struct Caps {
    pub(super) scores: Option<f64>,
    pub(super) logits: Option<f64>,
}

/// What all Gemmas have. Gives the factor on scores.
pub(super) fn of_gemma(config: &mut ConfigFile, spec: &mut DecoderSpec, caps: &Caps) -> Result<f64, ModelError> {
    spec.norm.kind = NormKind::RmsOnePlus;
    spec.norm_place = NormPlace::BothSides;
    // a number of f32, as the weights are
    spec.embedding_scale = f64::from((spec.hidden_size as f64).sqrt() as f32);
    gated_rms::attention_bias(config, spec)?;
    spec.attention.score_cap = config.number_or_null("attn_logit_softcapping", caps.scores)?;
    spec.final_logit_cap = config.number_or_null("final_logit_softcapping", caps.logits)?;
    let all = [json!(false), json!(null)];
    config.only("use_bidirectional_attention", &all, "only causal attention is supported")?;
    // transformers reads hidden_activation alone
    config.ignore(&["hidden_act"]);
    Ok(config.number("query_pre_attn_scalar", 256.0)?.powf(-0.5))
}
