//! GPT-2 and distilgpt2: learned positions, layer norms, biases everywhere; matrices are stored `[in, out]`, queries,
//! keys and values
//! side by side.

use serde_json::json;

use super::config_file::ConfigFile;
use super::place::Layout;
use super::{Family, Place, derived_head_dim, special_tokens};
use crate::ModelError;
use crate::spec::{
    Activation, Attention, DecoderSpec, DropoutRates, Layer, Mlp, Norm, NormKind, NormPlace, Part, PositionTable,
    QkNorm, Residual, Slot, SpecialTokens,
};

pub(super) const FAMILY: Family = Family {
    model_type: "gpt2",
    architecture: "GPT2LMHeadModel",
    prefix: "transformer.",
    closed: false,
    buffers: &[".attn.bias", ".attn.masked_bias"],
    spec,
    write_rope: |_, _| {},
    place,
};

fn spec(config: &mut ConfigFile) -> Result<DecoderSpec, ModelError> {
    let hidden_size = config.size("n_embd", 768)?;
    let n_heads = config.size("n_head", 12)?;
    let head_dim = derived_head_dim(config, ("n_embd", hidden_size), ("n_head", n_heads))?;
    let scaled = config.flag("scale_attn_weights", true)?;
    let by_layer = config.flag("scale_attn_by_inverse_layer_idx", false)?;
    let scale = if scaled { (head_dim as f64).powf(-0.5) } else { 1.0 };
    let layer = |layer: usize| Layer {
        rope: None,
        window: None,
        score_scale: if by_layer { scale / (layer + 1) as f64 } else { scale },
    };
    let default = SpecialTokens { bos: Some(50_256), eos: vec![50_256], pad: None };
    // another order of the same operations in half precision
    config.ignore(&["reorder_and_upcast_attn"]);
    // of heads for other tasks, and a copy of n_positions
    config.ignore(&["summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type"]);
    config.ignore(&["summary_use_proj", "n_ctx", "classifier_dropout"]);
    config.only("gradient_checkpointing", &[json!(false), json!(true)], "it must be true or false")?;
    Ok(DecoderSpec {
        vocab_size: config.size("vocab_size", 50_257)?,
        hidden_size,
        embedding_width: hidden_size,
        embedding_scale: 1.0,
        padding_row: None,
        max_positions: config.size("n_positions", 1024)?,
        position_table: Some(PositionTable { offset: 0 }),
        norm: Norm { kind: NormKind::Layer, eps: config.number("layer_norm_epsilon", 1e-5)? },
        norm_place: NormPlace::Before,
        final_norm: true,
        residual: Residual::Sequential,
        attention: Attention {
            n_heads,
            n_kv_heads: n_heads,
            head_dim,
            qkv_bias: true,
            o_bias: true,
            qk_norm: QkNorm::None,
            score_cap: None,
        },
        mlp: Mlp {
            width: config.size_or_null("n_inner", None)?.unwrap_or(4 * hidden_size),
            gated: false,
            activation: config.activation("activation_function", Activation::GeluTanh)?,
            bias: true,
        },
        layers: (0..config.layers("n_layer", 12)?).map(layer).collect(),
        final_logit_cap: None,
        tied: config.flag("tie_word_embeddings", true)?,
        dropout: DropoutRates {
            embedding: Some(config.dropout("embd_pdrop", 0.1)?),
            residual: Some(config.dropout("resid_pdrop", 0.1)?),
            attention: Some(config.dropout("attn_pdrop", 0.1)?),
        },
        special_tokens: special_tokens(config, &default)?,
        init_std: config.number("initializer_range", 0.02)?,
    })
}

fn place(slot: Slot) -> Option<Place> {
    let (name, layout) = match slot.part {
        Part::EmbedTokens => ("wte", Layout::AsIs),
        Part::EmbedPositions => ("wpe", Layout::AsIs),
        Part::AttentionNorm => ("ln_1", Layout::AsIs),
        Part::Q => ("attn.c_attn", Layout::ColumnsOfThree(0)),
        Part::K => ("attn.c_attn", Layout::ColumnsOfThree(1)),
        Part::V => ("attn.c_attn", Layout::ColumnsOfThree(2)),
        Part::O => ("attn.c_proj", Layout::Transposed),
        Part::MlpNorm => ("ln_2", Layout::AsIs),
        Part::Up => ("mlp.c_fc", Layout::Transposed),
        Part::Down => ("mlp.c_proj", Layout::Transposed),
        Part::FinalNorm => ("ln_f", Layout::AsIs),
        Part::Head => return Some(Place::new(format!("lm_head.{}", slot.kind()))),
        _ => return None,
    };
    let kind = slot.kind();
    let name = match slot.layer {
        Some(layer) => format!("transformer.h.{layer}.{name}.{kind}"),
        None => format!("transformer.{name}.{kind}"),
    };
    Some(Place { name, layout })
}
