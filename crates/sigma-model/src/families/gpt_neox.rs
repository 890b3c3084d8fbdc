//! GPT-NeoX, of which Pythia is: attention and MLP beside each other, rotary positions on a part of each head, and
//! queries, keys and
//! values stored head by head.

use serde_json::{Map, Value, json};

use super::config_file::ConfigFile;
use super::place::Layout;
use super::{Family, Place, derived_head_dim, rope_keys, rope_write, special_tokens};
use crate::ModelError;
use crate::spec::{
    Activation, Attention, DecoderSpec, DropoutRates, Layer, Mlp, Norm, NormKind, NormPlace, Part, QkNorm, Residual,
    Slot, SpecialTokens,
};

pub(super) const FAMILY: Family = Family {
    model_type: "gpt_neox",
    architecture: "GPTNeoXForCausalLM",
    prefix: "gpt_neox.",
    closed: false,
    buffers: &["attention.bias", "attention.masked_bias", "rotary_emb.inv_freq"],
    spec,
    write_rope,
    place,
};

fn spec(config: &mut ConfigFile) -> Result<DecoderSpec, ModelError> {
    let hidden_size = config.size("hidden_size", 6144)?;
    let n_heads = config.size("num_attention_heads", 64)?;
    let head_dim = derived_head_dim(config, ("hidden_size", hidden_size), ("num_attention_heads", n_heads))?;
    let max_positions = config.size("max_position_embeddings", 2048)?;
    let keys = rope_keys::Keys {
        head_dim,
        max_positions,
        theta: "rotary_emb_base",
        default_theta: Some(10_000.0),
        layer_type: None,
        scaled: true,
        share: Some(("rotary_pct", 0.25)),
    };
    let rope = rope_keys::read(config, &keys)?;
    let layer = Layer { rope: Some(rope), window: None, score_scale: (head_dim as f64).powf(-0.5) };
    let bias = config.flag("attention_bias", true)?;
    let dropout = config.dropout("hidden_dropout", 0.0)?;
    let parallel = config.flag("use_parallel_residual", true)?;
    let default = SpecialTokens { bos: Some(0), eos: vec![2], pad: None };
    config.ignore(&["classifier_dropout", "gradient_checkpointing"]);
    Ok(DecoderSpec {
        vocab_size: config.size("vocab_size", 50_432)?,
        hidden_size,
        embedding_width: hidden_size,
        embedding_scale: 1.0,
        padding_row: None,
        max_positions,
        position_table: None,
        norm: Norm { kind: NormKind::Layer, eps: config.number("layer_norm_eps", 1e-5)? },
        norm_place: NormPlace::Before,
        final_norm: true,
        residual: if parallel { Residual::Parallel } else { Residual::Sequential },
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
            width: config.size("intermediate_size", 24_576)?,
            gated: false,
            activation: config.activation("hidden_act", Activation::Gelu)?,
            bias: true,
        },
        layers: vec![layer; config.layers("num_hidden_layers", 44)?],
        final_logit_cap: None,
        tied: config.flag("tie_word_embeddings", false)?,
        dropout: DropoutRates {
            embedding: Some(dropout),
            residual: Some(dropout),
            attention: Some(config.dropout("attention_dropout", 0.0)?),
        },
        special_tokens: special_tokens(config, &default)?,
        init_std: config.number("initializer_range", 0.02)?,
    })
}

fn place(slot: Slot) -> Option<Place> {
    let (name, layout) = match slot.part {
        Part::EmbedTokens => ("embed_in", Layout::AsIs),
        Part::AttentionNorm => ("input_layernorm", Layout::AsIs),
        Part::Q => ("attention.query_key_value", Layout::RowsByHead(0)),
        Part::K => ("attention.query_key_value", Layout::RowsByHead(1)),
        Part::V => ("attention.query_key_value", Layout::RowsByHead(2)),
        Part::O => ("attention.dense", Layout::AsIs),
        Part::MlpNorm => ("post_attention_layernorm", Layout::AsIs),
        Part::Up => ("mlp.dense_h_to_4h", Layout::AsIs),
        Part::Down => ("mlp.dense_4h_to_h", Layout::AsIs),
        Part::FinalNorm => ("final_layer_norm", Layout::AsIs),
        Part::Head => return Some(Place::new(format!("embed_out.{}", slot.kind()))),
        _ => return None,
    };
    let kind = slot.kind();
    let name = match slot.layer {
        Some(layer) => format!("gpt_neox.layers.{layer}.{name}.{kind}"),
        None => format!("gpt_neox.{name}.{kind}"),
    };
    Some(Place { name, layout })
}

fn write_rope(spec: &DecoderSpec, config: &mut Map<String, Value>) {
    let Some(rope) = spec.layers.iter().find_map(|layer| layer.rope.as_ref()) else { return };
    rope_write::write_one(rope, config);
    config.remove("rope_theta");
    let share = rope.rotated as f64 / spec.attention.head_dim as f64;
    config.insert("rotary_emb_base".to_string(), json!(rope.theta));
    config.insert("rotary_pct".to_string(), json!(share));
    let mut parameters = rope_write::parameters(rope);
    parameters.insert("partial_rotary_factor".to_string(), json!(share));
    config.insert("rope_parameters".to_string(), Value::Object(parameters));
}
