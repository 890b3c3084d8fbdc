//! BERT on a GPU in f32: the frozen encoder measures, so its products are not rounded to half precision. Tokens of all
//! texts lie one after another without padding. `super::host` is what it is compared with.
//!
//! Legend: R tokens of all texts, D hidden size, F feed-forward size.

use sigma_kernels::gpu::{Buffer, Dtype, Gpu, GpuError, View};

use super::config::BertConfig;
use super::parameters::{Affine, BertParameters, Norm};
use crate::encoder::pooling::Pooling;
use crate::launches::{Kernels, Normed, Texts};
use crate::spec::Activation;

/// Tokens of one pass.
const TOKENS: usize = 32_768;

/// A BERT's parameters on a GPU.
#[derive(Debug)]
pub(super) struct GpuBert {
    gpu: Gpu,
    words: Buffer,
    positions: Buffer,
    /// A single text is of type 0 throughout: `[D]`.
    token_type: Buffer,
    embedding_norm: GpuNorm,
    layers: Vec<GpuLayer>,
}

#[derive(Debug)]
struct GpuLayer {
    qkv: GpuAffine,
    attention_output: GpuAffine,
    attention_norm: GpuNorm,
    intermediate: GpuAffine,
    output: GpuAffine,
    output_norm: GpuNorm,
}

#[derive(Debug)]
struct GpuAffine {
    weight: Buffer,
    bias: Buffer,
}

#[derive(Debug)]
struct GpuNorm {
    weight: Buffer,
    bias: Buffer,
}

impl GpuBert {
    pub(super) fn upload(gpu: &Gpu, parameters: &BertParameters) -> Result<Self, GpuError> {
        let affine = |affine: &Affine| -> Result<GpuAffine, GpuError> {
            Ok(GpuAffine { weight: gpu.upload(&affine.weight)?, bias: gpu.upload(&affine.bias)? })
        };
        let norm = |norm: &Norm| -> Result<GpuNorm, GpuError> {
            Ok(GpuNorm { weight: gpu.upload(&norm.weight)?, bias: gpu.upload(&norm.bias)? })
        };
        let layers = parameters.layers.iter().map(|layer| {
            Ok(GpuLayer {
                qkv: affine(&layer.qkv)?,
                attention_output: affine(&layer.attention_output)?,
                attention_norm: norm(&layer.attention_norm)?,
                intermediate: affine(&layer.intermediate)?,
                output: affine(&layer.output)?,
                output_norm: norm(&layer.output_norm)?,
            })
        });
        Ok(Self {
            gpu: gpu.clone(),
            words: gpu.upload(&parameters.words)?,
            positions: gpu.upload(&parameters.positions)?,
            token_type: gpu.upload(&parameters.token_type)?,
            embedding_norm: norm(&parameters.embedding_norm)?,
            layers: layers.collect::<Result<_, GpuError>>()?,
        })
    }

    /// Pooled states of texts whose ids and lengths the model has; zeros for one without tokens. `skipped` tokens at
    /// the beginning of each do not count.
    pub(super) fn pooled(
        &self,
        config: &BertConfig,
        rows: &[&[u32]],
        pooling: &Pooling,
        skipped: usize,
    ) -> Result<Vec<f32>, GpuError> {
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0).max(1);
        let mut all = Vec::with_capacity(rows.len() * pooling.output_width());
        for rows in rows.chunks((TOKENS / longest).max(1)) {
            all.extend(self.some(config, rows, pooling, skipped)?);
        }
        Ok(all)
    }

    fn some(
        &self,
        config: &BertConfig,
        rows: &[&[u32]],
        pooling: &Pooling,
        skipped: usize,
    ) -> Result<Vec<f32>, GpuError> {
        let (d, ffn, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let Self { gpu, .. } = self;
        let kernels = Kernels { gpu, dtype: Dtype::F32 };
        let (mut positions, mut starts) = (Vec::new(), vec![0u32]);
        for row in rows {
            positions.extend(config.positions(row));
            starts.push(positions.len() as u32);
        }
        let r = positions.len();
        if r == 0 {
            return Ok(vec![0.0; rows.len() * pooling.output_width()]);
        }
        let (ids, positions) = (gpu.upload(&rows.concat())?, gpu.upload(&positions)?);
        let (starts, texts) = (gpu.upload(&starts)?, Texts::new(gpu, rows.iter().map(|row| row.len()))?);
        let space = |width: usize| gpu.alloc(Dtype::F32, r * width);
        let (stream, next, y) = (space(d)?, space(d)?, space(d)?);
        let (qkv, attended, inner) = (space(3 * d)?, space(d)?, space(ffn)?);

        let tables = (Some(self.words.view()), self.positions.view());
        kernels.embed(next.view(), tables, (ids.view(), positions.view(), 0), d)?;
        kernels.bias(next.view(), self.token_type.view())?;
        let to = Normed::to(stream.view());
        kernels.layer_norm(to, next.view(), self.embedding_norm.views(eps))?;
        for layer in &self.layers {
            product(&kernels, &qkv, &stream, &layer.qkv, d)?;
            kernels.bias(qkv.view(), layer.qkv.bias.view())?;
            kernels.full_attention(attended.view(), qkv.view(), &texts, config.num_attention_heads)?;
            product(&kernels, &y, &attended, &layer.attention_output, d)?;
            let what = (stream.view(), y.view(), layer.attention_output.bias.view());
            kernels.residual_norm((None, to), what, None, layer.attention_norm.views(eps))?;
            product(&kernels, &inner, &stream, &layer.intermediate, d)?;
            match config.hidden_act {
                Activation::Relu => kernels.bias_relu(inner.view(), layer.intermediate.bias.view())?,
                _ => kernels.bias_gelu(inner.view(), layer.intermediate.bias.view())?,
            }
            product(&kernels, &y, &inner, &layer.output, ffn)?;
            let what = (stream.view(), y.view(), layer.output.bias.view());
            kernels.residual_norm((None, to), what, None, layer.output_norm.views(eps))?;
        }
        if !pooling.is_plain_mean() || skipped > 0 {
            return Ok(pooling.rows(rows, &stream.read(0..r * d)?, skipped));
        }
        let pooled = gpu.alloc(Dtype::F32, rows.len() * d)?;
        kernels.mean_pool(pooled.view(), stream.view(), starts.view(), d)?;
        pooled.read(0..pooled.len())
    }
}

impl GpuNorm {
    fn views(&self, eps: f64) -> (View<'_>, View<'_>, f64) {
        (self.weight.view(), self.bias.view(), eps)
    }
}

/// y = x W^T; the bias is added by what follows.
fn product(kernels: &Kernels<'_>, y: &Buffer, x: &Buffer, affine: &GpuAffine, inputs: usize) -> Result<(), GpuError> {
    kernels.product(y.view(), x.view(), affine.weight.view(), inputs)
}
