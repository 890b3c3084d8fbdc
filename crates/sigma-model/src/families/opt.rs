//! OPT: learned positions two rows further down, ReLU, a tied head; 350m has narrow embeddings and norms behind the
//! residuals.

use serde_json::{Value, json};

use super::config_file::ConfigFile;
use super::{Family, Place, derived_head_dim, special_tokens};
use crate::ModelError;
use crate::spec::{
    Activation, Attention, DecoderSpec, DropoutRates, Layer, Mlp, Norm, NormKind, NormPlace, Part, PositionTable,
    QkNorm, Residual, Slot, SpecialTokens,
};

pub(super) const FAMILY: Family = Family {
    model_type: "opt",
    architecture: "OPTForCausalLM",
    prefix: "model.",
    closed: true,
    buffers: &[],
    spec,
    write_rope: |_, _| {},
    place,
};

pub(super) fn spec(config: &mut ConfigFile) -> Result<DecoderSpec, ModelError> {
    let hidden_size = config.size("hidden_size", 768)?;
    let n_heads = config.size("num_attention_heads", 12)?;
    let head_dim = derived_head_dim(config, ("hidden_size", hidden_size), ("num_attention_heads", n_heads))?;
    let before = config.flag("do_layer_norm_before", true)?;
    let without_final = config.flag("_remove_final_layer_norm", false)?;
    let bias = config.flag("enable_bias", true)?;
    let layer = Layer { rope: None, window: None, score_scale: (head_dim as f64).powf(-0.5) };
    let default = SpecialTokens { bos: Some(2), eos: vec![2], pad: Some(1) };
    let special_tokens = special_tokens(config, &default)?;
    config.only("layer_norm_elementwise_affine", &[json!(true)], "every published OPT model has it true")?;
    for key in ["activation_dropout", "layerdrop"] {
        if let Some(value) = config.some(key)
            && value.as_f64() != Some(0.0)
        {
            return config.refuse(key, &value, "only `dropout` and `attention_dropout` may differ from 0");
        }
    }
    let init_std = match config.value("init_std") {
        Some(value) => value.as_f64().filter(|std| *std >= 0.0),
        None => Some(0.02),
    };
    let Some(init_std) = init_std else {
        return config.refuse("init_std", &Value::Null, "it must be a number of at least 0");
    };
    Ok(DecoderSpec {
        vocab_size: config.size("vocab_size", 50_272)?,
        hidden_size,
        embedding_width: config.size_or_null("word_embed_proj_dim", None)?.unwrap_or(hidden_size),
        embedding_scale: 1.0,
        padding_row: special_tokens.pad,
        max_positions: config.size("max_position_embeddings", 2048)?,
        position_table: Some(PositionTable { offset: 2 }),
        norm: Norm { kind: NormKind::Layer, eps: 1e-5 },
        norm_place: if before { NormPlace::Before } else { NormPlace::AfterSum },
        final_norm: before && !without_final,
        residual: Residual::Sequential,
        attention: Attention {
            n_heads,
            n_kv_heads: n_heads,
            head_dim,
            qkv_bias: bias,
            o_bias: bias,
            qk_norm: QkNorm::None,
            score_cap: None,
        },
        mlp: Mlp {
            width: config.size("ffn_dim", 3072)?,
            gated: false,
            activation: config.activation("activation_function", Activation::Relu)?,
            bias,
        },
        layers: vec![layer; config.layers("num_hidden_layers", 12)?],
        final_logit_cap: None,
        tied: config.flag("tie_word_embeddings", true)?,
        dropout: DropoutRates {
            embedding: None,
            residual: Some(config.dropout("dropout", 0.1)?),
            attention: Some(config.dropout("attention_dropout", 0.0)?),
        },
        special_tokens,
        init_std,
    })
}

pub(super) fn place(slot: Slot) -> Option<Place> {
    let name = match slot.part {
        Part::EmbedTokens => "embed_tokens",
        Part::EmbedPositions => "embed_positions",
        Part::ProjectIn => "project_in",
        Part::ProjectOut => "project_out",
        Part::AttentionNorm => "self_attn_layer_norm",
        Part::Q => "self_attn.q_proj",
        Part::K => "self_attn.k_proj",
        Part::V => "self_attn.v_proj",
        Part::O => "self_attn.out_proj",
        // the same name inside a layer and behind all
        Part::MlpNorm | Part::FinalNorm => "final_layer_norm",
        Part::Up => "fc1",
        Part::Down => "fc2",
        Part::Head => return Some(Place::new(format!("lm_head.{}", slot.kind()))),
        _ => return None,
    };
    let kind = slot.kind();
    Some(Place::new(match slot.layer {
        Some(layer) => format!("model.decoder.layers.{layer}.{name}.{kind}"),
        None => format!("model.decoder.{name}.{kind}"),
    }))
}
