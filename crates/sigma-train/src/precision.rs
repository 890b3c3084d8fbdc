//! Which dtype products run in, and the dynamic loss scale that keeps FP16 gradients above underflow (the rule of
//! torch.amp.GradScaler: halve on overflow and skip the step, double after 2,000 good steps).

use candle_core::DType;
use sigma_model::Device;

use crate::config::Precision;

impl Precision {
    /// The dtype on `device`.
    pub fn dtype(self, device: &Device) -> DType {
        match self {
            Precision::Auto if device.is_gpu() => DType::F16,
            Precision::Auto | Precision::Fp32 => DType::F32,
            Precision::Fp16 => DType::F16,
            Precision::Bf16 => DType::BF16,
        }
    }
}

/// The factor on the loss before the backward pass.
#[derive(Debug, Clone, PartialEq)]
pub struct LossScale {
    scale: f64,
    dynamic: bool,
    good_steps: usize,
}

const START: f64 = 65_536.0;
const GROWTH_INTERVAL: usize = 2000;
/// Below this the gradients overflow for another reason than the scale.
const SMALLEST: f64 = 1.0 / 1024.0;

impl LossScale {
    /// Dynamic for FP16, 1 for every other dtype.
    pub fn new(dtype: DType) -> Self {
        let dynamic = dtype == DType::F16;
        Self { scale: if dynamic { START } else { 1.0 }, dynamic, good_steps: 0 }
    }

    /// The factor and the good steps since it changed last.
    pub(crate) fn parts(&self) -> (f64, usize) {
        (self.scale, self.good_steps)
    }

    /// The other way round. Whether it moves follows from the dtype, by [`Self::of`].
    pub(crate) fn from_parts(scale: f64, good_steps: usize) -> Self {
        Self { scale, dynamic: false, good_steps }
    }

    /// The same scale for products in `dtype`.
    pub(crate) fn of(self, dtype: DType) -> Self {
        Self { dynamic: dtype == DType::F16, ..self }
    }

    pub fn value(&self) -> f64 {
        self.scale
    }

    /// After a step with finite gradients.
    pub fn good_step(&mut self) {
        self.good_steps += 1;
        if self.dynamic && self.good_steps == GROWTH_INTERVAL {
            self.scale *= 2.0;
            self.good_steps = 0;
        }
    }

    /// After an overflow: whether a smaller scale can be tried.
    pub fn back_off(&mut self) -> bool {
        self.good_steps = 0;
        if !self.dynamic {
            return false;
        }
        self.scale /= 2.0;
        self.scale >= SMALLEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_halves_on_overflow_and_doubles_after_2000_good_steps() {
        let mut scale = LossScale::new(DType::F16);
        assert!(scale.back_off());
        assert_eq!(scale.value(), 32_768.0);
        for _ in 0..1999 {
            scale.good_step();
        }
        assert_eq!(scale.value(), 32_768.0);
        scale.good_step();
        assert_eq!(scale.value(), 65_536.0);
    }

    #[test]
    fn the_scale_gives_up_and_other_dtypes_have_none() {
        let mut scale = LossScale::new(DType::F16);
        assert_eq!((0..100).take_while(|_| scale.back_off()).count(), 26);
        for dtype in [DType::F32, DType::BF16] {
            let mut scale = LossScale::new(dtype);
            assert_eq!(scale.value(), 1.0);
            assert!(!scale.back_off());
        }
    }
}
