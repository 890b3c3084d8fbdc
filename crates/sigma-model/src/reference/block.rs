//! One layer: attention and MLP, each a branch of the residual stream, with norms where the spec has them.

use candle_core::{Result, Tensor};
use sigma_kernels::relu;

use super::cache::{KvCache, Places};
use super::{Dropout, Reference};
use crate::spec::{Activation, NormPlace, Part, Residual};

impl Reference {
    /// x `[B, T, D]` to the same.
    pub(super) fn block(
        &self,
        x: &Tensor,
        layer: usize,
        places: &Places,
        cache: Option<&mut KvCache>,
        dropout: &mut Option<Dropout<'_>>,
    ) -> Result<Tensor> {
        let place = self.spec.norm_place;
        let before = |x: &Tensor, norm: Part| match place {
            NormPlace::Before | NormPlace::BothSides => self.norm(x, Some(layer), norm),
            NormPlace::AfterBranch | NormPlace::AfterSum => Ok(x.clone()),
        };
        let after_branch = |x: Tensor, norm: Part| match place {
            NormPlace::AfterBranch | NormPlace::BothSides => self.norm(&x, Some(layer), norm),
            NormPlace::Before | NormPlace::AfterSum => Ok(x),
        };
        let after_sum = |x: Tensor, norm: Part| match place {
            NormPlace::AfterSum => self.norm(&x, Some(layer), norm),
            _ => Ok(x),
        };

        let h = before(x, Part::AttentionNorm)?;
        let h = self.attention(&h, layer, places, cache, dropout)?.to_dtype(self.wide())?;
        let h = Dropout::apply(dropout, |rates| rates.residual, h)?;
        let attended = after_sum((x + after_branch(h, Part::AttentionPostNorm)?)?, Part::AttentionNorm)?;

        let h = match self.spec.residual {
            Residual::Sequential => before(&attended, Part::MlpNorm)?,
            Residual::Parallel => before(x, Part::MlpNorm)?,
        };
        let h = self.mlp(&h, layer)?.to_dtype(self.wide())?;
        let h = Dropout::apply(dropout, |rates| rates.residual, h)?;
        after_sum((attended + after_branch(h, Part::MlpPostNorm)?)?, Part::MlpNorm)
    }

    fn mlp(&self, x: &Tensor, layer: usize) -> Result<Tensor> {
        let up = self.linear(x, Some(layer), Part::Up)?;
        let h = if self.spec.mlp.gated {
            (activated(&self.linear(x, Some(layer), Part::Gate)?, self.spec.mlp.activation)? * up)?
        } else {
            activated(&up, self.spec.mlp.activation)?
        };
        self.linear(&h, Some(layer), Part::Down)
    }
}

/// GELUs are composed, because candle's own have derivatives of six digits.
fn activated(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Relu => relu::reference(x),
        Activation::Silu => x.silu(),
        Activation::Gelu => ((x / std::f64::consts::SQRT_2)?.erf()? + 1.0)?.mul(&(x * 0.5)?),
        Activation::GeluTanh => {
            let cube = (x.sqr()?.mul(x)? * 0.044715)?;
            let inner = ((x + cube)? * std::f64::consts::FRAC_2_PI.sqrt())?;
            (inner.tanh()? + 1.0)?.mul(&(x * 0.5)?)
        }
    }
}
