//! All parameters of a BERT by what they do, in f32 on the CPU. It knows nothing of computing.

use super::config::BertConfig;
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
    /// `[types, D]`; a single text is of type 0 throughout.
    pub token_types: Vec<f32>,
    pub embedding_norm: Norm,
    pub layers: Vec<LayerParameters>,
}

impl BertParameters {
    /// Takes them out of `weights`, whose names may begin with `bert.`; what an encoder does not need (a pooler, heads)
    /// is left.
    pub fn take(config: &BertConfig, weights: Weights) -> Result<Self, ModelError> {
        let mut weights = weights.rename(|name| name.strip_prefix("bert.").unwrap_or(name).to_string());
        let (d, ffn) = (config.hidden_size, config.intermediate_size);
        let mut values = |name: &str, shape: &[usize]| -> Result<Vec<f32>, ModelError> {
            Ok(weights.take(name, shape)?.flatten_all()?.to_vec1()?)
        };
        let words = values("embeddings.word_embeddings.weight", &[config.vocab_size, d])?;
        let positions = values("embeddings.position_embeddings.weight", &[config.max_position_embeddings, d])?;
        let token_types = values("embeddings.token_type_embeddings.weight", &[config.type_vocab_size, d])?;
        let embedding_norm = norm(&mut values, "embeddings.LayerNorm", d)?;
        let mut layers = Vec::new();
        for layer in 0..config.num_hidden_layers {
            let name = |part: &str| format!("encoder.layer.{layer}.{part}");
            let mut qkv = affine(&mut values, &name("attention.self.query"), d, d)?;
            for part in ["attention.self.key", "attention.self.value"] {
                let Affine { weight, bias } = affine(&mut values, &name(part), d, d)?;
                qkv.weight.extend(weight);
                qkv.bias.extend(bias);
            }
            layers.push(LayerParameters {
                qkv,
                attention_output: affine(&mut values, &name("attention.output.dense"), d, d)?,
                attention_norm: norm(&mut values, &name("attention.output.LayerNorm"), d)?,
                intermediate: affine(&mut values, &name("intermediate.dense"), ffn, d)?,
                output: affine(&mut values, &name("output.dense"), d, ffn)?,
                output_norm: norm(&mut values, &name("output.LayerNorm"), d)?,
            });
        }
        Ok(Self { words, positions, token_types, embedding_norm, layers })
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
