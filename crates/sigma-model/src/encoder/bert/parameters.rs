//! All parameters of a BERT by what they do, in f32 on the CPU, and the names that each family gives them. It knows
//! nothing of computing.

use super::config::{BertConfig, Naming};
use crate::ModelError;
use crate::weights::Weights;

/// A linear map: weight `[outputs, inputs]`, bias `[outputs]`.
#[derive(Debug)]
pub struct Affine {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

/// A layer norm's scale and shift, `[D]` each.
#[derive(Debug)]
pub struct Norm {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

#[derive(Debug)]
pub struct LayerParameters {
    /// Query, key and value projections, stacked: `[3 D, D]`.
    pub qkv: Affine,
    pub attention_output: Affine,
    pub attention_norm: Norm,
    /// `[F, D]`.
    pub intermediate: Affine,
    /// `[D, F]`.
    pub output: Affine,
    pub output_norm: Norm,
}

#[derive(Debug)]
pub struct BertParameters {
    /// `[vocabulary, D]`.
    pub words: Vec<f32>,
    /// `[positions, D]`.
    pub positions: Vec<f32>,
    /// `[D]`: a single text is of type 0 throughout; zeros in families without types.
    pub token_type: Vec<f32>,
    pub embedding_norm: Norm,
    /// `[buckets, heads]` where attention depends on the distance of two tokens.
    pub relative_bias: Option<Vec<f32>>,
    pub layers: Vec<LayerParameters>,
}

/// Names inside a layer.
struct Names {
    layers: &'static str,
    q: &'static str,
    k: &'static str,
    v: &'static str,
    attention_output: &'static str,
    attention_norm: &'static str,
    intermediate: &'static str,
    output: &'static str,
    output_norm: &'static str,
}

impl Naming {
    fn names(self) -> Names {
        let bert = Names {
            layers: "encoder.layer",
            q: "attention.self.query",
            k: "attention.self.key",
            v: "attention.self.value",
            attention_output: "attention.output.dense",
            attention_norm: "attention.output.LayerNorm",
            intermediate: "intermediate.dense",
            output: "output.dense",
            output_norm: "output.LayerNorm",
        };
        match self {
            Self::Bert => bert,
            Self::MpNet => Names {
                q: "attention.attn.q",
                k: "attention.attn.k",
                v: "attention.attn.v",
                attention_output: "attention.attn.o",
                attention_norm: "attention.LayerNorm",
                ..bert
            },
            Self::DistilBert => Names {
                layers: "transformer.layer",
                q: "attention.q_lin",
                k: "attention.k_lin",
                v: "attention.v_lin",
                attention_output: "attention.out_lin",
                attention_norm: "sa_layer_norm",
                intermediate: "ffn.lin1",
                output: "ffn.lin2",
                output_norm: "output_layer_norm",
            },
        }
    }
}

/// Beginnings of tensors that stand behind the last layer, or are no parameters.
const UNUSED: [&str; 8] = [
    "pooler.",
    "cls.",
    "lm_head.",
    "classifier.",
    "pre_classifier.",
    "vocab_",
    "qa_outputs.",
    "embeddings.position_ids",
];

impl BertParameters {
    /// Takes them out of `weights`, whose names may begin with the family's prefix and end as those of TensorFlow did;
    /// what an encoder does not need (a pooler, heads) is left.
    pub fn take(config: &BertConfig, weights: Weights) -> Result<Self, ModelError> {
        let mut weights = weights.rename(|name| modern(name.strip_prefix(config.prefix).unwrap_or(name)));
        let (d, ffn) = (config.hidden_size, config.intermediate_size);
        if config.num_hidden_layers > weights.len() {
            let path = weights.origin().with_file_name("config.json");
            let (layers, tensors) = (config.num_hidden_layers, weights.len());
            return Err(ModelError::Layers { path, layers, weights: weights.origin().to_path_buf(), tensors });
        }
        let mut values = |name: &str, shape: &[usize]| -> Result<Vec<f32>, ModelError> {
            Ok(weights.take(name, shape)?.flatten_all()?.to_vec1()?)
        };
        let words = values("embeddings.word_embeddings.weight", &[config.vocab_size, d])?;
        let positions = values("embeddings.position_embeddings.weight", &[config.max_position_embeddings, d])?;
        let mut token_type = match config.type_vocab_size {
            Some(types) => values("embeddings.token_type_embeddings.weight", &[types, d])?,
            None => vec![0.0; d],
        };
        token_type.truncate(d);
        let embedding_norm = norm(&mut values, "embeddings.LayerNorm", d)?;
        let relative_bias = match config.relative_buckets {
            Some(buckets) => {
                Some(values("encoder.relative_attention_bias.weight", &[buckets, config.num_attention_heads])?)
            }
            None => None,
        };
        let (names, mut layers) = (config.naming.names(), Vec::new());
        for layer in 0..config.num_hidden_layers {
            let name = |part: &str| format!("{}.{layer}.{part}", names.layers);
            let mut qkv = affine(&mut values, &name(names.q), d, d)?;
            for part in [names.k, names.v] {
                let Affine { weight, bias } = affine(&mut values, &name(part), d, d)?;
                qkv.weight.extend(weight);
                qkv.bias.extend(bias);
            }
            layers.push(LayerParameters {
                qkv,
                attention_output: affine(&mut values, &name(names.attention_output), d, d)?,
                attention_norm: norm(&mut values, &name(names.attention_norm), d)?,
                intermediate: affine(&mut values, &name(names.intermediate), ffn, d)?,
                output: affine(&mut values, &name(names.output), d, ffn)?,
                output_norm: norm(&mut values, &name(names.output_norm), d)?,
            });
        }
        let left: Vec<&str> =
            weights.names().filter(|name| !UNUSED.iter().any(|unused| name.starts_with(unused))).take(6).collect();
        if !left.is_empty() {
            let tensors = left.join(", ");
            tracing::warn!(file = %weights.origin().display(), tensors, "tensors that the encoder does not use");
        }
        Ok(Self { words, positions, token_type, embedding_norm, relative_bias, layers })
    }
}

/// The name of today for one of the first checkpoints.
fn modern(name: &str) -> String {
    match (name.strip_suffix(".gamma"), name.strip_suffix(".beta")) {
        (Some(norm), _) => format!("{norm}.weight"),
        (_, Some(norm)) => format!("{norm}.bias"),
        _ => name.to_string(),
    }
}

fn affine(
    values: &mut impl FnMut(&str, &[usize]) -> Result<Vec<f32>, ModelError>,
    name: &str,
    outputs: usize,
    inputs: usize,
) -> Result<Affine, ModelError> {
    let weight = values(&format!("{name}.weight"), &[outputs, inputs])?;
    Ok(Affine { weight, bias: values(&format!("{name}.bias"), &[outputs])? })
}

fn norm(
    values: &mut impl FnMut(&str, &[usize]) -> Result<Vec<f32>, ModelError>,
    name: &str,
    d: usize,
) -> Result<Norm, ModelError> {
    let weight = values(&format!("{name}.weight"), &[d])?;
    Ok(Norm { weight, bias: values(&format!("{name}.bias"), &[d])? })
}
