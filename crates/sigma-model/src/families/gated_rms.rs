//! What most families of after 2023 share: RMS norms, rotary positions, grouped heads and a gated MLP, under the same
//! keys and names.
//! Each family's file says what it does otherwise.

use super::config_file::ConfigFile;
use super::{Place, derived_head_dim, rope_keys, special_tokens};
use crate::ModelError;
use crate::spec::{
    Activation, Attention, DecoderSpec, DropoutRates, Layer, Mlp, Norm, NormKind, NormPlace, Part, QkNorm, Residual,
    Rope, Slot, SpecialTokens,
};

/// What a family's config class takes for keys that are absent.
pub(super) struct Defaults {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    /// As many as heads of queries where it is `None`, and where the file says null.
    pub(super) num_key_value_heads: Option<usize>,
    /// hidden_size over heads where it is `None`, and where the file says null.
    pub(super) head_dim: Option<usize>,
    pub(super) max_position_embeddings: usize,
    pub(super) rms_norm_eps: f64,
    pub(super) tied: bool,
    /// Key of the activation, and its default.
    pub(super) activation: (&'static str, Activation),
    pub(super) special_tokens: SpecialTokens,
}

/// The spec of the keys that all of these families have, without layers: one norm before each branch, no biases, no
/// norms of
/// queries and keys, no caps.
pub(super) fn spec(config: &mut ConfigFile, defaults: &Defaults) -> Result<DecoderSpec, ModelError> {
    let hidden_size = config.size("hidden_size", defaults.hidden_size)?;
    let n_heads = config.size("num_attention_heads", defaults.num_attention_heads)?;
    let n_kv_heads = config.size_or_null("num_key_value_heads", defaults.num_key_value_heads)?.unwrap_or(n_heads);
    let head_dim = match config.size_or_null("head_dim", defaults.head_dim)? {
        Some(head_dim) => head_dim,
        None => derived_head_dim(config, ("hidden_size", hidden_size), ("num_attention_heads", n_heads))?,
    };
    let special_tokens = special_tokens(config, &defaults.special_tokens)?;
    let (key, activation) = defaults.activation;
    Ok(DecoderSpec {
        vocab_size: config.size("vocab_size", defaults.vocab_size)?,
        hidden_size,
        embedding_width: hidden_size,
        embedding_scale: 1.0,
        padding_row: special_tokens.pad,
        max_positions: config.size("max_position_embeddings", defaults.max_position_embeddings)?,
        position_table: None,
        norm: Norm { kind: NormKind::Rms, eps: config.number("rms_norm_eps", defaults.rms_norm_eps)? },
        norm_place: NormPlace::Before,
        final_norm: true,
        residual: Residual::Sequential,
        attention: Attention {
            n_heads,
            n_kv_heads,
            head_dim,
            qkv_bias: false,
            o_bias: false,
            qk_norm: QkNorm::None,
            score_cap: None,
        },
        mlp: Mlp {
            width: config.size("intermediate_size", defaults.intermediate_size)?,
            gated: true,
            activation: config.activation(key, activation)?,
            bias: false,
        },
        layers: Vec::new(),
        final_logit_cap: None,
        tied: config.flag("tie_word_embeddings", defaults.tied)?,
        dropout: DropoutRates { attention: Some(config.dropout("attention_dropout", 0.0)?), ..DropoutRates::default() },
        special_tokens,
        init_std: config.number("initializer_range", 0.02)?,
    })
}

/// The number of layers.
pub(super) fn layers(config: &mut ConfigFile, defaults: &Defaults) -> Result<usize, ModelError> {
    config.layers("num_hidden_layers", defaults.num_hidden_layers)
}

/// Head dimension to the power of -1/2.
pub(super) fn score_scale(spec: &DecoderSpec) -> f64 {
    (spec.attention.head_dim as f64).powf(-0.5)
}

/// One key for the biases of all four projections of attention; no family has them by default.
pub(super) fn attention_bias(config: &mut ConfigFile, spec: &mut DecoderSpec) -> Result<(), ModelError> {
    let bias = config.flag("attention_bias", false)?;
    (spec.attention.qkv_bias, spec.attention.o_bias) = (bias, bias);
    Ok(())
}

/// A whole head that turns by one theta in all layers that turn.
pub(super) fn rope(
    config: &mut ConfigFile,
    spec: &DecoderSpec,
    default_theta: Option<f64>,
) -> Result<Rope, ModelError> {
    let keys = rope_keys::Keys {
        head_dim: spec.attention.head_dim,
        max_positions: spec.max_positions,
        theta: "rope_theta",
        default_theta,
        layer_type: None,
        scaled: true,
        share: None,
    };
    rope_keys::read(config, &keys)
}

/// Layers that all turn alike, one for each of these windows.
pub(super) fn turning_layers(rope: &Rope, score_scale: f64, windows: Vec<Option<usize>>) -> Vec<Layer> {
    windows.into_iter().map(|window| Layer { rope: Some(rope.clone()), window, score_scale }).collect()
}

/// Names of tensors. `mlp_norm` is what the family calls the norm before its MLP.
pub(super) fn place(slot: Slot, mlp_norm: &str) -> Option<Place> {
    let name = match slot.part {
        Part::EmbedTokens => "embed_tokens",
        Part::AttentionNorm => "input_layernorm",
        Part::Q => "self_attn.q_proj",
        Part::K => "self_attn.k_proj",
        Part::V => "self_attn.v_proj",
        Part::QNorm => "self_attn.q_norm",
        Part::KNorm => "self_attn.k_norm",
        Part::O => "self_attn.o_proj",
        Part::AttentionPostNorm => "post_attention_layernorm",
        Part::MlpNorm => mlp_norm,
        Part::Gate => "mlp.gate_proj",
        Part::Up => "mlp.up_proj",
        Part::Down => "mlp.down_proj",
        Part::MlpPostNorm => "post_feedforward_layernorm",
        Part::FinalNorm => "norm",
        Part::Head => return Some(Place::new(format!("lm_head.{}", slot.kind()))),
        Part::EmbedPositions | Part::ProjectIn | Part::ProjectOut => return None,
    };
    let kind = slot.kind();
    Some(Place::new(match slot.layer {
        Some(layer) => format!("model.layers.{layer}.{name}.{kind}"),
        None => format!("model.{name}.{kind}"),
    }))
}
