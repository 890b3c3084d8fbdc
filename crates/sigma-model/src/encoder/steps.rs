//! What a sentence-transformers folder may do with a row behind the pooling: Dense, LayerNorm, Normalize. Each step is
//! applied to every row alone.

use std::path::Path;

use serde_json::{Value, json};
use sigma_kernels::linear::{self, Factors, Threads};

use super::normalize;
use crate::ModelError;
use crate::families::config_file::ConfigFile;
use crate::weights::Weights;

/// PyTorch's layer norm adds this to the variance.
const LAYER_NORM_EPS: f64 = 1e-5;

#[derive(Debug)]
pub(super) enum Step {
    Dense(Dense),
    LayerNorm {
        weight: Vec<f32>,
        bias: Vec<f32>,
    },
    Normalize,
    /// Does nothing outside of training.
    Dropout,
}

/// y = activation(x W^T + b), and the residual if there is one.
#[derive(Debug)]
pub(super) struct Dense {
    inputs: usize,
    outputs: usize,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    activation: Activation,
    residual: Residual,
}

#[derive(Debug)]
enum Residual {
    None,
    Same,
    /// Through a matrix of its own.
    Through(Vec<f32>),
}

#[derive(Debug, Clone, Copy)]
enum Activation {
    Identity,
    Tanh,
    Relu,
    Gelu,
    Sigmoid,
    Silu,
}

/// The classes that `activation_function` may name.
const ACTIVATIONS: [(&str, Activation); 6] = [
    ("torch.nn.modules.linear.Identity", Activation::Identity),
    ("torch.nn.modules.activation.Tanh", Activation::Tanh),
    ("torch.nn.modules.activation.ReLU", Activation::Relu),
    ("torch.nn.modules.activation.GELU", Activation::Gelu),
    ("torch.nn.modules.activation.Sigmoid", Activation::Sigmoid),
    ("torch.nn.modules.activation.SiLU", Activation::Silu),
];

impl Step {
    /// The module of this kind in `folder`, for rows of `width`; `None` for a kind that is not supported.
    pub(super) fn read(kind: &str, folder: &Path, width: usize) -> Result<Option<Self>, ModelError> {
        let path = folder.join("config.json");
        let step = match kind {
            "Dense" => Self::Dense(Dense::read(folder, width)?),
            "Normalize" => {
                let mut keys = ConfigFile::read_if_there(path)?;
                on_rows(&mut keys)?;
                keys.finish_with(&[])?;
                Self::Normalize
            }
            "LayerNorm" => {
                let mut keys = ConfigFile::read(path)?;
                expect(&mut keys, "dimension", width)?;
                keys.finish_with(&[])?;
                let mut weights = Weights::load(folder)?;
                let mut take = |name: &str| values(&mut weights, name, &[width]);
                Self::LayerNorm { weight: take("norm.weight")?, bias: take("norm.bias")? }
            }
            "Dropout" => {
                ConfigFile::read_if_there(path)?.finish_with(&["dropout"])?;
                Self::Dropout
            }
            _ => return Ok(None),
        };
        Ok(Some(step))
    }

    pub(super) fn output_width(&self, width: usize) -> usize {
        if let Self::Dense(dense) = self { dense.outputs } else { width }
    }

    /// Rows of `width` values in, rows of [`Self::output_width`] out.
    pub(super) fn apply(&self, mut rows: Vec<f32>, width: usize) -> Result<Vec<f32>, ModelError> {
        match self {
            Self::Dense(dense) => return Ok(dense.apply(&rows)),
            Self::LayerNorm { weight, bias } => {
                rows.chunks_exact_mut(width).for_each(|row| layer_norm(row, weight, bias));
            }
            Self::Normalize => normalize(&mut rows, width)?,
            Self::Dropout => {}
        }
        Ok(rows)
    }
}

