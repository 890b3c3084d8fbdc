//! One decoder layer: self-attention and feed-forward with residuals, norms before (most sizes) or after (350m).

use candle_core::{DType, Result, Tensor};
use sigma_kernels::{layer_norm, linear, relu};

use super::{Dropout, NORM_EPS, OptConfig};

#[derive(Debug, Clone)]
pub(super) struct Norm {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm::reference(x, &self.weight, &self.bias, NORM_EPS)
    }
}

#[derive(Debug, Clone)]
struct Affine {
    weight: Tensor,
    bias: Tensor,
}

impl Affine {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        linear::reference(x, &self.weight, Some(&self.bias))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Layer {
    norm_before: bool,
    self_attn_layer_norm: Norm,
    q_proj: Affine,
    k_proj: Affine,
    v_proj: Affine,
    out_proj: Affine,
    final_layer_norm: Norm,
    fc1: Affine,
    fc2: Affine,
}

impl Layer {
    /// `get` returns the layer's tensor of that name.
    pub(super) fn new(config: &OptConfig, get: &dyn Fn(&str) -> Result<Tensor>) -> Result<Self> {
        let affine = |name: &str| -> Result<Affine> {
            Ok(Affine { weight: get(&format!("{name}.weight"))?, bias: get(&format!("{name}.bias"))? })
        };
        let norm = |name: &str| -> Result<Norm> {
            let Affine { weight, bias } = affine(name)?;
            Ok(Norm { weight, bias })
        };
        Ok(Self {
            norm_before: config.do_layer_norm_before,
            self_attn_layer_norm: norm("self_attn_layer_norm")?,
            q_proj: affine("self_attn.q_proj")?,
            k_proj: affine("self_attn.k_proj")?,
            v_proj: affine("self_attn.v_proj")?,
            out_proj: affine("self_attn.out_proj")?,
            final_layer_norm: norm("final_layer_norm")?,
            fc1: affine("fc1")?,
            fc2: affine("fc2")?,
        })
    }

    /// Casts the weights of the products; norms stay in f32.
    pub(super) fn cast(&mut self, dtype: DType) -> Result<()> {
        for affine in
            [&mut self.q_proj, &mut self.k_proj, &mut self.v_proj, &mut self.out_proj, &mut self.fc1, &mut self.fc2]
        {
            *affine = Affine { weight: affine.weight.to_dtype(dtype)?, bias: affine.bias.to_dtype(dtype)? };
        }
        Ok(())
    }

    /// x `[B, T, D]` in f32 to the same; products in `compute` precision.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        compute: DType,
        attend: impl FnOnce(&Tensor, &Tensor, &Tensor) -> Result<Tensor>,
        dropout: &mut Option<Dropout<'_>>,
    ) -> Result<Tensor> {
        let before = |norm: &Norm, x: &Tensor| if self.norm_before { norm.forward(x) } else { Ok(x.clone()) };
        let after = |norm: &Norm, x: Tensor| if self.norm_before { Ok(x) } else { norm.forward(&x) };

        let h = before(&self.self_attn_layer_norm, x)?.to_dtype(compute)?;
        let h = attend(&self.q_proj.forward(&h)?, &self.k_proj.forward(&h)?, &self.v_proj.forward(&h)?)?;
        let h = self.out_proj.forward(&h)?.to_dtype(DType::F32)?;
        let x = after(&self.self_attn_layer_norm, (x + Dropout::apply(dropout, &h)?)?)?;

        let h = before(&self.final_layer_norm, &x)?.to_dtype(compute)?;
        let h = self.fc2.forward(&relu::reference(&self.fc1.forward(&h)?)?)?.to_dtype(DType::F32)?;
        after(&self.final_layer_norm, (&x + Dropout::apply(dropout, &h)?)?)
    }
}