impl Dense {
    fn read(folder: &Path, width: usize) -> Result<Self, ModelError> {
        let mut keys = ConfigFile::read(folder.join("config.json"))?;
        expect(&mut keys, "in_features", width)?;
        let Some(outputs) = keys.size_or_null("out_features", None)? else {
            return keys.refuse("out_features", &Value::Null, "it must be the width of the rows that come out");
        };
        let has_bias = keys.flag("bias", true)?;
        let activation = match keys.value("activation_function") {
            None => Activation::Tanh,
            Some(name) => match ACTIVATIONS.iter().find(|(known, _)| json!(known) == name) {
                Some((_, activation)) => *activation,
                None => {
                    let known = ACTIVATIONS.map(|(name, _)| name).join(", ");
                    return keys.refuse("activation_function", &name, &format!("these are supported: {known}"));
                }
            },
        };
        let with_residual = keys.flag("use_residual", false)?;
        on_rows(&mut keys)?;
        keys.finish_with(&[])?;
        let mut weights = Weights::load(folder)?;
        let weight = values(&mut weights, "linear.weight", &[outputs, width])?;
        let bias = if has_bias { Some(values(&mut weights, "linear.bias", &[outputs])?) } else { None };
        let residual = match with_residual {
            false => Residual::None,
            true if outputs == width => Residual::Same,
            true => Residual::Through(values(&mut weights, "residual.weight", &[outputs, width])?),
        };
        let left: Vec<&str> = weights.names().collect();
        if !left.is_empty() {
            return Err(ModelError::LeftOver { path: weights.origin().to_path_buf(), tensors: left.join(", ") });
        }
        Ok(Self { inputs: width, outputs, weight, bias, activation, residual })
    }

    fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let count = rows.len() / self.inputs;
        let product = |weight: &[f32]| {
            let mut out = vec![0f32; count * self.outputs];
            linear::forward(&mut out, rows, weight, self.inputs, (Factors::F32, Threads::One));
            out
        };
        let mut out = product(&self.weight);
        for row in out.chunks_exact_mut(self.outputs) {
            if let Some(bias) = &self.bias {
                row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
            }
            row.iter_mut().for_each(|x| *x = self.activation.of(f64::from(*x)) as f32);
        }
        let through;
        let residual = match &self.residual {
            Residual::None => return out,
            Residual::Same => rows,
            Residual::Through(weight) => {
                through = product(weight);
                &through
            }
        };
        out.iter_mut().zip(residual).for_each(|(x, residual)| *x += residual);
        out
    }
}

impl Activation {
    fn of(self, x: f64) -> f64 {
        let sigmoid = || 1.0 / (1.0 + (-x).exp());
        match self {
            Self::Identity => x,
            Self::Tanh => x.tanh(),
            Self::Relu => x.max(0.0),
            Self::Gelu => x * 0.5 * (1.0 + candle_core::cpu::erf::erf_f64(x * std::f64::consts::FRAC_1_SQRT_2)),
            Self::Sigmoid => sigmoid(),
            Self::Silu => x * sigmoid(),
        }
    }
}

fn layer_norm(row: &mut [f32], weight: &[f32], bias: &[f32]) {
    let count = row.len().max(1) as f64;
    let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
    let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / (variance + LAYER_NORM_EPS).sqrt();
    for ((x, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
        *x = ((f64::from(*x) - mean) * scale * f64::from(*weight) + f64::from(*bias)) as f32;
    }
}

/// A module may be told to work on something other than the pooled row.
fn on_rows(keys: &mut ConfigFile) -> Result<(), ModelError> {
    for key in ["module_input_name", "module_output_name"] {
        keys.only(key, &[json!("sentence_embedding"), Value::Null], "only `sentence_embedding` is supported")?;
    }
    Ok(())
}

fn expect(keys: &mut ConfigFile, key: &str, width: usize) -> Result<(), ModelError> {
    match keys.size_or_null(key, None)? {
        Some(size) if size == width => Ok(()),
        other => keys.refuse(key, &json!(other), &format!("the rows before it have {width} columns")),
    }
}

fn values(weights: &mut Weights, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
    Ok(weights.take(name, shape)?.flatten_all()?.to_vec1()?)
}
